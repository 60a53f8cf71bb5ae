"""An inbox as a folder of small files, for the store that is a folder itself."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dayshift.errors import Bug, JournalFull, Reason
from dayshift.journal.base import Message
from dayshift.limits import MESSAGE_BYTES_MAX

INBOX = "inbox"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")


def check_message(token: str, data: bytes) -> None:
    """Refuse what no store takes.

    Raises:
        Bug: a token that could not be a file's name, or a message that is too long.
    """
    if not _TOKEN.fullmatch(token):
        raise Bug(f"a message cannot be called {token!r}")
    if len(data) > MESSAGE_BYTES_MAX:
        raise Bug(f"a message has {len(data)} bytes (limit {MESSAGE_BYTES_MAX})")


class FileInbox:
    """Messages in `folder`, oldest first; each is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / INBOX

    def post(self, token: str, data: bytes) -> None:
        check_message(token, data)
        try:
            self._root.mkdir(exist_ok=True, mode=0o700)
            draft = self._root / f".{token}.{os.getpid()}"
            draft.write_bytes(data)
            draft.replace(self._root / token)
        except OSError as error:
            raise JournalFull(_unwritable(self._root, error)) from None

    def read(self) -> tuple[Message, ...]:
        if not self._root.is_dir():
            return ()
        found = []
        for path in self._root.iterdir():
            try:
                if not path.name.startswith("."):
                    message = Message(path.name, path.read_bytes())
                    found.append((path.stat().st_mtime_ns, message))
            except FileNotFoundError:
                continue  # taken meanwhile
        return tuple(message for _, message in sorted(found))

    def take(self, token: str) -> None:
        (self._root / token).unlink(missing_ok=True)


def _unwritable(root: Path, error: OSError) -> Reason:
    return Reason(
        "INBOX-UNWRITABLE",
        f"no message can be left in {root} ({error.strerror})",
        because="its disk is full, gone or read-only, or it belongs to another user",
        so="nobody was asked",
        next="make room there, or correct its owner and mode",
    )
