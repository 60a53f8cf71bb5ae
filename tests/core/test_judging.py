"""How readings of meters become looks of the gate: which are new, whose, how long."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dayshift.core import planner
from dayshift.core.judging import Judging, gated
from dayshift.core.state import JournalState, PassState, RunState, Status
from dayshift.model.estate import Estate, MeterSpec
from dayshift.model.evidence import MeterReading, Side, Verdict, VerdictKind
from dayshift.model.plan import Verb
from dayshift.model.records import Phase
from dayshift.model.units import Instant
from tests.kit.play import REF, change, estate

PASS, HOLD = VerdictKind.PASS, VerdictKind.HOLD
FAIL, BLIND = VerdictKind.FAIL, VerdictKind.BLIND
BOTH = ("fra", "ber")
FRESH_MS = 3_000


def instant(ms: int) -> Instant:
    return Instant(ms, ms, "boot")


def metered(*meters: MeterSpec, regions: tuple[str, ...] = BOTH) -> Estate:
    known = estate(regions)
    service = replace(known.services[0], meters=meters) if meters else known.services[0]
    return replace(known, services=(service,))


def users(name: str = "entry", every_ms: int = 0, whose: str = "") -> MeterSpec:
    return MeterSpec(name, Side.USERS, REF, BOTH, users=whose, every_ms=every_ms)


class Return:
    """A region that is returning; what the meters say is up to the test."""

    def __init__(self, the_estate: Estate) -> None:
        self.estate = the_estate
        plan = planner.make(the_estate, change("fra"), Verb.MAINTAIN)
        self.ms = 1_000_000
        self.judging = Judging(the_estate)
        here = PassState("fra", instant(0), phase=Phase.RETURNING, index=2)
        run = RunState("r", plan.digest, "anna", instant(0), (here,))
        self.state = JournalState(plans={plan.digest: plan}, run=run)
        self.sums: dict[tuple[str, str], list[int]] = {}
        self.latest: dict[tuple[str, str, str], MeterReading] = {}

    def bend(self, **fields) -> None:
        run = self.state.run
        assert run is not None
        here = replace(run.passes[0], **fields)
        self.state = replace(self.state, run=replace(run, passes=(here,)))

    def count(self, meter: str, region: str, requests: int, errors: int = 0, **more):
        """The meter's next reading: so many more."""
        sums = self.sums.setdefault((meter, region), [0, 0])
        sums[0] += requests
        sums[1] += errors
        self.read(meter, region, *sums, **more)

    def read(self, meter: str, region: str, requests: int, errors: int, **more):
        """A reading as it is, read now."""
        at = more.pop("at", instant(self.ms))
        one = MeterReading(at, requests, errors, 0, 0, {}, {}, **more)
        self.latest["shop", meter, region] = one

    def look(self, after_ms: int = 200) -> Verdict | None:
        self.judging.look(self.state, self.latest, instant(self.ms))
        said = self.said()
        self.ms += after_ms
        return said[0]

    def said(self) -> tuple[Verdict | None, int]:
        return self.judging.verdict(self.state, "shop", "fra", instant(self.ms))

    def requests(self) -> int:
        said = self.said()[0]
        return said.requests if said else -1


def test_the_first_reading_of_a_return_only_begins_the_counting():
    one = Return(metered())
    one.count("entry", "fra", 5_000_000, 5_000_000)
    one.count("entry", "ber", 5_000_000)
    said = one.look()
    assert said is not None and said.kind is HOLD and said.requests == 0
    assert "nothing counted yet" in said.why
    one.count("entry", "fra", 40)
    one.count("entry", "ber", 60)
    one.look()
    assert one.requests() == 40


def test_a_sample_that_is_read_again_is_no_new_look():
    """The tick of the source says so, whenever it was read."""
    one = Return(metered(users(every_ms=1_000)))
    for tick in (1_000, 1_000, 1_000, 2_000, 2_000, 3_000):
        old = one.latest.get(("shop", "entry", "fra"))
        fresh = old is None or old.tick != tick
        for region in BOTH:
            one.count("entry", region, 50 if fresh else 0, tick=tick)
        one.look()
    assert one.requests() == 100


