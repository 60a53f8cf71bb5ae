"""What an adversary found once: each was a way to mislead the gate."""

from __future__ import annotations

import msgspec
import numpy as np

from dayshift.gates import Judge, Look
from dayshift.model.calibration import SignalNoise
from dayshift.model.estate import GatePolicy, GaugeRule
from dayshift.model.evidence import BEYOND_US, Counts, VerdictKind
from tests.core.test_judging import BOTH, Return, metered, users
from tests.gates.world import (
    AMS,
    FRA,
    ONLY_ERRORS,
    PPM,
    SCRAPE_MS,
    Rng,
    learned,
    told,
)

PASS, HOLD = VerdictKind.PASS, VerdictKind.HOLD
FAIL, BLIND = VerdictKind.FAIL, VerdictKind.BLIND
HOT = GatePolicy(warmup_ms=0)
SEEDS = range(8)


def bad(rng: Rng, requests: int, rate: float) -> Counts:
    return Counts(requests, int(rng.binomial(requests, rate)))


def timed(rng: Rng, requests: int, errors: float, slow: float) -> Counts:
    quick = requests - int(rng.binomial(requests, slow))
    failed = int(rng.binomial(requests, errors))
    return Counts(requests, failed, {250_000: quick, BEYOND_US: requests})


def look(share: int, here: Counts | None, there: Counts | None, **more) -> Look:
    return Look(0, SCRAPE_MS, share, {FRA: here, AMS: there}, **more)


def sighted(slow: float, stream: str = "service"):
    one = learned(0.001, stream)
    signal = SignalNoise(250_000, round(slow * 1e9), own_dispersion_ppm=PPM)
    return msgspec.structs.replace(one, signals=(*one.signals, signal))


def test_usual_errors_at_the_entry_are_nobodys_outage():
    """Both meters silent, 0.3 % errors as always: that is 30 % of 1 % of them."""
    for seed in SEEDS:
        rng, judge = np.random.default_rng(seed), Judge(HOT, (learned(0.003),), FRA)
        for _ in range(20):
            said = judge.observe(look(100, None, None, entry=bad(rng, 7_500, 0.003)))
            assert said.kind is not FAIL, seed


def test_an_entry_and_a_meter_a_scrape_apart_are_no_regression():
    for seed in SEEDS:
        rng, judge = np.random.default_rng(seed), Judge(HOT, (learned(),), FRA)
        before = bad(rng, 7_425, 0.001)
        for _ in range(40):
            there = bad(rng, 7_425 + round(rng.normal(0, 86)), 0.001)
            here = bad(rng, 75, 0.001)
            entry = Counts(there.requests + 75, there.errors + here.errors)
            assert judge.observe(look(100, None, before, entry=entry)).kind is not FAIL
            before = there


def test_looks_of_the_entry_only_are_not_compared():
    whole, mixed = (Judge(HOT, (learned(),), FRA) for _ in range(2))
    for _ in range(3):
        for judge in (whole, mixed):
            judge.observe(look(500, Counts(375, 0), Counts(7_125, 7)))
        mixed.observe(look(500, None, None, entry=Counts(7_500, 7)))
    one, other = (judge.streams["service"].signals[0].run for judge in (whole, mixed))
    assert other.canary_bad == one.canary_bad
    against = [float(judge.streams["service"].against()[0]) for judge in (whole, mixed)]
    assert against[1] <= against[0] + 0.1


def test_a_bound_without_history_only_holds():
    """`slow` named in the policy, history trusted but of other bounds: noisy, and half
    as much again in fra since ever."""
    policy = GatePolicy(slow_us=(250_000,), warmup_ms=0)
    for seed in SEEDS:
        rng, judge = np.random.default_rng(seed), Judge(policy, (learned(),), FRA)
        for _ in range(60):
            noise = np.exp(rng.normal(0, 0.4, 2))
            here = timed(rng, 3_750, 0.001, 0.045 * float(noise[0]))
            there = timed(rng, 3_750, 0.001, 0.03 * float(noise[1]))
            assert judge.observe(look(5000, here, there)).kind is not FAIL, seed


def test_a_difference_that_does_not_matter_hides_no_other_signal():
    rng, judge = np.random.default_rng(0), Judge(HOT, (sighted(0.0002),), FRA)
    kinds = set()
    for _ in range(40):
        here = timed(rng, 375_000, 0.0015, 0.0006)
        there = timed(rng, 375_000, 0.001, 0.0002)
        kinds.add(judge.observe(look(5000, here, there)).kind)
    assert FAIL in kinds


