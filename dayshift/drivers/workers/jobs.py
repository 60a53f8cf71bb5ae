"""The directory of one piece of work, as it lies on disk.

Here: its name, its files, and which of the five states they add up to. The files are
described and written by `supervise`. Not here: what to do about a state.

    exit   begun   lock    command       state
    yes    -       -       -             DONE or FAILED, as it says
    no     yes     held    -             RUNNING
    no     yes     free    alive         RUNNING, an orphan
    no     yes     free    gone          LOST
    no     no      held    -             RUNNING, about to begin
    no     no      free    -             ABSENT: it never ran
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from dayshift.drivers.process import plain
from dayshift.drivers.workers.supervise import (
    BEGUN,
    EXIT,
    LOCK,
    ORDER,
    OUTPUT,
    STOP,
    is_alive,
    sync_directory,
    write_durable,
)
from dayshift.errors import DriverFault, DriverRetry, Reason
from dayshift.model.sight import WorkStatus

TOLD = "told"
LAST_LINE_BYTES = 4_096
RETRY_MS = 1_000
Content = dict[str, Any]


class Job:
    """Reads and writes one job directory; keeps nothing in memory."""

    def __init__(self, state_dir: Path, key: str) -> None:
        readable = re.sub(r"[^A-Za-z0-9._-]", "_", key)[:100]
        unique = hashlib.sha256(key.encode()).hexdigest()[:12]
        self.path = state_dir.absolute() / "jobs" / f"{readable}-{unique}"

    @property
    def output(self) -> Path:
        return self.path / OUTPUT

    def _make(self) -> None:
        """The directory, durably, readable for nobody else."""
        for one in reversed((self.path, *self.path.parents)):
            if not one.exists():
                one.mkdir(mode=0o700, exist_ok=True)
                sync_directory(one.parent)

    def write_order(self, content: Content) -> None:
        """What the supervisor shall run; kept as it is once it is right."""
        if self.read(ORDER) != content:
            self.write(ORDER, content)

    def read(self, name: str) -> Content | None:
        """A file's content, or None while there is no such file.

        Raises:
            DriverFault: it is there and cannot be read.
        """
        try:
            content: Content = json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise _unreadable(self.path / name, str(error)) from None
        return content

    def write(self, name: str, content: Content) -> None:
        """Replace a file durably.

        Raises:
            DriverRetry: there is no room, or no right to write.
        """
        try:
            self._make()
            write_durable(self.path / name, content)
        except OSError as error:
            raise _unwritable(self.path / name, error) from None

    def begun(self) -> Content | None:
        return self.read(BEGUN)

    def ended(self) -> Content | None:
        return self.read(EXIT)

    def ask_to_stop(self) -> None:
        self.write(STOP, {})

    def orphan(self) -> int | None:
        """The group of a command that runs on although its supervisor died."""
        begun = self.begun()
        if begun is None or self.ended() or self.is_held():
            return None
        return int(begun["command"]["pid"]) if is_alive(begun["command"]) else None

    def is_held(self) -> bool:
        """Does a supervisor hold the lock? A shared lock disturbs no other look."""
        try:
            fd = os.open(self.path / LOCK, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def status(self) -> WorkStatus:
        """Which row of the table in this module's head is true now."""
        begun, held = self.begun(), self.is_held()
        # Read last: a supervisor writes the exit before it lets go of the lock.
        ended = self.ended()
        if ended is not None:
            good = ended["why"] == "exited" and ended["exit_code"] == 0
            return WorkStatus.DONE if good else WorkStatus.FAILED
        if held:
            return WorkStatus.RUNNING
        if begun is None:
            return WorkStatus.ABSENT
        return WorkStatus.RUNNING if is_alive(begun["command"]) else WorkStatus.LOST

    def last_line(self) -> str:
        """The last line of the output that shows anything."""
        try:
            with self.output.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - LAST_LINE_BYTES))
                tail = file.read(LAST_LINE_BYTES).decode(errors="replace")
        except FileNotFoundError:
            return ""
        lines = (one for one in reversed(re.split(r"[\r\n]", tail)) if plain(one))
        return next(lines, "")


def _unreadable(path: Path, because: str) -> DriverFault:
    return DriverFault(
        Reason(
            "WORK-RECORD-BROKEN",
            f"{path.name} of a work step cannot be read",
            because=f"{path}: {because}",
            so="the state of the step is unknown; it is not started again",
            next="see what the step did, then `dayshift done-by-hand` or `abort`",
        )
    )


def _unwritable(path: Path, error: OSError) -> DriverRetry:
    return DriverRetry(
        Reason(
            "WORK-RECORD-UNWRITTEN",
            f"{path.name} of a work step cannot be written",
            because=f"{path}: {error.strerror}",
            so="nothing was started or confirmed",
            next="make room there, or see to the rights; it is tried again",
        ),
        RETRY_MS,
    )
