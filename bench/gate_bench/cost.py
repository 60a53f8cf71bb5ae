"""What one look costs, and what a hundred thousand of them leave in memory."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from dataclasses import dataclass, replace

from dayshift.gates import Judge
from dayshift.model.estate import GatePolicy
from gate_bench.catalogue import named
from gate_bench.knobs import CANARY
from gate_bench.ours import RAMP_BP, learned, looks
from gate_bench.scenarios import World
from gate_bench.steps import Services

MANY = 100_000
SAMPLES = 240
LIMIT_MS = 1.0


@dataclass(frozen=True)
class Cost:
    """One look of all services: milliseconds; and what the judge holds, in KiB."""

    median_ms: float
    p99_ms: float
    kept_kib_early: float
    kept_kib: float
    looks: int

    def line(self) -> str:
        return (
            f"one look, 2 regions, 3 services, 12 buckets: median {self.median_ms:.3f}"
            f" ms, p99 {self.p99_ms:.3f} ms (all three services); memory after"
            f" {self.looks // 100} looks {self.kept_kib_early:.0f} KiB, after"
            f" {self.looks} looks {self.kept_kib:.0f} KiB"
        )


def measure(many: int = MANY) -> Cost:
    """Time an hour of looks, then let the same hour go round until there were many."""
    scenario = replace(named("H21"), noise=named("H9").noise)
    world = World(scenario, 1)
    fresh = lambda: Judge(  # noqa: E731
        GatePolicy(), calibrations, CANARY, RAMP_BP, streams=scenario.services
    )
    calibrations = learned(world)
    hour = [world.look_streams(0.25)[0] for _ in range(SAMPLES)]
    judge = fresh()
    took = [_look(judge, n, found) for n, found in enumerate(hour)]
    took.sort()
    tracemalloc.start()
    judge = fresh()
    early = 0.0
    for n in range(many):
        _look(judge, n, hour[n % SAMPLES])
        if n == many // 100:
            early = tracemalloc.get_traced_memory()[0] / 1024.0
    kept = tracemalloc.get_traced_memory()[0] / 1024.0
    tracemalloc.stop()
    return Cost(statistics.median(took), took[len(took) * 99 // 100], early, kept, many)


def _look(judge: Judge, number: int, found: Services) -> float:
    """Milliseconds for one moment of all services."""
    each = list(looks(15.0 * (number + 1), 15_000, 2500, found))
    begin = time.perf_counter()
    for look in each:
        judge.observe(look)
    return (time.perf_counter() - begin) * 1e3
