"""The shape of `dayshift.yaml`: which keys there are and of which kind.

Here stands what can be said of one key by itself; what relates keys to one another is
in `rules`. Descriptions teach: they are what an editor shows, from the JSON Schema.
"""

from __future__ import annotations

from pydantic import Field

from dayshift.model.dial import DialKind
from dayshift.model.estate import Disposition, GatePolicy, Policy
from dayshift.model.evidence import Side
from dayshift.runtime.settings.forms import (
    Driven,
    Strict,
    duration,
    share,
    shares,
)
from dayshift.runtime.settings.places_form import AgentFile, JournalFile
from dayshift.runtime.settings.units import (
    Duration,
    Moment,
    Name,
    Percent,
)

PPM = 1_000_000
GAUGE_MAX = 1e12
POLICY = Policy()
GATE = GatePolicy()


class RegionFile(Strict):
    """One region."""

    title: str = Field(default="", description="What people call the region.")


class DialFile(Driven):
    """One control that moves the traffic of a service."""

    name: Name = Field(description="Unique in the whole estate.")
    kind: DialKind = Field(
        strict=False,
        description="split: one row of shares over regions. forward: for arrivals at "
        "each region, a row of shares over the regions that serve them. switch: on or "
        "off for each region.",
    )
    agents: list[Name] = Field(
        default_factory=list,
        description="The agents that reach its instances. Absent: the controller "
        "reaches them itself.",
    )


class MeterFile(Driven):
    """One source of measurements of a service."""

    name: Name = Field(description="Unique within the service.")
    side: Side = Field(
        strict=False,
        description="Where it stands: at the users' entry, or in the region itself. "
        "Only when both sides agree is a region proven empty.",
    )
    gate: bool = Field(
        default=True,
        description="Whether it also judges the return; false: proves empty only.",
    )
    every: Duration = duration(
        0,
        "How often it has new counts: the scrape interval. Absent: whenever it is "
        "asked. policy.fresh must outlast two of these.",
    )
    users: Name = Field(
        default="",
        description="The class of users that it counts, each judged by itself. Absent: "
        "all users.",
    )
    regions: list[Name] = Field(
        default_factory=list,
        description="The regions that it measures. Absent: all of them.",
    )
    place: Name = Field(
        default="",
        description="Where the system that answers stands (a monitoring server): a "
        "region, or a place beside them. Absent: with what it measures.",
    )
    connections: bool = Field(
        default=False,
        description="Whether the connections that it counts are users' own, at the "
        "region's edge (ss, conntrack). A drain lets them end before the last outer "
        "dial leaves the region, for at most policy.connections_limit.",
    )


class ProbeFile(Driven):
    """How Dayshift itself asks one region whether it serves."""

    name: Name = Field(description="Unique within the service.")
    regions: list[Name] = Field(
        default_factory=list,
        description="The regions that it asks. Absent: all of them.",
    )


class ResidueFile(Strict):
    """What may still reach a drained region, and what becomes of it."""

    class_: str = Field(alias="class", description="The class, as the meters name it.")
    disposition: Disposition = Field(
        strict=False,
        description="expected: known and harmless (needs source and ceiling_rpm). "
        "forward: sent on to a region that serves. cut: closed after a time (needs "
        "cut_after). accepted: a person takes the loss, a second one agrees, until a "
        "day (needs accepted_by, second, expires, ceiling_rpm).",
    )
    source: str = Field(default="", description="Who sends these requests.")
    ceiling_rpm: int = Field(
        default=0,
        ge=0,
        le=10**9,
        description="Most requests per minute that are expected.",
    )
    cut_after: Duration = duration(0, "When a cut class is closed.")
    accepted_by: str = Field(default="", description="Who accepts the loss.")
    second: str = Field(default="", description="The second person, who agrees.")
    expires: Moment = Field(
        default=0,
        description="When the acceptance ends.",
        json_schema_extra={"default": ""},
    )


