"""A throw-away TLS certificate for the lab's entry: HTTP/2 is spoken over TLS only."""

from __future__ import annotations

from pathlib import Path

from dayshift.journal.durable import write_whole
from dayshift.keys import making
from dayshift.runtime.clock import RealClock

DAYS_VALID = 30


def write(place: Path) -> None:
    """Write `cert.pem` and `key.pem` for loopback into `place`."""
    now_ms = RealClock().now().wall_ms
    signer = making.authority("dayshift lab", now_ms, DAYS_VALID)
    names = [making.host("localhost"), making.host("127.0.0.1")]
    pair = making.certificate(
        signer, "dayshift lab entry", names, [making.SERVER], now_ms, DAYS_VALID
    )
    write_whole(place / "cert.pem", pair.pem, 0o644)
    write_whole(place / "key.pem", pair.key_pem(), 0o600)
