"""Trouble on purpose: slow answers, errors, a dead region, a surge of users.

Slow answers and errors reach the applications of a region through a control file that
each of them reads; a dead region is its processes killed; a surge is an extra, bounded
crowd of users. `heal` ends all of them.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path

import msgspec

from dayshift.lab import estate
from dayshift.lab.ledger import now_ms

READ_EVERY_S = 0.2
SLOW_MS = 300
ERROR_BP = 500


class Kind(StrEnum):
    SLOW = "slow"
    ERRORS = "errors"
    DEAD = "dead"
    SURGE = "surge"


class Trouble(msgspec.Struct, frozen=True):
    """What an application does to its users, until `until_ms` (0: until healed)."""

    slow_ms: int = 0
    error_bp: int = 0
    until_ms: int = 0


NONE = Trouble()
OF_KIND = {
    Kind.SLOW: Trouble(slow_ms=SLOW_MS),
    Kind.ERRORS: Trouble(error_bp=ERROR_BP),
}


def control_file(spec: estate.LabSpec, region: str) -> Path:
    return spec.path("run", region, "trouble.json")


def spoil(spec: estate.LabSpec, region: str, kind: Kind, for_s: float) -> None:
    """Let every application of `region` misbehave from its next look at the file."""
    until = now_ms() + int(for_s * 1000) if for_s else 0
    wanted = msgspec.structs.replace(OF_KIND[kind], until_ms=until)
    path = control_file(spec, region)
    beside = path.with_suffix(".new")
    beside.write_bytes(msgspec.json.encode(wanted))
    beside.rename(path)


def soothe(spec: estate.LabSpec, region: str) -> None:
    control_file(spec, region).unlink(missing_ok=True)


def read(path: Path) -> Trouble:
    """What the control file asks for now; nothing when it is absent or over."""
    try:
        asked = msgspec.json.decode(path.read_bytes(), type=Trouble)
    except FileNotFoundError:
        return NONE
    over = asked.until_ms and now_ms() > asked.until_ms
    return NONE if over else asked


class Watch:
    """Keeps `now` equal to what the control file asks for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.now = read(path)

    async def keep_reading(self) -> None:
        while True:
            self.now = read(self._path)
            await asyncio.sleep(READ_EVERY_S)
