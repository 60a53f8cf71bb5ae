"""The lock of one speaker on this machine: one file, held for one write.

It fences every controller of this machine, and nobody beyond it.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dayshift.errors import DriverFault, Reason


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock, or yield False at once when another process has it."""
    try:
        file = path.open("ab")
    except OSError as error:
        raise DriverFault(
            Reason(
                "DIAL-NOT-LOCKED",
                f"{path} cannot be locked",
                because=str(error),
                so="nothing moved",
                next="let this user write there",
            )
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
