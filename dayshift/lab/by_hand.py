"""The same upgrade without Dayshift, as it is done where the wiki page says how.

Stop, replace, start; somebody sees the errors and sets the weight, too late; somebody
sets it back as soon as the new processes are there, too early. Nothing here is worse
than usual: it is one person, in a hurry, on two regions.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from dayshift.lab import envoy, processes, up
from dayshift.lab.estate import SHARES, LabSpec
from dayshift.lab.ledger import now_ms
from dayshift.lab.upgrade import REPLACE_S
from dayshift.lab.view import Marks, PassMarks

NOTICE_S = 2.0
"""How long until somebody looks at the dashboard and reaches for the weight."""

Say = Callable[[str], None]


def steer(spec: LabSpec, shares: dict[str, int], version: str) -> None:
    """Set the weights as a person would: edit the file, move it into place."""
    path = spec.path("run", "global", "rds.json")
    beside = path.with_suffix(".new")
    beside.write_bytes(envoy.routes(shares, version))
    beside.rename(path)


def by_hand(spec: LabSpec, version: str, say: Say) -> Marks:
    """Upgrade every region, one after the other, and say what is done."""
    began = now_ms()
    passes = tuple(_one_region(spec, one.name, version, say) for one in spec.regions)
    return Marks(began, now_ms(), passes)


def _one_region(spec: LabSpec, region: str, version: str, say: Say) -> PassMarks:
    began = now_ms()
    say(f"{region}: stop version {up.installed(spec, region)}")
    old = up.members(spec, region)
    for process in old:
        processes.kill(process, signal.SIGTERM)
    time.sleep(NOTICE_S)
    say(f"{region}: errors on the dashboard! weight to zero")
    zero = now_ms()
    others = {one.name: 0 for one in spec.regions} | _others(region)
    steer(spec, others, f"by-hand-{region}-out")
    up.stop_region(spec, region)
    say(f"{region}: replace, start version {version}")
    time.sleep(REPLACE_S)
    spec.path("run", region, "version").write_text(version)
    back = now_ms()
    up.start_region(spec, region)
    say(f"{region}: processes are there, weight back")
    steer(spec, SHARES, f"by-hand-{region}-back")
    up.await_version(spec, region, version)
    return PassMarks(region, began, zero, zero, back, now_ms())


def _others(region: str) -> dict[str, int]:
    left = {name: share for name, share in SHARES.items() if name != region}
    whole = sum(left.values())
    total = sum(SHARES.values())
    return {name: share * total // whole for name, share in left.items()}
