"""Flagger and Argo Rollouts: fixed bounds for each interval, simplified.

Rules as read in the projects' sources and documentation. They see what we see, scrape
by scrape, and raise the share along the same rungs.
"""

from __future__ import annotations

from dayshift.model.evidence import Counts
from gate_bench.knobs import CANARY, OTHER, Scenario
from gate_bench.steps import (
    Known,
    Services,
    State,
    Steps,
    Window,
    error_rate,
    p99_s,
)


class Flagger(Steps):
    """Flagger (`scheduler.go`, `scheduler_metrics.go`), canary alone, fixed bounds.

    Every minute both built-in metrics over the last minute: success rate at least the
    one bound, p99 at most the other. A failed check, or one without data, counts and is
    never forgiven within the run; at `threshold` failures the next interval rolls back.
    `stepWeights` may repeat a weight: that is how `passes` per rung is configured.
    Left out: webhooks, the primary's own promotion, alerts. Every service has its own
    metrics in one analysis; all must hold.
    """

    def __init__(
        self, success: float, p99: float, passes: int = 1, threshold: int = 5
    ) -> None:
        super().__init__(0.0)
        self._success, self._p99_s = success, p99
        self._passes, self._threshold = passes, threshold
        self._window, self._due_s = Window(60.0), 60.0
        self._passed = self._failed = 0

    @staticmethod
    def default(scenario: Scenario) -> Flagger:
        """The documentation's example: 99 % and 500 ms, a step each minute."""
        del scenario
        return Flagger(0.99, 0.5)

    @staticmethod
    def tuned(scenario: Scenario) -> Flagger:
        """Bounds from the healthy rates (2× errors, 1.25× p99); five minutes a step."""
        known = Known.of(scenario)
        return Flagger(1.0 - 2.0 * known.errors, 1.25 * known.p99_s, passes=5)

    def observe(self, at_s: float, found: Services) -> None:
        self._window.add(at_s, found)
        if at_s < self._due_s - 1e-9:
            return
        self._due_s += 60.0
        if self._failed >= self._threshold:
            self.state = State.ROLLED_BACK
            return
        if not all(self._holds(self._window.of(name, CANARY)) for name in found):
            self._failed += 1
            return
        self._passed += 1
        if self._passed >= self._passes:
            self._passed = 0
            self._advance(at_s)

    def _holds(self, counts: Counts) -> bool:
        return (
            1.0 - error_rate(counts) >= self._success and p99_s(counts) <= self._p99_s
        )


class ArgoDefault(Steps):
    """Argo Rollouts, the documentation's example (`analysis.md`), in the background.

    `successCondition: result[0] >= 0.95`, `interval: 5m`, `failureLimit: 3`, over
    `irate`, so the last scrape alone. More failures than the limit abort. Ten minutes a
    step. NaN (no requests) is not ≥ 0.95: failed. No latency metric, as there.
    """

    def __init__(self) -> None:
        super().__init__(600.0)
        self._failed: dict[str, int] = {}

    @staticmethod
    def default(scenario: Scenario) -> ArgoDefault:
        del scenario
        return ArgoDefault()

    def observe(self, at_s: float, found: Services) -> None:
        if (at_s + 1e-9) % 300.0 < 1e-6:
            for name, sight in found.items():
                good = 1.0 - error_rate(sight[CANARY]) >= 0.95
                self._failed[name] = self._failed.get(name, 0) + (not good)
        if max(self._failed.values(), default=0) > 3:
            self.state = State.ROLLED_BACK
        else:
            self._advance_in_time(at_s)


class ArgoRatio(Steps):
    """Argo Rollouts against the live baseline: what its users write for themselves.

    Every minute, `rate(...[1m])`: canary error rate ≤ 2× and p99 ≤ 1.25× that of the
    other region; each metric of each service has `failureLimit: 3`. Five minutes a
    step. NaN fails. Left out: inconclusive results, which pause for a person.
    """

    def __init__(self) -> None:
        super().__init__(300.0)
        self._window, self._due_s = Window(60.0), 60.0
        self._failed: dict[tuple[str, str], int] = {}

    @staticmethod
    def ratio(scenario: Scenario) -> ArgoRatio:
        del scenario
        return ArgoRatio()

    def observe(self, at_s: float, found: Services) -> None:
        self._window.add(at_s, found)
        if at_s >= self._due_s - 1e-9:
            self._due_s += 60.0
            for name in found:
                here = self._window.of(name, CANARY)
                there = self._window.of(name, OTHER)
                errors = error_rate(here) <= 2.0 * error_rate(there)
                slow = p99_s(here) <= 1.25 * p99_s(there)
                for metric, good in (("errors", errors), ("slow", slow)):
                    key = (name, metric)
                    self._failed[key] = self._failed.get(key, 0) + (not good)
        if max(self._failed.values(), default=0) > 3:
            self.state = State.ROLLED_BACK
        else:
            self._advance_in_time(at_s)
