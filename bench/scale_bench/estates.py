"""Estates of any size, and what is seen of them: every service in every region.

That is the hardest estate of its size: as many places as regions times services.
"""

from __future__ import annotations

from collections.abc import Mapping

from dayshift.core.steering import served
from dayshift.limits import FULL_BP
from dayshift.model.dial import (
    Claim,
    DialKind,
    DialReading,
    InstanceReading,
    Setting,
)
from dayshift.model.estate import (
    Bracket,
    Change,
    DialSpec,
    Disposition,
    DriverRef,
    Duty,
    Estate,
    MeterSpec,
    Policy,
    ProbeSpec,
    Region,
    RegionWork,
    ResidueClass,
    Service,
    WorkStep,
)
from dayshift.model.evidence import BEYOND_US, MeterReading, Side
from dayshift.model.sight import MeterSight, PlaceSight, ProbeSight
from dayshift.model.units import Instant, apportion

REF = DriverRef("bench")
BOUNDS_US = (1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000)
RPS_OF_REGION = 400
PASSES = 2
IGNORED_RPM = {"probe": 60}
"""One for all, as the watch does it where equal counts come together."""


def names(count: int) -> tuple[str, ...]:
    """Names of regions."""
    return tuple(f"region-{number:04}" for number in range(count))


def estate(regions: int, services: int) -> Estate:
    """`services` services, each in every one of `regions` regions."""
    where = names(regions)
    made = tuple(_service(f"service-{number:03}", where) for number in range(services))
    return Estate(
        "bench",
        tuple(Region(name) for name in where),
        made,
        duties=(Duty("nightly", REF, where),),
        brackets=(Bracket("silence", REF),),
        policy=Policy(drain_dwell_ms=0, soak_ms=1_000, quiet_ms=1_000),
    )


def _service(name: str, where: tuple[str, ...]) -> Service:
    shares = apportion(FULL_BP, dict.fromkeys(where, 1))
    return Service(
        name,
        shares,
        dict.fromkeys(where, RPS_OF_REGION * 4),
        (DialSpec(f"{name}-entry", DialKind.SPLIT, REF),),
        (
            MeterSpec("entry", Side.USERS, REF, where),
            MeterSpec("edge", Side.REGION, REF, where, gate=False),
        ),
        (ProbeSpec("direct", REF, where),),
        (ResidueClass("probe", Disposition.EXPECTED, "dayshift", 600),),
    )


def change(the_estate: Estate) -> Change:
    """Work in the first regions, two steps in each."""
    steps = (WorkStep("upgrade", REF, undo=True), WorkStep("check", REF, undo=True))
    works = tuple(
        RegionWork(name, steps, "2") for name in the_estate.region_names()[:PASSES]
    )
    return Change("bench", "a measurement", works)


def places(
    the_estate: Estate, dials: Mapping[str, Setting], versions: Mapping[str, str]
) -> tuple[PlaceSight, ...]:
    """What is seen of every place when the dials stand so; every number its own."""
    found = []
    for service in the_estate.services:
        row = served(service, dials) or {}
        whole = RPS_OF_REGION * 1_000 * len(service.shares)
        for number, region in enumerate(service.shares):
            mrps = whole * row.get(region, 0) // FULL_BP
            version = versions.get(region, "1")
            found.append(_place(service, region, mrps, number, version))
    return tuple(found)


def _place(
    service: Service, region: str, mrps: int, number: int, version: str
) -> PlaceSight:
    meters = tuple(
        MeterSight(
            meter=spec.name,
            side=spec.side,
            age_ms=300 + number % 400,
            counted=True,
            quiet_ms=0 if mrps else 60_000,
            in_flight=1 if mrps else 0,
            connections=16,
            grown=1_000_000 + number,
            mrps=mrps + (number % 7 if mrps else 0),
            error_ppm=100 if mrps else 0,
            p50_us=5_000,
            p99_us=100_000,
            requests=5_000_000 + number,
            errors=1 if mrps else 0,
            ignored_rpm=IGNORED_RPM,
        )
        for spec in service.meters
    )
    probe = ProbeSight("direct", 900 + number % 50, 0, 500 + number % 300, version)
    return PlaceSight(service.name, region, meters, (probe,))


def dial_reading(
    dial: str, at: Instant, setting: Setting, claim: Claim | None
) -> DialReading:
    """Two instances that agree, each read anew."""
    return DialReading(
        dial,
        at,
        tuple(InstanceReading(name, _again(setting), claim) for name in ("one", "two")),
    )


def _again(setting: Setting) -> Setting:
    return Setting(setting.kind, {key: dict(row) for key, row in setting.rows.items()})


def meter_reading(at: Instant, count: int) -> MeterReading:
    """What a meter says after it counted so many requests."""
    buckets = dict.fromkeys(BOUNDS_US, count * 9 // 10)
    buckets[BEYOND_US] = count
    return MeterReading(
        at=at,
        requests=count,
        errors=count // 10_000,
        in_flight=3,
        connections=16,
        buckets=buckets,
        ignored={"probe": count // 100},
        series="one",
    )
