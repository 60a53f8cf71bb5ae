"""The story as frozen values: the one model behind every rendering and `--json`.

Integers only. Shares are basis points, rates thousandths of requests per second, error
rates parts per million, latencies microseconds, durations and instants milliseconds
(instants since the Unix epoch), evidence milli-log10 (2000 is odds of 100:1). A field
is only ever added; `format` grows when one changes its meaning. No rendering here.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dayshift.core.decision import Exit, Times, Waiting
from dayshift.errors import Reason
from dayshift.model.evidence import SignalSight, Verdict
from dayshift.model.units import Row

STORY_FORMAT = 1


class Level(StrEnum):
    """How a line of the timeline is meant."""

    INFO = "info"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the timeline: a record of consequence, in the operator's words.

    `phase` is set where a region entered one, `rung` and `verdict` where it was judged.
    """

    seq: int
    wall_ms: int
    region: str
    level: Level
    text: str
    phase: str = ""
    service: str = ""
    rung: int = -1
    verdict: Verdict | None = None


class ServiceStory(msgspec.Struct, frozen=True):
    """One service in one region, as its users are served.

    `share_bp` is None while the dials disagree or cannot be read; `seen` is false where
    the figures are missing or older than the policy allows.
    """

    service: str
    share_bp: int | None
    baseline_bp: int
    seen: bool = False
    age_ms: int | None = None
    mrps: int = 0
    error_ppm: int = 0
    p50_us: int = 0
    p99_us: int = 0
    capacity_rps: int = 0
    fault: str = ""


class ProbeStory(msgspec.Struct, frozen=True):
    """Our own question to a region: `streak` good answers of `wanted`."""

    probe: str
    service: str
    streak: int
    wanted: int
    failures: int
    version: str = ""
    detail: str = ""
    age_ms: int | None = None


class QuietStory(msgspec.Struct, frozen=True):
    """What one meter says about the emptiness of a region."""

    service: str
    meter: str
    side: str
    in_flight: int
    quiet_ms: int
    wanted_ms: int
    fault: str = ""


class StepStory(msgspec.Struct, frozen=True):
    """One step of the work: `waiting`, `running`, `done`, `failed` or `undone`.

    `line` is the last line of its output, `asks` what it wants a person to do.
    """

    name: str
    status: str
    exit_code: int = 0
    line: str = ""
    asks: str = ""
    undo: bool = False


class GateStory(msgspec.Struct, frozen=True):
    """What the gate says of one service: evidence for promotion and for rollback.

    `smallest_bp` is the smallest regression, in basis points of the region's requests,
    that this rung could have seen; 0 where it could see none yet. `signals` is what
    each signal of each stream says, `decides` names the one in most doubt. `needs` is
    what a pass still takes; `wait_ms` about how long that is at this traffic, None
    where only a person or a change of the world helps. All are empty in old journals.
    """

    service: str
    kind: str
    why: str
    promote_mlog10: int = 0
    promote_need: int = 0
    rollback_mlog10: int = 0
    rollback_need: int = 0
    promote_odds: str = ""
    rollback_odds: str = ""
    requests: int = 0
    errors: int = 0
    slow: int = 0
    smallest_bp: int = 0
    promised_bp: int = 0
    decides: str = ""
    needs: str = ""
    wait_ms: int | None = None
    incident: bool = False
    signals: tuple[SignalSight, ...] = ()


class RungStory(msgspec.Struct, frozen=True):
    """One stop: `ahead`, `here`, `passed` or `failed`; verdicts as recorded."""

    index: int
    share_bp: int
    status: str
    verdicts: tuple[GateStory, ...] = ()


class PassStory(msgspec.Struct, frozen=True):
    """One region's pass. `gate` is the latest word of the gate on each service."""

    phase: str
    current: bool
    since_wall_ms: int
    phase_ms: int
    visited: tuple[str, ...]
    drain: tuple[RungStory, ...]
    ramp: tuple[RungStory, ...]
    gate: tuple[GateStory, ...] = ()
    quiet: tuple[QuietStory, ...] = ()
    steps: tuple[StepStory, ...] = ()
    expect_version: str = ""
    certified: bool = False
    tripped: int = 0
    attempt: int = 0
    retreating_to: str = ""


