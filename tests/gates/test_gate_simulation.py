"""What the gate does with whole returns: false alarms, detection, speed. Fixed seeds.

The figures are printed (`pytest -s`); the bounds are what the project promises.
"""

from __future__ import annotations

import random
from statistics import median

import msgspec
import pytest

from dayshift.gates import Block, JudgeState, observe
from dayshift.gates.judge import evidence
from dayshift.model.evidence import Counts, VerdictKind
from tests.gates.world import DEFAULT_TRUSTED, DEMO, Return, Version, binomial, play

FAIL, PASS = VerdictKind.FAIL, VerdictKind.PASS
HEALTHY = Version(errors=0.0005)
SHORT = msgspec.structs.replace(DEFAULT_TRUSTED, dwell_ms_min=5_000)
"""The default policy but for its dwell, which only makes the test long."""


def part(returns: list[Return], kind: VerdictKind) -> float:
    return sum(one.kind is kind for one in returns) / len(returns)


def tell(name: str, returns: list[Return]) -> None:
    failed = [one for one in returns if one.kind is FAIL]
    line = f"{name}: failed {len(failed)} of {len(returns)}"
    if failed:
        after = sorted(one.after_first_bad_ms for one in failed)
        line += (
            f", after {median(after):.0f} ms (p90 {after[len(after) * 9 // 10]}, "
            f"max {after[-1]}), hurt {median(one.hurt for one in failed):.0f} "
            f"(max {max(one.hurt for one in failed)}), at rungs "
            f"{sorted({one.rung for one in failed})}"
        )
    print(line)


def test_a_healthy_return_is_rarely_turned_back_with_the_demo_policy():
    returns = [play(seed, DEMO, HEALTHY) for seed in range(500)]
    tell("healthy, demo policy", returns)
    assert part(returns, FAIL) <= 0.01
    assert part(returns, PASS) >= 0.95


def test_a_healthy_return_is_rarely_turned_back_with_the_default_policy():
    returns = [
        play(seed, SHORT, Version(0.001), rps=2000, soak_ms=5_000)
        for seed in range(500)
    ]
    tell("healthy, default policy, trusted", returns)
    assert part(returns, FAIL) <= 0.01
    assert part(returns, PASS) >= 0.95


def test_bursts_that_all_regions_share_turn_nobody_back():
    """Every other second the error rate of everybody is 60 times as high."""

    def weather(rng: random.Random, ms: int) -> float:
        return 60.0 if ms // 1000 % 2 else 1.0

    returns = [
        play(seed, DEMO, HEALTHY, weather=weather, limit_ms=20_000)
        for seed in range(60)
    ]
    tell("healthy, shared bursts", returns)
    assert part(returns, FAIL) <= 0.02


def test_clumped_errors_turn_nobody_back_when_the_calibration_knows():
    """Bad answers come in threes; φ = 3 says so, φ = 1 would be wrong."""
    rough = msgspec.structs.replace(DEMO, slow_us=(), dispersion_ppm=3_000_000)
    crossed = {1: 0, 3: 0}
    for seed in range(150):
        rng = random.Random(seed)
        states = {1: JudgeState(), 3: JudgeState()}
        top = {1: 0.0, 3: 0.0}
        for _ in range(300):
            canary = Counts(17, min(17, 3 * binomial(rng, 17, 0.004)))
            others = Counts(53, min(53, 3 * binomial(rng, 53, 0.004)))
            for clump in (1, 3):
                policy = msgspec.structs.replace(
                    rough, dispersion_ppm=clump * 1_000_000, absolute_error_bp=9000
                )
                state = observe(
                    states[clump], Block(canary, others), policy, 200, 2500, 5000
                )
                states[clump] = state
                top[clump] = max(top[clump], evidence(state, policy).merged)
        for clump in (1, 3):
            crossed[clump] += top[clump] >= 4.605
    print(f"clumps of 3: crossed {crossed} of 150 by the φ believed")
    assert crossed[3] <= 2 and crossed[1] > crossed[3]


