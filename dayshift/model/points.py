"""Every point at which a controller can die and leave another world behind.

Here: their names, one sentence each of what is true there, and the hook that is passed
at each. Not here: what the next controller makes of it (`core.recovery`). In
production the hook is `NOWHERE` and does nothing; a test dies, stops or waits at it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from dayshift.model.records import Action


class Point(StrEnum):
    """One place in the code; `says` is what is true when it is passed."""

    says: str

    def __new__(cls, value: str, says: str) -> Point:
        """The member for `value`, with its sentence."""
        point = str.__new__(cls, value)
        point._value_ = value
        point.says = says
        return point

    LOCKED = "locked", "the writer's lock is taken; nothing was read or changed"
    MERGING = "merging", "emergency entries were found; the store has none of them"
    MERGED = "merged", "the store has the emergency entries; their file still has them"
    LEADING = "leading", "a new epoch was chosen; its lease is not written"
    LED = "led", "the lease of the new epoch is durable; nothing was decided under it"
    OPENING = "opening", "a run was asked for; its plan is not written"
    OPENED = "opened", "plan and opening of the run are durable; nothing was decided"
    ASKED = "asked", "a person asked; the request is not written"
    REQUESTED = "requested", "the request is durable; no decision saw it"
    ANSWERED = "answered", "the answer is durable; the person was not told"
    CONFIRMED = "confirmed", "a person's word is durable; the worker was not told"
    DECIDED = "decided", "a decision was made; nothing of it is written"
    WRITTEN = "written", "a batch of records is durable; nobody acted on it"
    INTENDED = "intended", "the intent is durable; the interlock did not look at it"
    REFUSING = "refusing", "the interlock refused; its refusal is not written"
    CLEARED = "cleared", "the interlock let the action pass; nothing was touched"
    COMPARED = "compared", "what stands at the dial was read; the write did not begin"
    HALF_APPLIED = "half-applied", "one instance has the write, the next has it not"
    APPLIED = "applied", "the driver returned; nothing was read back"
    READ_BACK = "read-back", "the world was read back; the outcome is not written"
    CONCLUDED = "concluded", "the outcome is durable; nothing was decided on it"
    KEPT = "kept", "what a step printed is in the side log; its end is not written"
    HEAD_FILED = "head-filed", "the signed head is in its file, not in the store"
    HEAD_SIGNED = "head-signed", "the signed head is in its file and in the store"
    SNAPSHOT_DUE = "snapshot-due", "the state was folded; its snapshot is not kept"
    SNAPSHOT_KEPT = "snapshot-kept", "the snapshot is kept"
    STRANDING = "stranding", "the store refused; the emergency file has nothing yet"
    FRAMED = "framed", "the emergency file has the batch; it is not counted"
    STRANDED = "stranded", "the emergency file has counted the batch"
    CLOSED = "closed", "the run is closed; its side logs and last head are open"
    SEALED = "sealed", "the side logs are closed and recorded; the head is not signed"


ACTING = (
    Point.DECIDED,
    Point.INTENDED,
    Point.REFUSING,
    Point.CLEARED,
    Point.COMPARED,
    Point.HALF_APPLIED,
    Point.APPLIED,
    Point.READ_BACK,
    Point.CONCLUDED,
)
"""The points of one action, in their order; each is passed with that action."""


class Points(Protocol):
    """Told at every point. It may raise, or stop the process, to end it there."""

    def at(self, point: Point, action: Action | None = None) -> None:
        """Passed in code that runs in one go: nothing else of this process happens."""
        ...

    async def reach(self, point: Point, action: Action | None = None) -> None:
        """Passed where others may go on meanwhile: the hook may also wait."""
        ...


class Nowhere:
    """The hook of production."""

    def at(self, point: Point, action: Action | None = None) -> None:
        """Nothing."""

    async def reach(self, point: Point, action: Action | None = None) -> None:
        """Nothing."""


NOWHERE = Nowhere()
