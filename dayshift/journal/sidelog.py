"""What is too large or too personal for the journal: files addressed by their hash.

Raw samples, work output, client addresses. A record holds the hash, this the content;
erasing a file here leaves the journal whole and says only that something was erased.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from dayshift.errors import Bug, Reason, Refused
from dayshift.journal.durable import make_folder, sync_folder
from dayshift.model.records import SideLog

SIDE = "side"
_OPEN = "open"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,126}")


class SideFiles:
    """The side log of the journal in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / SIDE
        self._open = self._root / _OPEN
        make_folder(self._open)

    def append_line(self, run: str, name: str, line: bytes) -> None:
        """Add a line to a file that is still open. Durable once closed, not before."""
        path = self._open_path(run, name)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        with path.open("ab") as file:
            file.write(line.rstrip(b"\n") + b"\n")

    def still_open(self, run: str, name: str) -> bytes | None:
        """What a file holds that was not closed yet; None if there is none."""
        try:
            return self._open_path(run, name).read_bytes()
        except FileNotFoundError:
            return None

    def close(self, run: str, name: str) -> SideLog:
        """Seal an open file under its hash; the body to append says which that is.

        Raises:
            Refused: nothing was ever written under that name, or it was closed before.
        """
        path = self._open_path(run, name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise Refused(_unknown(run, name)) from None
        digest = self.put(data)
        path.unlink()
        return SideLog(f"{run}/{name}", len(data), digest)

    def put(self, data: bytes) -> str:
        """Keep `data` durably and return its hash. What is there already stays."""
        digest = hashlib.sha256(data).hexdigest()
        path = side_path(self._root.parent, digest)
        if path.exists() and path.read_bytes() == data:
            return digest
        make_folder(path.parent)
        draft = path.with_name(f"{digest}.{os.getpid()}.new")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        draft.replace(path)
        sync_folder(path.parent)
        return digest

    def get(self, digest: str) -> bytes | None:
        """The content of that hash; None if it was erased, or is not it any more."""
        fault = side_fault(self._root.parent, digest)
        return None if fault else side_path(self._root.parent, digest).read_bytes()

    def erase(self, digest: str) -> None:
        """Forget content. The journal keeps its hash."""
        side_path(self._root.parent, digest).unlink(missing_ok=True)

    def _open_path(self, run: str, name: str) -> Path:
        for part in (run, name):
            if not _NAME.fullmatch(part):
                raise Bug(f"the side log cannot hold a file called {part!r}")
        return self._open / run / name


ERASED = "was erased"


def side_path(folder: Path, digest: str) -> Path:
    """Where content of that hash lies."""
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise Bug(f"the side log addresses by SHA-256, not by {digest!r}")
    return folder / SIDE / digest[:2] / digest


def side_fault(folder: Path, digest: str) -> str | None:
    """Why content is not there as it was kept (`ERASED` if not at all), or None."""
    try:
        data = side_path(folder, digest).read_bytes()
    except FileNotFoundError:
        return ERASED
    found = hashlib.sha256(data).hexdigest()
    return None if found == digest else f"hashes to {found[:16]}…, not {digest[:16]}…"


def _unknown(run: str, name: str) -> Reason:
    return Reason(
        "SIDE-LOG-UNKNOWN",
        f"the side log has no open file {name} of run {run}",
        because="nothing was written under that name, or it was closed before",
        so="no record was made of it",
        next="look for a side-log record of that name in the journal",
    )
