"""Dials: what moves traffic, what was asked of it, what it says it does.

A **setting** is rows of shares. A *split* has one row under the key `*`; a *forward*
has one row for each arrival region; a *switch* has one row under `*` whose values are 0
(off) or 10 000 (on) for each region and so need not sum.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dayshift.limits import FULL_BP
from dayshift.model.units import Instant, Row, row_fault

ALL = "*"
Rows = dict[str, Row]


class DialKind(StrEnum):
    SPLIT = "split"
    FORWARD = "forward"
    SWITCH = "switch"


class Setting(msgspec.Struct, frozen=True):
    """What a dial shall do, or does."""

    kind: DialKind
    rows: Rows

    def fault(self) -> str | None:
        """Say why no dial may hold this setting, or return None.

        Holds: no setting expresses an empty set of regions.
        """
        if not self.rows:
            return "has no row"
        for key, row in sorted(self.rows.items()):
            text = (
                _switch_fault(row) if self.kind is DialKind.SWITCH else row_fault(row)
            )
            if text:
                return f"row {key} {text}"
        return None


def _switch_fault(row: Row) -> str | None:
    if any(value not in (0, FULL_BP) for value in row.values()):
        return "has a value that is neither on nor off"
    if not any(row.values()):
        return "switches every region off"
    return None


def split(row: Row) -> Setting:
    """A split setting from one row."""
    return Setting(DialKind.SPLIT, {ALL: dict(row)})


class Claim(msgspec.Struct, frozen=True):
    """Who wrote a dial last: (estate, journal, epoch, seq); the fence."""

    estate: str
    journal: str
    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"ds1:{self.estate}:{self.journal}:{self.epoch}:{self.seq}"


def parse_claim(text: str) -> Claim | None:
    """Read a claim back from a device; None if it is not one of ours."""
    parts = text.split(":")
    if len(parts) != 5 or parts[0] != "ds1":
        return None
    try:
        return Claim(parts[1], parts[2], int(parts[3]), int(parts[4]))
    except ValueError:
        return None


class Abilities(msgspec.Struct, frozen=True):
    """What a dial driver declares; the conformance suite tests each claim.

    `granularity_bp` is the smallest step; `lease` whether `revert_to` expires at the
    device by itself; `fenced` whether the device compares and stores the claim;
    `propagation_ms` how long after `set` the last new request can still go the old way.
    """

    kind: DialKind
    granularity_bp: int
    lease: bool
    fenced: bool
    propagation_ms: int


class Token(msgspec.Struct, frozen=True):
    """What a write must show: the claim it installs and why it is safe.

    `serving` names the regions that keep serving after the write (the proof of
    invariant 1); `expected` the claim that must be at the device now (compare-and-set),
    None only for a device never claimed before. `first` is true while no write of this
    journal was ever confirmed at the dial: an instance without a claim is no surprise.
    """

    claim: Claim
    serving: tuple[str, ...]
    expected: Claim | None
    first: bool = False


class InstanceReading(msgspec.Struct, frozen=True):
    """One instance of a dial, read back by another way than the write."""

    instance: str
    setting: Setting | None
    claim: Claim | None
    fault: str = ""


class DialReading(msgspec.Struct, frozen=True):
    """All instances of one dial at one instant."""

    dial: str
    at: Instant
    instances: tuple[InstanceReading, ...]

    @property
    def setting(self) -> Setting | None:
        """The common setting; None when instances are `mixed` or unreadable."""
        settings = [one.setting for one in self.instances]
        if not settings or any(one != settings[0] for one in settings):
            return None
        return settings[0]

    @property
    def mixed(self) -> bool:
        """True when the instances disagree."""
        first = self.instances[0].setting if self.instances else None
        return any(one.setting != first for one in self.instances)

    @property
    def fault(self) -> str:
        """The first instance fault, or nothing."""
        return next((one.fault for one in self.instances if one.fault), "")
