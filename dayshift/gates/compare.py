"""Evidence that a region is worse than the others, valid at every look at once.

For each signal: the likelihood of what was counted if the ratio of bad answers is r0·g,
averaged over g, over the moment at which it became so and over several beliefs about
noise, divided by the greatest likelihood that any belief gives it if the ratio is r0,
the one that is tolerated. If one of the beliefs is true, this is at most a non-negative
supermartingale under the null (Wasserman, Ramdas & Balakrishnan, PNAS 117, 2020), so by
Ville's inequality (1939) it ever exceeds 1/α with probability at most α, however often
one looks. A belief that the data contradict does no harm and no good. Means over
signals and streams keep all this under any dependence (Vovk & Wang, arXiv 1912.06116).

Late changes: most of the stake is on the first moment. At every block's end and at
every step of the share, a part of what still waits is staked anew; the part falls as
1/t, so that something is left however long the run lasts. Mass is only moved."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dayshift.gates.filter import TINY, Filter
from dayshift.gates.noise import Floats, Noise

STAKED = 0.75
STEP_STAKE = 0.15
"""Of what waits, this much on a change that comes with more traffic."""
MINUTE_STAKE, MINUTES_EASY = 0.5, 10
"""Of what waits, 0.5 / (minutes + 10) in each minute."""
BANDED = tuple(2.0**power for power in range(-3, 9))
"""Ratios at which the confidence sequence asks; 1 first, in `Band`."""
BAND_ODDS = 20.0


class Stakes:
    """Which part of what waits is staked on a change that begins now."""

    def __init__(self) -> None:
        self._minutes = float(MINUTES_EASY)

    def part(self, elapsed_ms: float, stepped: bool) -> float:
        """The part for the time that ended, more if it ends with a step."""
        minutes = elapsed_ms / 60_000
        self._minutes += minutes
        return min(0.5, MINUTE_STAKE * minutes / self._minutes + STEP_STAKE * stepped)


class Comparison:
    """One stream's evidence against the returning region, by signal."""

    def __init__(self, noise: Sequence[Noise]) -> None:
        tolerated = np.array([[one.tolerated_log] for one in noise])
        ratios = np.array([one.ratio_logs for one in noise])
        logs = np.concatenate([tolerated, tolerated + ratios], axis=1)
        count = ratios.shape[1]
        self._filter = Filter(noise, logs, [1.0, *[STAKED / count] * count])
        self._weights = np.array([b.log_weight for one in noise for b in one.beliefs])
        self._priors = np.array([b.log_prior for one in noise for b in one.beliefs])
        self._waiting = 1 - STAKED
        self._stakes = Stakes()

    def begin(self, level: Floats, requests: float) -> None:
        """Open a block; see `Filter.begin`."""
        self._filter.begin(level, requests)

    def logs(self, counts: Floats) -> Floats:
        """(signals,) natural log of the evidence, the open block included."""
        seen, scale = self._filter.read(counts)
        null, worse = np.maximum(seen[:, 0], TINY), seen[:, 1:].sum(axis=1)
        supposed = np.log(worse + self._waiting * null) + scale + self._weights
        first, signal = self._filter.first, self._filter.signal
        best_null = np.maximum.reduceat(np.log(null) + scale + self._priors, first)
        top = np.maximum.reduceat(supposed, first)
        shares = np.add.reduceat(np.exp(supposed - top[signal]), first)
        against: Floats = top + np.log(shares) - best_null
        return against

    def close(self, counts: Floats, elapsed_ms: float, stepped: bool) -> None:
        """End a block, and stake anew on a change that begins now."""
        self._filter.close(counts, elapsed_ms)
        part = self._stakes.part(elapsed_ms, stepped)
        reach = self._filter.reach
        fresh = part * self._waiting / (reach.shape[1] - 1)
        reach[:, 1:, :] += fresh * reach[:, :1, :]
        self._waiting *= 1 - part


class Band:
    """The ratio of bad answers with its confidence sequence, noise as believed
    worst."""

    def __init__(self, noise: Sequence[Noise]) -> None:
        ratios = np.array([1.0, *(one for one in BANDED if one != 1)])
        self._order = np.argsort(ratios)
        self._ratio_logs = np.log(ratios)[self._order]
        logs = np.tile(np.log(ratios), (len(noise), 1))
        self._filter = Filter(noise, logs, [1.0] * len(ratios), noisiest=True)

    def begin(self, level: Floats, requests: float) -> None:
        self._filter.begin(level, requests)

    def close(self, counts: Floats, elapsed_ms: float) -> None:
        self._filter.close(counts, elapsed_ms)

    def read(self, counts: Floats) -> list[tuple[float, float]]:
        """Lowest and highest ratio that 20:1 does not exclude, for each signal.

        Why a mean over the grid: a mixture of the ratios against each single one is a
        test martingale of that one (Robbins 1970).
        """
        seen = np.maximum(self._filter.read(counts)[0][:, self._order], TINY)
        against = np.log(seen.mean(axis=1, keepdims=True)) - np.log(seen)
        return [self._interval(row) for row in against.tolist()]

    def _interval(self, against: list[float]) -> tuple[float, float]:
        limit = math.log(BAND_ODDS)
        kept = [place for place, log in enumerate(against) if log < limit]
        return self._edge(against, kept[0], -1), self._edge(against, kept[-1], 1)

    def _edge(self, against: list[float], inner: int, step: int) -> float:
        """Where the evidence crosses the limit between two ratios of the grid."""
        outer, near = inner + step, float(self._ratio_logs[inner])
        if not 0 <= outer < len(against):
            return math.exp(near) if step > 0 else 0.0
        gap = against[outer] - against[inner]
        part = (math.log(BAND_ODDS) - against[inner]) / gap
        return math.exp(near + part * (float(self._ratio_logs[outer]) - near))
