"""What a controller runs on: it can die at a named point, freeze, and be cut off.

Here lives what a machine and a network do to a program; not the program.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from dayshift.model import records as r
from dayshift.model.points import Point
from dayshift.model.units import Instant
from dayshift.rehearsal.clock import VirtualClock
from dayshift.runtime.orchestrator import Orchestrator

T = TypeVar("T")
ROOM_BYTES = 1 << 40


class Died(BaseException):
    """The controller is gone; no `except Exception` may keep it alive."""


class Network:
    """Which parts a controller can reach: `dial/NAME`, `meter/SERVICE/NAME`, …

    A cut part does not answer; a `slow` one answers so many milliseconds later; a
    `deaf` one (an agent) does what it is told, and its answers are lost.
    """

    def __init__(self) -> None:
        self.cut: dict[str, int] = {}
        self.deaf: dict[str, int] = {}
        self.slow: dict[str, int] = {}
        self.hangs = False

    def is_cut(self, part: str) -> bool:
        return any(part.startswith(prefix) for prefix, n in self.cut.items() if n)

    def delay_ms(self, part: str) -> int:
        return max([ms for p, ms in self.slow.items() if part.startswith(p)], default=0)


class Disk:
    """Where the journal lies, as one machine has it: it can be full, fail to sync, or
    be read-only."""

    def __init__(self, clock: VirtualClock) -> None:
        self.broken = ""
        self.room_bytes = ROOM_BYTES
        self._clock = clock
        self._since_ms = 0

    def fail(self, how: str) -> None:
        self.broken, self._since_ms = how, self._clock.now().mono_ms

    def mend(self) -> None:
        self.broken = ""

    @property
    def unwritten_ms(self) -> int:
        """For how long nothing could be written; 0 while it can."""
        return self._clock.now().mono_ms - self._since_ms if self.broken else 0


class Machine:
    """What one controller or agent runs on: it can die at a named point, and freeze."""

    def __init__(
        self,
        clock: VirtualClock,
        network: Network,
        name: str,
        disk: Disk | None = None,
    ) -> None:
        self.clock = clock
        self.disk = disk or Disk(clock)
        self.network = network
        self.name = name
        self.dead = False
        self.thaw_ms = 0
        self.die_at: tuple[Point, int] | None = None
        self.freeze_at: tuple[Point, int] | None = None
        """A point that carries a write, and for how long it freezes there."""
        self.died_at = ""
        self.victim: Orchestrator | None = None

    @property
    def unwritten_ms(self) -> int:
        """For how long nothing that it does could be written down."""
        return self.disk.unwritten_ms

    @property
    def frozen(self) -> bool:
        return self.clock.now().mono_ms < self.thaw_ms

    async def awake(self) -> None:
        """Come back when the machine runs again; not at all, if it died."""
        while self.frozen:
            await self.clock.sleep(self.thaw_ms - self.clock.now().mono_ms)
        if self.dead:
            raise asyncio.CancelledError

    def at(self, point: Point, action: r.Action | None = None) -> None:
        """The hook of named points: dies at the one that was chosen."""
        if self.dead:
            raise Died(point)
        if self.die_at is None or self.die_at[0] is not point:
            return
        point, left = self.die_at
        self.die_at = (point, left - 1)
        if left <= 1:
            self.die(point.value)
            raise Died(point)

    async def reach(self, point: Point, action: r.Action | None = None) -> None:
        await self.awake()
        if self.freeze_at is not None and self.freeze_at[0] is point:
            self.freeze(self.freeze_at[1])
            self.freeze_at = None
            await self.awake()
        self.at(point, action)

    def freeze(self, ms: int) -> None:
        """Nothing on this machine runs for so long; then it goes on."""
        self.thaw_ms = self.clock.now().mono_ms + ms

    def die(self, where: str) -> None:
        self.dead, self.died_at = True, where
        if self.victim is not None:
            for task in self.victim._acting:
                task.cancel()


class MachineClock:
    """The clock as a program on that machine has it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._clock = machine.clock

    def now(self) -> Instant:
        return self._clock.now()

    async def sleep(self, ms: int) -> None:
        await self._clock.sleep(ms)
        if self._machine.thaw_ms or self._machine.dead:
            await self._machine.awake()

    async def within(self, ms: int, work: Awaitable[T]) -> T:
        try:
            result = await self._clock.within(ms, work)
        except TimeoutError:
            await self._machine.awake()
            raise
        if self._machine.thaw_ms or self._machine.dead:
            await self._machine.awake()
        return result
