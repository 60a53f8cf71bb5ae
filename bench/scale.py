"""Measures how the core grows: estates of 2 to 1,000 regions with 100 services.

    python bench/scale.py [--regions 2 10 100 1000] [--services 100] [--check]
                          [--json] [--write]

Every service is in every region, which is the hardest estate of its size. Each size is
measured in a process of its own, the core and the watch apart. `--check`: exit code 1
when a measure is missed; `--write` puts the table into `docs/scale.md`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from scale_bench import measure
from scale_bench.measure import Loading, Seeing, Size
from scale_bench.table import Measured, markdown, missed, write

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"


def _loading(regions: int, services: int) -> Loading:
    """Imported here alone: what loads files weighs as much as the core."""
    from scale_bench.loading import loading

    return loading(regions, services)


PARTS: dict[str, Callable[[int, int], msgspec.Struct]] = {
    "core": measure.core,
    "seeing": measure.seeing,
    "loading": _loading,
}
T = TypeVar("T")


def apart(part: str, regions: int, services: int, kind: type[T]) -> T:
    """Run one measurement in a process of its own: memory has no past there."""
    argv = [sys.executable, __file__, "--part", part]
    argv += ["--regions", str(regions), "--services", str(services)]
    done = subprocess.run(argv, check=True, capture_output=True)
    return msgspec.json.decode(done.stdout, type=kind)


def everything(regions: list[int], services: int) -> Measured:
    """All sizes, smallest first."""
    ordered = sorted(regions)
    return Measured(
        tuple(apart("core", one, services, Size) for one in ordered),
        tuple(apart("seeing", one, services, Seeing) for one in ordered),
        tuple(apart("loading", one, services, Loading) for one in ordered),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regions", type=int, nargs="+", default=[2, 10, 100, 1_000])
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.part and len(options.regions) < 2:
        parser.error("growth needs two sizes")
    return options


def main() -> int:
    options = _options()
    if options.part:
        found = PARTS[options.part](options.regions[0], options.services)
        sys.stdout.write(msgspec.json.encode(found).decode())
        return 0
    measured = everything(options.regions, options.services)
    if options.json:
        sys.stdout.write(msgspec.json.encode(measured).decode() + "\n")
    else:
        print(markdown(measured))
    wrong = missed(measured)
    for one in wrong:
        print(f"missed: {one}", file=sys.stderr)
    if options.write:
        write(PAGE, markdown(measured))
    return 1 if wrong and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