@pytest.mark.parametrize(
    ("policy", "limit_ms"), [(DEMO, 10_000), (DEFAULT_TRUSTED, 60_000)]
)
def test_a_release_that_fails_and_is_slow_leaves_at_the_first_rung(policy, limit_ms):
    """The default policy names no bound for slowness, so it sees only the errors."""
    returns = [
        play(seed, policy, Version(0.05, 1.0, 1.0), Version()) for seed in range(200)
    ]
    tell("5 % errors and slow", returns)
    in_time = [one for one in returns if one.after_first_bad_ms <= limit_ms]
    assert part(returns, FAIL) == 1.0 and len(in_time) >= 0.95 * len(returns)
    assert max(one.hurt for one in returns) < 10
    assert {one.rung for one in returns} == {1}


def test_a_release_that_only_fails_sometimes_is_caught_before_a_quarter():
    """Odds of 20:1 let 5 % failures through rung two once in a hundred returns."""
    returns = [play(seed, DEMO, Version(0.05), Version()) for seed in range(200)]
    tell("5 % errors only", returns)
    assert part(returns, FAIL) == 1.0
    assert sum(one.rung <= 2 for one in returns) >= 0.97 * len(returns)
    assert max(one.rung for one in returns) <= 3
    assert max(one.hurt for one in returns) < 15


def test_an_outage_is_seen_within_a_handful_of_requests():
    returns = [play(seed, DEMO, Version(1.0), Version()) for seed in range(200)]
    tell("outage", returns)
    assert part(returns, FAIL) == 1.0 and {one.rung for one in returns} == {1}
    assert max(one.hurt for one in returns) <= 6


@pytest.mark.parametrize("slow", [1.0, 0.2])
def test_a_release_that_is_only_slow_is_caught(slow):
    returns = [
        play(seed, DEMO, Version(0, slow, slow), Version()) for seed in range(100)
    ]
    tell(f"{slow:.0%} slow", returns)
    assert part(returns, FAIL) == 1.0 and max(one.rung for one in returns) <= 2


def test_a_clean_return_with_the_demo_policy_takes_seconds():
    returns = [play(seed, DEMO, Version(0, 0, 0)) for seed in range(30)]
    typical = [median(one.rung_ms[rung] for one in returns) for rung in range(4)]
    print(f"clean rungs, median ms: {typical}")
    assert part(returns, PASS) == 1.0
    assert typical[0] <= 5_000 and typical[1] <= 5_500
    assert typical[2] <= 3_000 and typical[3] <= 2_000


def test_a_region_at_the_limit_is_rarely_promoted():
    """20 % more failures than elsewhere is what rung one must exclude, 20 to 1."""
    blind_to_harm = msgspec.structs.replace(
        DEMO, slow_us=(), rollback_odds=10**9, absolute_error_bp=9000
    )
    passed = 0
    for seed in range(400):
        rng, state = random.Random(seed), JudgeState()
        for _ in range(200):
            mine = binomial(rng, 70, 0.01)
            canary = Counts(mine, binomial(rng, mine, 0.201))
            others = Counts(70, binomial(rng, 70, 0.001))
            state = observe(state, Block(canary, others), blind_to_harm, 200, 100, 500)
            if evidence(state, blind_to_harm).promote >= 2.996:
                passed += 1
                break
    print(f"at the limit: promotion evidence reached in {passed} of 400")
    assert passed <= 24


def test_a_late_failure_is_caught_after_an_hour_of_health():
    policy = msgspec.structs.replace(DEMO, slow_us=())
    rng, state = random.Random(3), JudgeState()
    for _ in range(60):
        canary, others = (Counts(9000, binomial(rng, 9000, 0.001)) for _ in range(2))
        state = observe(state, Block(canary, others), policy, 60_000, 5000, 5000)
    looks = 0
    while evidence(state, policy).merged < 4.605:
        looks += 1
        canary = Counts(30, binomial(rng, 30, 0.05))
        state = observe(state, Block(canary, Counts(30)), policy, 200, 5000, 5000)
    print(f"late 5 % failure: {looks} looks")
    assert looks * 200 <= 10_000
