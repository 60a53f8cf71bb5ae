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
martingales. Memory is bounded: (signals, beliefs, ratios, nodes).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import betaln, expit, gammaln, i1e

from dayshift.gates.noise import NODES, Floats, moved, stationary

KAPPA_MAX = 1e9
"""Heavier urns are as good as independent draws."""
SPARE_MIN, MEAN_MIN = 1e-6, 1e-9
CLUSTERS_FROM = 2.0
"""Spare variance from which bad answers are taken for clusters, not for a mixture."""
DIFFUSE_SHAPE, DIFFUSE_TIMES = 0.5, 2.0
"""A block unlike the usual ones: any number of bad ones, often none, twice the mean."""
TINY = 1e-280
HUGE = 1e250


class Filter:
    """Likelihoods of several ratios for several signals; reads may repeat.

    Args:
        ratio_logs: (signals, ratios) log ratio of each hypothesis.
        clumps: (signals, beliefs) variance of a block's count over the independent one.
        wanders: (signals, beliefs) standard deviation of the wandering log ratio.
        steadiness: (signals,) chance that a block is like the usual ones (below).
        staked: (ratios,) weight each hypothesis begins with.
    """

    def __init__(
        self,
        ratio_logs: Floats,
        clumps: Floats,
        wanders: Floats,
        steadiness: Floats,
        staked: Sequence[float],
    ) -> None:
        signals, beliefs = clumps.shape
        self._spare = np.maximum(clumps[:, :, None, None] - 1, SPARE_MIN)
        self._known = steadiness[:, None, None, None]
        self._offsets = ratio_logs[:, None, :, None] + wanders[:, :, None, None] * NODES
        self._ratios = np.exp(self._offsets)
        shape = (signals, beliefs, len(staked), len(NODES))
        self.reach = np.ones(shape) * np.array(staked)[:, None] * stationary()
        self._scale = np.zeros((signals, beliefs))
        self.begin(np.full(signals, 1e-3), 1.0)

    def begin(self, level: Floats, requests: float) -> None:
        """Open a block in which about so many of the requests are usually bad.

        Args:
            level: (signals,) usual part of bad answers elsewhere.
            requests: about how many requests will come, in all regions.
        """
        self._level = np.maximum(level, 1e-9)[:, None, None, None]
        self._diffuse = DIFFUSE_TIMES * self._level
        usual = np.maximum(self._level * requests, 1e-3)
        self._kappa = np.minimum(usual / self._spare, KAPPA_MAX)

    def read(self, counts: Floats) -> tuple[Floats, Floats]:
        """Likelihoods, up to one factor for each belief, and the log of that factor.

        Args:
            counts: (signals, 4): requests and bad ones here, and elsewhere, in the
                open block.

        Returns:
            (signals, beliefs, ratios) and (signals, beliefs).
        """
        likely, scale = self._emission(counts)
        seen: Floats = (self.reach * likely).sum(axis=3)
        return seen, self._scale + scale

    def close(self, counts: Floats, elapsed_ms: float) -> None:
        """End the block: its counts become final, and the ratio may have moved on."""
        likely, scale = self._emission(counts)
        carried = (self.reach * likely) @ moved(elapsed_ms)
        first = np.maximum(carried[:, :, 0, :].sum(axis=2), TINY)
        self.reach = np.minimum(carried / first[:, :, None, None], HUGE)
        self._scale = self._scale + scale + np.log(first)

    def _emission(self, counts: Floats) -> tuple[Floats, Floats]:
        here, bad, there, others_bad = (one[:, None, None, None] for one in counts.T)
        total = bad + others_bad
        exposed = here + there
        share = np.clip(here / np.maximum(exposed, 1), 1e-9, 1 - 1e-9)
        theta = expit(np.log(share / (1 - share)) + self._offsets)
        mine, theirs = theta * self._kappa, (1 - theta) * self._kappa
        logs = betaln(mine + bad, theirs + others_bad) - betaln(mine, theirs)
        logs += gammaln(total + 1) - gammaln(bad + 1) - gammaln(others_bad + 1)
        logs += _negative_binomial(
            total, DIFFUSE_SHAPE, np.maximum(exposed * self._diffuse, MEAN_MIN)
        )
        if self._known.any():
            mean = self._level * here * self._ratios
            steady = _clumped(bad, mean, self._spare)
            steady += _clumped(others_bad, self._level * there, self._spare)
            known = np.log(np.maximum(self._known, TINY))
            strange = np.log1p(-self._known)
            logs = np.logaddexp(logs + strange, steady + known)
        logs = np.where((here > 0) & (there > 0), logs, 0.0)
        top = logs.max(axis=(2, 3), keepdims=True)
        return np.exp(logs - top), top[:, :, 0, 0]


def _clumped(count: Floats, mean: Floats, spare: Floats) -> Floats:
    """Log chance of a count of this mean whose variance is 1 + spare times that."""
    mean = np.maximum(mean, MEAN_MIN)
    logs = _negative_binomial(count, mean / spare, mean)
    clusters = spare >= CLUSTERS_FROM
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
