"""The shape of `dayshift.yaml`. Descriptions teach: they end up in the JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dayshift.model.dial import DialKind
from dayshift.model.estate import Disposition
from dayshift.model.evidence import Side
from dayshift.runtime.settings.units import Duration, Name, Percent

Options = dict[str, Any]


class Strict(BaseModel):
    """Unknown keys are errors, and so are values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RegionFile(Strict):
    title: Annotated[str, Field(description="What people call the region.")] = ""


class Driven(Strict):
    """Something with a driver."""

    driver: Annotated[str, Field(description="Name of the driver.")]
    options: Annotated[Options, Field(description="What the driver asks for.")] = {}


class DialFile(Driven):
    name: Annotated[Name, Field(description="Unique in the whole estate.")]
    kind: Annotated[
        DialKind,
        Field(
            strict=False,
            description="split: one row of shares. forward: where arrivals at a region "
            "go. switch: on or off.",
        ),
    ]


class MeterFile(Driven):
    name: Annotated[Name, Field(description="Unique within the service.")]
    side: Annotated[
        Side,
        Field(strict=False, description="users: at their entry. region: in it."),
    ]
    gate: Annotated[
        bool, Field(description="Whether this meter judges the return.")
    ] = True
    regions: Annotated[
        list[Name] | None, Field(description="Regions it can speak about; all.")
    ] = None


class ProbeFile(Driven):
    name: Annotated[Name, Field(description="Unique within the service.")]
    regions: Annotated[list[Name] | None, Field(description="Regions; all.")] = None


class ResidueFile(Strict):
    class_: Annotated[
        Name, Field(alias="class", description="The class as the meter names it.")
    ]
    disposition: Annotated[
        Disposition, Field(strict=False, description="What becomes of it.")
    ]
    source: Annotated[str, Field(description="Who sends it.")] = ""
    ceiling_rpm: Annotated[
        int, Field(ge=0, description="Most requests per minute that are expected.")
    ] = 0
    cut_after: Annotated[Duration, Field(description="When a cut class is cut.")] = 0
    accepted_by: Annotated[str, Field(description="Who accepts it.")] = ""
    second: Annotated[str, Field(description="The second person.")] = ""
    expires: Annotated[
        str, Field(description="When the acceptance ends, ISO 8601 with zone.")
    ] = ""


class ServiceFile(Strict):
    shares: Annotated[
        dict[Name, Percent],
        Field(description="Share of users' requests per region; 100 % in all."),
    ]
    capacity_rps: Annotated[
        dict[Name, Annotated[int, Field(ge=0)]],
        Field(description="Requests per second that each region can serve."),
    ]
    dials: Annotated[
        list[DialFile], Field(description="From the user inwards.", min_length=1)
    ]
    meters: Annotated[
        list[MeterFile],
        Field(description="At least one on each side: together they prove empty."),
    ]
    probes: Annotated[
        list[ProbeFile], Field(description="How to ask a region directly.")
    ] = []
    residue: Annotated[
        list[ResidueFile], Field(description="What may still reach a drained region.")
    ] = []
    stays: Annotated[
        str, Field(description="Why a pass does not move this service.")
    ] = ""


class DutyFile(Driven):
    regions: Annotated[list[Name] | None, Field(description="May hold it; all.")] = None


class NotifyFile(Driven):
    name: Annotated[Name, Field(description="Unique; called in this order.")]
    escalate: Annotated[
        Duration, Field(description="Without an answer, call the next after this.")
    ] = 0


class CalibrationFile(Strict):
    trusted: Annotated[
        bool, Field(description="Only a trusted one may roll back by itself.")
    ] = False
    dispersion: Annotated[
        float, Field(ge=1, le=1000, strict=False, description="Clustering; 1: none.")
    ] = 1.0
    variation: Annotated[
        float, Field(ge=0, le=100, strict=False, description="Drift, cv².")
    ] = 0.0


class GateFile(Strict):
    """How the return is judged."""

    blast_radius: Annotated[
        Percent, Field(description="Of all traffic, may be harmed at most.")
    ] = 10
    slow_blast_radius: Annotated[
        Percent, Field(description="The same for slow answers.")
    ] = 100
    absolute_errors: Annotated[
        Percent, Field(description="More errors are bad without any comparison.")
    ] = 1000
    rollback_odds: Annotated[int, Field(ge=2, le=10**9, description="Odds to 1.")] = 100
    promote_odds: Annotated[int, Field(ge=2, le=10**9, description="Odds to 1.")] = 20
    dwell: Annotated[Duration, Field(description="Least time on a rung.")] = 180_000
    horizon: Annotated[Duration, Field(description="Harm is counted over it.")] = (
        300_000
    )
    harm_requests: Annotated[
        int, Field(ge=1, le=10**9, description="Bad requests that are bearable.")
    ] = 50
    tolerated_ratio: Annotated[
        float,
        Field(ge=1, le=100, strict=False, description="As bad as this is still even."),
    ] = 1.1
    slow: Annotated[
        list[Duration], Field(description="Answers slower than each are judged.")
    ] = []
    calibration: CalibrationFile = CalibrationFile()


