"""One frame of a run: everything that a surface needs to show the present moment."""

from __future__ import annotations

import msgspec

from dayshift.core.decision import Decision
from dayshift.core.state import JournalState
from dayshift.model.sight import Sight


class Frame(msgspec.Struct, frozen=True):
    """State, sight and decision of one step of the orchestrator."""

    state: JournalState
    sight: Sight
    decision: Decision


def encode(frame: Frame) -> bytes:
    return msgspec.json.encode(frame)


def decode(data: bytes) -> Frame:
    return msgspec.json.decode(data, type=Frame)
