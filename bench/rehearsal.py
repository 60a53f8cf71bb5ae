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

from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parents[1]))

from dayshift.core import planner
from dayshift.model.plan import Plan, Verb
from dayshift.rehearsal.play import play
from tests.planted import plans

HOUR_MS = 3_600_000


def nine_hours() -> Plan:
    """Two regions, meters scraped every 15 s, hours of work and of return."""
    short = plans.short()
    policy = replace(
        short.estate.policy,
        fresh_ms=45_000,
        quiet_ms=120_000,
        soak_ms=7_200_000,
        drain_dwell_ms=60_000,
        blind_limit_ms=300_000,
        gate=replace(plans.GATE, dwell_ms_min=900_000, warmup_ms=105_000),
    )
    service = short.estate.services[0]
    meters = tuple(replace(one, every_ms=15_000) for one in service.meters)
    estate = replace(
        short.estate, policy=policy, services=(replace(service, meters=meters),)
    )
    change = plans.change("fra", "ber", limit_ms=3 * HOUR_MS)
    return planner.make(estate, change, Verb.MAINTAIN)


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
    return gate / stats.total_tt  # type: ignore[attr-defined]


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    play(plans.short(), 0)
    long = nine_hours()
    measure("nine hours, good weather", long, runs, False)
    measure("nine hours, weather", long, runs, True)
    measure("short, weather", plans.short(), 4 * runs, True)
    measure("three regions, weather", plans.wide(), 4 * runs, True)
    print(f"the gate's part of nine hours: {gate_part(long):.0%}")


if __name__ == "__main__":
    main()
