"""What systemd is told: that the controller is up, what it does, that it still lives.

`Type=notify` and `WatchdogSec=` work with it; without systemd nothing happens.
"""

from __future__ import annotations

import os
import socket

SOCKET = "NOTIFY_SOCKET"
WATCHDOG = "WATCHDOG_USEC"


def notify(*lines: str) -> None:
    """Send `READY=1`, `STATUS=…`, `WATCHDOG=1` and the like, if anybody asked."""
    address = os.environ.get(SOCKET, "")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        try:
            channel.sendto("\n".join(lines).encode(), name)
        except OSError:
            return  # Whoever asked is gone; the run matters more.


def watchdog_ms() -> int | None:
    """How often a sign of life is due: half of what systemd allows, or None."""
    allowed = os.environ.get(WATCHDOG, "")
    return max(1, int(allowed) // 2_000) if allowed.isdecimal() else None
