"""What `plan` says of the gate: who decides, how fast it tells, what it has learned."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from dayshift.cli.plan_gate import GateSight, gate_lines, gate_sights
from dayshift.core import planner
from dayshift.limits import OBSERVE_MS
from dayshift.model.calibration import Calibration, SignalNoise
from dayshift.model.estate import Estate
from dayshift.model.evidence import Side
from dayshift.model.plan import Measured, Plan, Verb
from dayshift.model.units import Instant
from tests.kit.story import START_MS, change, estate

FRA = Calibration(
    "shop",
    "fra",
    (SignalNoise(0, 1_000_000),),
    trusted=True,
    learned_wall_ms=START_MS,
    span_ms=28_800_000,
    requests=14_400_000,
    errors=14_400,
    mrps=500_000,
)
THIN = "only 90 min of history, 120 min needed"


def planned(known: Estate, load_rps: int = 500) -> Plan:
    made = planner.make(known, change(), Verb.MAINTAIN)
    if not load_rps:
        return made
    half = {"fra": load_rps // 2, "ber": load_rps // 2}
    return replace(made, measured=Measured(Instant(0, 0, "b"), {"shop": half}, ()))


def with_calibrations(*learned: Calibration, trusted: bool = False) -> Estate:
    known = estate()
    gate = replace(known.policy.gate, trusted=trusted)
    return replace(known, policy=replace(known.policy, gate=gate), calibrations=learned)


def told(known: Estate, load_rps: int = 500) -> tuple[tuple[GateSight, ...], str]:
    sights = gate_sights(planned(known, load_rps))
    lines = list(gate_lines(sights, known.policy.gate))
    assert max(map(len, lines)) <= 88
    return sights, " ".join(" ".join(lines).split())


def test_the_deciding_meter_is_named_with_its_interval() -> None:
    _, text = told(estate())
    assert "shop: meter entry decides, new counts every 200 ms" in text
    known = estate()
    shop = known.services[0]
    slow = tuple(replace(one, every_ms=15_000) for one in shop.meters)
    sights, text = told(replace(known, services=(replace(shop, meters=slow),)))
    assert "new counts every 15 s" in text
    assert {one.look_ms for one in sights} == {15_000}


def test_an_outage_shows_faster_on_each_rung_and_with_faster_meters() -> None:
    sights, text = told(with_calibrations(FRA))
    fra = sights[0]
    assert fra.look_ms == OBSERVE_MS
    assert [one.share_bp for one in fra.rungs] == [100, 500, 2500, 5000]
    outages = [one.outage_ms for one in fra.rungs]
    assert None not in outages
    assert outages == sorted(outages, key=lambda ms: -(ms or 0))
    for rung in fra.rungs:
        assert rung.outage_ms is not None and rung.tenfold_ms is not None
        assert rung.outage_ms <= rung.tenfold_ms
        assert rung.tenfold_ms <= (rung.twofold_ms or 3_600_000)
    assert "at 500.0 requests/s, seen in 1 % 5 % 25 % 50 %" in text
    assert "twice the errors" in text


def test_trusted_learned_doubted_and_none_are_told_apart() -> None:
    doubted = replace(FRA, trusted=False, why=THIN)
    said = {
        "trusted": told(with_calibrations(FRA))[1],
        "doubted": told(with_calibrations(doubted))[1],
        "policy": told(with_calibrations(trusted=True))[1],
        "none": told(with_calibrations())[1],
    }
    assert "fra: learned on 2026-09-21 from 8 h and 14,400,000" in said["trusted"]
    assert "usually 0.1 % errors; trusted: the comparison may turn" in said["trusted"]
    assert f"NOT trusted ({THIN}): the comparison may only hold" in said["doubted"]
    assert "what the policy says of noise is trusted" in said["policy"]
    assert "fra and ber: no calibration: the comparison may only" in said["none"]
    for name in ("doubted", "none"):
        assert "`dayshift gate calibrate --write`" in said[name]
        assert "twice the errors" not in said[name]


def test_regions_that_are_judged_alike_share_a_table() -> None:
    both = with_calibrations(FRA, replace(FRA, region="ber"))
    assert told(both)[1].count("half of the requests fail") == 1
    assert told(with_calibrations(FRA))[1].count("half of the requests fail") == 2


def test_each_class_of_users_is_a_stream_of_its_own() -> None:
    known = with_calibrations(replace(FRA, stream="shop/vip", mrps=20_000))
    shop = known.services[0]
    vip = replace(shop.meters[0], name="vip", users="vip")
    known = replace(known, services=(replace(shop, meters=(*shop.meters, vip)),))
    sights, text = told(known)
    assert [(one.stream, one.region, one.mrps) for one in sights] == [
        ("shop", "fra", 500_000),
        ("shop", "ber", 500_000),
        ("shop/vip", "fra", 20_000),
        ("shop/vip", "ber", 0),
    ]
    assert "traffic is not known" in text


def test_offline_the_learned_traffic_stands_in() -> None:
    sights, _ = told(with_calibrations(FRA), load_rps=0)
    assert [one.mrps for one in sights] == [500_000, 0]
    assert sights[1].rungs == ()


def test_a_service_that_nobody_judges_is_said_loudly() -> None:
    known = estate()
    shop = known.services[0]
    own = tuple(one for one in shop.meters if one.side is Side.REGION)
    _, text = told(replace(known, services=(replace(shop, meters=own),)))
    assert "NOTHING" in text


def test_a_region_never_gets_a_rung_above_its_share() -> None:
    known = estate()
    shop = replace(known.services[0], shares={"fra": 2500, "ber": 7500})
    sights, _ = told(replace(known, services=(shop,)))
    assert max(one.share_bp for one in sights[0].rungs) == 2500


def test_as_json() -> None:
    sights, _ = told(with_calibrations(FRA))
    (first, *_) = msgspec.json.decode(msgspec.json.encode(sights))
    assert first["meter"] == "entry"
    assert first["rungs"][0].keys() == {
        "share_bp",
        "outage_ms",
        "tenfold_ms",
        "twofold_ms",
    }
    assert first["calibration"]["trusted"] is True