class ServiceFile(Strict):
    """What users reach."""

    shares: dict[Name, Percent] = Field(
        description="Each region's share of the users' requests while nothing is under "
        "maintenance; 100 % in all."
    )
    capacity_rps: dict[Name, int] = Field(
        description="Requests per second that each region serves at its limit."
    )
    dials: list[DialFile] = Field(
        default_factory=list,
        description="What moves the traffic, from the user inwards.",
    )
    meters: list[MeterFile] = Field(
        default_factory=list,
        description="What counts the traffic: at least one meter on each side, which "
        "together prove a region empty.",
    )
    probes: list[ProbeFile] = Field(
        default_factory=list,
        description="How to ask a region directly, before users return to it.",
    )
    residue: list[ResidueFile] = Field(
        default_factory=list,
        description="What may still reach a drained region. What is not listed holds.",
    )
    stays: str = Field(
        default="",
        description="Why a pass does not move this service. Absent: it moves.",
    )


class DutyFile(Driven):
    """Work that exactly one region performs."""

    regions: list[Name] = Field(
        default_factory=list,
        description="The regions that can hold the duty. Absent: all of them.",
    )


class BracketFile(Driven):
    """What is opened around a pass and must be closed again."""


class NotifyFile(Driven):
    """One way to call a person."""

    name: Name = Field(description="Unique; they are called in this order.")
    escalate: Duration = duration(
        0, "Without an acknowledgement, the next one is called after this."
    )


class CalibrationFile(Strict):
    """How noisy this estate is when nothing is wrong."""

    trusted: bool = Field(
        default=GATE.trusted,
        description="Only a trusted calibration may roll back by itself.",
    )
    dispersion: float = Field(
        default=GATE.dispersion_ppm / PPM,
        ge=1,
        le=1000,
        description="How many bad answers come together; 1.0: each by itself.",
    )
    variation: float = Field(
        default=GATE.variation_ppm / PPM,
        ge=0,
        le=100,
        description="How the ratio between regions drifts (squared coefficient of "
        "variation).",
    )


class GaugeFile(Strict):
    """A level that holds the ramp. It never turns traffic back."""

    name: str = Field(
        min_length=1,
        max_length=63,
        description="The gauge, as a meter names it (`gauges` of its queries).",
    )
    most: float = Field(
        ge=-GAUGE_MAX, le=GAUGE_MAX, description="Above this the ramp holds."
    )
    trend: Duration = duration(
        0,
        "A steady rise that would reach `most` within this time holds too (a memory "
        "leak). Absent: only the level counts.",
    )


class GateFile(Strict):
    """How the return is judged before each rung."""

    blast_radius: Percent = share(
        GATE.blast_bp, "Of all traffic, this much may be harmed at most."
    )
    slow_blast_radius: Percent = share(
        GATE.slow_blast_bp, "The same for slow answers instead of failed ones."
    )
    absolute_errors: Percent = share(
        GATE.absolute_error_bp, "More errors than this are bad without comparison."
    )
    rollback_odds: int = Field(
        default=GATE.rollback_odds,
        ge=2,
        le=10**9,
        description="Odds to 1 that it is worse, at which it is rolled back.",
    )
    promote_odds: int = Field(
        default=GATE.promote_odds,
        ge=2,
        le=10**9,
        description="Odds to 1 that it is not worse, at which the next rung may come.",
    )
    dwell: Duration = duration(GATE.dwell_ms_min, "Least time on a rung.")
    horizon: Duration = duration(
        GATE.horizon_ms, "Harm on the next rung is reckoned over this time."
    )
    harm_requests: int = Field(
        default=GATE.harm_requests,
        ge=1,
        le=10**9,
        description="Bad answers that are bearable.",
    )
    tolerated_ratio: float = Field(
        default=GATE.tolerated_ratio_ppm / PPM,
        ge=1,
        le=100,
        description="As much worse than the other regions is still even.",
    )
    slow: list[Duration] = Field(
        default_factory=list,
        description="Answers slower than each of these are judged; ascending. Absent: "
        "the bounds that the calibration chose; without one, only errors are judged.",
    )
    warmup: Duration = duration(
        GATE.warmup_ms,
        "After each rung, slow answers do not count for this long (cold caches); "
        "errors always do. 0 s: they count from the first.",
    )
    gauges: list[GaugeFile] = Field(
        default_factory=list,
        description="Levels of the returning region that hold the ramp: saturation, "
        "queue length, lag, memory.",
    )
    calibration: CalibrationFile = Field(
        default_factory=CalibrationFile,
        description="The noise of this estate, learned or shipped.",
    )


