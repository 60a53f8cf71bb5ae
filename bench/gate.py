"""Measures the gate: healthy and regressed roll-outs, ours against its peers.

    python bench/gate.py [--runs 500] [--only H1 R4] [--judges dayshift] [--write]

Every judge meets the same seeded worlds (`gate_bench/scenarios.py`) on the ramp 1, 5,
25, 50 % for an hour. `--runs` counts the runs of the rows that have a measure, judged
by ours; the peers and the other rows have fewer, see `runs_of`. Exit code 1 with
`--check` when a measure is missed; that says little below some hundred runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gate_bench.catalogue import EVERY
from gate_bench.knobs import Scenario
from gate_bench.measures import MEASURED, missed
from gate_bench.runs import JUDGES, OURS, Job, Outcome, everything, jobs_of
from gate_bench.table import Row, as_json, markdown, rows_of, write

PAGE = Path(__file__).resolve().parents[1] / "docs" / "gate-bench.md"
RUNS, SEED = 500, 20250
FOUND_PART, OTHERS_PART = 5, 12
OFTEN_S, OFTEN_PART = 5.0, 4
SAY_EVERY_S = 10.0


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [one.name for one in EVERY]
    parser.add_argument("--runs", type=int, default=RUNS, help="of each measured row")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", nargs="+", choices=names, metavar="SCENARIO")
    parser.add_argument("--judges", nargs="+", choices=JUDGES, default=JUDGES)
    parser.add_argument("--all-runs", action="store_true", help="--runs for every row")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true", help="rows instead of a table")
    parser.add_argument("--write", action="store_true", help=f"into docs/{PAGE.name}")
    parser.add_argument("--check", action="store_true", help="exit 1 on a miss")
    parser.add_argument("--look", action="store_true", help="only: cost of one look")
    parser.add_argument("--list", action="store_true", help="only: the scenarios")
    return parser.parse_args(argv)


def runs_of(judge: str, scenario: Scenario, chosen: argparse.Namespace) -> int:
    """Most where a rare event is promised, fewest where a look comes each second."""
    runs: int = chosen.runs
    if chosen.all_runs:
        return runs
    if judge != OURS or scenario.name not in MEASURED:
        runs //= OTHERS_PART
    elif not scenario.healthy:
        runs //= FOUND_PART
    if scenario.look_s < OFTEN_S:
        runs //= OFTEN_PART
    return max(1, runs)


def simulate(
    chosen: argparse.Namespace, scenarios: Sequence[Scenario]
) -> dict[tuple[str, str], Row]:
    """All of it, with a line of progress."""
    jobs: list[Job] = []
    for scenario in scenarios:
        for judge in chosen.judges:
            runs = runs_of(judge, scenario, chosen)
            jobs += jobs_of(judge, scenario, chosen.seed, runs)
    found: list[Outcome] = []
    begin, said = time.monotonic(), 0.0
    for done, outcomes in enumerate(everything(jobs, chosen.processes), 1):
        found += outcomes
        took = time.monotonic() - begin
        if took >= said + SAY_EVERY_S or done == len(jobs):
            said = took
            left = took / done * (len(jobs) - done)
            print(
                f"{len(found)} roll-outs in {took:.0f} s, about {left:.0f} s more",
                file=sys.stderr,
                flush=True,
            )
    found.sort(key=lambda one: one.run)
    return rows_of(found)


def cost(as_json_: bool) -> int:
    """The flag `--look`."""
    from dataclasses import asdict

    from gate_bench.cost import LIMIT_MS, measure

    found = measure()
    print(json.dumps(asdict(found)) if as_json_ else found.line())
    return int(found.look_ms >= LIMIT_MS)


def main(argv: Sequence[str] | None = None) -> int:
    chosen = arguments(argv)
    if chosen.list:
        for one in EVERY:
            print(f"{one.name:6}{'healthy' if one.healthy else 'bad':9}{one.about}")
        return 0
    if chosen.look:
        return cost(chosen.json)
    scenarios = [one for one in EVERY if not chosen.only or one.name in chosen.only]
    rows = simulate(chosen, scenarios)
    table = markdown(scenarios, chosen.judges, rows)
    print(json.dumps(as_json(rows.values())) if chosen.json else table)
    if chosen.write:
        about = f"Seed {chosen.seed}; `python bench/gate.py --write` made this table."
        write(PAGE, f"{about}\n\n{table}")
    wrong = missed(rows)
    for line in wrong:
        print(f"missed: {line}", file=sys.stderr)
    return int(bool(wrong) and chosen.check)


if __name__ == "__main__":
    sys.exit(main())
