"""Two regions' traffic, simulated: what a gate's meters would have counted.

Kept apart from every judge: nothing of `dayshift.gates` is imported, and no judge is
asked anything here.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dayshift.model.evidence import Counts
from gate_bench.knobs import REGIONS, RUN_S, Harm, Noise, Scenario, Sight
from gate_bench.traffic import (
    Period,
    bad_requests,
    buckets,
    excess,
    parts,
    shared_factors,
    spill,
    together,
    with_stalls,
)

__all__ = ["Harm", "Noise", "Scenario", "Sight", "World"]

_FINE = Scenario("fine", True, 1.0, 0.0)


class World:
    """One seeded world: its history, then a run that is looked at scrape by scrape."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.now_s = 0.0
        self._past, self._future = np.random.default_rng(seed).spawn(2)
        self._noise = scenario.run_noise or scenario.noise
        looks = math.ceil(RUN_S / scenario.look_s)
        self._periods = self._draw(self._future, self._noise, looks, 0.0)
        self._cold_tau_s = self._future.uniform(30.0, 45.0)
        self._kernel = spill(scenario)
        self._owed = [np.zeros((2, len(self._kernel))) for _ in self._periods]
        self._share, self._stepped_s, self._index = 0.0, 0.0, 0

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the services."""
        if self.scenario.services == 1:
            return ("service",)
        return tuple(f"service-{n + 1}" for n in range(self.scenario.services))

    def history(self, hours: float = 4.0) -> list[tuple[float, Sight]]:
        """Scrapes before the drain, all services together."""
        return [(at, together(found)) for at, found in self.history_streams(hours)]

    def history_streams(
        self, hours: float = 4.0
    ) -> list[tuple[float, dict[str, Sight]]]:
        """The same by service: both regions at half, the canary healthy."""
        scenario = self.scenario
        looks = round(hours * 3600.0 / scenario.look_s)
        offset = -hours * 3600.0
        periods = self._draw(self._past, scenario.noise, looks, offset)
        drawn = [self._past_of(period, looks) for period in periods]
        return [
            (
                (n + 1) * scenario.look_s,
                {name: one[n] for name, one in zip(self.streams, drawn, strict=True)},
            )
            for n in range(looks)
        ]

    def look(self, share: float) -> tuple[Sight, Harm]:
        """The next scrape at this share of arrivals, all services together."""
        found, harm = self.look_streams(share)
        return together(found), harm

    def look_streams(self, share: float) -> tuple[dict[str, Sight], Harm]:
        """The next scrape by service."""
        if share > self._share:
            self._stepped_s = self.now_s
        self._share = share
        found: dict[str, Sight] = {}
        harm = Harm()
        for number, name in enumerate(self.streams):
            found[name], done = self._look_at(number, share)
            harm = harm + done
        self.now_s += self.scenario.look_s
        self._index += 1
        return found, harm

    def _draw(
        self, rng: np.random.Generator, noise: Noise, looks: int, offset: float
    ) -> list[Period]:
        shared = shared_factors(self.scenario, rng, looks)
        several = range(self.scenario.services)
        return [Period(self.scenario, noise, rng, shared, offset) for _ in several]

    def _past_of(self, period: Period, looks: int) -> list[Sight]:
        """All scrapes of one stream's history in a few vector draws."""
        scenario, rng = self.scenario, self._past
        mean = scenario.rps / scenario.services * scenario.look_s * 0.5
        requests = rng.poisson(mean, (2, looks))
        bad = bad_requests(rng, requests, period.errors, period.noise.cluster)
        kernel = self._kernel
        if len(kernel) > 1:
            late = rng.multinomial(bad, kernel)
            bad = np.zeros_like(bad)
            for later in range(len(kernel)):
                bad[:, later:] += late[:, : looks - later, later]
        bad = np.minimum(bad, requests)
        below = with_stalls(scenario, period.slow, period.stalled)
        into = rng.multinomial(requests, parts(below)).cumsum(axis=-1)
        rows = zip(
            requests.T.tolist(), bad.T.tolist(), into.swapaxes(0, 1), strict=True
        )
        return [
            {
                region: Counts(n[i], x[i], buckets(cells[i]))
                for i, region in enumerate(REGIONS)
            }
            for n, x, cells in rows
        ]

    def _look_at(self, number: int, share: float) -> tuple[Sight, Harm]:
        scenario, rng = self.scenario, self._future
        period, index = self._periods[number], self._index
        worse = self._regression(share) if number == 0 else _FINE
        warm = self._cold()
        found: Sight = {}
        harm = Harm()
        for side, part in ((0, share), (1, 1.0 - share)):
            mean = scenario.rps / scenario.services * scenario.look_s * part
            n = int(rng.poisson(mean))
            rate, slow = period.errors[side, index], period.slow[side, index]
            stalled = period.stalled[side, index]
            tail_x, outage = 1.0, 0.0
            if side == 0:
                rate, slow = rate * warm[0], slow * warm[1]
                harm = excess(scenario, n, float(rate), float(slow), worse)
                rate, slow = rate * worse.errors_x, slow * worse.slow_x
                tail_x, outage = worse.tail_x, worse.outage
            bad = int(bad_requests(rng, n, rate, period.noise.cluster))
            bad = min(self._spilled(number, side, bad), n)
            if outage:
                bad += int(rng.binomial(n - bad, outage))
            below = with_stalls(scenario, slow, stalled, tail_x)
            cells = rng.multinomial(n, parts(below)).cumsum()
            found[REGIONS[side]] = Counts(n, bad, buckets(cells))
        return found, harm

    def _spilled(self, number: int, side: int, bad: int) -> int:
        """This scrape's errors once each cluster's late ones went to later scrapes."""
        if len(self._kernel) == 1:
            return bad
        owed = self._owed[number][side]
        owed += self._future.multinomial(bad, self._kernel)
        due = int(owed[0])
        owed[:-1] = owed[1:].copy()
        owed[-1] = 0
        return due

    def _cold(self) -> tuple[float, float]:
        """Factors on errors and latency, averaged over this scrape, after a step up."""
        scenario, tau = self.scenario, self._cold_tau_s
        if scenario.cold_errors == 1.0 and scenario.cold_slow == 1.0:
            return 1.0, 1.0
        since = self.now_s - self._stepped_s
        part = math.exp(-since / tau) - math.exp(-(since + scenario.look_s) / tau)
        part *= tau / scenario.look_s
        errors, slow = scenario.cold_errors - 1.0, scenario.cold_slow - 1.0
        return 1.0 + errors * part, 1.0 + slow * part

    def _regression(self, share: float) -> Scenario:
        """The factors that act in this scrape."""
        scenario = self.scenario
        since = self.now_s - scenario.onset_s
        if scenario.healthy or since < 0.0 or share < scenario.from_share:
            return _FINE
        if not (scenario.leak_x or scenario.slow_leak_x):
            return scenario
        hours = (since + scenario.look_s / 2.0) / 3600.0
        return replace(
            scenario,
            errors_x=scenario.errors_x + scenario.leak_x * hours,
            slow_x=scenario.slow_x + scenario.slow_leak_x * hours,
        )
