"""The plan: immutable intent with a digest. What runs is a subset of what it lists."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dayshift.model.dial import Setting
from dayshift.model.estate import Change, Estate
from dayshift.model.units import Instant, Row

PLAN_FORMAT = 1


class Verb(StrEnum):
    """What kind of run this is."""

    MAINTAIN = "maintain"
    DRAIN = "drain"
    RETURN = "return"
    EVACUATE = "evacuate"


class Move(msgspec.Struct, frozen=True):
    """One dial takes one setting; a stage moves its dials in this order."""

    dial: str
    setting: Setting


class Stage(msgspec.Struct, frozen=True):
    """One stop on the way: the region's share of each moved service, and the moves."""

    share_bp: int
    served: dict[str, Row]
    moves: tuple[Move, ...]


class PassPlan(msgspec.Struct, frozen=True, omit_defaults=True):
    """One region's pass: stages of the drain (last is zero), rungs of the return.

    `forwarded` are the stages before that zero, in this order, and after it, in the
    other: whoever arrives at the region is served elsewhere, while fewer and fewer of
    its outer dials lead there. None where no service has a dial before the one that
    shares its users out.
    """

    region: str
    drain: tuple[Stage, ...]
    ramp: tuple[Stage, ...]
    duties_to: dict[str, str]
    forwarded: tuple[Stage, ...] = ()

    @property
    def leaving(self) -> tuple[Stage, ...]:
        """Stages without a user served in the region, from the inside out."""
        return (*self.forwarded, self.drain[-1])


class Capacity(msgspec.Struct, frozen=True):
    """How full a survivor will be: load and limit in requests per second."""

    service: str
    region: str
    load_rps: int
    capacity_rps: int
    filled_bp: int


class Measured(msgspec.Struct, frozen=True):
    """What was measured when the plan was made; beside the digest, not under it.

    `connected` counts users' connections by service and region, where a meter does.
    """

    at: Instant
    load_rps: dict[str, dict[str, int]]
    capacity: tuple[Capacity, ...]
    connected: dict[str, dict[str, int]] = {}


class Plan(msgspec.Struct, frozen=True):
    """What will be done. `digest` covers everything here except `measured`.

    `out` are the regions that were left drained when it was made: they stay at zero,
    and the shares of the others are usual without them.
    """

    format: int
    verb: Verb
    estate: Estate
    change: Change
    baseline: dict[str, Setting]
    passes: tuple[PassPlan, ...]
    digest: str = ""
    measured: Measured | None = None
    out: tuple[str, ...] = ()

    def pass_of(self, region: str) -> PassPlan:
        return next(one for one in self.passes if one.region == region)
