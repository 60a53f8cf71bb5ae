"""Kayenta and Netflix' sequential tests, simplified; each says what is left out."""

from __future__ import annotations

import math

import numpy as np

from dayshift.model.evidence import Counts
from gate_bench.knobs import BOUNDS_US, CANARY, OTHER, Scenario, Sight
from gate_bench.ranks import Values, shift_interval
from gate_bench.steps import (
    NONE,
    RAMP,
    Services,
    State,
    Steps,
    error_rate,
    p99_s,
    total,
)


class Kayenta(Steps):
    """Kayenta (`NetflixACAJudge`, `MannWhitneyClassifier`), 50 points for each step.

    A point is a scrape; the baseline is thinned to the canary's size, as its guide asks
    for. Error rate and p99, each its own group of equal weight: *High* if the 98 %
    interval of the shift lies above a quarter of the Hodges-Lehmann estimate and the
    mean ratio is at least 1. One High gives a score of 50, below a marginal of 75: roll
    back. Judged at the end of the step. Left out: outlier removal (off by default),
    interim judgements.
    """

    POINTS = 50

    def __init__(self, look_s: float) -> None:
        super().__init__(self.POINTS * look_s)
        self._rng = np.random.default_rng(round(look_s))
        self._points: dict[str, list[tuple[Counts, Counts]]] = {}

    @staticmethod
    def default(scenario: Scenario) -> Kayenta:
        return Kayenta(max(scenario.look_s, 15.0))

    def observe(self, at_s: float, found: Services) -> None:
        for name, sight in found.items():
            pair = sight[CANARY], sight[OTHER]
            self._points.setdefault(name, []).append(pair)
        if at_s - self._since_s < self._step_s - 1e-9:
            return
        if any(self._high(points) for points in self._points.values()):
            self.state = State.ROLLED_BACK
        else:
            self._points = {}
            self._advance_in_time(at_s)

    def _high(self, points: list[tuple[Counts, Counts]]) -> bool:
        together_by = max(1, len(points) // self.POINTS)
        pairs = [
            tuple(
                total(side) for side in zip(*points[n : n + together_by], strict=True)
            )
            for n in range(0, len(points), together_by)
        ]
        thinned = [(here, self._thin(there, here.requests)) for here, there in pairs]
        for metric in (error_rate, p99_s):
            here = np.array([metric(one) for one, _ in thinned])
            there = np.array([metric(one) for _, one in thinned])
            if is_high(here[~np.isnan(here)], there[~np.isnan(there)]):
                return True
        return False

    def _thin(self, counts: Counts, size: int) -> Counts:
        """As if the baseline had as many requests as the canary."""
        size = min(size, counts.requests)
        if size == 0:
            return NONE
        good = counts.requests - counts.errors
        errors = int(self._rng.hypergeometric(counts.errors, good, size))
        cells = np.diff(list(counts.buckets.values()), prepend=0)
        drawn = self._rng.multivariate_hypergeometric(cells, size, method="marginals")
        into = drawn.cumsum().tolist()
        return Counts(size, errors, dict(zip(BOUNDS_US, into, strict=True)))


def is_high(here: Values, there: Values) -> bool:
    """Kayenta's classifier for a metric that is worse when it is larger."""
    if not len(here) or not len(there) or np.array_equal(here, there):
        return False
    found = shift_interval(here, there, confidence=0.98)
    if found is None:
        return False
    low, estimate, _ = found
    return low > 0.25 * abs(estimate) and bool(here.mean() >= there.mean())


class NetflixSequential(Steps):
    """Netflix' sequential tests: errors by counts, latency by bands around the CDFs.

    Errors (arXiv 2011.03567): given how many errors there were in a scrape, the
    canary's are binomial with its part of the requests; the e-process is a mixture over
    ratios against ratio 1. Latency (arXiv 2205.14762): time-uniform bands around both
    empirical distribution functions, here at the buckets' bounds; roll back when the
    canary's lies below the other's by more than both bands. α = .01, half for each,
    shared by the services. Bands start again with each step (α / 4): pooled over
    changing shares, a shared incident would weigh differently on the two sides. Five
    minutes a step; stays armed, as it would there. A mixture over a grid of ratios
    above 1 stands for the papers' Dirichlet prior.
    """

    armed = True
    ALPHA = 0.01
    RATIOS = np.exp(np.linspace(math.log(1.1), math.log(100.0), 24))

    def __init__(self) -> None:
        super().__init__(300.0)
        self._logs: dict[str, Values] = {}
        self._seen: dict[str, Sight] = {}

    @staticmethod
    def default(scenario: Scenario) -> NetflixSequential:
        del scenario
        return NetflixSequential()

    def observe(self, at_s: float, found: Services) -> None:
        each = self.ALPHA / 2.0 / len(found)
        for name, sight in found.items():
            kept = self._seen.get(name)
            self._seen[name] = (
                {side: total((kept[side], sight[side])) for side in sight}
                if kept
                else sight
            )
            slower = self._slower(name, each / len(RAMP))
            if slower or self._more_errors(name, sight, each):
                self.state = State.ROLLED_BACK
                return
        if self.state is State.RUNNING:
            before = self.share
            self._advance_in_time(at_s)
            if self.share != before:
                self._seen.clear()

    def _more_errors(self, name: str, sight: Sight, alpha: float) -> bool:
        here, there = sight[CANARY], sight[OTHER]
        both = here.requests + there.requests
        logs = self._logs.setdefault(name, np.zeros(len(self.RATIOS)))
        if both and here.errors + there.errors:
            part = here.requests / both
            logs += here.errors * np.log(self.RATIOS)
            bad = here.errors + there.errors
            logs -= bad * np.log(part * self.RATIOS + 1.0 - part)
        top = float(logs.max())
        return top + math.log(float(np.exp(logs - top).mean())) > -math.log(alpha)

    def _slower(self, name: str, alpha: float) -> bool:
        here, there = self._seen[name][CANARY], self._seen[name][OTHER]
        width = band(here.requests, alpha / 2) + band(there.requests, alpha / 2)
        if width >= 1.0:
            return False
        return any(
            there.buckets[le] / there.requests - here.buckets[le] / here.requests
            > width
            for le in BOUNDS_US
        )


def band(n: int, alpha: float) -> float:
    """Half the width of a time-uniform band around a CDF (Howard and Ramdas, 2022)."""
    if n < 1:
        return 1.0
    inner = math.log(math.log(math.e * n)) + 0.8 * math.log(1612.0 / alpha)
    return 0.85 * math.sqrt(inner / n)
