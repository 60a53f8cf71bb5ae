"""Keeps a lease alive from a thread of its own, and knows when it can be kept no more.

Why a thread: appends are synchronous, and whoever decides may take its time; neither
may cost the leadership. Why the own steady clock: the store's answer says what was so,
only the time since the request was *sent* says what still is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from dayshift.errors import DayshiftError
from dayshift.model.units import Clock, Instant, elapsed_ms

RENEWALS_PER_LEASE = 3
AGAIN_MS = 150
"""How soon to try again after a renewal that was not answered."""


class Keeper:
    """Renews until `stop`. `lost` stays true once it is."""

    def __init__(
        self, renew: Callable[[], bool], lease_ms: int, clock: Clock, since: Instant
    ) -> None:
        """`renew` says whether the lease still lives; `since` is when it was asked
        for."""
        self._renew = renew
        self._lease_ms = lease_ms
        self._clock = clock
        self._renewed = since
        self._ended = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether another may lead by now."""
        if elapsed_ms(self._renewed, self._clock.now()) >= self._lease_ms:
            self._ended = True
        return self._ended

    def stop(self) -> None:
        """Renew no more; returns once no renewal is under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        pause_ms = self._lease_ms // RENEWALS_PER_LEASE
        while not self._stop.wait(pause_ms / 1000) and not self.lost:
            asked = self._clock.now()
            try:
                alive = self._renew()
            except DayshiftError:
                pause_ms = AGAIN_MS
                continue
            if not alive:
                self._ended = True
            elif not self._ended:
                self._renewed = asked
                pause_ms = self._lease_ms // RENEWALS_PER_LEASE
