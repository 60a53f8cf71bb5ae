"""Shared incidents: when the others fail too, nothing is the returning region's fault."""

from __future__ import annotations

from dayshift.gates.signals import Pair
from dayshift.limits import FULL_BP

ERRORS_MIN = 10
TIMES = 3
USUAL_REQUESTS = 1_000
"""Fewer requests than this say nothing about what is usual."""


def burning(
    pair: Pair, absolute_bp: int, usual: tuple[float, float], clump: float
) -> bool:
    """Are the others in trouble themselves, by these counts?

    Args:
        usual: the others' usual errors and requests, incidents left out.
        clump: how many errors usually come together.
    """
    if pair.others_bad < ERRORS_MIN * clump:
        return False
    rate = pair.others_bad / pair.others
    if rate > absolute_bp / FULL_BP:
        return True
    bad, requests = usual
    return requests >= USUAL_REQUESTS and rate > TIMES * (bad + 1) / requests
