"""The asymptotic rank-sum interval for a shift, as in R's `wilcox.test` and Kayenta.

Normal approximation with ties and continuity correction, solved for the shift.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import rankdata

Values = NDArray[np.float64]


def standardised(x: Values, y: Values, shift: float, quantile: float) -> float:
    """Rank sum of `x` less the shift among `y`, in its sds, less the quantile."""
    ranks = rankdata(np.concatenate([x - shift, y]))
    n, m = len(x), len(y)
    above = ranks[:n].sum() - n * (n + 1) / 2.0 - n * m / 2.0
    ties = np.unique(ranks, return_counts=True)[1].astype(float)
    tied = (ties**3 - ties).sum() / ((n + m) * (n + m - 1.0))
    variance = n * m / 12.0 * (n + m + 1.0 - tied)
    if variance <= 0.0:
        raise ZeroDivisionError("all observations are tied")
    return float((above - 0.5 * np.sign(above)) / math.sqrt(variance) - quantile)


def shift_interval(
    x: Values, y: Values, confidence: float
) -> tuple[float, float, float] | None:
    """Lower end, Hodges-Lehmann estimate and upper end; None if all are tied."""
    least, most = float(x.min() - y.max()), float(x.max() - y.min())
    z = float(ndtri((1.0 + confidence) / 2.0))
    try:
        low, middle, high = (_root(x, y, q, least, most) for q in (z, 0.0, -z))
    except ZeroDivisionError:
        return None
    return low, middle, high


def _root(x: Values, y: Values, quantile: float, least: float, most: float) -> float:
    def at(shift: float) -> float:
        return standardised(x, y, shift, quantile)

    if at(least) <= 0.0:
        return least
    if at(most) >= 0.0:
        return most
    return float(brentq(at, least, most, xtol=1e-4 * max(1e-6, most - least)))