def test_a_look_waits_until_every_region_has_a_new_sample():
    one = Return(metered(users(every_ms=1_000)))
    for region in BOTH:
        one.count("entry", region, 0, tick=1_000)
    one.look()
    one.count("entry", "fra", 70, tick=2_000)
    one.look()
    assert one.requests() == 0
    one.count("entry", "fra", 70, tick=3_000)
    one.look()
    assert one.requests() == 0
    one.count("entry", "ber", 90, tick=3_400)
    one.look()
    assert one.requests() == 140


def test_a_late_sample_is_waited_for_and_counted_once():
    one = Return(metered(users(every_ms=1_000)))
    total = 0
    for tick in range(1_000, 21_000, 1_000):
        late = tick % 3_000 == 0
        for region in BOTH:
            if not (late and region == "ber"):
                one.count("entry", region, 25, tick=tick)
        one.look(500)
        if late:
            one.count("entry", "ber", 25, tick=tick)
            one.look(500)
        total += 25
    assert one.requests() == total - 25


def test_without_ticks_a_meter_is_looked_at_as_often_as_it_has_counts():
    """Nine tenths of its interval must be over; what came meanwhile is not lost."""
    one = Return(metered(users(every_ms=1_000)))
    seen = []
    for _ in range(20):
        for region in BOTH:
            one.count("entry", region, 10)
        one.look(200)
        seen.append(one.requests())
    assert seen[:7] == [0, 0, 0, 0, 0, 50, 50] and seen[-1] == 150


def test_without_ticks_and_interval_every_reading_is_a_look_but_the_same_is_not():
    one = Return(metered())
    for _ in range(4):
        for region in BOTH:
            one.count("entry", region, 10)
        one.look()
        one.judging.look(one.state, one.latest, instant(one.ms))
    assert one.requests() == 30


def test_the_samples_own_clock_says_how_long_a_look_took():
    one = Return(metered(users(every_ms=15_000)))
    for tick in range(15_000, 200_000, 15_000):
        for region in BOTH:
            one.count("entry", region, 7_500, tick=tick)
        one.look(60_000)
    stream = one.judging._judge.streams["shop"]
    assert stream.rung_ms == 180_000


def test_a_restarted_source_is_blind_for_a_look_and_no_longer():
    one = Return(metered())
    for _ in range(5):
        for region in BOTH:
            one.count("entry", region, 10)
        one.look()
    one.read("entry", "fra", 3, 0)
    one.count("entry", "ber", 10)
    said = one.look()
    assert said is not None and said.kind is BLIND and "restarted" in said.why
    one.read("entry", "fra", 13, 0)
    one.count("entry", "ber", 10)
    said = one.look()
    assert said is not None and said.kind is not BLIND and said.requests == 50


@pytest.mark.parametrize("how", ["frozen", "gone", "restarting"])
def test_silence_becomes_blind_and_its_length_is_told(how):
    one = Return(metered(users(every_ms=200)))
    for tick in range(1, 6):
        for region in BOTH:
            one.count("entry", region, 10, 10 if region == "fra" else 0, tick=tick)
        one.look()
    assert one.said()[0].kind is FAIL
    for step in range(20):
        one.count("entry", "ber", 10, tick=100 + step)
        if how == "gone":
            one.latest.pop(("shop", "entry", "fra"), None)
        if how == "restarting":
            one.read("entry", "fra", 5, 0, series=str(step), tick=100 + step)
        one.look()
    said, blind_ms = one.said()
    assert said is not None and said.kind is BLIND
    assert 20 * 200 <= blind_ms <= 20 * 200 + 400
    assert blind_ms > FRESH_MS