class RegionStory(msgspec.Struct, frozen=True):
    """One region; `journey` is None for one that this run does not maintain."""

    name: str
    title: str
    services: tuple[ServiceStory, ...]
    probes: tuple[ProbeStory, ...] = ()
    journey: PassStory | None = None


class HoldStory(msgspec.Struct, frozen=True):
    """Why the run stopped by itself."""

    reason: Reason
    region: str
    wall_ms: int
    for_ms: int


class InstanceStory(msgspec.Struct, frozen=True):
    """One instance of a dial; `differs` from the first readable one."""

    instance: str
    claim: str
    differs: bool = False
    fault: str = ""


class DialStory(msgspec.Struct, frozen=True):
    """One dial: what it shows (None: mixed or unreadable) and what is expected.

    `moving`: a write of ours is under way, and its instances need not agree yet.
    """

    dial: str
    services: tuple[str, ...]
    kind: str
    rows: dict[str, Row] | None
    expected: dict[str, Row]
    claim: str = ""
    mixed: bool = False
    fault: str = ""
    age_ms: int | None = None
    instances: tuple[InstanceStory, ...] = ()
    moving: bool = False


class DutyStory(msgspec.Struct, frozen=True):
    """Who holds a duty; exactly one is right."""

    duty: str
    holders: tuple[str, ...]
    fault: str = ""


class ControllerStory(msgspec.Struct, frozen=True):
    """One controller: leads, follows, or is silent; and since when."""

    name: str
    role: str
    since_wall_ms: int


class MemberStory(msgspec.Struct, frozen=True):
    """One member of the store, as it answered."""

    name: str
    reachable: bool
    says: str


class StoreStory(msgspec.Struct, frozen=True):
    """Where the journal lies, as it answered now; `fault` is empty where it did.

    `leader` is who writes, in which epoch, since how long; empty where nobody does.
    """

    driver: str
    fault: str = ""
    says: str = ""
    members: tuple[MemberStory, ...] = ()
    room_bytes: int | None = None
    leader: str = ""
    epoch: int = 0
    leads_ms: int = 0


class Story(msgspec.Struct, frozen=True):
    """One run at one instant, told once for every surface.

    `status` is running, paused, held, closed, or idle where no run ever was; `watched`
    is false when no controller looks at the run, `silent` true when one lives and does
    not answer. `regions` are in the estate's order, `order` are the regions of the run
    in the order of their passes. `warnings` say why this journal must not be believed
    or led, as the dials know it; `store` is told where somebody asked it.
    """

    format: int
    wall_ms: int
    estate: str
    journal: str = ""
    run: str = ""
    digest: str = ""
    verb: str = ""
    change: str = ""
    reason: str = ""
    ticket: str = ""
    author: str = ""
    status: str = "idle"
    result: str = ""
    why: str = ""
    watched: bool = True
    silent: bool = False
    aborting: bool = False
    hurry: bool = False
    paused_by: str = ""
    opened_by: str = ""
    opened_wall_ms: int = 0
    closed_wall_ms: int = 0
    on_duty: str = ""
    epoch: int = 0
    holder: str = ""
    controllers: tuple[ControllerStory, ...] = ()
    seq: int = 0
    approved_by: tuple[str, ...] = ()
    approvals_needed: int = 0
    region: str = ""
    order: tuple[str, ...] = ()
    regions: tuple[RegionStory, ...] = ()
    left_drained: tuple[str, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    hold: HoldStory | None = None
    exits: tuple[Exit, ...] = ()
    times: Times = Times()
    absence_limit_ms: int = 0
    brackets: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    dials: tuple[DialStory, ...] = ()
    duties: tuple[DutyStory, ...] = ()
    timeline: tuple[Event, ...] = ()
    warnings: tuple[Reason, ...] = ()
    store: StoreStory | None = None

    def region_of(self, name: str) -> RegionStory | None:
        return next((one for one in self.regions if one.name == name), None)

    @property
    def here(self) -> RegionStory | None:
        """The region in flight."""
        return self.region_of(self.region)

    @property
    def gated(self) -> bool:
        """True while a gate shows its evidence for the region in flight."""
        journey = self.here.journey if self.here else None
        return bool(journey and journey.gate)
