"""What a decision returns: records to append, actions to take, when to wake, and what
it waits for, in words. `explain` prints the waiting; the shell does the rest."""

from __future__ import annotations

import msgspec

from dayshift.model.dial import Claim
from dayshift.model.records import Action, AnyBody


class Waiting(msgspec.Struct, frozen=True):
    """One thing that must happen before the run goes on, and what would make it so.

    `left_ms` is known only where time alone decides.
    """

    code: str
    what: str
    until: str = ""
    left_ms: int | None = None


class Exit(msgspec.Struct, frozen=True):
    """One legal way out of a hold: the command and its consequence."""

    command: str
    consequence: str


class Renewal(msgspec.Struct, frozen=True):
    """A lease to be kept alive: the write that armed it, and for how long anew."""

    dial: str
    claim: Claim
    lease_ms: int


class Times(msgspec.Struct, frozen=True):
    """How long until the region could serve again, and by when it must.

    `absence_left_ms` is negative once the limit has passed.
    """

    region: str = ""
    return_ms: int = 0
    absent_ms: int = 0
    absence_left_ms: int = 0


class Decision(msgspec.Struct, frozen=True):
    """Records first, durably; then the actions; then sleep until `wake_ms` from now.

    `renewals` change no share and are not journalled: they are due while they stand
    here, and end with the controller.
    """

    records: tuple[AnyBody, ...] = ()
    actions: tuple[Action, ...] = ()
    wake_ms: int = 1_000
    waiting: tuple[Waiting, ...] = ()
    exits: tuple[Exit, ...] = ()
    times: Times = Times()
    renewals: tuple[Renewal, ...] = ()
