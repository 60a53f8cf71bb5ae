"""Keeps leases alive that a decision names: a third of the lease after the last time.

Nothing of it is journalled: a renewal changes no share. What a device says of its
lease is read back with the dial, and the core decides what to do when it runs low.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from dayshift.core.decision import Renewal
from dayshift.drivers.base import LeasedDial
from dayshift.errors import DayshiftError
from dayshift.limits import DRIVER_TIMEOUT_MS
from dayshift.model.dial import Claim
from dayshift.model.units import Clock, Instant, elapsed_ms
from dayshift.runtime.wiring import Drivers

PART = 3
RETRY_MS = 500


class Renewals:
    """Renews at the dials of one estate, each in its own task.

    `leads` says whether this controller still leads and can write down what it does:
    one that cannot lets the leases run out, for nobody watches any more.
    """

    def __init__(
        self, drivers: Drivers, clock: Clock, leads: Callable[[], bool]
    ) -> None:
        self._dials = {
            name: dial
            for name, dial in drivers.dials.items()
            if isinstance(dial, LeasedDial)
        }
        self._clock = clock
        self._leads = leads
        self._last: dict[str, tuple[Claim, Instant]] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def keep(self, wanted: Iterable[Renewal]) -> None:
        """Begin what is due; what is no longer wanted is left to run out."""
        due = [one for one in wanted if self._due(one)]
        if not due or not self._leads():
            return
        for one in due:
            dial = self._dials.get(one.dial)
            if dial is not None:
                task = asyncio.create_task(self._renew(dial, one))
                self._under_way[one.dial] = task

    def _due(self, one: Renewal) -> bool:
        task = self._under_way.get(one.dial)
        if task is not None and not task.done():
            return False
        claim, last = self._last.get(one.dial, (None, None))
        if last is None or claim != one.claim:
            return True
        return elapsed_ms(last, self._clock.now()) >= one.lease_ms // PART

    async def _renew(self, dial: LeasedDial, one: Renewal) -> None:
        begun = self._clock.now()
        limit_ms = min(DRIVER_TIMEOUT_MS, one.lease_ms // PART)
        with contextlib.suppress(DayshiftError, TimeoutError):
            await self._clock.within(limit_ms, dial.renew(one.claim, one.lease_ms))
            self._last[one.dial] = (one.claim, begun)
            return
        await self._clock.sleep(min(RETRY_MS, one.lease_ms // PART))

    async def close(self) -> None:
        """Let go: nothing is renewed from here on."""
        tasks = [one for one in self._under_way.values() if not one.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
