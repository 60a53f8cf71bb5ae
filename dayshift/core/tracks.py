"""What one meter said of one region lately (its window of readings, its rates, and
since when it stands still), and one probe. Fed by `core.watch`; knows no other meter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from dayshift.model.evidence import (
    Counts,
    MeterReading,
    ProbeReading,
    quantile_us,
    since,
)
from dayshift.model.units import Instant, elapsed_ms

RATE_WINDOW_MS = 3_000


class Rates(NamedTuple):
    """What a window of readings amounts to."""

    mrps: int = 0
    errors: int = 0
    error_ppm: int = 0
    ignored_rpm: dict[str, int] = {}


@dataclass(slots=True)
class MeterTrack:
    """What one meter said of one region lately, one reading for each sample."""

    window_ms: int = RATE_WINDOW_MS
    window: list[MeterReading] = field(default_factory=list)
    first: Instant | None = None
    quiet_since: Instant | None = None
    changed: Instant | None = None
    rated: Instant | None = None
    """When it last gave a rate: one reading alone says nothing of the load."""
    moving: tuple[Instant, int] | None = None
    """When it last counted users at a rate, and how many."""
    counted: bool = False
    grown: int = 0
    fault: str = ""
    known: Rates | None = None
    """The window's rates, until another reading comes."""
    slowness_us: tuple[int, int] | None = None

    def take(self, reading: MeterReading, fresh_ms: int) -> None:
        """Add a reading; anything that breaks the silence starts the quiet anew."""
        self.known = self.slowness_us = None
        self.first = self.first or reading.at
        last = self.window[-1] if self.window else None
        self.fault = ""
        delta = since(last, reading) if last else None
        gap = elapsed_ms(last.at, reading.at) if last else 0
        broken = delta is None or gap > fresh_ms
        if broken or (delta and delta.requests) or reading.in_flight:
            self.quiet_since = reading.at
        if broken:
            self.window.clear()
        if delta is None or _moved(delta, last, reading):
            self.changed = reading.at
        if delta and delta.requests:
            self.counted = True
            self.grown += delta.requests
        if self.window and reading.tick and reading.tick == self.window[-1].tick:
            self.window.pop()
        self.window.append(reading)
        while len(self.window) > 2 and self._old(self.window[0], reading):
            del self.window[0]
        if len(self.window) > 1:
            self.rated = reading.at
            if delta and delta.requests:
                self.moving = reading.at, self.rates().mrps

    def _old(self, one: MeterReading, newest: MeterReading) -> bool:
        return elapsed_ms(one.at, newest.at) > self.window_ms

    def usual_mrps(self) -> int:
        """What it counted on average, from its first reading until it stood still."""
        if self.first is None or self.changed is None:
            return 0
        return self.grown * 1_000_000 // max(1, elapsed_ms(self.first, self.changed))

    def rates(self) -> Rates:
        """The window's rates, reckoned once for each reading."""
        if self.known is None:
            counts, span_ms = self.counts(timed=False)
            per_ms = span_ms or 1 << 62
            self.known = Rates(
                mrps=counts.requests * 1_000_000 // per_ms,
                errors=counts.errors,
                error_ppm=_ppm(counts.errors, counts.requests),
                ignored_rpm={
                    kind: count * 60_000 // per_ms
                    for kind, count in counts.ignored.items()
                },
            )
        return self.known

    def quantiles_us(self) -> tuple[int, int]:
        """How long the middle answer of the window took, and the slowest of 99 %."""
        if self.slowness_us is None:
            counts, _ = self.counts()
            middle, most = (quantile_us(counts, part) or 0 for part in (500, 990))
            self.slowness_us = middle, most
        return self.slowness_us

    def counts(self, timed: bool = True) -> tuple[Counts, int]:
        """Counts over the window and its length in milliseconds, between the samples
        themselves where the source says when it took them."""
        if len(self.window) < 2:
            return Counts(), 0
        first, last = self.window[0], self.window[-1]
        span_ms = elapsed_ms(first.at, last.at)
        if first.tick and last.tick:
            span_ms = max(0, last.tick - first.tick)
        return since(first, last, timed) or Counts(), span_ms


def _moved(delta: Counts, last: MeterReading | None, reading: MeterReading) -> bool:
    counted = delta.requests or delta.errors or any(delta.ignored.values())
    return bool(counted or (last and reading.connections != last.connections))


@dataclass(slots=True)
class ProbeTrack:
    last: ProbeReading | None = None
    streak: int = 0
    failures: int = 0

    def take(self, reading: ProbeReading) -> None:
        changed = self.last is not None and self.last.version != reading.version
        self.streak = (0 if changed else self.streak) + 1 if reading.ok else 0
        self.failures = 0 if reading.ok else self.failures + 1
        self.last = reading


def _ppm(part: int, whole: int) -> int:
    return part * 1_000_000 // whole if whole else 0
