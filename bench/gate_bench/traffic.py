"""How traffic is drawn: error rates, latencies, clusters, and what both regions share.

Functions of a scenario and a generator; what has happened so far is kept by `World`.

One scrape of one region: requests are Poisson at its share of the arrivals. Bad events
come with the region's error rate, each a cluster of geometric size. Latencies fall into
the default client buckets from a lognormal. The rates are multiplied by what both
regions share (bursts, trend), what each has for itself (bias, wandering), and by what
the release did (cold caches, which are healthy; the regression, which is not).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import ndtr

from dayshift.model.evidence import Counts
from gate_bench.knobs import (
    BOUNDS_S,
    BOUNDS_US,
    P99_MS,
    REGIONS,
    Z90,
    Z99,
    Harm,
    Noise,
    Scenario,
    Sight,
)

Floats = NDArray[np.float64]
LOG_BOUNDS_MS: Floats = np.log(np.array(BOUNDS_S) * 1e3)
SECONDS_AFTER = 120
"""Profiles are drawn a little longer than asked for: a skewed scrape looks ahead."""


def fractions(scenario: Scenario, slow: Any, tail_x: float = 1.0) -> Floats:
    """Part of the answers at or below each finite bound; `slow` multiplies latency."""
    reach = LOG_BOUNDS_MS - math.log(scenario.median_ms)
    return _below(scenario, np.subtract.outer(-np.log(slow), -reach), tail_x)


def slow_part(scenario: Scenario, slow: float, tail_x: float = 1.0) -> float:
    """Part of the answers above the healthy p99."""
    reach = math.log(P99_MS / scenario.median_ms / slow)
    return 1.0 - float(_below(scenario, np.float64(reach), tail_x))


def _below(scenario: Scenario, reach: Any, tail_x: float) -> Floats:
    """P(log latency over the median ≤ reach), the tail beyond the p90 stretched."""
    sigma = scenario.sigma
    if tail_x == 1.0:
        return np.asarray(ndtr(reach / sigma))
    stretch = math.log(tail_x) / (Z99 - Z90)
    tail = (reach + stretch * Z90) / (sigma + stretch)
    return np.asarray(ndtr(np.where(reach <= sigma * Z90, reach / sigma, tail)))


def _wander(
    rng: np.random.Generator, shape: tuple[int, int], sd: float, keep: float
) -> Floats:
    """exp of stationary AR(1) paths, one in each row."""
    if sd == 0.0:
        return np.ones(shape)
    shocks = rng.normal(0.0, sd, shape)
    shocks[:, 1:] *= math.sqrt(1.0 - keep * keep)
    return np.asarray(np.exp(lfilter([1.0], [1.0, -keep], shocks, axis=1)))


def _bursts(
    rng: np.random.Generator, scenario: Scenario, seconds: int
) -> tuple[Floats, Floats]:
    """Shared factors on error rate and latency, second by second."""
    errors, slow = np.ones(seconds), np.ones(seconds)
    kinds = ((scenario.bursts, 5.0, 50.0), (scenario.small_bursts, 2.0, 3.0))
    for often, least, most in kinds:
        for _ in range(rng.poisson(often * seconds / 3600.0)):
            start = int(rng.integers(0, seconds))
            end = start + int(rng.integers(30, 301))
            low, high = math.log(least), math.log(most)
            errors[start:end] *= math.exp(rng.uniform(low, high))
            slow[start:end] *= math.exp(rng.uniform(low, high))
    return np.minimum(errors, 50.0), np.minimum(slow, 50.0)


class Period:
    """The rates of one stream over one period, drawn at once: rows are the regions."""

    def __init__(
        self,
        scenario: Scenario,
        noise: Noise,
        rng: np.random.Generator,
        shared: tuple[Floats, Floats],
        offset: float,
    ) -> None:
        self.scenario, self.noise = scenario, noise
        looks = shared[0].shape[1]
        shape, look_s = (len(REGIONS), looks), scenario.look_s
        keep = math.exp(-look_s / noise.tau_s)
        hours = (offset + look_s * np.arange(1, looks + 1)) / 3600.0
        self.errors = _wander(rng, shape, noise.sd, keep) * shared[0]
        self.errors *= scenario.base * scenario.trend**hours
        self.errors[0] *= scenario.bias
        self.slow = _wander(rng, shape, noise.slow_sd, keep) * shared[1]
        self.slow[0] *= scenario.slow_bias
        stalls = rng.poisson(noise.stalls * look_s / 3600.0, shape)
        self.stalled = np.minimum(stalls * 2.0 / look_s, 1.0)


def shared_factors(
    scenario: Scenario, rng: np.random.Generator, looks: int
) -> tuple[Floats, Floats]:
    """What both regions see, averaged over each one's own scrape windows."""
    if not (scenario.bursts or scenario.small_bursts):
        return np.ones((2, looks)), np.ones((2, looks))
    seconds = math.ceil(looks * scenario.look_s) + SECONDS_AFTER
    skew = rng.uniform(0.0, scenario.look_s) if scenario.skew else 0.0
    edges = scenario.look_s * np.arange(looks + 1)
    found = []
    for profile in _bursts(rng, scenario, seconds):
        total = np.concatenate([[0.0], np.cumsum(profile)])
        ticks = np.arange(seconds + 1)
        rows = [np.diff(np.interp(edges + by, ticks, total)) for by in (0.0, skew)]
        found.append(np.array(rows) / scenario.look_s)
    return found[0], found[1]


