"""Looks at the world, each source at its own pace, and feeds the watch.

One task for each source: a source that hangs or lies keeps no other from being seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from dayshift.core import transitions
from dayshift.core.state import JournalState
from dayshift.core.watch import MeterKey, Watch
from dayshift.core.working import work_key
from dayshift.drivers.base import WorkOrder
from dayshift.errors import Driver, Reason, Refused
from dayshift.limits import READ_TIMEOUT_MS
from dayshift.model.dial import DialReading
from dayshift.model.estate import Estate
from dayshift.model.evidence import MeterReading, ProbeReading
from dayshift.model.records import ActionKind, Phase
from dayshift.model.sight import BracketSight, DutySight, WorkSight, WorkStatus
from dayshift.model.units import Clock, Instant
from dayshift.runtime.pace import USUAL, Pace
from dayshift.runtime.wiring import Drivers

SLOW_TIMEOUT_MS = 10_000
DUTY_PHASES = frozenset({Phase.PREFLIGHT, Phase.HANDING_OVER, Phase.CATCHING_UP})
R = TypeVar("R", DialReading, MeterReading)
Poll = Callable[[], Awaitable[None]]


class Observer:
    """Polls every driver that can be read. `state` gives the present fold."""

    def __init__(
        self,
        estate: Estate,
        drivers: Drivers,
        watch: Watch,
        clock: Clock,
        state: Callable[[], JournalState],
        order: Callable[[str, str], WorkOrder],
        pace: Pace = USUAL,
    ) -> None:
        self.estate = estate
        self.pace = pace
        self.drivers = drivers
        self.watch = watch
        self.clock = clock
        self.state = state
        self.order = order
        self._last: Instant | None = None
        self._checked: dict[str, WorkSight] = {}
        self._duty_reads: dict[str, int] = {}
        self._reads = 0

    async def run(self) -> None:
        """Poll until cancelled."""
        async with asyncio.TaskGroup() as group:
            for poll, every_ms in self._polls():
                group.create_task(self._forever(poll, every_ms))

    async def once(self) -> None:
        """Read everything one time, for `check` and for the first decision."""
        await asyncio.gather(*(poll() for poll, _ in self._polls()))

    async def _forever(self, poll: Poll, every_ms: int) -> None:
        while True:
            await poll()
            await self.clock.sleep(every_ms)

    def _polls(self) -> Iterator[tuple[Poll, int]]:
        pace = self.pace
        yield self._clock, pace.observe_ms
        yield self._works, pace.observe_ms
        yield self._brackets, pace.slow_ms
        yield self._acks, pace.ack_ms
        for duty in self.drivers.duties:
            yield partial(self._duty, duty), pace.slow_ms
        for agent in self.drivers.agents:
            yield partial(self._agent, agent), pace.slow_ms
        for dial in self.drivers.dials:
            yield partial(self._dial, dial), pace.dial_ms
        for service in self.estate.services:
            for meter in service.meters:
                for region in meter.regions:
                    key = (service.name, meter.name, region)
                    yield partial(self._meter, key), pace.meter_ms(meter)
            for probe in service.probes:
                for region in probe.regions:
                    key = (service.name, probe.name, region)
                    yield partial(self._probe, key), pace.probe_ms

    async def _clock(self) -> None:
        """A jump of the wall clock against the steady one, within one boot."""
        now, last = self.clock.now(), self._last
        self._last = now
        if last is not None and last.boot_id == now.boot_id:
            walked, steady = now.wall_ms - last.wall_ms, now.mono_ms - last.mono_ms
            self.watch.clock_jump_ms += (
                walked - steady if abs(walked - steady) > 500 else 0
            )

    async def _dial(self, name: str) -> None:
        at = self.clock.now()
        try:
            dial = self.drivers.dials[name]
            reading = await self.clock.within(READ_TIMEOUT_MS, dial.read())
        except (Driver, TimeoutError) as error:
            self.watch.dial_failed(name, at, fault_text(error))
        else:
            cached = reading.lifetime_ms is not None
            caching = dial.describe().caching if cached else None
            self.watch.dial(_from(reading, at), caching)

    async def _agent(self, name: str) -> None:
        """What one was that does not answer now is not believed: it may be on its way
        to another version. Its dials say that it is away."""
        try:
            self.watch.agents[name] = await self.drivers.agents[name].attest()
        except (Driver, Refused):
            self.watch.agents.pop(name, None)

    async def _meter(self, key: MeterKey) -> None:
        service, meter, region = key
        at = self.clock.now()
        driver = self.drivers.meters[service, meter]
        try:
            reading = await self.clock.within(READ_TIMEOUT_MS, driver.read(region))
        except (Driver, TimeoutError) as error:
            self.watch.meter_failed((service, meter, region), fault_text(error))
        else:
            self.watch.meter((service, meter, region), _from(reading, at))

    async def _probe(self, key: MeterKey) -> None:
        service, probe, region = key
        at = self.clock.now()
        driver = self.drivers.probes[service, probe]
        try:
            reading = await self.clock.within(READ_TIMEOUT_MS, driver.ask(region))
        except (Driver, TimeoutError) as error:
            reading = ProbeReading(at, False, fault_text(error))
        self.watch.probe((service, probe, region), reading)

    async def _duty(self, name: str) -> None:
        """Asked only where a decision needs it: each asks every region by a command.
        A slow one keeps no other from being fresh."""
        run = self.state().open_run
        if run is None or run.now_at.phase in DUTY_PHASES or self._orphans("duty"):
            await self.duty(name)

    async def duty(self, name: str) -> None:
        """Read one duty now; a slow read never replaces one that began after it."""
        self._reads += 1
        number = self._reads
        try:
            work = self.drivers.duties[name].holders()
            holders = await self.clock.within(SLOW_TIMEOUT_MS, work)
            seen = DutySight(name, tuple(holders), at=self.clock.now())
        except (Driver, TimeoutError) as error:
            seen = DutySight(name, (), fault_text(error), self.clock.now())
        if number > self._duty_reads.get(name, 0):
            self._duty_reads[name] = number
            self.watch.duties[name] = seen

    async def _brackets(self) -> None:
        run = self.state().open_run
        if run is None or self._orphans("bracket"):
            for bracket in self.drivers.brackets:
                await self.bracket(bracket)

    async def bracket(self, name: str) -> None:
        """Read one bracket now."""
        try:
            work = self.drivers.brackets[name].is_open()
            is_open = await self.clock.within(SLOW_TIMEOUT_MS, work)
        except (Driver, TimeoutError) as error:
            self.watch.brackets[name] = BracketSight(name, False, fault_text(error))
        else:
            self.watch.brackets[name] = BracketSight(name, is_open)

    def _orphans(self, word: str) -> bool:
        """Is an action of an earlier epoch waiting to be observed?"""
        state = self.state()
        run = state.open_run
        return run is not None and any(
            one.result is None
            and one.epoch < state.epoch
            and word in one.action.kind.value
            for one in run.asked.values()
        )

    async def _works(self) -> None:
        """The steps that were started in the region in flight."""
        run = self.state().open_run
        if run is None:
            self.watch.works.clear()
            return
        here = run.now_at
        if here.phase not in transitions.OUT:
            return
        for step in here.started:
            key = work_key(here, step)
            await self.work(here.region, step, key)

    async def work(self, region: str, step: str, key: str) -> None:
        """Poll one step; one that ended is checked once before it counts as done."""
        worker = self.drivers.workers[region, step]
        order = self.order(region, step)
        if key in self._checked:
            return
        try:
            seen = await self.clock.within(SLOW_TIMEOUT_MS, worker.poll(order))
            if seen.status is WorkStatus.DONE:
                seen = await self._confirmed(region, step, seen)
                self._checked[key] = seen
        except (Driver, TimeoutError) as error:
            if (old := self.watch.works.get(key)) is not None:
                self.watch.works[key] = replace(old, detail=fault_text(error))
            return
        self.watch.works[key] = replace(seen, key=key)

    async def _confirmed(self, region: str, step: str, seen: WorkSight) -> WorkSight:
        """The command's word is not enough where a check exists."""
        worker = self.drivers.workers[region, step]
        order = self.order(region, step)
        done = await self.clock.within(2 * SLOW_TIMEOUT_MS, worker.check(order))
        if done is not False:
            return seen
        return replace(
            seen,
            status=WorkStatus.FAILED,
            exit_code=-2,
            detail="it ended well, but its check says that it is not done",
        )

    async def _acks(self) -> None:
        """Has somebody taken a page?"""
        run = self.state().open_run
        if run is None or run.hold is None:
            return
        for key, asked in run.asked.items():
            base = key.rsplit("/", 1)[0]
            if asked.action.kind is ActionKind.NOTIFY and base not in self.watch.acks:
                channel = self.drivers.notify[asked.action.target]
                try:
                    work = channel.acknowledged(key)
                    person = await self.clock.within(SLOW_TIMEOUT_MS, work)
                except (Driver, TimeoutError):
                    continue
                if person:
                    self.watch.acks[base] = person


def _from(reading: R, begun: Instant) -> R:
    """A reading as old as the look that took it, if that is older."""
    at = earlier(reading.at, begun)
    return reading if at is reading.at else replace(reading, at=at)


def earlier(left: Instant, right: Instant) -> Instant:
    """The older of two instants: freshness counts from when a read began."""
    if left is right:
        return left
    if left.boot_id != right.boot_id:
        return left if left.wall_ms <= right.wall_ms else right
    return left if left.mono_ms <= right.mono_ms else right


def fault_text(error: Driver | TimeoutError | Reason) -> str:
    """One line about a failed read."""
    if isinstance(error, Driver):
        return error.reason.what
    return "no answer in time" if isinstance(error, TimeoutError) else error.what
