"""The absolute guard: more errors than anybody accepts, without asking the others.

Log likelihood ratios against "at most `absolute_errors` fail", averaged over some worse
rates. Clumped errors are divided by φ: a likelihood ratio to the power 1/φ has a mean
of at most 1 (Jensen), and for clumps of φ it is exact. No calibration is asked for more
than φ, and no region for comparison, so it works on the first look and when all else is
silent."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from dayshift.gates.compare import STAKED, Stakes
from dayshift.gates.noise import Floats
from dayshift.gates.signals import Pair
from dayshift.limits import FULL_BP

ODDS_TIMES = (1.5, 3.0, 8.0, 40.0)
"""Alternatives: the odds of failing are so many times those of the limit."""


@lru_cache(maxsize=64)
def limit_logs(limit_bp: int) -> tuple[Floats, Floats]:
    """(alternatives,) log likelihood ratio of one failed, and of one good answer."""
    limit = min(max(limit_bp / FULL_BP, 1e-4), 0.99)
    odds = limit / (1 - limit) * np.array(ODDS_TIMES)
    worse = odds / (1 + odds)
    return np.log(worse / limit), np.log((1 - worse) / (1 - limit))


class Absolute:
    """One stream's evidence that too many fail, whatever the others do."""

    def __init__(self, limit_bp: int, clump: float) -> None:
        self._bad, self._good = limit_logs(limit_bp)
        self._clump = max(1.0, clump)
        self._started = np.full(len(ODDS_TIMES), math.log(STAKED))
        self._waiting = 1 - STAKED
        self._stakes = Stakes()

    def add(self, pair: Pair) -> None:
        """Take in one look."""
        good = pair.canary - pair.canary_bad
        self._started += (pair.canary_bad * self._bad + good * self._good) / self._clump

    def restake(self, elapsed_ms: float, stepped: bool) -> None:
        """Stake a part of what waits on a change that begins now."""
        part = self._stakes.part(elapsed_ms, stepped)
        self._started = np.logaddexp(self._started, math.log(part * self._waiting))
        self._waiting *= 1 - part

    def log(self) -> float:
        """Natural log of the evidence."""
        waiting = math.log(self._waiting * len(ODDS_TIMES))
        total = np.logaddexp(np.logaddexp.reduce(self._started), waiting)
        return float(total) - math.log(len(ODDS_TIMES))
