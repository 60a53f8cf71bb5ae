"""What the gate believes about noise: how bad answers clump, how ratios wander.

Several beliefs stand side by side for each signal; the one that finds the least
evidence counts, because over-estimated noise is not cautious by itself (a single error
would weigh as much as a whole cluster).
"""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from dayshift.model.calibration import Calibration, SignalNoise
from dayshift.model.estate import GatePolicy

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

WANDER_MS = 300_000
"""The ratio between two regions forgets where it was within about five minutes."""
NODES = np.linspace(-2.4, 2.4, 7)
"""Where the wandering ratio is looked for, in standard deviations."""
CLUMP_SAFETY = 1.35
CLUMPED_FROM = 1.5
"""Below this, errors are taken as independent, at the price of a power 1/φ."""
STEADINESS = 0.98
BIAS_SDS = 0.3
NEW_CLUMP, CHANGED = 4.0, 0.01
"""Clumps that errors may have begun to come in, and the chance that they did."""
STEADY_TIMES = 1.6
"""A level that varies so much more than the split is not steady."""
ERROR_RATIOS = (1.7, 2.8, 4.8, 9.5, 60.0)
SLOW_RATIOS = (1.22, 1.55, 2.3, 5.0, 30.0)
TAIL_SLOPE = 3
"""Answers 10 % slower put about 1.1³ as many above a bound in a usual tail."""
PPM = 1e6
PPB = 1e9


class Belief(msgspec.Struct, frozen=True):
    """One belief about a signal's noise: `clump`, the variance of a block's count over
    the independent one; `wander`, the standard deviation of the wandering log
    ratio; `log_weight`, what it is worth as an explanation of a regression;
    `log_prior`, by how much its explanation of health is discounted, because history
    contradicts it."""

    clump: float
    wander: float
    log_weight: float
    log_prior: float = 0.0


class Noise(msgspec.Struct, frozen=True):
    """One signal's question and what is believed of its noise. Logs are natural.

    `tolerated_log` is the ratio of bad answers that is nobody's fault, the lasting
    `bias_log` of the region included. `usual` is the usual rate of bad answers, 0 where
    nobody knows; `steadiness` the chance that a block is at that level, 0 where the
    level itself is unsteady. Not `learned`: history says nothing of this one signal, so
    it turns nothing back. The last belief is the noisiest.
    """

    bound_us: int
    tolerated_log: float
    ratio_logs: tuple[float, ...]
    beliefs: tuple[Belief, ...]
    bias_log: float = 0.0
    usual: float = 0.0
    steadiness: float = 0.0
    learned: bool = True

    @property
    def clump(self) -> float:
        return self.beliefs[-1].clump

    @property
    def wander(self) -> float:
        return self.beliefs[-1].wander


def noises(policy: GatePolicy, learned: Calibration | None) -> tuple[Noise, ...]:
    """Errors first, then each latency bound, in rising order."""
    known = {one.bound_us: one for one in learned.signals} if learned else {}
    bounds = policy.slow_us or tuple(sorted(known.keys() - {0}))
    unlearned = learned is not None
    return tuple(
        _noise(policy, bound, known.get(bound), unlearned) for bound in (0, *bounds)
    )


def _noise(
    policy: GatePolicy, bound_us: int, known: SignalNoise | None, unlearned: bool
) -> Noise:
    """What was learned, else what the policy says; `unlearned`: others were learned."""
    learned_slope = known.slope_ppm / PPM if known else 0.0
    slope = (learned_slope or TAIL_SLOPE) if bound_us else 1.0
    tolerated = slope * math.log(policy.tolerated_ratio_ppm / PPM)
    ratios = SLOW_RATIOS if bound_us else ERROR_RATIOS
    logs = tuple(math.log(ratio) for ratio in ratios)
    if known is None:
        clump = max(1.0, policy.dispersion_ppm / PPM)
        wander = max(0.0, policy.variation_ppm / PPM)
        beliefs = _beliefs(clump, wander, wander)
        return Noise(bound_us, tolerated, logs, beliefs, learned=not unlearned)
    clump = 1 + max(0.0, known.dispersion_ppm / PPM - 1) * CLUMP_SAFETY
    middle, high = known.variation_ppm, known.variation_high_ppm
    own = known.own_dispersion_ppm / PPM
    steady = 0 < own <= STEADY_TIMES * known.dispersion_ppm / PPM
    if steady:
        clump = max(clump, own)
        middle, high = known.own_variation_ppm, known.own_variation_high_ppm
    bias = max(0.0, known.bias_ppm / PPM)
    unsure = max(0.0, (known.bias_ppm + BIAS_SDS * known.bias_sd_ppm) / PPM)
    beliefs = _beliefs(clump, middle / PPM, high / PPM)
    return Noise(
        bound_us,
        tolerated + unsure,
        logs,
        beliefs if bound_us else _doubted(beliefs),
        bias_log=bias,
        usual=known.usual_ppb / PPB,
        steadiness=STEADINESS if steady else 0.0,
    )


def _beliefs(clump: float, middle: float, high: float) -> tuple[Belief, ...]:
    """As noisy as learned; where that means clumps, also smaller ones, and none."""
    usual, most = math.sqrt(middle), math.sqrt(high)
    if clump < CLUMPED_FROM:
        return (Belief(clump, most, 0.0),)
    few = math.log(0.15)
    return (
        Belief(1.0, usual, few),
        Belief(math.sqrt(clump), usual, few),
        Belief(clump, most, math.log(0.7)),
    )


def _doubted(calm: tuple[Belief, ...]) -> tuple[Belief, ...]:
    """The same, and that errors now come in clumps although they never did."""
    if len(calm) > 1:
        return calm
    wander = calm[0].wander
    changed = Belief(NEW_CLUMP, wander, math.log(0.05), math.log(CHANGED))
    return (changed, Belief(calm[0].clump, wander, math.log(0.95)))


def stationary() -> Floats:
    """Weights of `NODES` for a ratio that wanders without beginning; sum 1."""
    density: Floats = np.exp(-0.5 * NODES**2)
    total: Floats = density / density.sum()
    return total


@lru_cache(maxsize=64)
def moved(elapsed_ms: float) -> Floats:
    """Where the ratio is later: row i, from node i, weights of all; rows sum to 1.

    A first-order autoregression (Ornstein and Uhlenbeck 1930) put on the nodes.
    """
    kept = math.exp(-max(elapsed_ms, 1.0) / WANDER_MS)
    spread = math.sqrt(1 - kept * kept)
    gaps = (NODES[None, :] - kept * NODES[:, None]) / spread
    weights: Floats = np.exp(-0.5 * gaps**2) + 1e-300
    rows: Floats = weights / weights.sum(axis=1, keepdims=True)
    rows.flags.writeable = False
    return rows
