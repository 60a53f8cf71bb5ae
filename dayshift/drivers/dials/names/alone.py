"""One writer at a time on this machine, for servers that compare no claims.

A name in Linux' abstract socket space: machine-wide whoever runs and wherever its files
are, gone with the process that held it, nothing left behind. Elsewhere there is none,
and `fence` says so.
"""

from __future__ import annotations

import hashlib
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dayshift.model.dial import Fence


class MachineLock:
    """The right to write what `name` names."""

    def __init__(self, name: str) -> None:
        self._address = f"\0dayshift-{hashlib.sha256(name.encode()).hexdigest()[:40]}"

    @property
    def fence(self) -> Fence:
        """How far it reaches."""
        return Fence.MACHINE if sys.platform == "linux" else Fence.NONE

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Hold it, or yield False at once when somebody else does."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
            if self.fence is Fence.MACHINE:
                try:
                    held.bind(self._address)
                except OSError:
                    yield False
                    return
            yield True
