"""What is learned of simulated histories whose habits are known."""

from __future__ import annotations

import math
from dataclasses import replace as remake
from itertools import islice

import msgspec
import numpy as np
import pytest

from dayshift.gates import Judge, Look, calibrate, detectable, resolution
from dayshift.gates.noise import noises
from dayshift.model.calibration import Calibration, SignalNoise
from dayshift.model.estate import GatePolicy
from dayshift.model.evidence import BEYOND_US, Counts, VerdictKind
from tests.gates.world import AMS, FRA, PPM, SCRAPE_MS, Version, drawn, history

SEEDS = range(6)


def learnt(seed: int, hours: float = 8, **habits) -> Calibration:
    return calibrate(history(seed, hours, **habits), FRA)[0]


def errors(one: Calibration) -> SignalNoise:
    assert one.signals[0].bound_us == 0
    return one.signals[0]


def mean(field: str, **habits) -> float:
    return float(np.mean([getattr(errors(learnt(s, **habits)), field) for s in SEEDS]))


def test_what_was_counted_is_told_as_it_was():
    looks = list(history(1, 3))
    one = calibrate(looks, FRA, learned_wall_ms=77)[0]
    assert (one.stream, one.region, one.learned_wall_ms) == ("service", FRA, 77)
    assert (one.looks, one.look_ms) == (720, SCRAPE_MS)
    assert one.span_ms == 3 * 3_600_000 and one.trusted and not one.why
    counts = [counts for look in looks for counts in look.regions.values()]
    assert one.requests == sum(each.requests for each in counts)
    assert one.errors == sum(each.errors for each in counts)
    assert one.mrps == pytest.approx(500_000, rel=0.01)
    assert msgspec.json.decode(msgspec.json.encode(one), type=Calibration) == one


@pytest.mark.parametrize("rate", [0.0005, 0.01])
def test_the_usual_rate_is_found_and_independent_errors_do_not_clump(rate):
    assert mean("usual_ppb", rate=rate) == pytest.approx(rate * 1e9, rel=0.05)
    assert 0.95 * PPM <= mean("dispersion_ppm", rate=rate) <= 1.2 * PPM
    assert mean("variation_ppm", rate=rate) <= 15_000


@pytest.mark.parametrize("clump", [3.0, 15.0])
def test_clumps_are_found(clump):
    for field in ("dispersion_ppm", "own_dispersion_ppm"):
        found = mean(field, hours=12, rate=0.002, clump=clump) / PPM
        assert found == pytest.approx(clump, rel=0.2), field


@pytest.mark.parametrize("wander", [0.2, 0.4])
def test_wandering_is_found_and_its_upper_end_beside_it(wander):
    habits = {"hours": 24, "rate": 0.01, "wander": wander}
    found = mean("variation_ppm", **habits) / PPM
    assert found == pytest.approx(wander**2, rel=0.35)
    assert mean("variation_high_ppm", **habits) > found * PPM
    assert mean("own_variation_ppm", **habits) / PPM == pytest.approx(
        wander**2, rel=0.35
    )


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.3])
def test_a_lasting_bias_is_found_and_its_uncertainty_honest(ratio):
    shown = [errors(learnt(seed, 24, ratio=ratio)) for seed in SEEDS]
    gaps = [
        (one.bias_ppm - math.log(ratio) * PPM) / max(one.bias_sd_ppm, 1)
        for one in shown
    ]
    assert abs(np.mean([one.bias_ppm for one in shown]) / PPM - math.log(ratio)) < 0.05
    assert max(map(abs, gaps)) < 4


def test_little_history_pulls_the_bias_towards_none():
    short = errors(learnt(3, 0.25, rate=0.0002, ratio=3))
    assert abs(short.bias_ppm) < 0.6 * math.log(3) * PPM
    assert short.bias_sd_ppm > 50_000


def test_shared_bursts_are_left_out():
    """The gate freezes in them; a history with some is as one without."""

    def bursts(step: int) -> float:
        return 20.0 if step % 240 >= 236 else 1.0

    for seed in SEEDS:
        calm, burst = learnt(seed), learnt(seed, bursts=bursts)
        assert burst.errors > 1.2 * calm.errors
        assert errors(burst).usual_ppb == pytest.approx(errors(calm).usual_ppb, rel=0.1)
        assert errors(burst).dispersion_ppm <= 1.3 * PPM
        assert errors(burst).own_dispersion_ppm <= 1.6 * PPM


@pytest.mark.parametrize(
    ("hours", "rps", "why"),
    [
        (1.9, 500, "min of history, 120 min needed"),
        (3, 0.9, "requests in the history, 10000 needed"),
        (0, 500, "only 0 min"),
    ],
)
def test_too_little_history_is_not_trusted_and_says_so(hours, rps, why):
    looks = list(history(1, hours, rps=max(2, int(rps))))
    if rps < 1:
        looks = looks[::2]
        looks = [
            msgspec.structs.replace(
                look, regions={name: Counts(6) for name in look.regions}
            )
            for look in looks
        ]
        looks = [msgspec.structs.replace(look, span_ms=2 * SCRAPE_MS) for look in looks]
    found = calibrate(looks, FRA)
    if not hours:
        assert found == ()
        return
    assert not found[0].trusted and why in found[0].why
    judge = Judge(GatePolicy(trusted=True), found, FRA)
    regions = {FRA: Counts(3_750, 300), AMS: Counts(3_750, 3)}
    for at in range(6):
        said = judge.observe(Look(at, SCRAPE_MS, 5000, regions))
    assert said.kind is VerdictKind.HOLD and "not trusted" in said.why


