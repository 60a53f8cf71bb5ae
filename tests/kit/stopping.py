"""`dayshift serve` that stops itself (SIGSTOP) at a named point, when it is told to.

It is told by a file in its directory with the name of a point; the first passing of
that point takes the file away and stops the whole process there, all threads of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from dayshift.cli import serve
from dayshift.cli.main import main
from dayshift.model.points import Point
from dayshift.model.records import Action
from dayshift.runtime.ground import RealGround
from dayshift.runtime.session import Session

ORDER = "stop-at"
BEFORE_WRITING = (
    Point.DECIDED,
    Point.WRITTEN,
    Point.INTENDED,
    Point.CLEARED,
    Point.COMPARED,
)
"""From the decision to the write: each is a check that may be stale afterwards."""


PASSED_S = 4.0
"""So long for a leader to come to the point at which it is to stop."""


class Stopping:
    """A hook that stops the process at the point that its file names."""

    def __init__(self, folder: Path) -> None:
        self._order = folder / ORDER

    def at(self, point: Point, action: Action | None = None) -> None:
        if self._order.exists() and self._order.read_text() == point.value:
            self._order.unlink()
            os.kill(os.getpid(), signal.SIGSTOP)

    async def reach(self, point: Point, action: Action | None = None) -> None:
        self.at(point, action)


class StoppingGround(RealGround):
    """Leads with that hook."""

    def lead(self) -> Session:
        session = super().lead()
        session.points = Stopping(self._workspace.base)
        return session


def stopped(process: subprocess.Popen[bytes]) -> bool:
    text = Path(f"/proc/{process.pid}/stat").read_text()
    return text.rpartition(")")[2].split()[0] == "T"


def stop_before_writing(
    process: subprocess.Popen[bytes], folder: Path, point: str
) -> str:
    """Let it stop itself at `point`; anywhere, when it does not come there in time."""
    order = folder / ORDER
    order.with_suffix(".new").write_text(point)
    order.with_suffix(".new").rename(order)
    end = time.monotonic() + PASSED_S
    while time.monotonic() < end:
        if stopped(process):
            return f"stopped at {point}"
        time.sleep(0.01)
    order.unlink(missing_ok=True)
    process.send_signal(signal.SIGSTOP)
    return "stopped"


if __name__ == "__main__":
    serve.RealGround = StoppingGround  # type: ignore[attr-defined,misc]
    sys.exit(main())
