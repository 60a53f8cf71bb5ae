"""Real daemons for tests: starting, waiting, stopping, and what if one is missing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

UP_S = 60.0
"""Generous: a machine under load starts slowly."""


def need(program: str, package: str, *places: str) -> str:
    """The path of `program`; without it the test is skipped, in CI it fails."""
    found = shutil.which(program) or next(
        (str(Path(place) / program) for place in places if _runs(place, program)), None
    )
    if found is None:
        message = f"no {program} here (Debian: apt install {package})"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def _runs(place: str, program: str) -> bool:
    return os.access(Path(place) / program, os.X_OK)


def eventually(so: Callable[[], bool], what: str, limit_s: float = UP_S) -> None:
    """Wait until `so`; a condition, never a time."""
    end = time.monotonic() + limit_s
    while not so():
        assert time.monotonic() < end, f"not within {limit_s} s: {what}"
        time.sleep(0.05)


class Daemon:
    """One process that can be stopped, let go on, and killed."""

    def __init__(self, argv: list[str], log: Path, user: str | None = None) -> None:
        self._argv = argv
        self._log = log
        self._user = user
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self.process is None or self.process.poll() is not None
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """As a power cut would: no goodbye."""
        if self.alive:
            self.send(signal.SIGKILL)
            assert self.process is not None
            self.process.wait(30)

    def tell(self) -> str:
        """The end of its log, for a failed test."""
        return self._log.read_text(errors="replace")[-2_000:]
