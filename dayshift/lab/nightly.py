"""The nightly job's scheduler: one process in each region, one of them with the duty.

    python -m dayshift.lab.nightly DIR REGION

A region's own truth is its flag file `nightly.held`. The scheduler takes the region's
lock, looks at the flag, and runs at most one slot under the lock; `bin/duty release`
removes the flag under the same lock. So a release that has returned leaves no slot half
run, and a dead scheduler blocks nobody. What it does not do is ask the other regions:
two flags at once would run slots twice, and the database would show it.
"""

from __future__ import annotations

import fcntl
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from dayshift.lab import estate
from dayshift.lab.ledger import Ledger

LOOK_EVERY_S = 0.2
JOB_S = 0.1


class Scheduler:
    """Runs due slots while its region holds the duty."""

    def __init__(self, place: Path, ledger: Ledger) -> None:
        self._flag = place / "nightly.held"
        self._lock = place / "nightly.lock"
        self._ledger = ledger
        self._ending = False

    def end(self, signum: int, frame: FrameType | None) -> None:
        self._ending = True

    def keep_running(self) -> None:
        """Look and run until told to end; a slot that has begun is finished."""
        while not self._ending:
            if not self._run_due():
                time.sleep(LOOK_EVERY_S)

    def _run_due(self) -> bool:
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._flag.exists():
                return False
            slot = self._ledger.due_slot()
            if slot is None:
                return False
            time.sleep(JOB_S)
            self._ledger.add_slot(slot)
            return True


def main(argv: list[str]) -> None:
    directory, region = argv
    spec = estate.load(Path(directory))
    place = spec.path("run", region)
    version = (place / "version").read_text().strip()
    ledger = Ledger(spec.path("data", "shop.db"), region, version)
    scheduler = Scheduler(place, ledger)
    signal.signal(signal.SIGTERM, scheduler.end)
    scheduler.keep_running()
    ledger.close()


if __name__ == "__main__":
    main(sys.argv[1:])
