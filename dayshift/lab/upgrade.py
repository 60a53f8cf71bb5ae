"""The maintenance of the lab: put another release into one region.

    python -m dayshift.lab.upgrade DIR VERSION              stop, replace, start
    python -m dayshift.lab.upgrade DIR --check VERSION      exit 0 if it is done already

The region comes from the environment (`DAYSHIFT_REGION`) or from `--region`. Run twice,
it does the work once: a region that already serves the release is left alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from dayshift.errors import DayshiftError
from dayshift.lab import estate, processes, up

REPLACE_S = 1.0


def is_done(spec: estate.LabSpec, region: str, version: str) -> bool:
    """True when the release is installed and every application serves it."""
    return up.installed(spec, region) == version and up.serves(spec, region, version)


def upgrade(spec: estate.LabSpec, region: str, version: str) -> None:
    """Stop, replace, start, and wait until the release answers."""
    if is_done(spec, region, version):
        print(f"{region} already serves version {version}", flush=True)
        return
    before = up.installed(spec, region)
    print(f"stopping version {before} in {region}", flush=True)
    up.stop_region(spec, region)
    print(f"replacing version {before} by version {version}", flush=True)
    time.sleep(REPLACE_S)
    place = spec.path("run", region)
    (place / "version.new").write_text(version)
    (place / "version.new").rename(place / "version")
    print(f"starting version {version} in {region}", flush=True)
    up.start_region(spec, region)
    up.await_version(spec, region, version)
    print(f"{region} serves version {version}", flush=True)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dayshift.lab.upgrade")
    parser.add_argument("dir", type=Path)
    parser.add_argument("version")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--region", default=os.environ.get("DAYSHIFT_REGION", ""))
    asked = parser.parse_args(argv)
    try:
        spec = estate.load(asked.dir)
        region = spec.region(asked.region).name
        if asked.check:
            return 0 if is_done(spec, region, asked.version) else 1
        run = spec.path("run")
        myself = processes.enlist(run, up.UPGRADE + region)
        upgrade(spec, region, asked.version)
        processes.retire(run, myself)
    except DayshiftError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
