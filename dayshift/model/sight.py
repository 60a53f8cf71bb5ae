"""What a decision sees: the world at one instant, as integers.

The shell's observer folds raw readings into this; `core.decide` reads nothing else. It
is what the journal keeps as a decision's inputs.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from itertools import groupby
from operator import attrgetter

import msgspec

from dayshift.model.dial import Caching, DialReading, Fence
from dayshift.model.evidence import Residue, Side, Verdict
from dayshift.model.speech import Speech
from dayshift.model.units import Instant


class MeterSight(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One meter's word on one service in one region.

    `age_ms` is the age of its newest rate, for which it takes two readings; None while
    there was none. `counted` is true once it saw user
    requests during this run before the drain. `quiet_ms` is how long, without a gap, it
    was fresh, had nothing in flight and saw no user request grow. `grown` counts user
    requests since the watch was armed; `ignored_rpm` the identified others per minute.
    """

    meter: str
    side: Side
    age_ms: int | None
    counted: bool = False
    quiet_ms: int = 0
    in_flight: int = 0
    connections: int = 0
    grown: int = 0
    mrps: int = 0
    error_ppm: int = 0
    p50_us: int = 0
    p99_us: int = 0
    requests: int = 0
    errors: int = 0
    ignored_rpm: dict[str, int] = {}
    residue: tuple[Residue, ...] = ()
    fault: str = ""


class ProbeSight(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The latest probe of one region: its streak of good answers and what it said."""

    probe: str
    streak: int
    failures: int
    age_ms: int | None
    version: str = ""
    detail: str = ""


class PlaceSight(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One service in one region. `blind_ms` is how long the gate had nothing to see."""

    service: str
    region: str
    meters: tuple[MeterSight, ...] = ()
    probes: tuple[ProbeSight, ...] = ()
    verdict: Verdict | None = None
    blind_ms: int = 0


class WorkStatus(StrEnum):
    ABSENT = "absent"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"


class WorkSight(msgspec.Struct, frozen=True, omit_defaults=True):
    """One work step as its supervisor says: `waiting_for` a person's word, if any;
    `reminders` is how often that person should have been reminded by now."""

    key: str
    status: WorkStatus
    exit_code: int = 0
    detail: str = ""
    waiting_for: str = ""
    output: str = ""
    progress: str = ""
    reminders: int = 0


class DutySight(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who holds a duty: every region that says it does, and when they said so."""

    duty: str
    holders: tuple[str, ...]
    fault: str = ""
    at: Instant | None = None


class BracketSight(msgspec.Struct, frozen=True, omit_defaults=True):
    bracket: str
    open: bool
    fault: str = ""


ERRORS_MIN = 10
"""Fewer bad answers than this in the window say nothing about a region."""
PROBE_FAILURES = 3
"""So many failures in a row are no blip."""


class ServiceSight:
    """One service over all regions at a glance: its places by region, those where
    something may be wrong, and the users' requests that were measured.

    `mrps` adds up the freshest users' meter of each of the `measured` places, and
    `age_ms` is the age of the oldest of those readings.
    """

    __slots__ = ("age_ms", "measured", "mrps", "places", "suspects")

    def __init__(self) -> None:
        self.places: dict[str, PlaceSight] = {}
        self.suspects: dict[str, PlaceSight] = {}
        self.measured = 0
        self.mrps = 0
        self.age_ms = 0

    def look(self, places: Iterable[PlaceSight]) -> None:
        """Add `places`: one walk, written for speed, as there may be 100,000 of them at
        every step. No call and no object for any of them."""
        users, known, suspects = Side.USERS, self.places, self.suspects
        measured, total, oldest, mrps = self.measured, self.mrps, self.age_ms, 0
        for place in places:
            region, youngest = place.region, None
            if region in known:
                continue  # of two sights of one place the first counts
            known[region] = place
            for meter in place.meters:
                if meter.side is users:
                    if youngest is None:
                        youngest, mrps = meter.age_ms, meter.mrps
                    elif (age_ms := meter.age_ms) is not None and age_ms < youngest:
                        youngest, mrps = age_ms, meter.mrps
                    if meter.errors >= ERRORS_MIN:
                        suspects[region] = place
            if youngest is not None:
                measured += 1
                total += mrps
                if youngest > oldest:
                    oldest = youngest
            for probe in place.probes:
                if probe.failures >= PROBE_FAILURES:
                    suspects[region] = place
        self.measured, self.mrps, self.age_ms = measured, total, oldest


_NOTHING = ServiceSight()


class AgentSight(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which Dayshift an agent says it is, which asked it, when its certificate ends,
    and what people should see to."""

    agent: str
    theirs: Speech
    ours: Speech
    ends_ms: int = 0
    notes: tuple[str, ...] = ()


class Sight(msgspec.Struct, frozen=True, dict=True, omit_defaults=True):
    """Everything at once. `fences` is how far each dial's fence reaches, as its driver
    declares, `settles_ms` how long after a write users may still go the old way,
    `caching` between which lifetimes the answers of a dial change; `unfenced` the
    regions whose fence point could not be claimed for this epoch and does not answer:
    they count as not serving; `agents` what each agent that answers says of itself."""

    at: Instant
    dials: dict[str, DialReading] = {}
    dial_age_ms: dict[str, int] = {}
    lease_left_ms: dict[str, int] = {}
    places: tuple[PlaceSight, ...] = ()
    works: dict[str, WorkSight] = {}
    duties: dict[str, DutySight] = {}
    brackets: dict[str, BracketSight] = {}
    acks: dict[str, str] = {}
    store_room_bytes: int | None = None
    clock_jump_ms: int = 0
    fences: dict[str, Fence] = {}
    settles_ms: dict[str, int] = {}
    caching: dict[str, Caching] = {}
    unfenced: tuple[str, ...] = ()
    agents: dict[str, AgentSight] = {}

    @cached_property
    def services(self) -> dict[str, ServiceSight]:
        """Every service at a glance, found in one walk however often it is asked."""
        found: dict[str, ServiceSight] = {}
        for name, places in groupby(self.places, attrgetter("service")):
            found.setdefault(name, ServiceSight()).look(places)
        return found

    def service(self, name: str) -> ServiceSight:
        """One service over all regions."""
        return self.services.get(name, _NOTHING)

    def place(self, service: str, region: str) -> PlaceSight:
        """One service in one region; an empty sight where nothing was seen."""
        found = self.service(service).places.get(region)
        return found or PlaceSight(service, region)


class SurvivorsSight(msgspec.Struct, frozen=True, omit_defaults=True):
    """One service in a large estate, as its survivors were asked: how many of the
    regions that stay were proven to serve (no more than enough are counted), what all
    users asked and how old the oldest of it is, and what was wrong where."""

    service: str
    serving: int
    places: int
    measured: int
    mrps: int
    trouble: tuple[str, ...] = ()
    age_ms: int = 0


class Kept(Sight, frozen=True, dict=True, omit_defaults=True):
    """The sight of a large estate as the journal keeps it: its places are those of the
    region in flight. `steady` has the claims, by instance, of every dial that showed
    what the journal had confirmed; only the others stand in `dials`."""

    survivors: tuple[SurvivorsSight, ...] = ()
    steady: dict[str, dict[str, str]] = {}
