"""Rehearsals per second and core: a plan of nine simulated hours, and short ones.

    python bench/rehearsal.py [RUNS] [BEFORE]

Processor time of one process, as it is in a process of a campaign. A busy machine still
slows it, for caches are shared: with the folder of an older commit as BEFORE, both play
the same seeds in turns, and the ratio of each is printed, which stands on any machine.
The gate's part is measured by a profiler in a run of its own.
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(
    0, sys.argv[2] if sys.argv[1:2] == ["--answer"] else str(Path(__file__).parents[1])
)

from dayshift.model.plan import Plan
from dayshift.rehearsal import campaign
from dayshift.rehearsal.play import play
from tests.planted import plans

HOUR_MS = 3_600_000
PLANS = {
    "nine hours": plans.nine_hours,
    "kit": plans.kit,
    "short": plans.short,
    "three regions": plans.wide,
}


def measure(name: str, plan: Plan, runs: int, weather: bool) -> None:
    """Print one line."""
    begun, simulated = time.process_time(), 0
    for seed in range(runs):
        result = play(plan, seed, drawn=None if weather else ()).result
        simulated += result.duration_ms
    spent = time.process_time() - begun
    hours = simulated / runs / HOUR_MS
    sky = "weather" if weather else "good weather"
    print(
        f"{name + ', ' + sky:<32} {runs / spent:8.2f} rehearsals/s and core  "
        f"{hours:6.2f} simulated h each  {simulated / 1000 / spent:10,.0f} x real time"
    )


def answer() -> None:
    """Play what is asked, line by line, and say how long the processor took."""
    made = {name: make() for name, make in PLANS.items()}
    play(made["short"], 0)
    getattr(campaign, "settle_in", lambda: None)()
    for line in sys.stdin:
        name, seed = line.rstrip().rsplit(" ", 1)
        begun = time.process_time()
        play(made[name], int(seed))
        print(time.process_time() - begun, flush=True)


def compare(before: Path, runs: int) -> None:
    """Print how much faster this commit is than the one in `before`, by plan."""
    players = [_player(before), _player(Path(__file__).parents[1])]
    for name in PLANS:
        ratios = []
        for seed in range(runs):
            # Each goes first as often as the other.
            took = [_ask(players[at], name, seed) for at in ((0, 1), (1, 0))[seed % 2]]
            old, new = took if seed % 2 == 0 else took[::-1]
            ratios.append(old / new)
        middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
        print(f"{name:<32} {middle:8.2f} x  ({low:.2f} to {high:.2f})", flush=True)
    for player in players:
        player.communicate()


def _player(root: Path) -> subprocess.Popen[str]:
    """This file, over the packages of that commit."""
    command = (sys.executable, __file__, "--answer", str(root))
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)


def _ask(player: subprocess.Popen[str], name: str, seed: int) -> float:
    assert player.stdin is not None and player.stdout is not None
    player.stdin.write(f"{name} {seed}\n")
    player.stdin.flush()
    return float(player.stdout.readline())


def gate_part(plan: Plan) -> float:
    """The share of the time that is spent in `dayshift.gates`."""
    profile = cProfile.Profile()
    profile.runcall(play, plan, 0, drawn=())
    stats = pstats.Stats(profile)
    rows = stats.stats.items()  # type: ignore[attr-defined]
    gate = sum(row[2] for (file, _, _), row in rows if "/dayshift/gates/" in file)
    return float(gate / stats.total_tt)  # type: ignore[attr-defined]


def main() -> None:
    if sys.argv[1:2] == ["--answer"]:
        answer()
        return
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    if len(sys.argv) > 2:
        compare(Path(sys.argv[2]), runs)
        return
    made = {name: make() for name, make in PLANS.items()}
    play(made["short"], 0)
    campaign.settle_in()
    measure("nine hours", made["nine hours"], runs, False)
    measure("nine hours", made["nine hours"], runs, True)
    for name in ("kit", "short", "three regions"):
        measure(name, made[name], 4 * runs, True)
    print(f"the gate's part of nine hours: {gate_part(made['nine hours']):.0%}")


if __name__ == "__main__":
    main()
