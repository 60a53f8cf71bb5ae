"""Files and folders that are still there after the power went.

Here lives what a file system owes to nobody who does not ask: a name is durable once
its folder was synced, whatever was synced of the file itself. Nothing of records.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, for its owner only, and keep their names.

    Why: whoever was told that a record is durable does not ask what its folder is.
    The folder's own name is synced also where it was there: nobody knows who made it.
    """
    if not folder.parent.exists():
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True, mode=0o700)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where its file system can."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Write a file that is there whole or not at all, and stays."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    draft.replace(path)
    sync_folder(path.parent)


def open_with_room(path: Path, size: int) -> int:
    """Open a file that has its room before anything needs it, made if absent.

    Its name is the caller's to sync, whoever made it.

    Raises:
        OSError: there is no room.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(fd).st_size < size:
            os.posix_fallocate(fd, 0, size)
            os.fsync(fd)
    except OSError:
        os.close(fd)
        raise
    return fd
