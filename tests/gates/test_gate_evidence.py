"""Is the evidence what the docstrings claim? Exact sums and naive twins."""

from __future__ import annotations

import math
import random
from itertools import pairwise, product

import msgspec
import pytest

from dayshift.gates import Block, JudgeState, observe
from dayshift.gates.compare import (
    Model,
    Question,
    absolute_ratios,
    log_ratios,
    questions,
)
from dayshift.gates.judge import evidence
from dayshift.gates.look import BLOCK_MS
from dayshift.gates.noninferior import log_evidence, projected
from dayshift.gates.power import fresh_log, smallest_bp
from dayshift.gates.signals import Pair
from dayshift.model.estate import GatePolicy
from dayshift.model.evidence import Counts
from tests.gates.world import DEMO, binomial

PLAIN = msgspec.structs.replace(DEMO, slow_us=())
ROUGH = msgspec.structs.replace(PLAIN, dispersion_ppm=3_000_000, variation_ppm=200_000)


def choose(n: int, k: int) -> float:
    return math.comb(n, k) if 0 <= k <= n else 0


def question(policy: GatePolicy = PLAIN) -> Question:
    return questions(policy)[0]


@pytest.mark.parametrize("sizes", [(1, 1), (1, 70), (2, 5), (6, 6), (9, 3), (20, 60)])
@pytest.mark.parametrize("odds", [0.3, 1.0, 1.1])
def test_each_look_is_an_e_value_given_its_totals(sizes, odds):
    mine, theirs = sizes
    for bad in range(1, mine + theirs + 1):
        weights = [
            choose(mine, x) * choose(theirs, bad - x) * odds**x for x in range(bad + 1)
        ]
        pairs = [Pair(mine, x, theirs, bad - x) for x in range(bad + 1)]
        logs = [log_ratios(pair, question(), Model(1.0, 0.0)) for pair in pairs]
        for g in range(len(question().ratios)):
            mean = sum(
                w * math.exp(log[g]) for w, log in zip(weights, logs, strict=True) if w
            ) / sum(weights)
            assert mean <= 1 + 1e-9, (bad, g)


@pytest.mark.parametrize("cv2", [0.05, 0.5])
@pytest.mark.parametrize("share", [0.01, 0.5])
def test_the_urn_is_a_martingale_draw_by_draw(cv2, share):
    n, base = 10_000, share * 1.1 / (share * 1.1 + 1 - share)
    rho = 2 * cv2 * base * (1 - base)
    balls, mine = (1 - rho) / rho, round(share * n)
    for x, rest in product(range(5), range(5)):
        draw = (x + base * balls) / (x + rest + balls)
        now, more, less = (
            log_ratios(Pair(mine, a, n - mine, b), question(), Model(1.0, cv2))
            for a, b in ((x, rest), (x + 1, rest), (x, rest + 1))
        )
        for g in range(len(now)):
            after = draw * math.exp(more[g]) + (1 - draw) * math.exp(less[g])
            assert after == pytest.approx(math.exp(now[g]), rel=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.02])
def test_the_absolute_guard_is_an_e_value_below_its_limit(rate):
    for step in range(4):
        mean = sum(
            choose(12, x)
            * rate**x
            * (1 - rate) ** (12 - x)
            * math.exp(absolute_ratios(Pair(12, x), PLAIN)[step])
            for x in range(13)
        )
        assert mean <= 1 + 1e-9


@pytest.mark.parametrize("sizes", [(1, 70), (3, 12), (6, 6), (8, 2)])
@pytest.mark.parametrize("rate", [1e-6, 0.001, 0.2, 0.95])
@pytest.mark.parametrize("excess", [0.02, 0.2, 0.5])
def test_promotion_is_an_e_value_everywhere_in_its_null(sizes, rate, excess):
    mine, theirs = sizes
    logs = {
        (x, y): log_evidence(Pair(mine, x, theirs, y), rate, excess)
        for x, y in product(range(mine + 1), range(theirs + 1))
    }
    for step, above in product(range(6), (0.0, 0.1, 0.4)):
        other = step / 5 * (1 - excess)
        p = min(1.0, other + excess + above)
        mean = sum(
            choose(mine, x)
            * p**x
            * (1 - p) ** (mine - x)
            * choose(theirs, y)
            * other**y
            * (1 - other) ** (theirs - y)
            * math.exp(log)
            for (x, y), log in logs.items()
        )
        assert mean <= 1 + 1e-6, (p, other)


def test_the_projection_is_the_nearest_point_of_the_null():
    pair, rate, excess = Pair(40, 0, 60, 0), 0.1, 0.05

    def distance(other: float) -> float:
        def kl(q: float, p: float) -> float:
            return q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))

        return 40 * kl(rate, other + excess) + 60 * kl(rate, other)

    best = projected(pair, rate, excess)
    assert distance(best) <= min(distance(best + d) for d in (-1e-4, 1e-4))


