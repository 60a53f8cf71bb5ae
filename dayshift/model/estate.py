"""The estate as resolved: regions, services, dials, meters, duties, policy.

The files that people write are read by `runtime.settings`; this is what they mean.
Driver options stay an opaque mapping (JSON values): only the driver knows them.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from dayshift.model.calibration import Calibration
from dayshift.model.dial import DialKind
from dayshift.model.evidence import Side
from dayshift.model.units import Row

Options = dict[str, Any]


class DriverRef(msgspec.Struct, frozen=True):
    """Which driver, with which options."""

    driver: str
    options: Options = {}


class Region(msgspec.Struct, frozen=True):
    name: str
    title: str = ""


class DialSpec(msgspec.Struct, frozen=True):
    """One dial of a service; dials are listed from the user inwards.

    `agents` names the agents that reach its instances; none: the controller itself.
    """

    name: str
    kind: DialKind
    ref: DriverRef
    agents: tuple[str, ...] = ()


class MeterSpec(msgspec.Struct, frozen=True):
    """One source of measurements for one service; `regions` it can speak about.

    `users` names the class of users that it counts; empty: all of them. `every_ms` is
    how often it has new counts (the scrape interval); 0: whenever it is asked. `place`
    is where the system that answers stands; empty: with what it measures. `connections`
    says that those it counts are users' own, at the region's edge: a drain lets them
    end before the last outer dial goes.
    """

    name: str
    side: Side
    ref: DriverRef
    regions: tuple[str, ...]
    gate: bool = True
    users: str = ""
    every_ms: int = 0
    place: str = ""
    connections: bool = False


class ProbeSpec(msgspec.Struct, frozen=True):
    """How Dayshift asks one region directly whether it serves."""

    name: str
    ref: DriverRef
    regions: tuple[str, ...]


class Disposition(StrEnum):
    EXPECTED = "expected"
    FORWARD = "forward"
    CUT = "cut"
    ACCEPTED = "accepted"


class ResidueClass(msgspec.Struct, frozen=True):
    """What may still reach a drained region, and what becomes of it.

    `ceiling_rpm` bounds an expected or accepted class in requests per minute;
    `cut_after_ms` is when a cut class is closed; an accepted class names a person, a
    second person and when the acceptance expires.
    """

    kind: str
    disposition: Disposition
    source: str = ""
    ceiling_rpm: int = 0
    cut_after_ms: int = 0
    accepted_by: str = ""
    second: str = ""
    expires_wall_ms: int = 0


class Service(msgspec.Struct, frozen=True, dict=True):
    """What users reach. `shares` is its row when nothing is under maintenance;
    `capacity_rps` what each region can serve at its limit. `stays` is the reason why a
    pass does not move it, empty if it moves."""

    name: str
    shares: Row
    capacity_rps: dict[str, int]
    dials: tuple[DialSpec, ...]
    meters: tuple[MeterSpec, ...]
    probes: tuple[ProbeSpec, ...]
    residue: tuple[ResidueClass, ...] = ()
    stays: str = ""

    @cached_property
    def least_rps(self) -> int:
        """What the region that can serve least can serve at its limit."""
        return min(self.capacity_rps.values())


class Duty(msgspec.Struct, frozen=True):
    """Work that exactly one region performs."""

    name: str
    ref: DriverRef
    regions: tuple[str, ...]


class Bracket(msgspec.Struct, frozen=True):
    """What is opened around a pass and must be closed again."""

    name: str
    ref: DriverRef


class NotifySpec(msgspec.Struct, frozen=True):
    """Whom to call, in order; the next is called after `escalate_ms` without an
    acknowledgement."""

    name: str
    ref: DriverRef
    escalate_ms: int = 0


class StoreSpec(msgspec.Struct, frozen=True):
    """Where the journal's records lie. `members` maps each member of the store to its
    place: a region, or a place beside the regions."""

    driver: str = "sqlite"
    options: Options = {}
    members: dict[str, str] = {}

    @property
    def shared(self) -> bool:
        """True where several controllers can reach it; a file is one controller's."""
        return self.driver != "sqlite"


class ControllerSpec(msgspec.Struct, frozen=True):
    """One controller and its place: a region, or a place beside the regions."""

    name: str
    place: str


class AgentSpec(msgspec.Struct, frozen=True):
    """The agent of one machine that has sockets. `ca`, `cert` and `key` are references
    to secrets or paths beside the estate file, `revoked` is the path of a list; without
    one it is not written, so that plans keep the digest they had."""

    name: str
    place: str
    url: str
    ca: str = ""
    cert: str = ""
    key: str = ""
    revoked: str | UnsetType = UNSET