def test_each_class_of_users_is_a_stream_and_the_worst_decides():
    one = Return(metered(users("vip", whose="vip"), users("rest", whose="rest")))
    for step in range(30):
        for region in BOTH:
            bad = 40 if region == "fra" and step else 0
            one.count("vip", region, 40, bad)
            one.count("rest", region, 400)
        said = one.look()
    assert said is not None and said.kind is FAIL
    streams = one.judging._judge.streams
    assert set(streams) == {"shop/vip", "shop/rest"}
    assert one.judging._judge.verdict("shop/rest").kind is not FAIL


def test_a_class_that_never_speaks_is_blind_and_not_forgotten():
    one = Return(metered(users("vip", whose="vip"), users("rest", whose="rest")))
    for _ in range(200):
        for region in BOTH:
            one.count("rest", region, 400)
        said = one.look()
    assert said is not None and said.kind is BLIND
    assert one.said()[1] >= 199 * 200


def test_only_the_fastest_meter_of_a_stream_is_listened_to():
    one = Return(metered(users("prom", 15_000), users("edge", 1_000)))
    for tick in range(1, 40):
        for region in BOTH:
            one.count("edge", region, 10, tick=tick)
            one.count("prom", region, 10, 10, tick=tick)
        said = one.look()
    assert said is not None and said.errors == 0 and said.requests == 380


def test_another_attempt_begins_with_nothing_held_against_it():
    one = Return(metered())
    for _ in range(10):
        one.count("entry", "fra", 40, 40)
        one.count("entry", "ber", 60)
        said = one.look()
    assert said is not None and said.kind is FAIL
    one.bend(attempt=1)
    said = one.look()
    assert said is not None and said.kind is HOLD and said.requests == 0
    one.count("entry", "fra", 40)
    one.count("entry", "ber", 60)
    said = one.look()
    assert said is not None and (said.requests, said.errors) == (40, 0)


def test_nothing_is_judged_outside_of_a_return():
    one = Return(metered())
    for fields in (
        {"phase": Phase.VALIDATING},
        {"phase": Phase.RETURNING, "index": -1},
    ):
        one.bend(**fields)
        assert gated(one.state) is None and one.look() is None
        assert one.said() == (None, 0)
    one.bend(phase=Phase.SOAKING)
    one.count("entry", "fra", 1)
    one.count("entry", "ber", 1)
    assert one.look() is not None
    assert one.judging.verdict(one.state, "shop", "ber", instant(one.ms)) == (None, 0)
    closed = replace(one.state.run, status=Status.CLOSED)
    assert gated(replace(one.state, run=closed)) is None


@pytest.mark.parametrize(("index", "share"), [(0, 100), (1, 500), (2, 2500), (3, 5000)])
def test_the_look_is_told_the_rung_that_was_reached(index, share):
    one = Return(metered())
    one.bend(index=index)
    for _ in range(3):
        for region in BOTH:
            one.count("entry", region, 10)
        one.look()
    assert one.judging._judge.streams["shop"].share_bp == share


def test_what_was_proven_at_one_rung_is_not_passed_at_the_next():
    quick = replace(estate().policy.gate, dwell_ms_min=0)
    known = metered()
    one = Return(replace(known, policy=replace(known.policy, gate=quick)))
    said = None
    for _ in range(200):
        for region in BOTH:
            one.count("entry", region, 40)
        said = one.look()
        if said and said.kind is PASS:
            break
    assert said is not None and said.kind is PASS
    one.bend(index=3)
    after = one.said()[0]
    assert after is not None and after.kind is HOLD and "nothing counted" in after.why


def test_levels_of_the_region_reach_the_gate_from_all_meters():
    one = Return(metered())
    for level in (1, 2, 3):
        for region in BOTH:
            one.count("entry", region, 10, gauges={"heap": 7})
        one.count("edge", "fra", 1, gauges={"lag": level})
        one.count("edge", "ber", 1, gauges={"lag": 10**6})
        one.look()
    taken: list[dict[str, int]] = []
    judge = one.judging._judge
    usual = judge.take
    judge.take = lambda look: taken.append(look.gauges) or usual(look)
    for region in BOTH:
        one.count("entry", region, 10, gauges={"heap": 7})
    one.look()
    assert taken == [{"heap": 7, "lag": 3}]