class PolicyFile(Strict):
    """What the estate promises itself."""

    serving: Annotated[
        int, Field(ge=1, le=64, description="Regions that must keep serving.")
    ] = 1
    headroom: Annotated[
        Percent, Field(description="A survivor is never filled beyond this.")
    ] = 8500
    drain: Annotated[
        list[Percent], Field(min_length=1, description="Stages of the drain, to 0 %.")
    ] = [2500, 0]
    drain_dwell: Annotated[Duration, Field(description="Pause after a stage.")] = 1000
    ramp: Annotated[
        list[Percent], Field(min_length=1, description="Rungs of the return.")
    ] = [100, 500, 2500, 5000]
    soak: Annotated[Duration, Field(description="Watch at the full share.")] = 600_000
    quiet: Annotated[
        Duration, Field(description="Silence that proves a region empty.")
    ] = 30_000
    fresh: Annotated[
        Duration, Field(description="An older reading proves nothing.")
    ] = 3_000
    empty_limit: Annotated[
        Duration, Field(description="Not empty after this: hold and say who.")
    ] = 900_000
    probe_streak: Annotated[
        int, Field(ge=1, le=1000, description="Good probes in a row to validate.")
    ] = 5
    blind_limit: Annotated[
        Duration, Field(description="Blind for longer: back to the last proven rung.")
    ] = 120_000
    absence_limit: Annotated[
        Duration, Field(description="By when a region must be back.")
    ] = 86_400_000
    return_time: Annotated[
        Duration, Field(description="How long a drained region needs to serve again.")
    ] = 60_000
    lease: Annotated[
        Duration, Field(description="How long an unconfirmed drain lasts.")
    ] = 30_000
    approvals: Annotated[
        int, Field(ge=0, le=10, description="People other than the author.")
    ] = 0
    override_second_person: Annotated[
        bool, Field(description="Overriding a guard takes a second person.")
    ] = True
    gate: GateFile = GateFile()


class EstateFile(Strict):
    """An estate: regions, services, duties, policy."""

    estate: Annotated[Name, Field(description="The estate's name.")]
    regions: Annotated[
        dict[Name, RegionFile | None], Field(min_length=1, description="By name.")
    ]
    services: Annotated[
        dict[Name, ServiceFile], Field(min_length=1, description="What users reach.")
    ]
    duties: Annotated[
        dict[Name, DutyFile],
        Field(description="Work that exactly one region performs."),
    ] = {}
    brackets: Annotated[
        dict[Name, Driven], Field(description="Opened around a pass, closed again.")
    ] = {}
    notify: Annotated[list[NotifyFile], Field(description="Whom to call.")] = []
    policy: PolicyFile = PolicyFile()


class StepFile(Strict):
    name: Annotated[Name, Field(description="Unique within the region.")]
    worker: Annotated[str, Field(description="Name of the worker driver.")]
    interrupt: Annotated[
        Literal["between", "signal", "never"],
        Field(description="When the step may be stopped."),
    ] = "between"
    limit: Annotated[Duration, Field(description="Longest it may take.")] = 3_600_000
    options: Annotated[Options, Field(description="What the worker asks for.")] = {}


class RegionWorkFile(Strict):
    region: Annotated[Name, Field(description="A region of the estate.")]
    expect_version: Annotated[
        str, Field(description="What probes must report afterwards.")
    ] = ""
    steps: Annotated[
        list[StepFile] | None, Field(description="Its own steps; else the common.")
    ] = None


class ChangeFile(Strict):
    """A change: what to do, region by region, in order."""

    change: Annotated[Name, Field(description="The change's name.")]
    reason: Annotated[str, Field(min_length=1, description="Why.")]
    ticket: Annotated[str, Field(description="Its ticket.")] = ""
    author: Annotated[str, Field(description="Who wrote it; cannot approve it.")] = ""
    regions: Annotated[
        list[Name | RegionWorkFile],
        Field(min_length=1, description="In the order of the work."),
    ]
    steps: Annotated[
        list[StepFile], Field(description="For every region that lists none.")
    ] = []
