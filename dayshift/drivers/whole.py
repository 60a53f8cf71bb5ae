"""Writes that are finished once begun, also when whoever asked has stopped waiting.

Why: a write of several steps that is cancelled between two of them leaves the device in
a state that nobody asked for. Each step has a limit of its own, so that nothing here
lasts for ever. Not here: what survives the end of the process, which only a device can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def ended(task: asyncio.Task[Any]) -> None:
    """Wait until `task` is over, however it ends. It goes on when the caller is
    cancelled, which `await` and `gather` would pass on to it."""
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # heard, for nobody else waits for it


class Whole:
    """One thing at a time, each to its end."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._going: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; a cancelled caller leaves, the work goes on."""
        task = asyncio.ensure_future(self._in_turn(work))
        self._going.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._going:
            await asyncio.wait(set(self._going))

    async def _in_turn(self, work: Coroutine[Any, Any, T]) -> T:
        async with self._turn:
            return await work

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._going.discard(task)
        if not task.cancelled():
            task.exception()  # heard, also where nobody waits for it any more
