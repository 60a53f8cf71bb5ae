"""An event loop whose time jumps to the next timer whenever nothing is ready.

asyncio's own loop, with the order of its turns, of its timers and of what is ready; but
without its waiting, and without what it asks the kernel between two turns: nothing in a
rehearsal comes from outside, but for a thread, a signal or a test with sockets.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

STUCK_S = 5.0
"""Real seconds without event, timer or thread until a program is called stuck."""
OUTSIDE_EVERY = 16
TURNS_MAX = 50_000
"""So many turns of the loop at one instant are a circle: nothing waits there."""
JUMP_S_MAX = 86_400.0
IDLE_TIMERS_MIN = 100
"""From so many timers on, asyncio throws the cancelled ones away once they are more
than half: timers of one instant come in another order then."""
RESOLUTION_S = 1e-9


class Stuck(Exception):
    """The program waits for something that can never happen."""


class _Soon(asyncio.Handle):
    """A handle that asks its loop nothing."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: VirtualLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = context or contextvars.copy_context()
        self._cancelled = False


class _Timer(float):
    """When it is due, so that the heap compares numbers; and what is due then."""

    __slots__ = ("loop", "soon", "waits")
    loop: VirtualLoop
    soon: _Soon
    waits: bool
    """Whether the heap has it still."""

    def cancel(self) -> None:
        if self.waits and not self.soon._cancelled:
            self.loop.idle_timers += 1
        self.soon._cancelled = True

    def cancelled(self) -> bool:
        return self.soon._cancelled

    def when(self) -> float:
        return float(self)


class VirtualLoop(asyncio.SelectorEventLoop):
    """`virtual_s` is its time."""

    _ready: deque[Any]
    _selector: Any
    _stopping: bool

    def __init__(self) -> None:
        self.virtual_s = 0.0
        self.idle_timers = 0
        """Cancelled ones in the heap."""
        self._threads = 0
        self._jumps = 0
        self._turns = 0
        self._timers: list[_Timer] = []
        super().__init__()

    def time(self) -> float:
        return self.virtual_s

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        soon = _Soon(callback, args, self, context)
        self._ready.append(soon)
        return soon

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        timer = _Timer(when)
        timer.soon = _Soon(callback, args, self, context)
        timer.loop, timer.waits = self, True
        heapq.heappush(self._timers, timer)
        return timer

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        when = self.virtual_s + delay
        return self.call_at(when, callback, *args, context=context)

    def run_in_executor(self, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        self._threads += 1
        future = super().run_in_executor(*args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._threads -= 1

    def _run_once(self) -> None:
        """One turn, as asyncio has it: what came from outside, what is due, and then
        all that was ready by now."""
        timers, ready = self._timers, self._ready
        if self.idle_timers:
            self._tidy()
        self._turns += 1
        if ready or self._stopping:
            self._look_outside()
        else:
            self._jump()
        until = self.virtual_s + RESOLUTION_S
        while timers and timers[0] < until:
            timer = heapq.heappop(timers)
            timer.waits = False
            ready.append(timer.soon)
        for _ in range(len(ready)):
            soon = ready.popleft()
            if soon._cancelled:
                continue
            try:
                soon._context.run(soon._callback, *soon._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                told = {"message": "in a callback", "exception": error, "handle": soon}
                self.call_exception_handler(told)

    def _tidy(self) -> None:
        """Throw cancelled timers away: the next ones, or all."""
        timers = self._timers
        if len(timers) > IDLE_TIMERS_MIN and 2 * self.idle_timers > len(timers):
            timers[:] = [one for one in timers if not one.soon._cancelled]
            heapq.heapify(timers)
            self.idle_timers = 0
            return
        while timers and timers[0].soon._cancelled:
            heapq.heappop(timers).waits = False
            self.idle_timers -= 1

    def _look_outside(self) -> None:
        """Once in a while only, as before a jump."""
        if self._turns > TURNS_MAX:
            self._turns = 0
            raise Stuck("it turns in circles, and no time passes")
        if self._turns % OUTSIDE_EVERY == 0:
            self._take(0)

    def _jump(self) -> None:
        """Nothing is ready: take what comes from outside, or move the time."""
        self._jumps += 1
        if self._jumps % OUTSIDE_EVERY == 0 and self._take(0):
            return
        if self._threads:
            self._take(None)
        elif self._timers:
            self._turns = 0
            left_s = self._timers[0] - self.virtual_s
            self.virtual_s += min(max(0.0, left_s), JUMP_S_MAX)
        elif not self._take(STUCK_S):
            raise Stuck("nothing is ready, no timer is set and no thread runs")

    def _take(self, timeout_s: float | None) -> bool:
        """Let what came from outside be ready; False if there was nothing."""
        events = self._selector.select(timeout_s)
        self._process_events(events)  # type: ignore[attr-defined]
        return bool(events)