def naive_rollback(looks: list[Pair], blocks: list[int], policy: GatePolicy) -> float:
    """Every start time and every ratio multiplied out, without a logarithm."""

    def share(pair: Pair, ratio: float) -> float:
        mine = pair.canary / (pair.canary + pair.others) * ratio
        return mine / (mine + pair.others / (pair.canary + pair.others))

    def likelihood(theta: float, pair: Pair) -> float:
        bad = pair.canary_bad + pair.others_bad
        return (
            math.comb(bad, pair.canary_bad)
            * theta**pair.canary_bad
            * (1 - theta) ** pair.others_bad
        )

    limit = policy.absolute_error_bp / 10_000
    factors = [
        [
            likelihood(share(one, 1.1 * g), one) / likelihood(share(one, 1.1), one)
            for g in question(policy).ratios
        ]
        for one in looks
    ]
    guards = [
        [
            (p / limit) ** one.canary_bad
            * ((1 - p) / (1 - limit)) ** (one.canary - one.canary_bad)
            for p in (limit + s * (1 - limit) for s in (0.05, 0.2, 0.5, 0.9))
        ]
        for one in looks
    ]

    def staked(table: list[list[float]]) -> float:
        starts, waiting = [(0, 0.6)], 0.4
        for begin in blocks:
            starts.append((begin, 0.02 * waiting))
            waiting *= 0.98
        total = waiting
        for begin, weight in starts:
            grown = [math.prod(column) for column in zip(*table[begin:], strict=True)]
            total += weight * (sum(grown) / len(grown) if grown else 1.0)
        return total

    return 0.9 * staked(factors) + 0.1 * staked(guards)


@pytest.mark.parametrize("seed", range(8))
def test_the_evidence_is_the_naive_product(seed):
    rng, state = random.Random(seed), JudgeState()
    looks, blocks = [], []
    for index in range(30):
        if index in (10, 17, 25):
            blocks.append(index)
        mine, theirs = rng.randint(1, 9), rng.randint(20, 80)
        pair = Pair(mine, binomial(rng, mine, 0.08), theirs, rng.randint(0, 2))
        # Never an incident: at most 9 errors of the others in a block of few looks.
        pair = pair if rng.random() < 0.15 else Pair(mine, pair.canary_bad, theirs, 0)
        looks.append(pair)
        share = 100 + 100 * len(blocks)
        block = Block(Counts(mine, pair.canary_bad), Counts(theirs, pair.others_bad))
        state = observe(state, block, PLAIN, 200, share, 5000)
        assert not state.incident
        found = math.exp(evidence(state, PLAIN).merged)
        assert found == pytest.approx(naive_rollback(looks, blocks, PLAIN), rel=1e-9)


def test_a_minute_is_one_urn_however_often_it_is_looked_at():
    looks = [Pair(4, x, 96, y) for x, y in ((0, 1), (2, 0), (0, 0), (1, 1))]
    often, once = JudgeState(), JudgeState()
    for one in looks:
        block = Block(Counts(4, one.canary_bad), Counts(96, one.others_bad))
        often = observe(often, block, ROUGH, 200, 400, 400)
    whole = Block(Counts(16, 3), Counts(384, 2))
    once = observe(once, whole, ROUGH, 800, 400, 400)
    assert evidence(often, ROUGH).merged == pytest.approx(
        evidence(once, ROUGH).merged, rel=1e-9
    )


def test_a_closed_minute_keeps_its_evidence_and_stakes_anew():
    block = Block(Counts(4, 1), Counts(96, 1))
    state = observe(JudgeState(), block, ROUGH, BLOCK_MS, 400, 400)
    before = evidence(state, ROUGH)
    after = observe(state, Block(Counts(0), Counts(96)), ROUGH, 200, 400, 400)
    assert after.waiting == pytest.approx(0.4 * 0.98)
    assert evidence(after, ROUGH).signals == pytest.approx(before.signals, rel=1e-9)


def test_more_dispersion_never_adds_evidence():
    pair = Block(Counts(10, 4), Counts(990, 4))
    found = []
    for clump, cv2 in ((1, 0), (2, 0), (4, 0), (4, 0.1), (4, 0.5)):
        policy = msgspec.structs.replace(
            PLAIN, dispersion_ppm=clump * 1_000_000, variation_ppm=int(cv2 * 1e6)
        )
        state = observe(JudgeState(), pair, policy, 200, 100, 500)
        found.append(evidence(state, policy).merged)
    assert all(b <= a + 1e-12 for a, b in pairwise(found)) and found[0] > found[-1] + 1


@pytest.mark.parametrize(
    "rung",
    [Pair(14, 0, 1386, 0), Pair(73, 0, 1400, 2), Pair(600, 3, 1800, 9)],
)
def test_the_smallest_regression_is_found_in_eight_of_ten(rung):
    """The promise of `smallest_bp`, by drawing rungs at exactly that excess."""
    rate = smallest_bp(rung, PLAIN) / 10_000 + rung.others_bad / rung.others
    rng, need = random.Random(7), math.log(PLAIN.rollback_odds)
    found = sum(
        fresh_log(rung, binomial(rng, rung.canary, rate), PLAIN) >= need
        for _ in range(1500)
    )
    assert 0.77 <= found / 1500 <= 0.86


@pytest.mark.parametrize(("share", "requests"), [(100, 14), (500, 75)])
def test_look_by_look_it_is_found_about_as_often(share, requests):
    others = requests * 10_000 // share - requests
    rate = smallest_bp(Pair(requests, 0, others, 0), PLAIN) / 10_000
    found = 0
    for seed in range(400):
        rng, state, left = random.Random(seed), JudgeState(), requests
        while left:
            mine = min(left, binomial(rng, 70, share / 10_000))
            left -= mine
            block = Block(Counts(mine, binomial(rng, mine, rate)), Counts(70 - mine))
            state = observe(state, block, PLAIN, 200, share, share)
            if evidence(state, PLAIN).merged >= math.log(PLAIN.rollback_odds):
                found += 1
                break
    assert 0.72 <= found / 400 <= 0.88
