"""What a decision sees: the world at one instant, as integers.

The shell's observer folds raw readings into this; `core.decide` reads nothing else. It
is what the journal keeps as a decision's inputs.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dayshift.model.dial import DialReading
from dayshift.model.evidence import Residue, Side, Verdict
from dayshift.model.units import Instant


class MeterSight(msgspec.Struct, frozen=True):
    """One meter's word on one service in one region.

    `age_ms` is None while nothing was ever read. `counted` is true once it saw user
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


class ProbeSight(msgspec.Struct, frozen=True):
    """The latest probe of one region: its streak of good answers and what it said."""

    probe: str
    streak: int
    failures: int
    age_ms: int | None
    version: str = ""
    detail: str = ""


class PlaceSight(msgspec.Struct, frozen=True):
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


class WorkSight(msgspec.Struct, frozen=True):
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


class DutySight(msgspec.Struct, frozen=True):
    """Who holds a duty: every region that says it does."""

    duty: str
    holders: tuple[str, ...]
    fault: str = ""


class BracketSight(msgspec.Struct, frozen=True):
    bracket: str
    open: bool
    fault: str = ""


class Sight(msgspec.Struct, frozen=True):
    """Everything at once."""

    at: Instant
    dials: dict[str, DialReading] = {}
    dial_age_ms: dict[str, int] = {}
    places: tuple[PlaceSight, ...] = ()
    works: dict[str, WorkSight] = {}
    duties: dict[str, DutySight] = {}
    brackets: dict[str, BracketSight] = {}
    acks: dict[str, str] = {}
    store_room_bytes: int = 1 << 40
    clock_jump_ms: int = 0

    def place(self, service: str, region: str) -> PlaceSight:
        for one in self.places:
            if one.service == service and one.region == region:
                return one
        return PlaceSight(service, region)
