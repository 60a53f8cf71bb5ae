"""What one look costs, and what a hundred thousand of them leave in memory."""

from __future__ import annotations

import copy
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
MOMENTS = 240
LIMIT_MS = 1.0


@dataclass(frozen=True)
class Cost:
    """Milliseconds for one look (one stream) and for one moment (all three services);
    mean CPU time of a look, which a busy machine changes less. KiB the judge holds.
    """

    look_ms: float
    look_p99_ms: float
    look_cpu_ms: float
    moment_ms: float
    moment_p99_ms: float
    kept_kib_early: float
    kept_kib: float
    looks: int

    def line(self) -> str:
        return (
            "2 regions, 3 services, 12 buckets: one look of one service median"
            f" {self.look_ms:.2f} ms, p99 {self.look_p99_ms:.2f} ms (mean CPU"
            f" {self.look_cpu_ms:.2f} ms); all three services {self.moment_ms:.2f} ms,"
            f" p99 {self.moment_p99_ms:.2f} ms; the judge holds"
            f" {self.kept_kib_early:.0f} KiB after {self.looks // 100} looks,"
            f" {self.kept_kib:.0f} KiB after {self.looks}"
        )


def measure(many: int = MANY) -> Cost:
    """Time an hour of looks, then let the same hour go round until there were many."""
    scenario = replace(named("H21"), noise=named("H9").noise)
    world = World(scenario, 1)
    known = learned(world)
    hour = [world.look_streams(0.25)[0] for _ in range(MOMENTS)]
    judge = Judge(GatePolicy(), known, CANARY, RAMP_BP, streams=scenario.services)
    cpu = time.process_time()
    timed = [_observe(judge, number, found) for number, found in enumerate(hour)]
    cpu = (time.process_time() - cpu) * 1e3 / (MOMENTS * scenario.services)
    single = sorted(took for moment in timed for took in moment)
    whole = sorted(map(sum, timed))
    moments = many // scenario.services
    early = 0.0
    judge = Judge(GatePolicy(), known, CANARY, RAMP_BP, streams=scenario.services)
    for number in range(moments):
        _observe(judge, number, hour[number % MOMENTS])
        if number == moments // 100:
            early = held_kib(judge)
    return Cost(
        statistics.median(single),
        single[len(single) * 99 // 100],
        cpu,
        statistics.median(whole),
        whole[len(whole) * 99 // 100],
        early,
        held_kib(judge),
        moments * scenario.services,
    )


def held_kib(judge: Judge) -> float:
    """What a copy of it allocates: tracing every look would take far longer."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = copy.deepcopy(judge)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del kept
    return held / 1024.0


def _observe(judge: Judge, number: int, found: Services) -> list[float]:
    """Milliseconds of each service's look at one moment."""
    took = []
    for look in looks(15.0 * (number + 1), 15_000, 2500, found):
        begin = time.perf_counter()
        judge.observe(look)
        took.append((time.perf_counter() - begin) * 1e3)
    return took
