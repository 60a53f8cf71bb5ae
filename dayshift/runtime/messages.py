"""What controllers leave for the leader in the store: people's requests, signs of life.

A message is named by its token, and so is its answer in the journal: whoever asked
finds it there, whichever controller wrote it.
"""

from __future__ import annotations

import msgspec

from dayshift.errors import Bug
from dayshift.model.plan import Plan

OPEN = "open"
"""The request to open a run; its plan travels whole."""
BEAT = "beat"
"""A sign of life of a controller that follows."""
LEAVING = "leaving"
"""The last one."""


class Posted(msgspec.Struct, frozen=True):
    """One message: a request with who asked, or a sign of life of `person`."""

    verb: str
    person: str
    args: dict[str, str] = {}


def encode(message: Posted) -> bytes:
    return msgspec.json.encode(message)


def decode(data: bytes) -> Posted | None:
    """The message, or None where it is none that this version understands."""
    try:
        return msgspec.json.decode(data, type=Posted)
    except msgspec.MsgspecError:
        return None


def plan_text(plan: Plan) -> str:
    """A plan as the argument of a request."""
    return msgspec.json.encode(plan).decode()


def plan_of(text: str) -> Plan | None:
    """The plan of a request to open a run; None where there is none in it."""
    try:
        return msgspec.json.decode(text, type=Plan)
    except msgspec.MsgspecError:
        return None


def beat_token(controller: str) -> str:
    """One name for all signs of life of a controller: the newest is the only one."""
    if not controller:
        raise Bug("a sign of life of nobody")
    return f"beat-{controller}"
