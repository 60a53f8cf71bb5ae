"""Real time and real randomness, behind `model.units.Clock` and `Entropy`.

The only module of the control plane that reads a clock, sleeps, or draws random bits,
so that everything else runs unchanged in virtual time (`tests/kit/clock.py`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from dayshift.model.units import Instant

T = TypeVar("T")

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Counts through a suspend, where the system has it: a laptop that slept for an hour
# must not believe that its readings are still fresh.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_NS_PER_MS = 1_000_000


class RealClock:
    """The machine's time; `boot_id` tells which boot `mono_ms` belongs to."""

    def __init__(self) -> None:
        self.boot_id = _boot_id()

    def now(self) -> Instant:
        """The present moment, by the wall and by the steady clock."""
        return Instant(
            wall_ms=time.time_ns() // _NS_PER_MS,
            mono_ms=time.clock_gettime_ns(_STEADY) // _NS_PER_MS,
            boot_id=self.boot_id,
        )

    async def sleep(self, ms: int) -> None:
        await asyncio.sleep(ms / 1000)

    async def within(self, ms: int, work: Awaitable[T]) -> T:
        """Await `work`; cancel it and raise `TimeoutError` after `ms`."""
        async with asyncio.timeout(ms / 1000):
            return await work


class SystemEntropy:
    """Randomness of the operating system."""

    def run_id(self) -> str:
        """A new UUIDv7 (RFC 9562): milliseconds first, so that runs sort by age."""
        return str(uuid7(time.time_ns() // _NS_PER_MS, secrets.randbits(74)))

    def token(self) -> str:
        return secrets.token_hex(16)


def uuid7(wall_ms: int, random_74: int) -> uuid.UUID:
    """Build a UUIDv7 from milliseconds since the epoch and 74 random bits."""
    rand_a, rand_b = random_74 >> 62, random_74 & (1 << 62) - 1
    fields = (wall_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | rand_a << 64
    return uuid.UUID(int=fields | 0b10 << 62 | rand_b)


def _boot_id() -> str:
    """This boot's name; without a kernel that tells, this process counts as a boot."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return f"process-{uuid.uuid4()}"
