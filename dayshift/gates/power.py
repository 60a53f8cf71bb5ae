"""What a rung could have seen: the honest size of "nothing was found".

Here lives the inverse of the rollback question, for errors. Given the requests counted
at this rung and the others' errors as they were, the fewest errors k in the region are
found at which the gate, starting fresh, would have failed it; then the error rate at
which k or more come in 8 of 10 such rungs. Two approximations: the rung is taken as one
look (its mean share; flatters a little where a look holds about one request), and a
crossing at any look as one at the end (the opposite). Judged look by look, such a
regression was found in 78 to 82 of 100 simulated rungs.
"""

from __future__ import annotations

import math

from dayshift.gates.compare import (
    STAKED,
    absolute_ratios,
    log_ratios,
    merged_log,
    questions,
    staked_log,
)
from dayshift.gates.signals import Pair
from dayshift.limits import FULL_BP
from dayshift.model.estate import GatePolicy

POWER = 0.8
POWER_SIGMA = 0.8416
"""The normal deviate of `POWER`."""
EXACT_MAX = 40
"""Above this many errors the normal approximation is within a basis point or two."""


def smallest_bp(rung: Pair, policy: GatePolicy) -> int:
    """The smallest excess of errors seen with 80 % power; 10 000 if none could be."""
    need = math.log(policy.rollback_odds)

    def fails(errors: int) -> bool:
        return fresh_log(rung, errors, policy) >= need

    if not rung.canary or not fails(rung.canary):
        return FULL_BP
    low, high = 0, rung.canary
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(middle) else (middle, high)
    base = rung.others_bad / rung.others if rung.others else 0.0
    excess = _rate_for(high, rung.canary) - base
    return min(FULL_BP, max(1, math.ceil(excess * FULL_BP)))


def fresh_log(rung: Pair, errors: int, policy: GatePolicy) -> float:
    """The merged evidence, had the rung been all there was, with so many errors."""
    pair = Pair(rung.canary, errors, rung.others, rung.others_bad)
    first, waiting = math.log(STAKED), 1 - STAKED
    guard = staked_log(tuple(first + x for x in absolute_ratios(pair, policy)), waiting)
    if not policy.trusted:
        return guard
    asked = questions(policy)
    worse = min(
        staked_log(tuple(first + x for x in log_ratios(pair, asked[0], model)), waiting)
        for model in asked[0].models
    )
    return merged_log((worse, *(0.0,) * (len(asked) - 1)), guard)


def _rate_for(errors: int, requests: int) -> float:
    """The rate at which `errors` or more of `requests` fail with probability 80 %."""
    low, high = 0.0, 1.0
    for _ in range(24):
        middle = (low + high) / 2
        enough = _reached(errors, requests, middle)
        low, high = (low, middle) if enough else (middle, high)
    return high


def _reached(errors: int, requests: int, rate: float) -> bool:
    if errors > EXACT_MAX:
        sigma = math.sqrt(requests * rate * (1 - rate))
        return requests * rate - POWER_SIGMA * sigma >= errors - 0.5
    if rate >= 1:
        return True
    odds = rate / (1 - rate)
    log_term = requests * math.log1p(-rate)
    below = 0.0
    for count in range(errors):
        below += math.exp(log_term)
        if rate > 0:
            log_term += math.log(odds * (requests - count) / (count + 1))
    return 1 - below >= POWER
