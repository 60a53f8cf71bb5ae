"""Evidence that a region is *not* worse: what promotion to the next rung needs.

Question: could the region have δ or more bad answers per request above the others? δ is
what the next rung can afford: max(B + s, H/(R·T)) / w_next, where B is the part of all
traffic that may be harmed, s its usual swing from minute to minute, H requests within
T, R all requests per second, w_next the region's share at the next rung. One rule for 5
and for 5000 requests per second.

Why this may be looked at as often as one likes. The null p_c ≥ p_b + δ is convex. For a
guess q made before the look, let (θ_c, θ_b) be its projection on the null: the minimum
of n_c·KL(q‖θ_c) + n_b·KL(q‖θ_b). Then E = likelihood at (q, q) / likelihood at
(θ_c, θ_b) has mean at most 1 for *every* (p_c, p_b) of the null: the log of the mean is
at most λ·(δ − (p_c − p_b)) with the multiplier λ ≥ 0 (Turner & Grünwald, arXiv
2203.09785; Turner, Ly & Grünwald, arXiv 2106.02693). So each look may have rates of its
own, and the product is a supermartingale (Ville). If δ differs between looks, what is
excluded is the greatest. Several signals must all pass: intersection-union, no
correction. Where bad answers come in clumps, the caller divides by the clump's size.
"""

from __future__ import annotations

import math

from dayshift.gates.signals import Pair
from dayshift.limits import FULL_BP
from dayshift.model.estate import GatePolicy

SLOW_HARM = 10
"""Ten slow answers weigh as much as one wrong one."""
DELTA_MAX = 0.5
RATE_MIN, RATE_MAX = 1e-7, 0.999
STEPS_MAX = 60
TOLERANCE = 1e-11


def delta(
    policy: GatePolicy, slow: bool, rps: float, next_share_bp: int, swing: float = 0.0
) -> float:
    """The excess (of the region's requests) that the next rung cannot afford.

    Args:
        swing: by how much the rate of bad answers of all traffic differs from minute to
            minute anyhow; nobody could tell a smaller excess from an ordinary minute.
    """
    blast = (policy.slow_blast_bp if slow else policy.blast_bp) / FULL_BP + swing
    harm = policy.harm_requests * (SLOW_HARM if slow else 1)
    affordable = max(blast, harm * 1000 / (rps * max(policy.horizon_ms, 1)))
    return min(affordable * FULL_BP / max(next_share_bp, 1), DELTA_MAX)


def log_evidence(
    pair: Pair, rate: float, excess: float, bias_log: float = 0.0
) -> float:
    """Log evidence of one look against "at least `excess` more than is usual here".

    Args:
        rate: what is usual elsewhere, known before this look.
        bias_log: log of the usual ratio of this region to the others, 0 or more.
    """
    if not pair.canary or not pair.others or excess <= 0:
        return 0.0
    rate = min(max(rate, RATE_MIN), RATE_MAX)
    mine = min(rate * math.exp(bias_log), RATE_MAX)
    apart = min(mine - rate + excess, RATE_MAX)
    other = projected(pair, mine, rate, apart)
    worse = other + apart
    return (
        pair.canary_bad * math.log(mine / worse)
        + (pair.canary - pair.canary_bad) * math.log((1 - mine) / (1 - worse))
        + pair.others_bad * math.log(rate / other)
        + (pair.others - pair.others_bad) * math.log((1 - rate) / (1 - other))
    )


def projected(pair: Pair, mine: float, rate: float, apart: float) -> float:
    """θ_b of the projection of the guess (mine, rate); θ_c is `apart` above it.

    Newton's steps, kept inside a bracket: the slope rises from one end to the other.
    """
    low, high = 0.0, min(rate, 1 - apart)
    canary, others = pair.canary, pair.others
    mine_weight = canary * rate / (rate + apart)
    other = rate - apart * mine_weight / (mine_weight + others)
    if not low < other < high:
        other = high / 2
    for _ in range(STEPS_MAX):
        worse = other + apart
        flat, worse_flat = other * (1 - other), worse * (1 - worse)
        slope = others * (other - rate) / flat
        slope += canary * (worse - mine) / worse_flat
        low, high = (other, high) if slope < 0 else (low, other)
        bend = others * (rate + other * (other - 2 * rate)) / flat**2
        bend += canary * (mine + worse * (worse - 2 * mine)) / worse_flat**2
        step = other - slope / bend
        if not low < step < high:
            step = (low + high) / 2
        if abs(step - other) <= TOLERANCE * other:
            break
        other = step
    return other
