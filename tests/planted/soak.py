"""Very many rehearsals, block after block, so that a stopped soak goes on.

python -m tests.planted.soak RUNS [JOBS]

The kinds of plan take turns; of the nine-hour one comes one for fifty of the others.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from dayshift.model.plan import Plan
from dayshift.rehearsal.campaign import campaign
from dayshift.rehearsal.play import Result
from dayshift.runtime.clock import RealClock
from tests.planted import plans

BLOCK = 500
LONG_BLOCK = 10
FOLDER = Path(".soak")
KINDS = ("kit", "short", "wide", "layers", "leased", "several", "nine_hours")


class Block(NamedTuple):
    """Some seeds of one kind of plan, and where their result is kept."""

    name: str
    plan: Plan
    seeds: range

    @property
    def path(self) -> Path:
        first = self.seeds.start
        return FOLDER / f"{self.name}-{self.plan.digest[:12]}-{first}.json"


def blocks(runs: int) -> Iterator[Block]:
    """`runs` seeds of every kind, but for the long one."""
    known = {name: getattr(plans, name)() for name in KINDS}
    for first in range(0, runs, BLOCK):
        for name, plan in known.items():
            start, most = first, BLOCK
            if name == "nine_hours":
                start, most = first * LONG_BLOCK // BLOCK, LONG_BLOCK
            yield Block(name, plan, range(start, start + min(most, runs - first)))


def soak(block: Block, jobs: int) -> list[Result] | None:
    """Play one block and keep what broke; None if it was stopped."""
    clock = RealClock()
    begun = clock.now().mono_ms
    results = campaign(block.plan, block.seeds, lambda: clock.now().mono_ms, (), jobs)
    bad = [one for one in results if one.violations or one.ours]
    spent = max(1, clock.now().mono_ms - begun)
    rate = f"{len(results) * 1000 / spent:.1f}/s"
    print(f"{block.path.stem}: {len(results)} at {rate}, {len(bad)} broken", flush=True)
    for one in bad:
        print(f"  seed {one.seed} {one.faults}: {one.violations}", flush=True)
    if len(results) < len(block.seeds):
        return None
    block.path.write_bytes(msgspec.json.encode(bad))
    return bad


def main() -> int:
    runs = int(sys.argv[1])
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    FOLDER.mkdir(exist_ok=True)
    played = broken = 0
    for block in blocks(runs):
        if block.path.exists():
            broken += len(msgspec.json.decode(block.path.read_bytes()))
        else:
            bad = soak(block, jobs)
            if bad is None:
                return 130
            broken += len(bad)
        played += len(block.seeds)
    print(f"{played} rehearsals, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
