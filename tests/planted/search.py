"""Where each planted bug is found first, written down.

python -m tests.planted.search [NAME...]    # seeds from 0 upwards; all without names

Rewrites `found.json` (which the tests replay) and docs/planted-bugs.md.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
from pathlib import Path

import msgspec

from tests.planted.frame import SEEDS, Mutant
from tests.planted.incidents import ELSEWHERE
from tests.planted.mutants import BY_NAME, MUTANTS

ROOT = Path(__file__).parent.parent.parent
TABLE = Path(__file__).parent / "found.json"
PAGE = ROOT / "docs" / "planted-bugs.md"


class Found(msgspec.Struct, frozen=True):
    """The first seed that finds a bug while the code without it is clean, and every
    checker that sees it there."""

    seed: int
    checkers: tuple[str, ...]


Table = dict[str, Found]


def look(name: str) -> tuple[str, Found | None]:
    """Search one bug; None when no seed finds it."""
    mutant = BY_NAME[name]
    for seed in range(SEEDS):
        if mutant.is_found(seed) and mutant.is_clean(seed):
            return name, Found(seed, mutant.seen_by(seed))
    return name, None


def table() -> Table:
    """What was written down last."""
    if not TABLE.exists():
        return {}
    return msgspec.json.decode(TABLE.read_bytes(), type=Table)


def page(found: Table) -> str:
    """The table as it stands in docs/planted-bugs.md."""
    seeds = [found[one.name].seed + 1 for one in MUTANTS if one.name in found]
    lines = [
        _HEAD,
        f"{len(seeds)} of {len(MUTANTS)} planted bugs are found. Seeds until one is "
        f"found: median {statistics.median(seeds):g}, most {max(seeds)}.",
        "",
        "## By invariant",
        "",
        *_COLUMNS,
        *(_row(one, found) for one in MUTANTS if not one.incident),
        "",
        "## Replicas of incidents",
        "",
        "| incident" + _COLUMNS[0],
        "|---" + _COLUMNS[1],
        *(f"| {one.incident} {_row(one, found)}" for one in MUTANTS if one.incident),
        "",
        "Not in the simulated estate:",
        "",
        *(f"- **{name}**: {why}" for name, why in sorted(ELSEWHERE.items())),
    ]
    return "\n".join(lines) + "\n"


_COLUMNS = (
    "| bug | planted | breaks | found by | weather | seed | seeds |",
    "|---|---|---|---|---|---|---|",
)


def _row(one: Mutant, found: Table) -> str:
    seen = found.get(one.name)
    weather = "as drawn"
    if one.weather is not None:
        weather = ", ".join(f"`{storm.fault}`" for storm in one.weather) or "none"
    cells = (
        f"`{one.name}`",
        one.says,
        one.invariant,
        ", ".join(seen.checkers) if seen else "nobody",
        weather,
        str(seen.seed) if seen else "",
        str(seen.seed + 1) if seen else "",
    )
    return f"| {' | '.join(cells)} |"


_HEAD = """# Planted bugs: what the rehearsal finds

Drawn from `tests/planted` by `python -m tests.planted.search`; a test holds this page
to it. Each bug is put into the product's own code (core, runtime, drivers, journal),
together with whatever else would stop it, and the same plan is rehearsed with the seeds
0, 1, 2, … until the checker of the broken invariant speaks. CI replays the seed below
with the bug, which must be found, and without it, which must be clean.

`found by` lists every checker that speaks at that seed; `breaks` is the one that must.
An exception or an endless loop is not enough. Weather `as drawn` is what a rehearsal
draws from the seed anyway; where faults are named, these come and no others.
"""


def write(found: Table) -> None:
    ordered = {one.name: found[one.name] for one in MUTANTS if one.name in found}
    text = msgspec.json.format(msgspec.json.encode(ordered), indent=2)
    TABLE.write_bytes(text + b"\n")
    PAGE.write_text(page(ordered), encoding="utf-8")


def main() -> int:
    names = sys.argv[1:] or [one.name for one in MUTANTS]
    found = table()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for name, seen in pool.imap_unordered(look, names, chunksize=1):
            print(name, "nobody finds it" if seen is None else seen, flush=True)
            found.pop(name, None)
            if seen is not None:
                found[name] = seen
            write(found)
    return 0 if all(one.name in found for one in MUTANTS) else 1


if __name__ == "__main__":
    sys.exit(main())
