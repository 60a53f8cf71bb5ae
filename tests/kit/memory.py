"""An estate in memory whose dials and meters can lie in all the ways real ones do.

    world = World(clock, {"fra": 5000, "ber": 5000}, rps=400)
    dial, meter = MemoryDial("entry", world), MemoryMeter("edge", world)
    dial.lie(DialLie.NO_APPLY)             # until told otherwise
    meter.lie(MeterLie.FROZEN, "fra")

The world is counted forward lazily, by the injected clock only: `rps` requests per
second are spread over the regions by the shares that the dial really has.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

import msgspec
from msgspec.structs import replace

from dayshift.drivers.base import fresh_claim_reason, setting_reason
from dayshift.errors import DriverFault, DriverRetry, Reason, Refused
from dayshift.model.dial import (
    ALL,
    Abilities,
    Claim,
    DialKind,
    DialReading,
    Fence,
    InstanceReading,
    Setting,
    Token,
)
from dayshift.model.evidence import BEYOND_US, MeterReading, ProbeReading, Residue
from dayshift.model.points import NOWHERE, Point, Points
from tests.kit.world import Device as Device
from tests.kit.world import Place as Place
from tests.kit.world import World as World

BOUNDS_MS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)
FOREVER_MS = 10**9


class DialLie(Enum):
    """What a real dial does instead of what it says."""

    NO_APPLY = auto()  # success, and nothing happened
    ERROR_AFTER = auto()  # a failure is told, and all of it happened
    ERROR_BEFORE = auto()  # a failure is told, and nothing happened
    PARTIAL = auto()  # the first instance only, then a failure
    SILENT_PARTIAL = auto()  # the first instance only, and success
    SLOW = auto()  # right, after `ms`
    LATE = auto()  # success now, and it happens after `ms`
    HANG = auto()  # never comes back; nothing happened
    HANG_AFTER = auto()  # never comes back; all of it happened
    SELF_REVERT = auto()  # right, and `ms` later it is as before
    READ_FAULT = auto()  # cannot be read; writes go through
    UNREACHABLE = auto()  # neither


class MemoryDial:
    """A dial over a world. With `lease`, `revert_to` expires at the device."""

    def __init__(self, name: str, world: World, lease: bool = False) -> None:
        self.name = name
        self.world = world
        self.writes: list[tuple[Setting, Token]] = []
        self.points: Points = NOWHERE
        self.fence = Fence.DEVICE
        self._lease = lease
        self._lease_given: tuple[Setting | None, int] = (None, 0)
        self._lie: tuple[DialLie, int] | None = None
        self._times: int | None = None

    def lie(self, how: DialLie, times: int | None = None, ms: int = 0) -> None:
        """Lie from now on, or for so many calls of `set` and `hold`."""
        self._lie, self._times = (how, ms), times

    def be_honest(self) -> None:
        self._lie, self._times = None, None

    def drift(self, setting: Setting, claim: Claim | None = None) -> None:
        """Somebody else moves it; without a claim the old one stays."""
        self.world.advance()
        for device in self.world.devices:
            device.install(setting, claim or device.claim)

    def describe(self) -> Abilities:
        return Abilities(DialKind.SPLIT, 1, self._lease, self.fence, 0)

    async def close(self) -> None:
        return None

    async def read(self) -> DialReading:
        self.world.advance()
        lie = self._lie[0] if self._lie else None
        away = lie in (DialLie.UNREACHABLE, DialLie.READ_FAULT)
        readings = tuple(
            InstanceReading(one.name, None, None, "it does not answer")
            if away or not one.up
            else self._reading(one)
            for one in self.world.devices
        )
        return DialReading(self.name, self.world.clock.now(), readings)

    def _reading(self, one: Device) -> InstanceReading:
        left = None
        if self._lease and one.leased:
            left = max(0, one.expires_ms - self.world.clock.now().mono_ms)
        return InstanceReading(one.name, one.setting, one.claim, expires_ms=left)

    async def renew(self, claim: Claim, lease_ms: int) -> None:
        """Let an armed lease of this write run on."""
        self.world.advance()
        lie = self._lie[0] if self._lie else None
        if lie in (DialLie.UNREACHABLE, DialLie.HANG):
            raise self._retry("it does not answer")
        until = self.world.clock.now().mono_ms + lease_ms
        for device in self.world.devices:
            if not device.leased or device.claim != claim:
                raise Refused(Reason("NO-LEASE", f"{self.name}: no lease of {claim}"))
            device.expires_ms = until

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        how, ms = self._next_lie()
        self.world.advance()
        self._refuse(setting, token)
        self.writes.append((setting, token))
        if how is DialLie.NO_APPLY:
            return
        if how in (DialLie.UNREACHABLE, DialLie.ERROR_BEFORE):
            raise self._retry("it does not answer")
        if how is DialLie.HANG:
            await self.world.clock.sleep(FOREVER_MS)
        if how is DialLie.SLOW:
            await self.world.clock.sleep(ms)
        partial = how in (DialLie.PARTIAL, DialLie.SILENT_PARTIAL)
        self._lease_given = (revert_to, lease_ms) if self._lease else (None, 0)
        self._install(setting, token, how, ms, 1 if partial else None)
        if how is DialLie.HANG_AFTER:
            await self.world.clock.sleep(FOREVER_MS)
        if how in (DialLie.ERROR_AFTER, DialLie.PARTIAL):
            raise self._retry("the answer was lost")
        if not all(one.up for one in self.world.devices):
            raise self._retry("an instance does not answer")

    async def hold(self, token: Token) -> None:
        now = await self.read()
        if now.setting is None or now.fault:
            raise DriverFault(Reason("DIAL-MIXED", now.fault or "mixed"))
        fed = tuple(name for row in now.setting.rows.values() for name in row)
        await MemoryDial.set(self, now.setting, replace(token, serving=fed))

    def _install(
        self,
        setting: Setting,
        token: Token,
        how: DialLie | None,
        ms: int,
        count: int | None,
    ) -> None:
        """Do it at the instances that are up; those of a whole set at once, or late."""
        self.world.advance()
        due = self.world.clock.now().mono_ms + ms
        for number, device in enumerate(self.world.devices[:count]):
            if number:
                self.points.at(Point.HALF_APPLIED)
            if not device.up:
                continue
            former = device.setting
            if how is DialLie.LATE:
                device.claim = token.claim
                device.revert_at(due, setting)
                continue
            device.install(setting, token.claim)
            revert_to, lease_ms = self._lease_given
            if revert_to is not None and lease_ms:
                until = self.world.clock.now().mono_ms + lease_ms
                device.lease_until(until, revert_to)
            if how is DialLie.SELF_REVERT:
                device.revert_at(due, former)

    def _next_lie(self) -> tuple[DialLie | None, int]:
        if self._lie is None or self._times == 0:
            self.be_honest()
            return None, 0
        if self._times is not None:
            self._times -= 1
        return self._lie

    def _refuse(self, setting: Setting, token: Token) -> None:
        why = setting_reason(setting, token)
        if why is None and (setting.kind, [*setting.rows]) != (DialKind.SPLIT, [ALL]):
            why = "is no split"
        if why is None and set(setting.rows[ALL]) != set(self.world.places):
            why = "does not name the dial's regions"
        for device in self.world.devices:
            why = why or fresh_claim_reason(device.claim, token)
        if why:
            raise Refused(Reason("DIAL-REFUSED", f"{self.name}: {why}"))

    def _retry(self, what: str) -> DriverRetry:
        return DriverRetry(Reason("DIAL-AWAY", f"{self.name}: {what}"), 500)


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


class MemoryMeter:
    """Counts of a world. `shown` may bend a reading in any other way."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.shown: Callable[[str, MeterReading], MeterReading] | None = None
        self._lies: dict[str, tuple[MeterLie, MeterReading]] = {}

    def lie(self, how: MeterLie, region: str) -> None:
        self._lies[region] = (how, self._true(region))

    def be_honest(self) -> None:
        self._lies.clear()

    async def close(self) -> None:
        return None

    async def read(self, region: str) -> MeterReading:
        if region not in self.world.places:
            raise DriverFault(Reason("REGION-UNKNOWN", f"{self.name}: {region}"))
        true = self._true(region)
        how, then = self._lies.get(region, (None, true))
        if how is MeterLie.HANG:
            await self.world.clock.sleep(FOREVER_MS)
        reason = Reason("METER-AWAY", f"{self.name} says nothing about {region}")
        if how is MeterLie.FAULT:
            raise DriverFault(reason)
        if how is MeterLie.BLIND:
            raise DriverRetry(reason, 500)
        reading = _bent(how, true, then) if how else true
        return self.shown(region, reading) if self.shown else reading

    def _true(self, region: str) -> MeterReading:
        place = self.world[region]
        moving = -(-place.rate_rps * place.latency_ms // 1000) if place.up else 0
        return MeterReading(
            at=self.world.clock.now(),
            requests=place.requests,
            errors=place.errors,
            in_flight=moving + place.stuck,
            connections=16,
            buckets=_buckets(place),
            ignored={"probe": place.probes},
            series=f"{self.name}-{region}-{place.life}",
            residue=(Residue("192.0.2.1", "user", place.stray_rps),)
            if place.stray_rps
            else (),
        )


def _buckets(place: Place) -> dict[int, int]:
    fast = place.requests - place.slow
    edges = {bound * 1000: 0 for bound in BOUNDS_MS} | {BEYOND_US: 0}
    for bound in edges:
        edges[bound] += fast if bound >= place.latency_ms * 1000 else 0
        edges[bound] += place.slow if bound >= place.slow_ms * 1000 else 0
    return edges


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


class MemoryProbe:
    """Asks a place; it is good while the place is up."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world

    async def close(self) -> None:
        return None

    async def ask(self, region: str) -> ProbeReading:
        place = self.world[region]
        place.probes += 1
        now = self.world.clock.now()
        if not place.up:
            return ProbeReading(now, False, "connection refused")
        return ProbeReading(now, True, "status 200", place.version, place.latency_ms)
