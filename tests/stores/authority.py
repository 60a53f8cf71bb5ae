"""A certificate authority for one test, and one pair that serves both ends."""

from __future__ import annotations

from pathlib import Path

from dayshift.keys import making
from dayshift.runtime.clock import RealClock
from tests.kit.etcds import TlsFiles

DAYS = 2


def make_authority(folder: Path, name: str = "test") -> TlsFiles:
    """Files of an authority of its own; etcd's gateway is a client of its server, so
    the pair is good for both."""
    folder.mkdir(parents=True, exist_ok=True)
    now_ms = RealClock().now().wall_ms
    signer = making.authority(f"{name} authority", now_ms, DAYS)
    hosts = [making.host("localhost"), making.host("127.0.0.1")]
    purposes = [making.SERVER, making.CLIENT]
    # No common name: etcd with users refuses one that comes through its gateway.
    pair = making.certificate(signer, "", hosts, purposes, now_ms, DAYS)
    files = TlsFiles(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    files.ca.write_bytes(signer.pem)
    files.cert.write_bytes(pair.pem)
    files.key.touch(mode=0o600)
    files.key.write_bytes(pair.key_pem())
    return files
