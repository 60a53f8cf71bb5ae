"""Shared incidents: when the others fail too, nothing of it is the region's fault."""

from __future__ import annotations

import math

from dayshift.gates.signals import Pair
from dayshift.limits import FULL_BP

ERRORS_MIN = 10
ERRORS_TIMES, SLOW_TIMES = 3.0, 1.15
SIGMAS = 5.0
USUAL_REQUESTS = 1_000
"""Fewer requests than this say nothing about what is usual."""

Usual = tuple[float, float]
"""The others' usual bad answers, out of so many requests."""


def failing(pair: Pair, absolute_bp: int, usual: Usual, clump: float) -> bool:
    """Do the others fail much more than they usually do, or than anybody accepts?

    Args:
        clump: how many errors usually come together.
    """
    if pair.others_bad < ERRORS_MIN * clump:
        return False
    if pair.others_bad > pair.others * absolute_bp / FULL_BP:
        return True
    return _beyond(pair, usual, ERRORS_TIMES)


def slow(pair: Pair, usual: Usual, clump: float) -> bool:
    """Are the others slower than they usually are, beyond chance?"""
    bad, requests = usual
    expected = (bad + 1) / requests * pair.others if requests else math.inf
    chance = SIGMAS * math.sqrt(expected * clump)
    return pair.others_bad - expected > chance and _beyond(pair, usual, SLOW_TIMES)


def _beyond(pair: Pair, usual: Usual, times: float) -> bool:
    bad, requests = usual
    if requests < USUAL_REQUESTS:
        return False
    return pair.others_bad * requests > times * (bad + 1) * pair.others
