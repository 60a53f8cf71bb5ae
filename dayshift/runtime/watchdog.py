"""Calls people when the controller is silent while a region is out.

    python -m dayshift.runtime.watchdog STATE_DIR SILENT_MS

A small process of its own, started by the controller and outliving it. It writes
nothing but its lock, moves nothing, and ends when the run is closed, the directory is
gone, or another watchdog watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import subprocess
import sys
from pathlib import Path

from dayshift.core.state import RunState
from dayshift.core.transitions import OUT
from dayshift.drivers.base import Notify, Page
from dayshift.errors import DayshiftError
from dayshift.journal.reader import JournalReader
from dayshift.limits import PAGE_REPEAT_MS
from dayshift.model.records import Phase
from dayshift.model.units import Clock, Instant, elapsed_ms
from dayshift.runtime.clock import RealClock

SILENT_MS = 60_000
LOOK_MS = 2_000
LOCK = "watchdog.lock"
EXPOSED = OUT | {Phase.DRAINING, Phase.HANDING_OVER, Phase.EMPTYING, Phase.RETURNING}


def start(state_dir: Path, silent_ms: int = SILENT_MS) -> None:
    """Start the watchdog, detached; a second one ends by itself."""
    subprocess.Popen(
        [sys.executable, "-m", __name__, str(state_dir), str(silent_ms)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


def silent_reason(
    run: RunState | None, writer_alive: bool, silent_ms: int, limit_ms: int
) -> str | None:
    """Why people must be called, or None."""
    if run is None or writer_alive or silent_ms < limit_ms:
        return None
    here = run.now_at
    if here.phase not in EXPOSED:
        return None
    return (
        f"no controller for {silent_ms // 1000} s while {here.region} is "
        f"{here.phase.value}; its shares stay as they are; "
        "`dayshift run` or `dayshift status` in the estate's directory"
    )


class Watchdog:
    """Looks at the journal and its lock; nothing else."""

    def __init__(self, state_dir: Path, clock: Clock, limit_ms: int) -> None:
        self.state_dir = state_dir
        self.clock = clock
        self.limit_ms = limit_ms
        self._silent_since: Instant | None = None
        self._paged_at: Instant | None = None
        self._pages = 0

    async def watch(self) -> None:
        """Until there is nothing left to watch."""
        while self.state_dir.exists() and await self.look():
            await self.clock.sleep(LOOK_MS)

    async def look(self) -> bool:
        """One look; False when the run is closed or cannot be read any more."""
        from dayshift.runtime.session import Workspace, context, load
        from dayshift.runtime.wiring import wire

        try:
            access = Workspace(self.state_dir.parent).access()
            with JournalReader.open(self.state_dir, access) as journal:
                state, writer = load(journal), journal.writer()
        except DayshiftError:
            return False
        run = state.open_run
        if run is None:
            return False
        now = self.clock.now()
        if writer is not None:
            self._silent_since = self._paged_at = None
            return True
        self._silent_since = self._silent_since or now
        silent = elapsed_ms(self._silent_since, now)
        reason = silent_reason(run, False, silent, self.limit_ms)
        due = self._paged_at is None or elapsed_ms(self._paged_at, now) > PAGE_REPEAT_MS
        if reason and due:
            self._paged_at = now
            self._pages += 1
            estate = state.plan.estate
            workspace = Workspace(self.state_dir.parent)
            drivers = wire(estate, None, context(workspace, estate, self.clock))
            await self._page(list(drivers.notify.values()), run.run, reason)
            await drivers.close()
        return True

    async def _page(self, channels: list[Notify], run: str, reason: str) -> None:
        page = Page(
            f"silent/{run}/{self._pages}",
            run,
            "dayshift: nobody is watching",
            reason,
            urgent=True,
        )
        for channel in channels:
            with contextlib.suppress(DayshiftError, TimeoutError):
                await self.clock.within(30_000, channel.send(page))


def main(argv: list[str]) -> int:
    """Take the lock, or leave it to whoever has it."""
    state_dir, limit_ms = Path(argv[0]), int(argv[1])
    with (state_dir / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        asyncio.run(Watchdog(state_dir, RealClock(), limit_ms).watch())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
