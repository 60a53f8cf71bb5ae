"""One writer: an operating-system lock that ends with the process that holds it.

The file says who holds it, for people. Only the lock decides: a dead process that is
still named there ended uncleanly, which recovery wants to know.
"""

from __future__ import annotations

import fcntl
import os
import pwd
from pathlib import Path

import msgspec

from dayshift.journal.base import Holder
from dayshift.model.units import Instant

LOCK = "lock"
_FILE_BYTES = 1024


class WriterLock:
    """Held while open. `previous` is a holder that never closed: it was killed."""

    def __init__(self, fd: int, holder: Holder, previous: Holder | None) -> None:
        self._fd = fd
        self.holder = holder
        self.previous = previous

    @classmethod
    def take(cls, path: Path, name: str, now: Instant) -> WriterLock | None:
        """Take the lock; None when another process, or this one already, holds it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return None
        mine = Holder(os.getpid(), os.uname().nodename, _user(), name, now.wall_ms)
        return cls(fd, mine, read_holder(path))

    def write(self, epoch: int) -> None:
        """Say in the file who holds it, for which epoch."""
        self.holder = msgspec.structs.replace(self.holder, epoch=epoch)
        self._overwrite(msgspec.json.encode(self.holder))

    def release(self, clean: bool) -> None:
        """Give the lock up; `clean` also forgets the holder: nothing is to recover."""
        if clean:
            self._overwrite(b"")
        os.close(self._fd)

    def _overwrite(self, text: bytes) -> None:
        """Never shortened: on a full disk what was given back would not return."""
        os.pwrite(self._fd, text.ljust(_FILE_BYTES - 1) + b"\n", 0)
        os.fsync(self._fd)


def read_holder(path: Path) -> Holder | None:
    """Who the lock file names, alive or not."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (FileNotFoundError, ValueError):
        return None


def living_holder(path: Path) -> Holder | None:
    """Who writes now, as far as this machine can tell without taking the lock."""
    holder = read_holder(path)
    if holder is None or holder.host != os.uname().nodename:
        return holder
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return holder
    return holder


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
