"""Files that a driver owns: replaced whole and durably, and locked between processes.

Not here: what stands in them.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEW_FILE_MODE = 0o640


def replace_file(path: Path, raw: bytes) -> None:
    """Put `raw` in the file's place: all of it or nothing, also through a crash.

    Raises:
        OSError: it could not; the former file stands.
    """
    temp = path.with_name(f".{path.name}.dayshift-new")
    mode = path.stat().st_mode & 0o777 if path.exists() else NEW_FILE_MODE
    with temp.open("wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    temp.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock beside `path`, or yield False at once when another process has it.

    Raises:
        OSError: the lock's file cannot be opened.
    """
    lock = path.with_name(f".{path.name}.dayshift-lock")
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
