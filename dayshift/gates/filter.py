"""How likely what was counted is under each ratio, with clumps and wandering allowed.

In a block of about a minute let the region have n_c requests with x bad, the others n_b
with y, e = x + y, π = n_c / (n_c + n_b). Given e and both n, everything that is shared
(load, a common dependency that fails) cancels, and x follows a Pólya urn: independent
draws with chance θ = πr / (πr + 1 − π) if bad answers come alone (conditioning on the
total: Lindon & Malek, arXiv 2011.03567), a beta-binomial of total weight
κ = (usual bad ones in a block) / (φ − 1) if they come in clumps (two negative binomials
of one scale, given their sum). An urn does not care in which batches it is read, so the
open block may be read as often as one likes, and gives the same at its end.

Where history shows that the level itself is steady, more is known than the ratio: a
block is, with some chance, like the usual ones, and then x and y are two negative
binomials of known mean; else its total may be anything, and only the split of it
speaks, as above. So a shared incident explains itself at the price of that chance.

The log of the ratio wanders: log r = log(hypothesis) + z, where z is a first-order
autoregression on a grid, carried from block to block by the forward algorithm of a
hidden Markov model (Baum & Petrie 1966; Rabiner, Proc. IEEE 77, 1989). What is carried
is the likelihood of everything so far, for each ratio: likelihood ratios of it are test
martingales. Memory is bounded: (cells, ratios, nodes).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import betaln, gammaln, i1e

from dayshift.gates.noise import CLUMPED_FROM, NODES, Floats, Noise, moved, stationary

LEVEL_MIN, PART_MAX = 1e-9, 0.999
SPARE_MIN, MEAN_MIN = 1e-6, 1e-9
CLUSTERS_FROM = 2.0
"""Spare variance from which bad answers are taken for clusters, not for a mixture."""
DIFFUSE_SHAPE, DIFFUSE_TIMES = 0.5, 2.0
"""A block unlike the usual ones: any number of bad ones, often none, twice the mean."""
TINY = 1e-280
HUGE = 1e250


class Filter:
    """Likelihoods of several ratios for several signals; reads may repeat.

    A cell is one belief about one signal; cells of one signal stand together.

    Args:
        noise: the signals with their beliefs.
        ratio_logs: (signals, ratios) log ratio of each hypothesis.
        staked: (ratios,) weight each hypothesis begins with.
        noisiest: only the last belief of each signal.
    """

    def __init__(
        self,
        noise: Sequence[Noise],
        ratio_logs: Floats,
        staked: Sequence[float],
        noisiest: bool = False,
    ) -> None:
        cells = [
            (number, belief)
            for number, one in enumerate(noise)
            for belief in one.beliefs[-1 if noisiest else 0 :]
        ]
        self.signal = np.array([number for number, _ in cells])
        self.first = np.searchsorted(self.signal, np.arange(len(noise)))
        clump = np.array([belief.clump for _, belief in cells])
        wander = np.array([belief.wander for _, belief in cells])
        steadiness = np.array([noise[number].steadiness for number in self.signal])
        self._steady = bool(steadiness.any())
        """Whether the level itself explains anything."""
        self._known = np.log(np.maximum(steadiness, TINY))[:, None, None]
        self._strange = np.log1p(-steadiness)[:, None, None]
        self._power = np.where(clump < CLUMPED_FROM, 1 / clump, 1.0)[:, None, None]
        self._spare = np.maximum(clump - 1, SPARE_MIN)[:, None, None]
        self._clumped: list[int] = np.flatnonzero(clump >= CLUMPED_FROM).tolist()
        self._offsets = ratio_logs[self.signal][:, :, None] + (
            wander[:, None, None] * NODES
        )
        self._ratios = np.exp(self._offsets)
        shape = (len(cells), len(staked), len(NODES))
        self.reach = np.ones(shape) * np.array(staked)[:, None] * stationary()
        self._scale = np.zeros(len(cells))
        self.begin(np.full(len(noise), 1e-3), 1.0)

    def begin(self, level: Floats, requests: float) -> None:
        """Open a block in which about so many of the requests are usually bad.

        Args:
            level: (signals,) usual part of bad answers elsewhere.
            requests: about how many requests will come, in all regions.
        """
        self._level = np.minimum(np.maximum(level, LEVEL_MIN), PART_MAX)
        usual = np.maximum(self._level * requests, 1e-3)[self.signal, None, None]
        self._kappa = usual / self._spare
        part = self._level[self.signal, None, None] * self._ratios
        part = np.minimum(part, PART_MAX)
        self._bad_log, self._good_log = np.log(part), np.log1p(-part)

    def read(self, counts: Floats) -> tuple[Floats, Floats]:
        """Likelihoods, up to one factor for each cell, and the log of that factor.

        Args:
            counts: (signals, 4): requests and bad ones here, and elsewhere, in the
                open block.

        Returns:
            (cells, ratios) and (cells,).
        """
        if not counts.any():
            return np.add.reduce(self.reach, axis=2), self._scale
        likely, scale = self._emission(counts)
        return np.add.reduce(self.reach * likely, axis=2), self._scale + scale

    def close(self, counts: Floats, elapsed_ms: float) -> None:
        """End the block: its counts become final, and the ratio may have moved on."""
        scale = np.zeros(len(self.signal))
        if counts.any():
            likely, scale = self._emission(counts)
            self.reach = self.reach * likely
        carried = self.reach @ moved(elapsed_ms)
        first = np.maximum(carried[:, 0, :].sum(axis=1), TINY)
        self.reach = np.minimum(carried, HUGE * first[:, None, None])
        self.reach = self.reach / first[:, None, None]
        self._scale = self._scale + scale + np.log(first)

    def _emission(self, counts: Floats) -> tuple[Floats, Floats]:
        """Likelihood of the block in each cell, ratio and node, and its log scale."""
        rows = [
            _constants(row, level)
            for row, level in zip(counts.tolist(), self._level.tolist(), strict=True)
        ]
        cells = np.array(rows)[self.signal].T[:, :, None, None]
        here, bad, _, others_bad, tilt, split_log, steady_log, valid = cells
        block = cells[:4]
        tilts = tilt + self._offsets
        mine = -np.log1p(np.exp(-tilts))
        split = (bad + others_bad) * mine - others_bad * tilts + split_log
        for at in self._clumped:
            split[at] += self._urn(at, mine[at], tilts[at], *block[:, at])
        logs = split
        if self._steady:
            steady = bad * self._bad_log + (here - bad) * self._good_log + steady_log
            for at in self._clumped:
                steady[at] = self._clusters(at, *block[:, at])
            logs = np.logaddexp(split + self._strange, steady + self._known)
        logs *= self._power * valid
        top = np.maximum.reduce(logs, axis=(1, 2))
        return np.exp(logs - top[:, None, None]), top

    def _urn(self, at: int, mine: Floats, tilts: Floats, *block: Floats) -> Floats:
        """What clumps change in how a total splits: an urn for independent draws."""
        _, bad, _, others_bad = block
        theta = np.exp(mine)
        a, b = theta * self._kappa[at], (1 - theta) * self._kappa[at]
        drawn: Floats = betaln(a + bad, b + others_bad) - betaln(a, b)
        return drawn - (bad + others_bad) * mine + others_bad * tilts

    def _clusters(self, at: int, *block: Floats) -> Floats:
        """Both counts, if the level is the usual one and bad answers clump."""
        here, bad, there, others_bad = block
        level, spare = self._level[self.signal[at]], self._spare[at]
        mine = _clumped(bad, level * here * self._ratios[at], spare)
        return mine + _clumped(others_bad, level * there, spare)


def _constants(row: Sequence[float], level: float) -> tuple[float, ...]:
    """The block of one signal, and what no ratio changes in it.

    The last four: log of here to there; log chance of the total, were it any, with the
    ways to split it; log chance of the others' count at the usual level, with the ways
    to choose here; whether both sides had requests.
    """
    here, bad, there, others_bad = row
    valid = here >= 1 and there >= 1
    here, there = max(here, bad, 1.0), max(there, others_bad, 1.0)
    bad_ways, others_ways = math.lgamma(bad + 1), math.lgamma(others_bad + 1)
    total = bad + others_bad
    mean = DIFFUSE_TIMES * level * (here + there)
    anything = (
        math.lgamma(total + DIFFUSE_SHAPE)
        - math.lgamma(DIFFUSE_SHAPE)
        + DIFFUSE_SHAPE * math.log(DIFFUSE_SHAPE / (DIFFUSE_SHAPE + mean))
        + total * math.log(mean / (DIFFUSE_SHAPE + mean))
    )
    steady = others_bad * math.log(level) + (there - others_bad) * math.log1p(-level)
    for all_of_them, some, ways in (
        (here, bad, bad_ways),
        (there, others_bad, others_ways),
    ):
        steady += math.lgamma(all_of_them + 1) - math.lgamma(all_of_them - some + 1)
        steady -= ways
    return (
        here,
        bad,
        there,
        others_bad,
        math.log(here / there),
        anything - bad_ways - others_ways,
        steady,
        float(valid),
    )


def _clumped(count: Floats, mean: Floats, spare: Floats) -> Floats:
    """Log chance of a count of this mean whose variance is 1 + spare times that."""
    mean = np.maximum(mean, MEAN_MIN)
    clusters = spare >= CLUSTERS_FROM
    if clusters.all():
        return _compound(count, mean, spare / 2 + 1)
    logs = _negative_binomial(count, mean / spare, mean)
    if clusters.any():
        logs = np.where(clusters, _compound(count, mean, spare / 2 + 1), logs)
    return logs


def _compound(count: Floats, mean: Floats, size: Floats) -> Floats:
    """Log density of a Poisson number of clusters of exponential size.

    A sum over the number of clusters is a Bessel function (Jørgensen 1997, chapter 4,
    p = 3/2); close to the geometric clusters of Pólya and Aeppli, and cheap.
    """
    clusters = mean / size
    some = np.maximum(count, 0.5)
    reach = 2 * np.sqrt(clusters * some / size)
    bessel = np.log(i1e(reach)) + reach
    parts = bessel - some / size + 0.5 * np.log(clusters / (size * some))
    log: Floats = np.where(count > 0, parts, 0.0) - clusters
    return log


def _negative_binomial(count: Floats, shape: Floats | float, mean: Floats) -> Floats:
    log: Floats = (
        gammaln(count + shape)
        - gammaln(shape)
        - gammaln(count + 1)
        + shape * np.log(shape / (shape + mean))
        + count * np.log(mean / (shape + mean))
    )
    return log
