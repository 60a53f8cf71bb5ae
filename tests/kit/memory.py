"""An estate in memory whose dials and meters can lie in all the ways real ones do.

    world = World(clock, {"fra": 5000, "ber": 5000}, rps=400)
    dial, meter = MemoryDial("entry", world), MemoryMeter("edge", world)
    dial.lie(DialLie.NO_APPLY)             # until told otherwise
    meter.lie(MeterLie.FROZEN, "fra")

World and meters are those of the rehearsal, with one service and one dial.
"""

from __future__ import annotations

from msgspec.structs import replace

from dayshift.drivers.base import fresh_claim_reason, setting_reason
from dayshift.errors import DriverFault, DriverRetry, Reason, Refused
from dayshift.model.dial import (
    Abilities,
    Claim,
    DialKind,
    DialReading,
    Fence,
    InstanceReading,
    Setting,
    Token,
)
from dayshift.model.points import NOWHERE, Point, Points
from dayshift.rehearsal.devices import FOREVER_MS
from dayshift.rehearsal.devices import DialLie as DialLie
from dayshift.rehearsal.meters import MeterLie as MeterLie
from dayshift.rehearsal.meters import SimulatedMeter as MemoryMeter
from dayshift.rehearsal.meters import SimulatedProbe as MemoryProbe
from tests.kit.world import Device
from tests.kit.world import World as World

__all__ = ["DialLie", "MemoryDial", "MemoryMeter", "MemoryProbe", "MeterLie", "World"]


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
        kind = self.world.service.dials[0].kind
        return Abilities(kind, 1, self._lease, self.fence, 0)

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
        mine = self.world.devices[0].setting
        if why is None and (setting.kind, {*setting.rows}) != (mine.kind, {*mine.rows}):
            why = f"is no {mine.kind.value} of its rows"
        named = {name for row in setting.rows.values() for name in row}
        split = setting.kind is not DialKind.FORWARD
        if why is None and split and named != set(self.world.places):
            why = "does not name the dial's regions"
        for device in self.world.devices:
            why = why or fresh_claim_reason(device.claim, token)
        if why:
            raise Refused(Reason("DIAL-REFUSED", f"{self.name}: {why}"))

    def _retry(self, what: str) -> DriverRetry:
        return DriverRetry(Reason("DIAL-AWAY", f"{self.name}: {what}"), 500)
