"""Every clever computation against its naive twin."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import median

import numpy as np
import pytest
from scipy import optimize, stats

from dayshift.gates.absolute import ODDS_TIMES, Absolute
from dayshift.gates.compare import BAND_ODDS, BANDED, STAKED, Band, Comparison
from dayshift.gates.filter import Filter, _clumped, _compound, _negative_binomial
from dayshift.gates.gauges import POINTS_MIN, RISING_MIN, Gauges
from dayshift.gates.judge import log_sum, mlog10
from dayshift.gates.noise import NODES, moved, noises, stationary
from dayshift.gates.noninferior import log_evidence, projected
from dayshift.gates.signals import Pair
from dayshift.model.estate import GatePolicy, GaugeRule
from tests.gates import naive
from tests.gates.world import ONLY_ERRORS, PPM, learned

QUIET = noises(ONLY_ERRORS, None)
STEADY = noises(ONLY_ERRORS, learned(variation_ppm=40_000, own_variation_ppm=40_000))
SPLIT_ONLY = noises(
    ONLY_ERRORS,
    learned(own_dispersion_ppm=0, variation_ppm=90_000, variation_high_ppm=160_000),
)
MIXED = noises(
    ONLY_ERRORS,
    learned(
        dispersion_ppm=2 * PPM,
        own_dispersion_ppm=2 * PPM,
        own_variation_ppm=40_000,
        own_variation_high_ppm=90_000,
    ),
)
CLUSTERED = noises(
    ONLY_ERRORS,
    learned(
        dispersion_ppm=9 * PPM,
        own_dispersion_ppm=10 * PPM,
        variation_ppm=40_000,
        variation_high_ppm=90_000,
        own_variation_ppm=40_000,
        own_variation_high_ppm=90_000,
    ),
)
KINDS = {
    "quiet": QUIET,
    "steady": STEADY,
    "split": SPLIT_ONLY,
    "mixed": MIXED,
    "clustered": CLUSTERED,
}


def block(*counts: int, level: float = 0.001, requests: float = 30_000, **more):
    return naive.Block(counts, level, requests, **more)


RUNS = {
    "one quiet block": [block(300, 1, 29_700, 28)],
    "a regression": [block(300, 6, 29_700, 30)],
    "after a step": [
        block(300, 0, 29_700, 31, stepped=True),
        block(1_500, 9, 28_500, 27, level=0.00105, elapsed_ms=15_000),
    ],
    "three blocks": [
        block(300, 1, 29_700, 40, elapsed_ms=45_000, stepped=True),
        block(1_500, 2, 28_500, 20, level=0.0011),
        block(1_500, 7, 28_500, 24, level=0.0009, requests=31_000),
    ],
    "one side empty": [block(300, 0, 0, 0), block(0, 0, 500, 9), block(400, 3, 600, 1)],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("run", RUNS)
def test_the_filter_is_the_sum_over_every_latent_path(kind, run):
    noise, blocks = KINDS[kind], RUNS[run]
    comparison = Comparison(noise)
    for one in blocks[:-1]:
        comparison.begin(np.array([one.level]), one.requests)
        counts = np.array([one.counts], dtype=float)
        comparison.close(counts, one.elapsed_ms, one.stepped)
    last = blocks[-1]
    comparison.begin(np.array([last.level]), last.requests)
    found = comparison.logs(np.array([last.counts], dtype=float))[0]
    assert found == pytest.approx(math.log(naive.evidence(noise[0], blocks)), abs=1e-6)


def test_reading_an_open_block_changes_nothing():
    comparison = Comparison(CLUSTERED)
    counts = np.array([[300.0, 4, 9_700, 9]])
    first = comparison.logs(counts)
    comparison.logs(np.array([[300.0, 40, 9_700, 0]]))
    assert comparison.logs(counts) == pytest.approx(first, abs=0)


@pytest.mark.parametrize("elapsed_ms", [200, 15_000, 60_000, 3_600_000])
def test_the_wandering_ratio_is_moved_as_its_density_says(elapsed_ms):
    assert moved(elapsed_ms) == pytest.approx(np.array(naive.moved(elapsed_ms)))
    assert stationary() == pytest.approx(np.array(naive.stationary()))
    kept = math.exp(-elapsed_ms / 300_000)
    inner = slice(2, -2)
    means = moved(elapsed_ms) @ NODES
    wide = math.sqrt(1 - kept**2) > NODES[1] - NODES[0]
    if wide:
        assert means[inner] == pytest.approx(kept * NODES[inner], abs=0.05)
    assert stationary() @ moved(elapsed_ms) == pytest.approx(stationary(), abs=0.03)


@pytest.mark.parametrize("mean", [1e-6, 0.3, 4.0, 900.0])
@pytest.mark.parametrize("spare", [0.05, 0.9, 1.9])
def test_a_mixture_is_the_negative_binomial(mean, spare):
    counts = np.array([0.0, 1, 2, 7, 40, 1000])
    law = stats.nbinom(mean / spare, 1 / (1 + spare))
    found = _clumped(counts, np.full(6, mean), np.full(6, spare))
    assert found == pytest.approx(law.logpmf(counts), rel=1e-7, abs=1e-7)
    assert law.var() == pytest.approx((1 + spare) * mean)
    shaped = stats.nbinom(0.5, 0.5 / (0.5 + mean)).logpmf(counts)
    plain = _negative_binomial(counts, 0.5, np.full(6, mean))
    assert plain == pytest.approx(shaped, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("mean", [0.01, 1.0, 20.0, 90.0])
@pytest.mark.parametrize("size", [2.0, 5.0, 9.0])
def test_clusters_are_the_direct_sum_over_their_number(mean, size):
    counts = [0, 1, 3, 12, 60, 200]
    found = _compound(np.array(counts, dtype=float), np.array(mean), np.array(size))
    direct = [math.log(max(naive.compound(x, mean, size), 1e-300)) for x in counts]
    sure = [index for index, log in enumerate(direct) if log > -200]
    assert found[sure] == pytest.approx(np.array(direct)[sure], abs=1e-6)


@pytest.mark.parametrize("mean", [2.0, 30.0])
@pytest.mark.parametrize("size", [2.5, 4.5, 8.0])
def test_clusters_of_exponential_size_are_close_to_geometric_ones(mean, size):
    """What `_compound` claims: as a law of counts, it is about Pólya's and Aeppli's."""
    counts = np.arange(0, 400)
    found = np.exp(_compound(counts.astype(float), np.array(mean), np.array(size)))
    true = np.array([naive.geometric_clusters(int(x), mean, size) for x in counts])
    assert true.sum() == pytest.approx(1, abs=1e-6)
    assert found.sum() == pytest.approx(1, abs=0.12)
    assert np.abs(found - true).sum() / 2 <= 0.1


@pytest.mark.parametrize("seed", range(20))
def test_the_projection_is_the_scalar_minimum(seed):
    """Bisected by its distance, in the log, as the rate may be next to nothing."""
    rng = np.random.default_rng(seed)
    mine, theirs = (int(10 ** rng.uniform(0, 6)) for _ in range(2))
    rate, apart = 10 ** rng.uniform(-7, -0.02), 10 ** rng.uniform(-4, math.log10(0.5))
    guess = min(rate * math.exp(rng.choice([0.0, 0.3])), 0.999)
    apart = min(apart + guess - rate, 0.999)

    def kl(q: float, p: float) -> float:
        return q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))

    def distance(log_other: float) -> float:
        other = math.exp(log_other)
        return mine * kl(guess, other + apart) + theirs * kl(rate, other)

    top = min(rate, 1 - apart)
    within = (math.log(top) - 40, math.log(top * (1 - 1e-12)))
    best = optimize.minimize_scalar(
        distance, bounds=within, method="bounded", options={"xatol": 1e-10}
    )
    other = projected(Pair(mine, 0, theirs, 0), guess, rate, apart)
    assert 0 < other <= top
    assert distance(math.log(other)) <= best.fun * (1 + 1e-9) + 1e-9
    assert log_evidence(Pair(0, 0, 5, 0), rate, apart) == 0
    assert log_evidence(Pair(5, 0, 0, 0), rate, apart) == 0


@pytest.mark.parametrize("seed", range(5))
def test_promotion_evidence_is_the_ratio_of_two_likelihoods(seed):
    rng = np.random.default_rng(seed)
    pair = Pair(900, int(rng.integers(0, 9)), 9_000, int(rng.integers(0, 30)))
    rate, excess, bias = 0.002, 0.004, 0.2
    mine = rate * math.exp(bias)
    other = projected(pair, mine, rate, mine - rate + excess)
    worse = other + mine - rate + excess
    ratio = math.prod(
        stats.binom.pmf(bad, n, chosen) / stats.binom.pmf(bad, n, nearest)
        for bad, n, chosen, nearest in (
            (pair.canary_bad, pair.canary, mine, worse),
            (pair.others_bad, pair.others, rate, other),
        )
    )
    found = log_evidence(pair, rate, excess, bias)
    assert found == pytest.approx(math.log(ratio), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_rise_is_the_median_of_all_slopes(seed):
    rng = np.random.default_rng(seed)
    points = [
        (int(at * 1000), int(1000 + 3 * at + rng.normal(0, 20)))
        for at in np.cumsum(rng.uniform(5, 30, 30))
    ]
    rule = GaugeRule("heap", 10_000, 10**9)
    gauges = Gauges([rule])
    for at, level in points:
        gauges.take(at, {"heap": level})
    slopes = [
        (right[1] - left[1]) / (right[0] - left[0])
        for left, right in combinations(points, 2)
    ]
    rising = sum(slope > 0 for slope in slopes) / len(slopes)
    assert len(points) >= POINTS_MIN and rising >= RISING_MIN
    minutes = int((10_000 - points[-1][1]) / median(slopes)) // 60_000
    assert f"10 in about {minutes} min" in str(gauges.hold_reason())


def test_many_points_are_thinned_and_give_about_the_same_slope():
    gauges = Gauges([GaugeRule("heap", 10**9, 10**12)])
    rng = np.random.default_rng(5)
    for at in range(5_000):
        gauges.take(at * 1000, {"heap": round(2 * at + rng.normal(0, 100))})
    said = str(gauges.hold_reason())
    minutes = (10**9 - 10_000) / 2 / 60
    assert float(said.split("about ")[1].split(" min")[0]) == pytest.approx(
        minutes, rel=0.05
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_log_of_a_sum(seed):
    logs = np.random.default_rng(seed).uniform(-2000, 2000, 9)
    assert log_sum(list(logs)) == pytest.approx(np.logaddexp.reduce(logs))
    assert log_sum([-1e300, 0.0]) == 0.0
    assert mlog10(math.log(100)) in (1999, 2000) and mlog10(-0.0001) == -1


@pytest.mark.parametrize("kind", KINDS)
def test_the_confidence_sequence_is_what_the_mixture_does_not_exclude(kind):
    noise = KINDS[kind]
    belief = noise[0].beliefs[-1]
    blocks = [block(1_500, 4, 28_500, 30), block(1_500, 9, 28_500, 31)]
    band = Band(noise)
    for one in blocks[:-1]:
        band.begin(np.array([one.level]), one.requests)
        band.close(np.array([one.counts], dtype=float), one.elapsed_ms)
    band.begin(np.array([blocks[-1].level]), blocks[-1].requests)
    low, high = band.read(np.array([blocks[-1].counts], dtype=float))[0]
    likely = {}
    for ratio in sorted({1.0, *BANDED}):
        tables = [
            [
                naive.emission(
                    one,
                    ratio * math.exp(belief.wander * node),
                    belief.clump,
                    noise[0].steadiness,
                )
                for node in NODES
            ]
            for one in blocks
        ]
        likely[ratio] = naive.path_likelihood(tables, blocks)
    mean = sum(likely.values()) / len(likely)
    kept = [ratio for ratio, one in likely.items() if mean / one < BAND_ODDS]
    beyond = [ratio for ratio in likely if ratio not in kept]
    assert low <= min(kept) and high >= max(kept)
    assert all(not low < ratio < high for ratio in beyond)
    below = max((one for one in beyond if one < min(kept)), default=min(kept))
    assert below <= low


def test_the_absolute_guard_is_the_mean_of_likelihood_ratios():
    policy, clump = GatePolicy(), 3.0
    guard, limit = Absolute(policy.absolute_error_bp, clump), 0.1
    guard.add(Pair(40, 9))
    guard.add(Pair(10, 0))
    odds = [limit / (1 - limit) * times for times in ODDS_TIMES]
    worse = [one / (1 + one) for one in odds]
    each = [
        ((p / limit) ** 9 * ((1 - p) / (1 - limit)) ** 41) ** (1 / clump) for p in worse
    ]
    staked = STAKED * sum(each) / 4 + 1 - STAKED
    assert guard.log() == pytest.approx(math.log(staked))
    guard.restake(60_000, False)
    guard.add(Pair(5, 5))
    part, waits = 0.5 / 11, 1 - STAKED
    later = [(p / limit) ** (5 / clump) for p in worse]
    total = sum(
        (STAKED * one + waits * part) * after
        for one, after in zip(each, later, strict=True)
    )
    assert guard.log() == pytest.approx(math.log(total / 4 + waits * (1 - part)))


def test_the_filter_never_warns_of_overflow():
    """Evidence far beyond any float is clipped, not infinite."""
    found = Filter(QUIET, np.array([[0.0, 1.0]]), [1.0, 0.7])
    with np.errstate(all="raise", under="ignore"):
        for _ in range(4):
            found.begin(np.array([1e-3]), 1e6)
            found.close(np.array([[1e9, 1e9, 1e9, 0.0]]), 60_000)
            seen, scale = found.read(np.array([[10.0, 0, 10, 0]]))
    assert np.isfinite(seen).all() and np.isfinite(scale).all()
