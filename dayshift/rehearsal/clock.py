"""Virtual time and seeded randomness: the orchestrator's own code, hours in no time.

`run_virtual(program)` runs `program(clock)` on an event loop whose time jumps to the
next timer whenever nothing is ready. Work in threads takes no virtual time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

from dayshift.model.units import Instant
from dayshift.rehearsal.loop import Stuck as Stuck
from dayshift.rehearsal.loop import VirtualLoop
from dayshift.runtime.clock import uuid7

T = TypeVar("T")

EPOCH_MS = 1_700_000_000_000


class _Begun:
    """The rest of a coroutine that ran up to its first wait."""

    def __init__(self, work: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._work = work
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        waits_for = self._waits_for
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:
                step = partial(self._work.throw, error)
            else:
                step = partial(self._work.send, sent)
            try:
                waits_for = step()
            except StopIteration as done:
                return done.value


class VirtualClock:
    """The time of a `VirtualLoop`; the wall can jump and the machine can reboot."""

    def __init__(self, loop: VirtualLoop, start_wall_ms: int = EPOCH_MS) -> None:
        self._loop = loop
        self._wall_ms = start_wall_ms
        self._boots = 1
        self._now_s = -1.0
        self._now = Instant(0, 0, "")

    def now(self) -> Instant:
        """Told once for each moment: it is asked far more often than it moves."""
        now_s = self._loop.virtual_s
        if now_s != self._now_s:
            mono_ms, self._now_s = round(now_s * 1000), now_s
            boot = f"boot-{self._boots}"
            self._now = Instant(self._wall_ms + mono_ms, mono_ms, boot)
        return self._now

    async def sleep(self, ms: int) -> None:
        if ms <= 0:
            await asyncio.sleep(0)
            return
        loop = self._loop
        over = loop.create_future()
        timer = loop.call_at(loop.virtual_s + ms / 1000, _end, over)
        try:
            await over
        except BaseException:
            timer.cancel()
            raise

    async def within(self, ms: int, work: Awaitable[T]) -> T:
        if not asyncio.iscoroutine(work):
            async with asyncio.timeout(ms / 1000):
                return await work
        result: T
        # Most of what is simulated answers at once: no timer for that.
        try:
            waits_for = work.send(None)
        except StopIteration as done:
            value: T = done.value
            return value
        async with asyncio.timeout(ms / 1000):
            result = await _Begun(work, waits_for)
            return result

    def jump_wall(self, ms: int) -> None:
        self._wall_ms += ms
        self._now_s = -1.0

    def reboot(self) -> None:
        self._boots += 1
        self._now_s = -1.0


def _end(sleep: asyncio.Future[None]) -> None:
    if not sleep.done():
        sleep.set_result(None)


class SeededEntropy:
    """The same seed draws the same identifiers."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._made = 0

    def run_id(self) -> str:
        self._made += 1
        return str(uuid7(EPOCH_MS + self._made, self._random.getrandbits(74)))

    def token(self) -> str:
        return f"{self._random.getrandbits(128):032x}"


def run_virtual(
    program: Callable[[VirtualClock], Coroutine[Any, Any, T]],
    start_wall_ms: int = EPOCH_MS,
) -> T:
    """Run `program` to its end in virtual time and return what it returns."""
    done: list[T] = []

    loop = VirtualLoop()

    async def whole() -> None:
        # A task that returns a history is drawn, history and all, by `signal.signal`.
        done.append(await program(VirtualClock(loop, start_wall_ms)))

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(whole())
    return done[0]
