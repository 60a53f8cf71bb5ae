"""Waiting for a store to stir, where it can only be asked again and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dayshift.journal.base import Head, Stir, Store
from dayshift.model.units import Clock, elapsed_ms

POLL_MS = 250


async def poll(
    look: Callable[[], Awaitable[frozenset[Stir]]], clock: Clock, timeout_ms: int
) -> frozenset[Stir]:
    """Look until there is something to see; empty after `timeout_ms`."""
    begun = clock.now()
    while not (seen := await look()):
        left = timeout_ms - elapsed_ms(begun, clock.now())
        if left <= 0:
            break
        await clock.sleep(min(POLL_MS, left))
    return seen


def stirred(store: Store, head: Head, wanted: frozenset[Stir]) -> frozenset[Stir]:
    """What of `wanted` is so now."""
    now = {
        Stir.HEAD: lambda: store.head() != head,
        Stir.INBOX: lambda: bool(store.inbox()),
        Stir.VACANT: lambda: store.leader() is None,
    }
    return frozenset(one for one in wanted if now[one]())
