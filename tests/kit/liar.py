"""A runtime socket that passes on what it likes: it acknowledges, and does nothing."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path


class Liar:
    """Stands before a HAProxy's socket; `swallows` says which commands are lost."""

    def __init__(self, path: Path, behind: Path, swallows: str) -> None:
        self.path = path
        self._behind = behind
        self._swallows = re.compile(swallows)
        self._socket = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Liar:
        self._socket.bind(str(self.path))
        self._socket.listen(16)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)
        self.path.unlink()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self._socket.accept()
            except OSError:
                return
            with one:
                one.sendall(self._answer(one.recv(65_536).decode()))

    def _answer(self, line: str) -> bytes:
        commands = line.strip().split("; ")
        kept = [one for one in commands if not self._swallows.match(one)]
        if not kept:
            return b"\n" * len(commands)
        with socket.socket(socket.AF_UNIX) as behind:
            behind.connect(str(self._behind))
            behind.sendall(("; ".join(kept) + "\n").encode())
            parts = []
            while part := behind.recv(65_536):
                parts.append(part)
        return b"".join(parts)
