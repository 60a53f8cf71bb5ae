"""What tests of drivers share: a context with real time and real secrets."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from dayshift.drivers.base import Context
from dayshift.runtime.clock import RealClock
from dayshift.runtime.secrets import Secrets


def real_context(place: Path) -> Context:
    """Everything below `place`; the estate file would lie there."""
    secrets = Secrets(place)
    return Context(
        estate="demo",
        base_dir=place,
        state_dir=place / "state",
        clock=RealClock(),
        secret=secrets.resolve,
        redact=secrets.redactor.redact,
    )


def script(place: Path, name: str, text: str) -> str:
    """An executable shell script beside the estate file; returns its argv word."""
    path = place / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return f"./{name}"


def eventually(is_true: Callable[[], object], limit_s: float = 10) -> None:
    """Wait until it is so; an assertion error if it never is."""
    until = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < until, "it never became true"
        time.sleep(0.02)
