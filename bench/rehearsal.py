"""Rehearsals per second and core: a plan of nine simulated hours, and a short one.

    python bench/rehearsal.py [RUNS]

Processor time of one process, so that a busy machine does not change the figure. The
gate's part is measured by a profiler in a run of its own.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from dayshift.model.plan import Plan
from dayshift.rehearsal.play import play
from tests.planted import plans

HOUR_MS = 3_600_000


def measure(name: str, plan: Plan, runs: int, weather: bool) -> None:
    """Print one line."""
    begun, simulated = time.process_time(), 0
    for seed in range(runs):
        result = play(plan, seed, drawn=None if weather else ()).result
        simulated += result.duration_ms
    spent = time.process_time() - begun
    hours = simulated / runs / HOUR_MS
    print(
        f"{name:<32} {runs / spent:8.2f} rehearsals/s and core  "
        f"{hours:6.2f} simulated h each  {simulated / 1000 / spent:10,.0f} x real time"
    )


def gate_part(plan: Plan) -> float:
    """The share of the time that is spent in `dayshift.gates`."""
    profile = cProfile.Profile()
    profile.runcall(play, plan, 0, drawn=())
    stats = pstats.Stats(profile)
    rows = stats.stats.items()  # type: ignore[attr-defined]
    gate = sum(row[2] for (file, _, _), row in rows if "/dayshift/gates/" in file)
    return float(gate / stats.total_tt)  # type: ignore[attr-defined]


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    play(plans.short(), 0)
    long = plans.nine_hours()
    measure("nine hours, good weather", long, runs, False)
    measure("nine hours, weather", long, runs, True)
    measure("short, weather", plans.short(), 4 * runs, True)
    measure("three regions, weather", plans.wide(), 4 * runs, True)
    print(f"the gate's part of nine hours: {gate_part(long):.0%}")


if __name__ == "__main__":
    main()
