"""Plans to rehearse: short ones, with everything that a larger estate has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from dayshift.core import planner
from dayshift.model.dial import DialKind
from dayshift.model.estate import (
    AgentSpec,
    Bracket,
    Change,
    ControllerSpec,
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
    StoreSpec,
    VotingSpec,
    WorkStep,
)
from dayshift.model.evidence import Side
from dayshift.model.plan import Plan, Verb
from dayshift.runtime import wiring
from dayshift.runtime.settings import load

REF = DriverRef("simulated")
HOUR_MS = 3_600_000
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


def long_validation() -> Plan:
    """Probes are asked for a good while before the first user comes back."""
    return planner.make(_one(probe_streak=12), change("fra"), Verb.MAINTAIN)


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


def layers() -> Plan:
    """Names, a route and an edge that forwards; connections are counted."""
    dials = (
        DialSpec(
            "dns", DialKind.SPLIT, DriverRef("simulated", {"lifetime_ms": 50_000})
        ),
        DialSpec("anycast", DialKind.SWITCH, REF),
        DialSpec("edge", DialKind.FORWARD, REF),
    )
    shop = service("shop", {"fra": 4_000, "ber": 3_000, "muc": 3_000}, dials)
    counts = tuple(replace(m, connections=not m.gate) for m in shop.meters)
    made = estate((replace(shop, meters=counts),), connections_limit_ms=60_000)
    return planner.make(made, change("ber", "muc"), Verb.MAINTAIN)


def voters_in_fra() -> Plan:
    """Two of three voters stand in the first region that is taken out."""
    voters = VotingSpec("etcd", {"a": "fra", "b": "fra", "c": "ber"})
    made = replace(_one(), voting=(voters,))
    return planner.make(made, change("fra", "ber"), Verb.MAINTAIN)


def two_services() -> Plan:
    """Two regions of three, two services that can take a part of their users each."""
    shares = {"fra": 4_000, "ber": 3_000, "muc": 3_000}
    dials = {name: (DialSpec(name, DialKind.SPLIT, REF),) for name in ("entry", "post")}
    services = (
        service("shop", shares, dials["entry"]),
        service("mail", shares, dials["post"], 400),
    )
    wanted = change("ber", "muc", undo=False)
    return planner.make(estate(services), wanted, Verb.MAINTAIN)


def two_must_serve() -> Plan:
    """Three regions, of which two must serve at every moment."""
    shares = {"fra": 4_000, "ber": 3_000, "muc": 3_000}
    dial = DialSpec("entry", DialKind.SPLIT, REF)
    made = estate((service("shop", shares, (dial,)),), serving=2, drain_dwell_ms=20_000)
    return planner.make(made, change("ber"), Verb.MAINTAIN)


def four_eyes() -> Plan:
    """Nothing moves before somebody else approved it."""
    return planner.make(_one(approvals=1), change("fra"), Verb.MAINTAIN)


def two_voters() -> Plan:
    """Of two voters none may leave: half is no majority."""
    voters = VotingSpec("quorum", {"a": "fra", "b": "ber"})
    made = replace(_one(), voting=(voters,))
    return planner.make(made, change("fra"), Verb.MAINTAIN)


def store_in_fra() -> Plan:
    """The journal's store keeps its majority in the region that is taken out."""
    one = _one()
    members = {"a": "fra", "b": "fra", "c": "ber"}
    made = replace(one, journal=replace(one.journal, members=members))
    return planner.make(made, change("fra"), Verb.MAINTAIN)


def controller_in_fra() -> Plan:
    """The only controller stands in the region that is taken out."""
    made = replace(_one(), controllers=(ControllerSpec("c1", "fra"),))
    return planner.make(made, change("fra"), Verb.MAINTAIN)


def meters_in_fra() -> Plan:
    """What sees the users of every region stands in the one that is taken out."""
    one = _one()
    shop = one.services[0]
    meters = tuple(
        replace(meter, place="fra") if meter.side is Side.USERS else meter
        for meter in shop.meters
    )
    made = replace(one, services=(replace(shop, meters=meters),))
    return planner.make(made, change("fra"), Verb.MAINTAIN)


def _behind_agents(*names: str, **policy: Any) -> Estate:
    dial = DialSpec("entry", DialKind.SPLIT, REF, agents=names)
    one = estate((service("shop", {"fra": 5_000, "ber": 5_000}, (dial,)),), **policy)
    agents = tuple(AgentSpec(n, "elsewhere", f"https://{n}:1") for n in names)
    return replace(one, agents=agents)


def leased() -> Plan:
    """The dial stands behind an agent, which keeps its lease."""
    return planner.make(_behind_agents("a1"), change("fra", "ber"), Verb.MAINTAIN)


def two_agents() -> Plan:
    """Each of two agents has one instance of the dial."""
    made = _behind_agents("a1", "a2")
    return planner.make(made, change("fra", "ber"), Verb.MAINTAIN)


def slow_leased() -> Plan:
    """As `slow_drain`, behind an agent."""
    made = _behind_agents("a1", drain_dwell_ms=20_000)
    return planner.make(made, change("fra"), Verb.MAINTAIN)


def leased_for_long() -> Plan:
    """A drain that takes longer than its lease, step after step."""
    made = _behind_agents("a1", drain_dwell_ms=90_000)
    return planner.make(made, change("fra"), Verb.MAINTAIN)


def nine_hours() -> Plan:
    """Two regions, meters scraped every 15 s, hours of work and of return."""
    usual = short().estate
    policy = replace(
        usual.policy,
        fresh_ms=45_000,
        quiet_ms=120_000,
        soak_ms=7_200_000,
        drain_dwell_ms=60_000,
        blind_limit_ms=300_000,
        gate=replace(GATE, dwell_ms_min=900_000, warmup_ms=105_000),
    )
    one = usual.services[0]
    meters = tuple(replace(m, every_ms=15_000) for m in one.meters)
    slow = replace(usual, policy=policy, services=(replace(one, meters=meters),))
    wanted = change("fra", "ber", limit_ms=3 * HOUR_MS)
    return planner.make(slow, wanted, Verb.MAINTAIN)


def kit() -> Plan:
    """The example estate and change that the tests of the command line use."""
    folder = Path(__file__).parent.parent / "kit"
    example = load.load_estate(folder / "dayshift.yaml", wiring.options_of)
    wanted = load.load_change(folder / "change.yaml", example, wiring.options_of)
    return planner.make(example, wanted, Verb.MAINTAIN)


def several() -> Plan:
    """Three controllers in three places, a shared store, an agent before the dial."""
    made = _behind_agents("a1")
    controllers = tuple(
        ControllerSpec(f"c-{place}", place) for place in ("fra", "ber", "oslo")
    )
    store = StoreSpec("shared", {}, {})
    made = replace(made, controllers=controllers, journal=store)
    return planner.make(made, change("fra", "ber"), Verb.MAINTAIN)
