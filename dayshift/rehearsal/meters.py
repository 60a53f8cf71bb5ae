"""Meters and probes of the simulated estate, which can lie as real ones do.

A meter with a scrape interval shows its last sample, as a real source does; what it
says between two scrapes is old, and it says how old.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

import msgspec

from dayshift.errors import DriverFault, DriverRetry, Reason
from dayshift.model.evidence import (
    BEYOND_US,
    MeterReading,
    ProbeReading,
    Residue,
    Side,
)
from dayshift.rehearsal.devices import FOREVER_MS
from dayshift.rehearsal.world import Place, World

BOUNDS_MS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)
BOUNDS_US = (*(1000 * ms for ms in BOUNDS_MS), BEYOND_US)


class MeterLie(Enum):
    """What a real meter does instead of measuring."""

    BLIND = auto()  # missing, NaN, unreachable: raises DriverRetry
    FAULT = auto()  # nonsense: raises DriverFault
    STALE = auto()  # the reading of the moment the lie began, and says so
    FROZEN = auto()  # the same counts, under a fresh instant
    NEGATIVE = auto()  # counts below zero
    RESET = auto()  # starts from zero, under the old name
    NEW_SERIES = auto()  # starts from zero, under a new name
    HALF = auto()  # sees one of two requests
    HANG = auto()


SILENT = (MeterLie.STALE, MeterLie.FROZEN, MeterLie.NEGATIVE)
"""Lies that tell nothing of the present, beside those that raise."""


class SimulatedMeter:
    """Counts of a world. `shown` may bend a reading in any other way."""

    def __init__(
        self,
        name: str,
        world: World,
        service: str = "",
        side: Side = Side.REGION,
        every_ms: int = 0,
        connections: bool = False,
    ) -> None:
        self.name = name
        self.world = world
        self.service = service or next(iter(world.services))
        self.side = side
        self.every_ms = every_ms
        self._counts_users = connections
        self.delay_ms = 0
        self.shown: Callable[[str, MeterReading], MeterReading] | None = None
        self._lies: dict[str, tuple[MeterLie, MeterReading]] = {}
        self._samples: dict[str, MeterReading] = {}
        self._sees_probes = any(
            one.kind == "probe" for one in world.services[self.service].residue
        )
        self._regions = tuple(world.services[self.service].shares)

    def lie(self, how: MeterLie, region: str) -> None:
        self._lies[region] = (how, self._true(region))

    def be_honest(self) -> None:
        self._lies.clear()

    async def close(self) -> None:
        return None

    async def read(self, region: str) -> MeterReading:
        if region not in self._regions:
            raise DriverFault(Reason("REGION-UNKNOWN", f"{self.name}: {region}"))
        true = self._sample(region)
        how, then = self._lies.get(region, (None, true))
        if how is MeterLie.HANG:
            await self.world.clock.sleep(FOREVER_MS)
        reason = Reason("METER-AWAY", f"{self.name} says nothing about {region}")
        if how is MeterLie.FAULT:
            raise DriverFault(reason)
        if how is MeterLie.BLIND:
            raise DriverRetry(reason, 500)
        if self.side is Side.USERS and how not in SILENT:
            self._told(region, true)
        if self.side is Side.USERS and how in (MeterLie.STALE, MeterLie.FROZEN):
            # What it shows was true once: that much was told.
            self._told(region, then)
        reading = _bent(how, true, then) if how else true
        return self.shown(region, reading) if self.shown else reading

    def _told(self, region: str, reading: MeterReading) -> None:
        told, key = self.world.history.told, (self.service, region)
        told[key] = max(told.get(key, 0), reading.at.mono_ms)

    def _sample(self, region: str) -> MeterReading:
        """The newest sample that the source has by now, under the time of this look."""
        now = self.world.clock.now()
        if not self.every_ms and not self.delay_ms:
            return self._true(region)
        every_ms = max(1, self.every_ms + self.delay_ms)
        tick = now.mono_ms - now.mono_ms % every_ms
        kept = self._samples.get(region)
        if kept is None or kept.tick < tick:
            kept = self._samples[region] = self._true(region, max(1, tick))
        return kept if kept.at is now else _with(kept, at=now)

    def _true(self, region: str, tick: int = 0) -> MeterReading:
        now = self.world.clock.now()
        place = self.world.place(self.service, region)
        moving = -(-place.rate_rps * place.latency_ms // 1000) if place.up else 0
        ours = {"probe": place.probes} if self._sees_probes else {}
        if self.side is Side.REGION:
            ours |= dict(place.residue)
        return MeterReading(
            at=now,
            requests=place.requests,
            errors=place.errors,
            in_flight=moving + place.stuck,
            connections=self._connections(region, not ours),
            buckets=_buckets(place),
            ignored=ours,
            series=f"{self.name}-{region}-{place.life}",
            residue=(Residue("192.0.2.1", "user", place.stray_rps),)
            if place.stray_rps
            else (),
            gauges=dict(place.gauges),
            tick=tick,
        )

    def _connections(self, region: str, breathing: bool) -> int:
        """Idle pools breathe; where nothing else would move, this does."""
        if self._counts_users:
            return self.world.connected(self.service, region)
        return 16 + (self.world.clock.now().mono_ms // 1000 % 5 if breathing else 0)


def _buckets(place: Place) -> dict[int, int]:
    fast = place.requests - place.slow
    slow, fast_us, slow_us = place.slow, place.latency_ms * 1000, place.slow_ms * 1000
    return {
        bound: fast * (bound >= fast_us) + slow * (bound >= slow_us)
        for bound in BOUNDS_US
    }


def _bent(how: MeterLie, true: MeterReading, then: MeterReading) -> MeterReading:
    """`true` as a lying meter shows it; `then` is what was true when the lie began."""
    if how is MeterLie.STALE:
        return then
    if how is MeterLie.FROZEN:
        return _with(then, at=true.at)
    if how is MeterLie.NEGATIVE:
        return _with(true, requests=-1 - true.requests)
    if how is MeterLie.HALF:
        return _with(true, requests=true.requests // 2, errors=true.errors // 2)
    series = f"{true.series}+" if how is MeterLie.NEW_SERIES else true.series
    return _with(
        true,
        requests=true.requests - then.requests,
        errors=true.errors - then.errors,
        buckets={le: n - then.buckets.get(le, 0) for le, n in true.buckets.items()},
        ignored={k: n - then.ignored.get(k, 0) for k, n in true.ignored.items()},
        series=series,
    )


def _with(reading: MeterReading, **changes: object) -> MeterReading:
    return msgspec.structs.replace(reading, **changes)


class SimulatedProbe:
    """Asks a place; it is good while the place is up and the probe is not bent."""

    def __init__(self, name: str, world: World, service: str = "") -> None:
        self.name = name
        self.world = world
        self.service = service or next(iter(world.services))
        self.bent: Callable[[str], bool] = lambda region: False

    async def close(self) -> None:
        return None

    async def ask(self, region: str) -> ProbeReading:
        place = self.world.place(self.service, region)
        place.probes += 1
        now = self.world.clock.now()
        if not place.up or self.bent(region):
            return ProbeReading(now, False, "connection refused")
        return ProbeReading(now, True, "status 200", place.version, place.latency_ms)
