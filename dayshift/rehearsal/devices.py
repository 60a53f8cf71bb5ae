"""Dials of the simulated estate, which can lie in all the ways real ones do.

    dial.lie(DialLie.NO_APPLY)             # until told otherwise

What a device refuses is decided by `drivers.base`, as in every real driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from enum import Enum, auto
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from dayshift.drivers import base
from dayshift.errors import DriverFault, DriverRetry, Reason, Refused
from dayshift.model.dial import (
    Abilities,
    Caching,
    Claim,
    DialKind,
    DialReading,
    Fence,
    InstanceReading,
    Setting,
    Token,
)
from dayshift.model.points import NOWHERE, Point, Points
from dayshift.rehearsal.history import Write
from dayshift.rehearsal.world import Device, World, served_parts

FOREVER_MS = 10**9
LOWERED = 10
"""By so much the lifetime of answers is lowered."""


class Caller(NamedTuple):
    """Who asks a device now: a controller's machine, maybe through an agent.

    `points` is told where the device is half-way; `sent_ms` is when the agent was
    asked, and `lease_ms` for how long it was to arm the write.
    """

    name: str = ""
    points: Points = NOWHERE
    agent: str = ""
    sent_ms: int = -1
    lease_ms: int = 0


CALLER: ContextVar[Caller] = ContextVar("caller")


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


UNDONE = (DialLie.NO_APPLY, DialLie.SILENT_PARTIAL)
"""Lies after which nothing, or not all of it, stands, and no failure is told."""


class Honesty:
    """How a dial lies now, if it does, and how often it still will."""

    def __init__(self) -> None:
        self.lie: tuple[DialLie, int] | None = None
        self.times: int | None = None

    def next(self) -> tuple[DialLie | None, int]:
        if self.lie is None or self.times == 0:
            return None, 0
        if self.times is not None:
            self.times -= 1
        return self.lie


def _caching(devices: Sequence[Device]) -> Caching | None:
    usual_ms = max(one.lifetime_ms for one in devices)
    return Caching(usual_ms, usual_ms // LOWERED) if usual_ms else None


class SimulatedDial:
    """A dial over a world; `devices` are its instances, or those behind one agent."""

    def __init__(
        self, name: str, world: World, kind: DialKind = DialKind.SPLIT
    ) -> None:
        self.name = name
        self.world = world
        self.devices: Sequence[Device] = world.dials[name]
        self._kind = kind
        self._caching = _caching(self.devices)
        self._honesty = Honesty()
        self._service = next(
            one
            for one in world.services.values()
            if any(spec.name == name for spec in one.dials)
        )

    def part(self, devices: Sequence[Device]) -> SimulatedDial:
        """The same dial as an agent has it that reaches only these instances."""
        one = SimulatedDial(self.name, self.world, self._kind)
        one.devices, one._honesty = devices, self._honesty
        return one

    def lie(self, how: DialLie, times: int | None = None, ms: int = 0) -> None:
        """Lie from now on, or for so many calls of `set` and `hold`."""
        self._honesty.lie, self._honesty.times = (how, ms), times

    def be_honest(self) -> None:
        self._honesty.lie, self._honesty.times = None, None

    @property
    def _lies_now(self) -> DialLie | None:
        return self._honesty.lie[0] if self._honesty.lie else None

    def drift(
        self, setting: Setting, claim: Claim | None = None, word: str = "drift"
    ) -> None:
        """Somebody else moves it; without a claim the old one stays."""
        self.world.advance()
        moved = any(one.setting != setting for one in self.devices)
        for device in self.devices:
            device.install(setting, claim or device.claim, self._now_ms())
        if not moved:
            return
        now_ms = self.world.clock.now().mono_ms
        self.world.history.note(now_ms, word, self.name)

    def describe(self) -> Abilities:
        settles_ms = max(one.lifetime_ms for one in self.devices)
        return Abilities(self._kind, 1, False, Fence.DEVICE, settles_ms, self._caching)

    def _now_ms(self) -> int:
        return self.world.clock.now().mono_ms

    async def close(self) -> None:
        return None

    async def read(self) -> DialReading:
        self.world.advance()
        away = self._lies_now in (DialLie.UNREACHABLE, DialLie.READ_FAULT)
        readings = tuple(
            InstanceReading(one.name, None, None, "it does not answer")
            if away or not one.up
            else InstanceReading(
                one.name, one.setting, one.claim, lifetime_ms=one.lifetime_ms or None
            )
            for one in self.devices
        )
        return DialReading(self.name, self.world.clock.now(), readings)

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        await self._write("set", setting, token, revert_to, lease_ms)

    async def hold(self, token: Token) -> None:
        now = await self.read()
        if now.setting is None or now.fault:
            raise DriverFault(Reason("DIAL-MIXED", now.fault or "mixed"))
        fed = tuple(name for row in now.setting.rows.values() for name in row)
        await self._write("hold", now.setting, replace(token, serving=fed), None, 0)

    async def prepare(self, token: Token) -> None:
        await self._live(token, "prepare", low=True)

    async def restore(self, token: Token) -> None:
        await self._live(token, "restore", low=False)

    async def _live(self, token: Token, verb: str, low: bool) -> None:
        """A hold that also tells caches for how long they may keep answers."""
        assert self._caching is not None
        lied = self._honesty.lie
        await self.hold(token)
        if lied is None or lied[0] not in UNDONE:
            for device in self.devices:
                wanted = self._caching.low_ms if low else self._caching.usual_ms
                device.live(self._now_ms(), wanted)
            lifetime = str(self.devices[0].lifetime_ms)
            self.world.history.note(self._now_ms(), verb, self.name, "", lifetime)

    async def _write(
        self,
        verb: str,
        setting: Setting,
        token: Token,
        revert_to: Setting | None,
        lease_ms: int,
    ) -> None:
        how, ms = self._honesty.next()
        self.world.advance()
        self._refuse(verb, setting, token, lease_ms if revert_to else 0)
        if how is DialLie.NO_APPLY:
            return
        if how in (DialLie.UNREACHABLE, DialLie.ERROR_BEFORE):
            raise self._retry("it does not answer")
        if how is DialLie.HANG:
            await self.world.clock.sleep(FOREVER_MS)
        if how is DialLie.SLOW:
            await self.world.clock.sleep(ms)
        partial = how in (DialLie.PARTIAL, DialLie.SILENT_PARTIAL)
        self._install(setting, token, how, ms, 1 if partial else None)
        if how is DialLie.HANG_AFTER:
            await self.world.clock.sleep(FOREVER_MS)
        if how in (DialLie.ERROR_AFTER, DialLie.PARTIAL):
            raise self._retry("the answer was lost")
        if not all(one.up for one in self.devices):
            raise self._retry("an instance does not answer")

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
        for number, device in enumerate(self.devices[:count]):
            if number:
                CALLER.get().points.at(Point.HALF_APPLIED)
            if not device.up:
                continue
            former = device.setting
            self._note_overtaken(device, token.claim)
            if how is DialLie.LATE:
                device.claim = token.claim
                device.revert_at(due, setting)
                continue
            device.install(setting, token.claim, self._now_ms())
            if how is DialLie.SELF_REVERT:
                device.revert_at(due, former)
        if token.claim.reverted:
            self._note_reverted(setting, token.claim)

    def _note_overtaken(self, device: Device, mine: Claim) -> None:
        """Something newer came while this was on its way through an agent."""
        caller, found = CALLER.get(), device.claim
        if not caller.agent or found is None:
            return
        if (found.epoch, found.seq) > (mine.epoch, mine.seq):
            now_ms = self.world.clock.now().mono_ms
            words = str(found), str(mine)
            self.world.history.note(
                now_ms, "overtaken", self.name, caller.agent, *words
            )

    def _note_reverted(self, setting: Setting, claim: Claim) -> None:
        """An agent went back by itself: not a controller's write."""
        caller = CALLER.get()
        rows = msgspec.json.encode(setting.rows, order="sorted").decode()
        number = f"{claim.epoch}:{claim.seq}"
        now_ms = self.world.clock.now().mono_ms
        self.world.history.note(now_ms, "revert", self.name, caller.agent, rows, number)

    def _refuse(
        self, verb: str, setting: Setting, token: Token, revert_ms: int
    ) -> None:
        """What every device does before it obeys; the write is noted either way."""
        why = base.setting_reason(setting, token)
        if why is None and self._kind is not DialKind.FORWARD:
            named = {name for row in setting.rows.values() for name in row}
            if named != set(self._service.shares):
                why = "does not name the dial's regions"
        for device in self.devices:
            why = why or base.fresh_claim_reason(device.claim, token)
        if not token.claim.reverted:
            self._note(verb, setting, token, revert_ms, why or "")
        if why:
            raise Refused(Reason("DIAL-REFUSED", f"{self.name}: {why}"))

    def _note(
        self, verb: str, setting: Setting, token: Token, revert_ms: int, refused: str
    ) -> None:
        """The world's own arithmetic of what this write would do to users."""
        world, service = self.world, self._service
        devices, caller = world.dials[self.name], CALLER.get()
        after = [Device(self.name, one.name, setting) for one in devices]
        try:
            served = served_parts(service, {**world.dials, self.name: after})
        except (KeyError, ZeroDivisionError):
            served = {}
        world.history.writes.append(
            Write(
                world.clock.now().mono_ms,
                self.name,
                verb,
                caller.name,
                setting,
                token,
                tuple(one.claim for one in self.devices),
                revert_ms or caller.lease_ms,
                dict(world.served(service.name)),
                served,
                refused,
                {
                    region: world.clock.now().mono_ms
                    - world.history.told.get((service.name, region), 0)
                    for region in service.shares
                },
                caller.agent,
                caller.sent_ms,
                {one: world.connected(service.name, one) for one in service.shares},
            )
        )

    def _retry(self, what: str) -> DriverRetry:
        return DriverRetry(Reason("DIAL-AWAY", f"{self.name}: {what}"), 500)