def spill(scenario: Scenario) -> Floats:
    """Part of a cluster's errors that falls into its own scrape and into later ones."""
    if scenario.spread_s <= 0.0:
        return np.ones(1)
    spread, look = scenario.spread_s, scenario.look_s
    later = look * np.arange(math.ceil(spread / look) + 2)
    # An event begins anywhere in its scrape, an error up to `spread` after it: the
    # distribution of the sum of the two, at the scrapes' ends.
    ramp = [np.maximum(later - cut, 0.0) ** 2 for cut in (0.0, look, spread)]
    both = np.maximum(later - look - spread, 0.0) ** 2
    reached = (ramp[0] - ramp[1] - ramp[2] + both) / (2.0 * look * spread)
    return np.diff(reached)


def bad_requests(
    rng: np.random.Generator, requests: Any, rate: Any, cluster: float
) -> Any:
    """Errors of one scrape: single ones, or clusters of geometric size."""
    if cluster <= 1.0:
        return rng.binomial(requests, np.minimum(rate, 1.0))
    events = rng.poisson(requests * rate / cluster)
    extra = rng.negative_binomial(np.maximum(events, 1), 1.0 / cluster)
    return np.minimum(np.where(events > 0, events + extra, 0), requests)


def with_stalls(
    scenario: Scenario, slow: Any, stalled: Any, tail_x: float = 1.0
) -> Floats:
    """Fractions below each bound when a part of the scrape the region stood still."""
    below = fractions(scenario, slow, tail_x)
    if not np.any(stalled):
        return below
    part = np.asarray(stalled)[..., None]
    return (1.0 - part) * below + part * fractions(scenario, slow * 20.0, tail_x)


def parts(below: Floats) -> Floats:
    """Probability of each bucket; the last one is beyond every bound."""
    cells = np.empty((*below.shape[:-1], below.shape[-1] + 1))
    cells[..., 0] = below[..., 0]
    cells[..., 1:-1] = np.diff(below, axis=-1)
    cells[..., -1] = 1.0 - below[..., -1]
    return np.maximum(cells, 0.0)


def buckets(cumulative: NDArray[np.int64]) -> dict[int, int]:
    return dict(zip(BOUNDS_US, cumulative.tolist(), strict=True))


def excess(
    scenario: Scenario, n: int, rate: float, slow: float, worse: Scenario
) -> Harm:
    """Expected errors and slow answers of `n` requests due to the regression alone."""
    if worse.healthy:
        return Harm()
    usual = min(rate, 1.0)
    now = min(rate * worse.errors_x, 1.0)
    now += (1.0 - now) * worse.outage
    late = 0.0
    if worse.slow_x != 1.0 or worse.tail_x != 1.0:
        late = slow_part(scenario, slow * worse.slow_x, worse.tail_x)
        late -= slow_part(scenario, slow)
    return Harm(n * (now - usual), n * late)


def together(found: dict[str, Sight]) -> Sight:
    """All services of a region as one."""
    if len(found) == 1:
        return next(iter(found.values()))
    total: Sight = {}
    for region in REGIONS:
        parts = [sight[region] for sight in found.values()]
        buckets = {le: sum(one.buckets[le] for one in parts) for le in BOUNDS_US}
        total[region] = Counts(
            sum(one.requests for one in parts),
            sum(one.errors for one in parts),
            buckets,
        )
    return total
