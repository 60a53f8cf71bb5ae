"""The maintenance of the network lab: put another release into one region.

    python -m dayshift.lab.network.upgrade DIR VERSION              stop, replace, start
    python -m dayshift.lab.network.upgrade DIR --check VERSION      exit 0 if it is done

The region comes from the environment (`DAYSHIFT_REGION`). Run twice, it works once.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from dayshift.errors import DayshiftError
from dayshift.lab import processes
from dayshift.lab.network import edges
from dayshift.lab.network import spec as layout
from dayshift.lab.network.spec import NetSpec

GRACE_S = 10.0
READY_S = 60.0


def is_done(spec: NetSpec, region: str, version: str) -> bool:
    return edges.installed(spec, region) == edges.answering(spec, region) == version


def upgrade(spec: NetSpec, region: str, version: str) -> None:
    """Stop, replace, start, and wait until the release answers."""
    if is_done(spec, region, version):
        print(f"{region} already serves version {version}", flush=True)
        return
    before = edges.installed(spec, region)
    print(f"{region}: version {before} is replaced by version {version}", flush=True)
    running = processes.find(spec.run, f"{region}-app")
    processes.end(spec.run, [running] if running else [], GRACE_S)
    place = spec.run / region
    (place / "version.new").write_text(version)
    (place / "version.new").rename(place / "version")
    edges.start_app(spec, region)
    processes.await_there(
        f"{region} serves version {version}",
        lambda: edges.answering(spec, region) == version,
        READY_S,
    )
    print(f"{region} serves version {version}", flush=True)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dayshift.lab.network.upgrade")
    parser.add_argument("dir", type=Path)
    parser.add_argument("version")
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args(argv)
    try:
        spec = layout.load(asked.dir)
        region = spec.region(os.environ.get("DAYSHIFT_REGION", ""))
        if asked.check:
            return 0 if is_done(spec, region, asked.version) else 1
        myself = processes.enlist(spec.run, f"upgrade-{region}")
        upgrade(spec, region, asked.version)
        processes.retire(spec.run, myself)
    except DayshiftError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