def test_looks_without_a_region_are_left_out_and_streams_kept_apart():
    looks = list(islice(history(2, 3), 40))
    holes = [
        msgspec.structs.replace(look, regions={**look.regions, AMS: None})
        if number % 4 == 0
        else look
        for number, look in enumerate(looks)
    ]
    other = [msgspec.structs.replace(look, stream="mail/vip") for look in looks[:5]]
    mail, shop = calibrate([*holes, *other], FRA)
    assert (mail.stream, mail.looks) == ("mail/vip", 5)
    assert (shop.stream, shop.looks) == ("service", 30)
    assert calibrate([], FRA) == ()


def timed(seed: int, steps: int, new: Version, old: Version) -> list[Look]:
    rng = np.random.default_rng(seed)
    return [
        Look(
            (at + 1) * 60_000,
            60_000,
            5000,
            {FRA: drawn(rng, 5_000, new), AMS: drawn(rng, 5_000, old)},
        )
        for at in range(steps)
    ]


def test_the_bounds_in_the_tail_are_learned_and_judged_without_being_named():
    usual = Version(0.001, 0.03, 0.004)
    one = calibrate(timed(1, 180, usual, usual), FRA)[0]
    assert [signal.bound_us for signal in one.signals] == [0, 100_000, 250_000]
    assert one.signals[1].usual_ppb == pytest.approx(0.03e9, rel=0.05)
    assert len(noises(GatePolicy(), one)) == 3
    judge = Judge(GatePolicy(warmup_ms=0), (one,), FRA)
    slower = remake(usual, over_100=0.06, over_250=0.012)
    kinds = [judge.observe(look).kind for look in timed(2, 10, slower, usual)]
    assert VerdictKind.FAIL in kinds
    judge = Judge(GatePolicy(warmup_ms=0), (one,), FRA)
    kinds = [judge.observe(look).kind for look in timed(2, 60, usual, usual)]
    assert VerdictKind.FAIL not in kinds and kinds[-1] is VerdictKind.PASS


@pytest.mark.parametrize("over", [0.0001, 0.6])
def test_a_bound_that_hardly_any_or_most_answers_exceed_is_not_learned(over):
    version = Version(0.001, over, over / 2)
    bounds = {
        signal.bound_us
        for signal in calibrate(timed(1, 130, version, version), FRA)[0].signals
    }
    assert 100_000 not in bounds and BEYOND_US not in bounds


def test_a_habit_of_the_region_is_not_held_against_it():
    """A third more errors for weeks: no regression; three times as many: one."""
    known = tuple(calibrate(history(5, 24, ratio=1.33), FRA))
    judge = Judge(GatePolicy(), known, FRA)
    for look in islice(history(6, 2, ratio=1.33), 240):
        assert judge.observe(look).kind is not VerdictKind.FAIL
    judge = Judge(GatePolicy(), known, FRA)
    kinds = {judge.observe(look).kind for look in history(7, 1, ratio=4.0)}
    assert VerdictKind.FAIL in kinds


def test_what_a_rung_would_show_shrinks_with_time_and_grows_with_noise():
    calm, rough = learnt(1), learnt(1, clump=15, wander=0.4)
    policy = GatePolicy()
    shown = [detectable(policy, calm, 500, minutes) for minutes in (2, 10, 60)]
    assert all(one for one in shown) and shown == sorted(shown, reverse=True)
    assert detectable(policy, rough, 500, 10) > shown[1]
    assert detectable(policy, calm, 500, 0.0) is None
    speeds = resolution(policy, calm, SCRAPE_MS, 500_000, (100, 500, 2500, 5000))
    assert [one.share_bp for one in speeds] == [100, 500, 2500, 5000]
    assert all(one.outage_ms == SCRAPE_MS for one in speeds)
    assert all(one.tenfold_ms <= one.twofold_ms for one in speeds if one.twofold_ms)
    blind = resolution(policy, None, SCRAPE_MS, 500_000, (100,))[0]
    assert blind.tenfold_ms is None and blind.outage_ms


def test_what_is_said_of_an_outage_and_of_tenfold_errors_is_about_so():
    """The plan's words against the gate itself, at one share."""
    one = learnt(1)
    speed = resolution(GatePolicy(), one, SCRAPE_MS, 500_000, (2500,))[0]
    took = []
    for seed in range(20):
        rng, judge = np.random.default_rng(seed), Judge(GatePolicy(), (one,), FRA)
        for at in range(1, 80):
            regions = {
                FRA: Counts(1_875, int(rng.poisson(18.75))),
                AMS: Counts(5_625, int(rng.poisson(5.6))),
            }
            look = Look(at * SCRAPE_MS, SCRAPE_MS, 2500, regions)
            if judge.observe(look).kind is VerdictKind.FAIL:
                break
        took.append(at * SCRAPE_MS)
    assert np.median(took) / 2.5 <= speed.tenfold_ms <= np.median(took) * 2.5
