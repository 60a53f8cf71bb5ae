"""Simulated returns: seeded traffic at 5 looks a second, judged by the real gate."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dayshift.gates import Block, JudgeState, observe, verdict
from dayshift.gates.judge import evidence
from dayshift.model.estate import GatePolicy
from dayshift.model.evidence import BEYOND_US, Counts, Verdict, VerdictKind

LOOK_MS = 200
RUNGS_BP = (100, 500, 2500, 5000)
DEMO = GatePolicy(
    blast_bp=100,
    slow_blast_bp=100,
    absolute_error_bp=200,
    dwell_ms_min=0,
    trusted=True,
    slow_us=(100_000, 250_000),
)
DEFAULT_TRUSTED = GatePolicy(trusted=True)


@dataclass(frozen=True)
class Version:
    """How one side answers: parts that fail, and that exceed 100 ms and 250 ms."""

    errors: float = 0.0
    over_100: float = 0.002
    over_250: float = 0.001


@dataclass
class Return:
    """What one simulated return came to."""

    kind: VerdictKind = VerdictKind.HOLD
    rung: int = 0
    looks: int = 0
    hurt: int = 0
    slow: int = 0
    after_first_bad_ms: int = 0
    rung_ms: list[int] = field(default_factory=list)
    last: Verdict | None = None


def binomial(rng: random.Random, n: int, p: float) -> int:
    """Exact, by skipping from success to success; cheap where p is small."""
    if p <= 0 or n <= 0:
        return 0
    if p >= 1:
        return n
    if p > 0.5:
        return n - binomial(rng, n, 1 - p)
    count, at, step = 0, 0, math.log1p(-p)
    while True:
        at += 1 + int(math.log(1 - rng.random()) / step)
        if at > n:
            return count
        count += 1


def counts(rng: random.Random, n: int, version: Version) -> Counts:
    over_100 = binomial(rng, n, version.over_100)
    over_250 = binomial(rng, over_100, version.over_250 / max(version.over_100, 1e-9))
    return Counts(
        n,
        binomial(rng, n, version.errors),
        {100_000: n - over_100, 250_000: n - over_250, BEYOND_US: n},
    )


def play(
    seed: int,
    policy: GatePolicy,
    new: Version,
    old: Version | None = None,
    rps: int = 350,
    soak_ms: int = 10_000,
    limit_ms: int = 120_000,
    weather: Callable[[random.Random, int], float] = lambda rng, ms: 1.0,
) -> Return:
    """One return until it fails, or has soaked, or `limit_ms` at a rung are over."""
    rng, state, out = random.Random(seed), JudgeState(), Return()
    old, first_bad, now = old or new, None, 0
    for rung, share in enumerate(RUNGS_BP):
        out.rung, dwell = rung + 1, 0
        following = RUNGS_BP[min(rung + 1, len(RUNGS_BP) - 1)]
        passed = False
        while dwell < limit_ms:
            now, dwell, out.looks = now + LOOK_MS, dwell + LOOK_MS, out.looks + 1
            factor = weather(rng, now)
            mean = rps * LOOK_MS / 1000
            total = max(0, round(rng.gauss(mean, math.sqrt(mean))))
            mine = binomial(rng, total, share / 10_000)
            canary = counts(rng, mine, replace(new, errors=new.errors * factor))
            others = counts(rng, total - mine, replace(old, errors=old.errors * factor))
            bad = canary.errors + canary.requests - canary.buckets[100_000]
            out.hurt += canary.errors
            out.slow += canary.requests - canary.buckets[100_000]
            if bad and first_bad is None:
                first_bad = now
            state = observe(
                state, Block(canary, others), policy, LOOK_MS, share, following
            )
            said = judged(state, policy, share, dwell, passed)
            if said:
                out.kind, out.last = said.kind, said
            if out.kind is VerdictKind.FAIL:
                out.after_first_bad_ms = now - (first_bad or now)
                return out
            if said and said.kind is VerdictKind.PASS:
                passed = True
                out.rung_ms.append(dwell)
            if passed and (rung < len(RUNGS_BP) - 1 or dwell >= soak_ms):
                break
        else:
            return out
    return out


def judged(
    state: JudgeState, policy: GatePolicy, share: int, dwell_ms: int, passed: bool
) -> Verdict | None:
    """The verdict of this look, or None where only "hold" could come out.

    Every look is judged for rollback; this only saves the words and `smallest_bp`.
    """
    found = evidence(state, policy)
    against = found.merged if policy.trusted else found.absolute
    if against < math.log(policy.rollback_odds) and (
        passed or found.promote < math.log(policy.promote_odds)
    ):
        return None
    return verdict(state, policy, share, True, dwell_ms, "fra")
