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


HOLDER_LENGTH_MAX = 63
REVERTED = "reverted"


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who wrote a dial last: (estate, journal, epoch, seq); the fence.

    `holder` says which controller that was, in words that fit a device, for the person
    whose write is refused.
    `reverted` marks what the device wrote by itself when the lease of that write ran
    out.
    """

    estate: str
    journal: str
    epoch: int
    seq: int
    holder: str = ""
    reverted: bool = False

    def __str__(self) -> str:
        text = f"ds1:{self.estate}:{self.journal}:{self.epoch}:{self.seq}"
        if self.reverted:
            return f"{text}:{self.holder}:{REVERTED}"
        return f"{text}:{self.holder}" if self.holder else text

    def same_write(self, other: Claim) -> bool:
        """True when both name one write, whoever put it there."""
        mine = (self.estate, self.journal, self.epoch, self.seq)
        return mine == (other.estate, other.journal, other.epoch, other.seq)


def holder_word(name: str) -> str:
    """`name` with nothing in it that would break a claim, and no longer than fits."""
    kept = (c if c.isascii() and (c.isalnum() or c in "@._-") else "-" for c in name)
    return "".join(kept).strip("-")[:HOLDER_LENGTH_MAX]


def parse_claim(text: str) -> Claim | None:
    """Read a claim back from a device; None if it is not one of ours."""
    head, *tail = text.split(":")
    if head != "ds1" or not 4 <= len(tail) <= 6:
        return None
    reverted = len(tail) == 6
    if reverted and tail[5] != REVERTED:
        return None
    try:
        epoch, seq = int(tail[2]), int(tail[3])
    except ValueError:
        return None
    holder = "".join(tail[4:5])
    return Claim(tail[0], tail[1], epoch, seq, holder, reverted)


class Fence(StrEnum):
    """Where a claim is compared with the one before it, in one step with the write.

    `device`: at the device or its agent, for every controller there is. `machine`:
    behind a lock of one machine, for controllers on it alone. `none`: nowhere.
    """

    DEVICE = "device"
    MACHINE = "machine"
    NONE = "none"


class Caching(msgspec.Struct, frozen=True):
    """How long caches may keep a dial's answers: as usual, and around a drain."""

    usual_ms: int
    low_ms: int


class Abilities(msgspec.Struct, frozen=True):
    """What a dial driver declares; the conformance suite tests each claim.

    `granularity_bp` is the smallest step; `lease` whether `revert_to` expires at the
    device by itself; `fence` how far its comparison of claims reaches;
    `propagation_ms` how long after `set` the last new request can still go the old way;
    `caching` the lifetimes between which `prepare` and `restore` change, None for a
    dial that has neither.
    """

    kind: DialKind
    granularity_bp: int
    lease: bool
    fence: Fence
    propagation_ms: int
    caching: Caching | None = None


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


class InstanceReading(msgspec.Struct, frozen=True, omit_defaults=True):
    """One instance of a dial, read back by another way than the write.

    `expires_ms` is how soon it would go back by itself, None when nothing expires;
    `fence` the highest epoch that was installed there, 0 where none is kept;
    `lifetime_ms` how long caches may keep what it answers now, None where none does.
    """

    instance: str
    setting: Setting | None
    claim: Claim | None
    fault: str = ""
    expires_ms: int | None = None
    fence: int = 0
    lifetime_ms: int | None = None


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

    def shows(self, setting: Setting | None) -> bool:
        """True when every instance shows exactly this."""
        return bool(self.instances) and all(
            one.setting == setting for one in self.instances
        )

    @property
    def mixed(self) -> bool:
        """True when the instances disagree."""
        first = self.instances[0].setting if self.instances else None
        return any(one.setting != first for one in self.instances)

    @property
    def expires_ms(self) -> int | None:
        """How soon the first instance would go back by itself; None if none would."""
        left = [one.expires_ms for one in self.instances if one.expires_ms is not None]
        return min(left, default=None)

    @property
    def lifetime_ms(self) -> int | None:
        """How long a cache may keep what any instance answers; None where none does."""
        kept = [i.lifetime_ms for i in self.instances if i.lifetime_ms is not None]
        return max(kept, default=None)

    @property
    def fault(self) -> str:
        """The first instance fault, or nothing."""
        return next((one.fault for one in self.instances if one.fault), "")
