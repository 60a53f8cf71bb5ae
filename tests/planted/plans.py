"""Plans to rehearse: short ones, with everything that a larger estate has."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dayshift.core import planner
from dayshift.model.dial import DialKind
from dayshift.model.estate import (
    Bracket,
    Change,
    DialSpec,
    DriverRef,
    Duty,
    Estate,
    GatePolicy,
    MeterSpec,
    NotifySpec,
    Policy,
    ProbeSpec,
    Region,
    RegionWork,
    ResidueClass,
    Service,
    VotingSpec,
    WorkStep,
)
from dayshift.model.evidence import Side
from dayshift.model.plan import Plan, Verb

REF = DriverRef("simulated")
GATE = GatePolicy(
    trusted=True,
    blast_bp=100,
    slow_blast_bp=100,
    absolute_error_bp=200,
    dwell_ms_min=0,
    slow_us=(100_000, 250_000),
    warmup_ms=0,
)
POLICY = Policy(soak_ms=10_000, quiet_ms=3_000, override_second_person=False, gate=GATE)


def service(
    name: str, shares: dict[str, int], dials: tuple[DialSpec, ...], rps: int = 900
) -> Service:
    """One service with a meter on each side, a probe and a declared class."""
    regions = tuple(shares)
    return Service(
        name,
        shares,
        dict.fromkeys(regions, rps),
        dials,
        (
            MeterSpec(f"{name}-entry", Side.USERS, REF, regions),
            MeterSpec(f"{name}-edge", Side.REGION, REF, regions, gate=False),
        ),
        (ProbeSpec(f"{name}-probe", REF, regions),),
        (ResidueClass("probe", "expected", "dayshift", 600),),  # type: ignore[arg-type]
    )


def estate(services: tuple[Service, ...], **policy: Any) -> Estate:
    regions = tuple(services[0].shares)
    return Estate(
        "demo",
        tuple(Region(name) for name in regions),
        services,
        duties=(Duty("nightly", REF, regions),),
        brackets=(Bracket("silence", REF),),
        notify=(NotifySpec("on-call", REF),),
        policy=replace(POLICY, **policy),
    )


def change(*regions: str, undo: bool = True, limit_ms: int = 60_000) -> Change:
    steps = (WorkStep("upgrade", REF, limit_ms=limit_ms, undo=undo),)
    works = tuple(RegionWork(name, steps, "2") for name in regions)
    return Change("shop-2", "a rehearsal", works, author="ada")


def _one(**policy: Any) -> Estate:
    dial = DialSpec("entry", DialKind.SPLIT, REF)
    return estate((service("shop", {"fra": 5_000, "ber": 5_000}, (dial,)),), **policy)


def short() -> Plan:
    """Two regions, one service, one split: a minute and a half."""
    return planner.make(_one(), change("fra", "ber"), Verb.MAINTAIN)


def slow_drain() -> Plan:
    """A drain of two steps with time between them."""
    return planner.make(_one(drain_dwell_ms=20_000), change("fra"), Verb.MAINTAIN)


def close_to_limit() -> Plan:
    """The work only just fits the absence limit."""
    return planner.make(_one(absence_ms=70_000), change("fra"), Verb.MAINTAIN)


def evacuation() -> Plan:
    """Out of one region, at once."""
    wanted = planner.simple_change("evacuate", ("fra",), "smoke in the hall")
    return planner.make(_one(), wanted, Verb.EVACUATE)


def wide() -> Plan:
    """Three regions, two services, every kind of dial."""
    shares = {"fra": 4_000, "ber": 3_000, "muc": 3_000}
    shop = service(
        "shop",
        shares,
        (
            DialSpec("dns", DialKind.SPLIT, REF),
            DialSpec("edge", DialKind.FORWARD, REF),
        ),
    )
    mail = service("mail", shares, (DialSpec("anycast", DialKind.SWITCH, REF),), 400)
    wanted = change("ber", "muc", undo=False)
    return planner.make(estate((shop, mail)), wanted, Verb.MAINTAIN)


def voters_in_fra() -> Plan:
    """Two of three voters stand in the first region that is taken out."""
    voters = VotingSpec("etcd", {"a": "fra", "b": "fra", "c": "ber"})
    made = replace(_one(), voting=(voters,))
    return planner.make(made, change("fra", "ber"), Verb.MAINTAIN)