class VotingSpec(msgspec.Struct, frozen=True):
    """A system that decides by majority; `members` maps each voter to its place."""

    name: str
    members: dict[str, str]


class GaugeRule(msgspec.Struct, frozen=True):
    """A level that holds the ramp: above `most_milli`, or on its way there.

    `name` is the gauge's name at the meters. With `trend_ms` a steady rise that would
    reach `most_milli` within that time holds as well (a memory leak).
    """

    name: str
    most_milli: int
    trend_ms: int = 0


class GatePolicy(msgspec.Struct, frozen=True):
    """How the return is judged. Shares are basis points, evidence odds are plain odds.

    `blast_bp` of *all* traffic may be harmed before promotion is refused; `trusted` is
    the shipped or learned calibration that allows automatic rollback; `dispersion_ppm`
    (how many bad answers come together) and `variation_ppm` (squared coefficient of
    variation of the regions' ratio) are that calibration in millionths, for streams
    without a learned one. Slow answers do not count for `warmup_ms` after each step up
    (cold caches). No `slow_us`: the calibration's bounds are judged.
    """

    blast_bp: int = 10
    slow_blast_bp: int = 100
    absolute_error_bp: int = 1000
    rollback_odds: int = 100
    promote_odds: int = 20
    dwell_ms_min: int = 135_000
    horizon_ms: int = 300_000
    harm_requests: int = 50
    tolerated_ratio_ppm: int = 1_100_000
    dispersion_ppm: int = 1_000_000
    variation_ppm: int = 0
    trusted: bool = False
    slow_us: tuple[int, ...] = ()
    warmup_ms: int = 105_000
    gauges: tuple[GaugeRule, ...] = ()


class Policy(msgspec.Struct, frozen=True):
    """What this estate promises itself. All times in milliseconds, shares in bp."""

    serving: int = 1
    headroom_bp: int = 8500
    drain_bp: tuple[int, ...] = (2500, 0)
    drain_dwell_ms: int = 1_000
    ramp_bp: tuple[int, ...] = (100, 500, 2500, 5000)
    soak_ms: int = 600_000
    quiet_ms: int = 30_000
    fresh_ms: int = 3_000
    empty_limit_ms: int = 900_000
    probe_streak: int = 5
    blind_limit_ms: int = 120_000
    absence_ms: int = 86_400_000
    return_time_ms: int = 60_000
    lease_ms: int = 30_000
    connections_limit_ms: int = 300_000
    approvals: int = 0
    override_second_person: bool = True
    gate: GatePolicy = GatePolicy()


class Estate(msgspec.Struct, frozen=True):
    """The whole of it. `sources` maps a dotted path to `file:line` for messages."""

    name: str
    regions: tuple[Region, ...]
    services: tuple[Service, ...]
    duties: tuple[Duty, ...] = ()
    brackets: tuple[Bracket, ...] = ()
    notify: tuple[NotifySpec, ...] = ()
    policy: Policy = Policy()
    fingerprint: str = ""
    calibrations: tuple[Calibration, ...] = ()
    journal: StoreSpec = StoreSpec()
    controllers: tuple[ControllerSpec, ...] = ()
    agents: tuple[AgentSpec, ...] = ()
    voting: tuple[VotingSpec, ...] = ()

    def region_names(self) -> tuple[str, ...]:
        return tuple(region.name for region in self.regions)

    def service(self, name: str) -> Service:
        return next(one for one in self.services if one.name == name)

    def moving(self) -> tuple[Service, ...]:
        """Services that a pass moves."""
        return tuple(one for one in self.services if not one.stays)


class Interrupt(StrEnum):
    """When a work step may be stopped: between steps, by a signal, or never."""

    BETWEEN = "between"
    SIGNAL = "signal"
    NEVER = "never"


class WorkStep(msgspec.Struct, frozen=True):
    """One step of the maintenance in one region."""

    name: str
    ref: DriverRef
    interrupt: Interrupt = Interrupt.BETWEEN
    limit_ms: int = 3_600_000
    undo: bool = False


class RegionWork(msgspec.Struct, frozen=True):
    """The steps of one region, and what its probes must report afterwards."""

    region: str
    steps: tuple[WorkStep, ...]
    expect_version: str = ""


class Change(msgspec.Struct, frozen=True):
    """What to do, region by region, in order."""

    name: str
    reason: str
    regions: tuple[RegionWork, ...]
    ticket: str = ""
    author: str = ""
    fingerprint: str = ""