def test_a_difference_that_does_not_matter_hides_no_other_service():
    history = (sighted(0.0002, "big"), learned(0.001, "small"))
    rng, judge = np.random.default_rng(0), Judge(HOT, history, FRA, streams=2)
    kinds = set()
    for _ in range(40):
        here = timed(rng, 375_000, 0.001, 0.0006)
        there = timed(rng, 375_000, 0.001, 0.0002)
        judge.observe(look(5000, here, there, stream="big"))
        small = look(5000, bad(rng, 375, 0.01), bad(rng, 375, 0.001), stream="small")
        kinds.add(judge.observe(small).kind)
    assert FAIL in kinds


def test_an_outage_of_one_region_is_one_while_the_others_are_a_little_worse():
    for seed in SEEDS:
        rng, judge = np.random.default_rng(seed), Judge(HOT, (learned(),), FRA)
        for _ in range(8):
            said = judge.observe(
                look(5000, bad(rng, 3_750, 1.0), bad(rng, 3_750, 0.005))
            )
            if said.kind is FAIL:
                break
        assert said.kind is FAIL, seed


def test_bursts_elsewhere_excuse_only_bursts():
    """fra fails 2.5 % all the time, the others 0.1 %, and 0.8 % in every third look."""
    for seed in SEEDS:
        rng, judge = np.random.default_rng(seed), Judge(GatePolicy(), (learned(),), FRA)
        kinds = set()
        for at in range(120):
            there = bad(rng, 7_425, 0.001 if at % 3 else 0.008)
            kinds.add(judge.observe(look(100, bad(rng, 75, 0.025), there)).kind)
            assert PASS not in kinds, (seed, at)


def test_a_regression_after_hours_of_health_is_found_as_soon_as_at_first():
    rng, judge = np.random.default_rng(0), Judge(HOT, (learned(),), FRA)
    for _ in range(4 * 240):
        judge.observe(look(5000, bad(rng, 3_750, 0.001), bad(rng, 3_750, 0.001)))
    for _ in range(4 * 12):
        said = judge.observe(look(5000, bad(rng, 3_750, 0.003), bad(rng, 3_750, 0.001)))
        if said.kind is FAIL:
            break
    assert said.kind is FAIL


def test_a_gauge_that_is_seen_no_more_holds():
    policy = msgspec.structs.replace(ONLY_ERRORS, gauges=(GaugeRule("lag", 2_000),))
    judge = Judge(policy, (), FRA)
    for at in range(600):
        regions = {FRA: told(5), AMS: told(350)}
        levels = {} if at else {"lag": 5}
        said = judge.observe(Look(at * 1000, 1000, 100, regions, gauges=levels))
    assert said.kind is HOLD and "not seen" in said.why


def test_blind_never_fails():
    judge = Judge(HOT, (learned(),), FRA)
    for _ in range(3):
        said = judge.observe(look(5000, None, None, entry=Counts(7_500, 7_500)))
    assert said.kind is FAIL
    assert judge.observe(look(5000, None, None)).kind is BLIND


def test_nothing_passes_together_before_every_stream_was_seen():
    rng, judge = np.random.default_rng(0), Judge(HOT, (learned(),), FRA, streams=3)
    for _ in range(60):
        said = judge.observe(look(5000, bad(rng, 3_750, 0.001), bad(rng, 3_750, 0.001)))
        assert said.kind is not PASS


def test_counts_are_fresh_as_long_as_their_meter_is_on_time():
    one = Return(metered(users("prom", SCRAPE_MS)))
    blind = 0
    for step in range(75 * 20):
        if step % 75 == 0:
            for region in BOTH:
                one.count("prom", region, 3_750, tick=1 + step * 200)
        said = one.look()
        blind += said is not None and said.kind is BLIND
    assert blind == 0


def test_the_clock_of_a_source_may_jump_without_proving_anything():
    one, tick = Return(metered(users("prom", 1_000))), 0
    for step in range(30):
        tick += 3_600_000 if step == 20 else 1_000
        for region in BOTH:
            one.count("prom", region, 50, tick=tick)
        said = one.look(1_000)
    assert said is not None and said.kind is not PASS
    assert one.judging._judge.streams["shop"].rung_ms < 60_000


def test_after_a_step_down_nothing_waits_for_caches():
    judge = Judge(GatePolicy(dwell_ms_min=0), (sighted(0.03),), FRA)
    rng = np.random.default_rng(0)
    for share, looks in ((5000, 20), (100, 5)):
        for _ in range(looks):
            mine = 7_500 * share // 10_000
            here = timed(rng, mine, 0.0, 0.03)
            said = judge.observe(look(share, here, timed(rng, 7_500 - mine, 0, 0.03)))
    assert "caches were cold" not in said.why
