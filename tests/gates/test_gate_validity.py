"""Is the evidence an e-value? Exact sums where they are small, seeded draws elsewhere.

The draws come from exactly the model that is believed; what the gate does in other
worlds is in `test_gate_simulation` and in `bench`.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from dayshift.gates.absolute import Absolute
from dayshift.gates.compare import Comparison
from dayshift.gates.filter import DIFFUSE_SHAPE, DIFFUSE_TIMES
from dayshift.gates.noise import NODES, Belief, Noise, moved, noises, stationary
from dayshift.gates.noninferior import log_evidence
from dayshift.gates.signals import Pair
from dayshift.model.estate import GatePolicy
from tests.gates import naive
from tests.gates.test_gate_twins import KINDS
from tests.gates.world import ONLY_ERRORS, clumped, learned

LIMIT = math.log(100)
LEVEL, HERE, THERE = 0.001, 1_500, 28_500


def chance(n: int, x: int, p: float) -> float:
    return float(stats.binom.pmf(x, n, p))


def logs(noise: tuple[Noise, ...], *counts: int, level: float = LEVEL) -> float:
    comparison = Comparison(noise)
    comparison.begin(np.array([level]), 30_000)
    return float(comparison.logs(np.array([counts], dtype=float))[0])


@pytest.mark.parametrize("sizes", [(3, 3), (1, 12), (6, 2), (20, 80)])
def test_the_split_of_bad_answers_gives_an_e_value(sizes):
    """Whatever the number of bad ones: given it, the mean over the splits is 1 at
    most, if bad ones are independent and the ratio is the tolerated one, or less."""
    noise = noises(ONLY_ERRORS, None)
    here, there = sizes
    for bad, ratio in product(range(min(sizes) + 1), (0.5, 1.0, 1.1)):
        theta = here * ratio / (here * ratio + there)
        mean = sum(
            chance(bad, x, theta) * math.exp(logs(noise, here, x, there, bad - x))
            for x in range(bad + 1)
        )
        assert mean <= 1 + 1e-9, (bad, ratio)


@pytest.mark.parametrize("kind", ["quiet", "steady", "split", "mixed"])
@pytest.mark.parametrize("ratio", [0.3, 1.1, 4.0])
def test_a_block_is_believed_with_a_whole_density(kind, ratio):
    """Summed over all counts, what each belief says of a block is 1 at most."""
    noise = KINDS[kind][0]
    for belief in noise.beliefs:
        total = sum(
            naive.emission(
                naive.Block((300, x, 700, y), 0.004, 1_000),
                ratio,
                belief.clump if belief.clump >= 1.5 else 1.0,
                noise.steadiness,
            )
            for x, y in product(range(40), range(40))
        )
        if belief.clump < 3:
            assert 0.9 <= total <= 1 + 1e-6


class Truth:
    """Draws blocks from one belief at the tolerated ratio, as the filter supposes."""

    def __init__(self, seed: int, noise: Noise, belief: Belief) -> None:
        self.rng = np.random.default_rng(seed)
        self.noise, self.belief = noise, belief
        self.step = moved(60_000)
        self.node = int(self.rng.choice(len(NODES), p=stationary()))

    def block(self) -> tuple[int, int, int, int]:
        offset = self.noise.tolerated_log + self.belief.wander * NODES[self.node]
        ratio = math.exp(offset)
        self.node = int(self.rng.choice(len(NODES), p=self.step[self.node]))
        if self.rng.random() < self.noise.steadiness:
            mine = self._clumped(HERE * LEVEL * ratio)
            return HERE, mine, THERE, self._clumped(THERE * LEVEL)
        mean = DIFFUSE_TIMES * LEVEL * (HERE + THERE)
        part = DIFFUSE_SHAPE / (DIFFUSE_SHAPE + mean)
        total = int(self.rng.negative_binomial(DIFFUSE_SHAPE, part))
        theta = HERE * ratio / (HERE * ratio + THERE)
        if self.belief.clump >= 1.5:
            weight = LEVEL * (HERE + THERE) / (self.belief.clump - 1)
            theta = self.rng.beta(theta * weight, (1 - theta) * weight)
        mine = int(self.rng.binomial(total, theta))
        return HERE, mine, THERE, total - mine

    def _clumped(self, mean: float) -> int:
        clump = self.belief.clump
        if clump < 1.5:
            return int(self.rng.poisson(mean))
        if clump >= 3:
            return int(clumped(self.rng, mean, clump, 1)[0])
        return int(self.rng.negative_binomial(mean / (clump - 1), 1 / clump))


TRUE = [("quiet", -1), ("steady", -1), ("split", -1)]
TRUE += [(kind, which) for kind in ("mixed", "clustered") for which in (0, 1, 2)]


@pytest.mark.parametrize(("kind", "which"), TRUE)
def test_evidence_against_a_tolerable_region_has_a_mean_of_one_at_most(kind, which):
    """At fixed horizons, and crossing 100:1 at any block at most once in a hundred.

    Not for the belief that errors only now come in clumps: its null is discounted by
    what history says (`CHANGED`), so nothing is promised where it is true.
    """
    noise = KINDS[kind]
    belief = noise[0].beliefs[which]
    assert not belief.log_prior
    runs, crossed, ends = 250, 0, []
    for seed in range(runs):
        truth, comparison, top = Truth(seed, noise[0], belief), Comparison(noise), 0.0
        for _ in range(12):
            comparison.begin(np.array([LEVEL]), HERE + THERE)
            counts = np.array([truth.block()], dtype=float)
            now = float(comparison.logs(counts)[0])
            top = max(top, now)
            comparison.close(counts, 60_000, False)
        ends.append(math.exp(now))
        crossed += top >= LIMIT
    error = np.std(ends) / math.sqrt(runs)
    print(f"{kind}: mean {np.mean(ends):.3f} ± {error:.3f}, crossed {crossed}")
    assert np.mean(ends) <= 1 + 3 * error + 0.05
    assert crossed <= stats.binom.ppf(0.999, runs, 0.01)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("clump", [1, 3])
def test_the_absolute_guard_is_an_e_value_up_to_its_limit(rate, clump):
    """Exactly: also where each outcome comes `clump` times, which is what φ divides."""
    mean, groups = 0.0, 12
    for bad in range(groups + 1):
        guard = Absolute(GatePolicy().absolute_error_bp, clump)
        guard.add(Pair(groups * clump, bad * clump))
        mean += chance(groups, bad, rate) * math.exp(guard.log())
    assert mean <= 1 + 1e-9


def test_the_absolute_guard_rarely_crosses_at_its_limit_in_any_look():
    runs, crossed = 400, 0
    for seed in range(runs):
        rng, guard = np.random.default_rng(seed), Absolute(1000, 1.0)
        for look in range(120):
            guard.add(Pair(50, int(rng.binomial(50, 0.1))))
            if look % 4 == 3:
                guard.restake(60_000, look % 16 == 3)
            if guard.log() >= LIMIT:
                crossed += 1
                break
    assert crossed <= stats.binom.ppf(0.999, runs, 0.01)


@pytest.mark.parametrize("sizes", [(1, 70), (3, 12), (6, 6), (8, 2)])
@pytest.mark.parametrize("rate", [1e-6, 0.001, 0.2, 0.95])
@pytest.mark.parametrize("excess", [0.02, 0.2, 0.5])
def test_promotion_is_an_e_value_everywhere_in_its_null(sizes, rate, excess):
    mine, theirs = sizes
    found = {
        (x, y): math.exp(log_evidence(Pair(mine, x, theirs, y), rate, excess))
        for x, y in product(range(mine + 1), range(theirs + 1))
    }
    for step, above in product(range(6), (0.0, 0.1, 0.4)):
        other = step / 5 * (1 - excess)
        p = min(1.0, other + excess + above)
        here = stats.binom.pmf(range(mine + 1), mine, p)
        there = stats.binom.pmf(range(theirs + 1), theirs, other)
        mean = sum(here[x] * there[y] * e for (x, y), e in found.items())
        assert mean <= 1 + 1e-6, (p, other)


@pytest.mark.parametrize("bias", [0.1, 0.5])
def test_promotion_counts_the_excess_beyond_the_usual_ratio(bias):
    """With a lasting bias, the null is `excess` more than what is usual here."""
    rate, excess, mine, theirs = 0.02, 0.1, 12, 25
    apart = rate * math.exp(bias) - rate + excess
    for other in (0.0, 0.02, 0.3, 0.8):
        mean = sum(
            chance(mine, x, other + apart)
            * chance(theirs, y, other)
            * math.exp(log_evidence(Pair(mine, x, theirs, y), rate, excess, bias))
            for x, y in product(range(mine + 1), range(theirs + 1))
        )
        assert mean <= 1 + 1e-6, other


def test_a_region_at_the_border_is_rarely_promoted_at_any_look():
    """Rates that differ from look to look, the excess just not affordable."""
    runs, crossed, ends = 600, 0, []
    for seed in range(runs):
        rng, log, top = np.random.default_rng(seed), 0.0, 0.0
        for _ in range(80):
            rate = 0.002 * math.exp(rng.normal(0, 0.5))
            pair = Pair(
                30,
                int(rng.binomial(30, rate + 0.05)),
                900,
                int(rng.binomial(900, rate)),
            )
            log += log_evidence(pair, 0.002, 0.05)
            top = max(top, log)
        ends.append(math.exp(log))
        crossed += top >= math.log(20)
    error = np.std(ends) / math.sqrt(runs)
    assert np.mean(ends) <= 1 + 3 * error + 0.02
    assert crossed <= stats.binom.ppf(0.999, runs, 0.05)


@pytest.mark.parametrize("share", [0.01, 0.5])
@pytest.mark.parametrize("clump", [2.0, 9.0])
def test_the_urn_is_a_martingale_draw_by_draw(share, clump):
    """One more bad answer, here or there: on average the evidence stays, whatever the
    open block holds, if the urn is believed and nothing is known of the level."""
    ppm = round(1e6 * clump)
    noise = noises(ONLY_ERRORS, learned(dispersion_ppm=ppm, own_dispersion_ppm=0))
    alone = tuple(
        Noise(
            one.bound_us,
            one.tolerated_log,
            one.ratio_logs,
            (Belief(clump, 0.0, 0.0),),
        )
        for one in noise
    )
    total, level = 30_000, 0.001
    here = round(total * share)
    ratio = math.exp(alone[0].tolerated_log)
    theta = here * ratio / (here * ratio + total - here)
    weight = level * total / (clump - 1)
    for x, y in product(range(5), range(5)):
        draw = (theta * weight + x) / (weight + x + y)
        now, more, less = (
            math.exp(logs(alone, here, a, total - here, b))
            for a, b in ((x, y), (x + 1, y), (x, y + 1))
        )
        assert draw * more + (1 - draw) * less == pytest.approx(now, rel=1e-6)
