"""What a simulated world is made of: its knobs. Values only.

`fra` returns (the canary), `ber` is the other region. What the knobs do is in
`traffic.py`; the named scenarios are in `catalogue.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtri

from dayshift.model.evidence import BEYOND_US, Counts

CANARY, OTHER = "fra", "ber"
REGIONS = (CANARY, OTHER)
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BOUNDS_US = (*(round(bound * 1e6) for bound in BOUNDS_S), BEYOND_US)
Z90, Z99 = float(ndtri(0.90)), float(ndtri(0.99))
P99_MS = 350.0
RUN_S = 3600.0


@dataclass(frozen=True)
class Noise:
    """How the error rates of one period (history, or the run) misbehave.

    Args:
        cluster: mean size of an error event (geometric; 1: single errors).
        sd, tau_s: the log error rate's AR(1), in each region independently.
        slow_sd: the same of the log latency.
        stalls: times per hour a region stands still for two seconds.
    """

    cluster: float = 1.0
    sd: float = 0.0
    tau_s: float = 120.0
    slow_sd: float = 0.0
    stalls: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """One kind of world. Factors multiply; 1 and 0 mean nothing happens.

    Args:
        rps, base: arrivals of both regions together; usual error rate.
        noise, run_noise: of the history, and of the run (None: the same).
        spread_s: seconds over which one cluster's errors fall.
        bursts, small_bursts: shared incidents per hour, of 5–50 and of 2–3 times.
        skew: whether the other region's scrapes are a random part of one apart.
        trend: how many times the error rate grows per hour, in both regions.
        bias, slow_bias: lasting factor of the canary region, in history too.
        cold_errors, cold_slow: factor after each step up, decaying within 30–45 s.
        errors_x, slow_x: the regression's factor on error rate and on all latencies.
        tail_x: its factor on the p99 where nothing below the p90 moves.
        leak_x, slow_leak_x: how much the factor grows per hour since the onset.
        outage: part of all requests that fails outright.
        onset_s, from_share: when, and from which share on, the regression acts.
        services: streams of equal traffic; the regression is in the first one.
    """

    name: str
    healthy: bool
    rps: float
    base: float
    look_s: float = 15.0
    about: str = ""
    noise: Noise = Noise()
    run_noise: Noise | None = None
    spread_s: float = 0.0
    bursts: float = 0.0
    small_bursts: float = 0.0
    skew: bool = False
    trend: float = 1.0
    bias: float = 1.0
    slow_bias: float = 1.0
    cold_errors: float = 1.0
    cold_slow: float = 1.0
    errors_x: float = 1.0
    slow_x: float = 1.0
    tail_x: float = 1.0
    leak_x: float = 0.0
    slow_leak_x: float = 0.0
    outage: float = 0.0
    onset_s: float = 0.0
    from_share: float = 0.0
    services: int = 1
    median_ms: float = 11.0

    @property
    def sigma(self) -> float:
        """The lognormal's: its p99 is 350 ms whatever the median."""
        return math.log(P99_MS / self.median_ms) / Z99


@dataclass(frozen=True)
class Harm:
    """Expected bad requests of one scrape that a healthy region would not have had."""

    errors: float = 0.0
    slow: float = 0.0

    def __add__(self, other: Harm) -> Harm:
        return Harm(self.errors + other.errors, self.slow + other.slow)


Sight = dict[str, Counts]
"""Counts by region."""
