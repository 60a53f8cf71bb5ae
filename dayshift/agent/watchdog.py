"""Tells systemd that the agent answers, and goes on doing so.

Why: a lease goes back only while the agent's loop runs. An agent that hangs is killed
and started again by systemd, and counts on from its ledger.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from dayshift.model.units import Clock

BEATS = 3
"""So often within the time after which systemd gives the agent up."""


async def beat(clock: Clock, environ: Mapping[str, str] = os.environ) -> None:
    """Say `READY=1` and then, for ever, that the loop runs; nothing without systemd."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    _tell(address, b"READY=1")
    every_ms = int(environ.get("WATCHDOG_USEC", "0")) // 1_000 // BEATS
    while every_ms > 0:
        _tell(address, b"WATCHDOG=1")
        await clock.sleep(every_ms)


def _tell(address: str, word: bytes) -> None:
    where = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        try:
            one.connect(where)
            one.send(word)
        except OSError:
            """systemd will notice by itself."""
