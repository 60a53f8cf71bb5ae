"""Shares in basis points, and instants that are given, never read.

A *row* maps regions to shares and sums to 10 000. Times are integers: milliseconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Protocol, TypeVar

import msgspec

from dayshift.limits import FULL_BP

T = TypeVar("T")
Row = dict[str, int]


class Instant(msgspec.Struct, frozen=True, order=False, gc=False):
    """A moment as the shell saw it.

    `wall_ms` is milliseconds since the Unix epoch (may jump); `mono_ms` only grows
    while `boot_id` stays the same. Durations are taken from `mono_ms` of one boot.
    """

    wall_ms: int
    mono_ms: int
    boot_id: str


class Clock(Protocol):
    """The only source of time. Real in `runtime.clock`, virtual in tests."""

    def now(self) -> Instant: ...

    async def sleep(self, ms: int) -> None: ...

    async def within(self, ms: int, work: Awaitable[T]) -> T:
        """Await `work`; raise `TimeoutError` after `ms`."""
        ...


class Entropy(Protocol):
    """The only source of randomness."""

    def run_id(self) -> str:
        """A new UUIDv7."""
        ...

    def token(self) -> str:
        """128 random bits in hexadecimal."""
        ...


def elapsed_ms(since: Instant, now: Instant) -> int:
    """Milliseconds from `since` to `now`; by the wall clock if the boots differ."""
    if since.boot_id == now.boot_id:
        passed = now.mono_ms - since.mono_ms
    else:
        passed = now.wall_ms - since.wall_ms
    return passed if passed > 0 else 0


def row_fault(row: Mapping[str, int]) -> str | None:
    """Say why `row` is not a row of shares, or return None."""
    if not row:
        return "names no region"
    negative = sorted(region for region, share in row.items() if share < 0)
    if negative:
        return f"has a negative share for {', '.join(negative)}"
    total = sum(row.values())
    if total != FULL_BP:
        return f"sums to {percent(total)}, not 100.00 %"
    return None


def percent(share_bp: int) -> str:
    """Render basis points for people: 8750 → `87.50 %`."""
    return f"{share_bp / 100:.2f} %"


def apportion(total: int, weights: Mapping[str, int]) -> Row:
    """Split `total` by `weights` into integers that sum to it (largest remainder).

    Ties go to the region first in the alphabet, so that every run agrees.
    """
    whole = sum(weights.values())
    if whole <= 0:
        raise ValueError("weights sum to nothing")
    exact = {name: divmod(total * weight, whole) for name, weight in weights.items()}
    row = {name: quotient for name, (quotient, _) in exact.items()}
    left = total - sum(row.values())
    if left:
        order = sorted(exact, key=lambda name: (-exact[name][1], name))
        for name in order[:left]:
            row[name] += 1
    return row