class PolicyFile(Strict):
    """What the estate promises itself."""

    serving: int = Field(
        default=POLICY.serving,
        ge=1,
        le=64,
        description="Regions that must keep serving each service.",
    )
    headroom: Percent = share(
        POLICY.headroom_bp, "No survivor is filled beyond this share of its capacity."
    )
    drain: list[Percent] = shares(
        POLICY.drain_bp, "Stops of the drain: shares of all traffic, falling to 0 %."
    )
    drain_dwell: Duration = duration(POLICY.drain_dwell_ms, "Pause on each stop.")
    ramp: list[Percent] = shares(
        POLICY.ramp_bp, "Rungs of the return: shares of all traffic, rising."
    )
    soak: Duration = duration(POLICY.soak_ms, "Watch at the full share, before `done`.")
    quiet: Duration = duration(
        POLICY.quiet_ms, "Silence that proves a region empty; not shorter than fresh."
    )
    fresh: Duration = duration(POLICY.fresh_ms, "An older reading proves nothing.")
    empty_limit: Duration = duration(
        POLICY.empty_limit_ms, "Not empty after this: the run holds and says who comes."
    )
    probe_streak: int = Field(
        default=POLICY.probe_streak,
        ge=1,
        le=1000,
        description="Good probes in a row that show a region fit for users.",
    )
    blind_limit: Duration = duration(
        POLICY.blind_limit_ms, "Blind for longer: back to the last proven rung."
    )
    absence_limit: Duration = duration(
        POLICY.absence_ms, "By when a region must be back; at half of it you are paged."
    )
    return_time: Duration = duration(
        POLICY.return_time_ms, "How long a drained region needs until it serves again."
    )
    lease: Duration = duration(
        POLICY.lease_ms, "How long a drain lasts that no controller renews."
    )
    connections_limit: Duration = duration(
        POLICY.connections_limit_ms,
        "How long users' connections may take to end before the last outer dial goes.",
    )
    approvals: int = Field(
        default=POLICY.approvals,
        ge=0,
        le=10,
        description="How many people other than the author must approve a plan.",
    )
    override_second_person: bool = Field(
        default=POLICY.override_second_person,
        description="Whether overriding a guard takes a second person.",
    )
    gate: GateFile = Field(
        default_factory=GateFile, description="How the return is judged."
    )


class EstateFile(Strict):
    """An estate: regions, services with their dials and meters, duties, policy."""

    estate: Name = Field(
        description="The estate's name; it marks every claim at a dial."
    )
    regions: dict[Name, RegionFile | None] = Field(description="The regions, by name.")
    services: dict[Name, ServiceFile] = Field(description="What users reach, by name.")
    duties: dict[Name, DutyFile] = Field(
        default_factory=dict, description="Work that exactly one region performs."
    )
    brackets: dict[Name, BracketFile] = Field(
        default_factory=dict, description="What is opened around a pass, closed again."
    )
    notify: list[NotifyFile] = Field(
        default_factory=list, description="Whom to call, in this order."
    )
    journal: JournalFile = Field(
        default_factory=JournalFile,
        description="The store of the journal, and where its members stand.",
    )
    controllers: dict[Name, Name] = Field(
        default_factory=dict,
        description="Each controller's place: a region, or a place beside them. "
        "Absent: one controller, wherever it is started.",
    )
    agents: dict[Name, AgentFile] = Field(
        default_factory=dict,
        description="Machines whose sockets are reached through an agent.",
    )
    voting: dict[Name, dict[Name, Name]] = Field(
        default_factory=dict,
        description="Systems that decide by majority, each with the place of every "
        "voter: a region must not be taken out when it would lose one its majority.",
    )
    policy: PolicyFile = Field(
        default_factory=PolicyFile,
        description="Bounds that hold for every run: capacity, times, ramp, gate.",
    )
