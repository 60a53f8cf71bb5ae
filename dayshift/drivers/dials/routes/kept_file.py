"""A small file that steers a daemon, replaced whole: all of it or nothing."""

from __future__ import annotations

import os
from pathlib import Path

from dayshift.errors import DriverFault, Reason


def load(path: Path) -> str:
    """What it says now.

    Raises:
        DriverFault: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _fault(path, "cannot be read", error) from None


def replace(path: Path, text: str) -> None:
    """Put `text` in its place, also through a crash of the machine."""
    temp = path.with_name(f".{path.name}.dayshift-new")
    try:
        mode = path.stat().st_mode & 0o777
        with temp.open("w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temp.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _fault(path, "cannot be replaced", error) from None


def lock_of(path: Path) -> Path:
    """Where the lock of this file lies."""
    return path.with_name(f".{path.name}.dayshift-lock")


def _fault(path: Path, what: str, error: Exception) -> DriverFault:
    return DriverFault(
        Reason(
            "ROUTES-UNUSABLE",
            f"{path} {what}",
            because=str(error),
            so="nothing was written there",
            next="mend the file or its rights as docs/dials says",
        )
    )
