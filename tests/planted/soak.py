"""Very many rehearsals, block after block, so that a stopped soak goes on.

python -m tests.planted.soak RUNS [JOBS]
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from dayshift.rehearsal.campaign import campaign
from dayshift.runtime.clock import RealClock
from tests.planted import plans

BLOCK = 1_000
FOLDER = Path(".soak")
PLANS = ("short", "wide")


def main() -> int:
    runs = int(sys.argv[1])
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    FOLDER.mkdir(exist_ok=True)
    clock, broken = RealClock(), 0
    for number in range(-(-runs // BLOCK)):
        name = PLANS[number % len(PLANS)]
        plan = getattr(plans, name)()
        path = FOLDER / f"{name}-{plan.digest[:12]}-{number}.json"
        if path.exists():
            broken += len(msgspec.json.decode(path.read_bytes()))
            continue
        begun = clock.now().mono_ms
        seeds = range(number * BLOCK, min(runs, (number + 1) * BLOCK))
        results = campaign(plan, seeds, lambda: clock.now().mono_ms, (), jobs)
        bad = [one for one in results if one.violations or one.ours]
        spent = max(1, clock.now().mono_ms - begun)
        print(f"{path.stem}: {len(results) * 1000 / spent:.1f}/s, {len(bad)} broken")
        for one in bad:
            print(f"  {name} seed {one.seed}: {one.violations}")
        if len(results) < len(seeds):
            return 130
        path.write_bytes(msgspec.json.encode(bad))
        broken += len(bad)
    print(f"{runs} rehearsals, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
