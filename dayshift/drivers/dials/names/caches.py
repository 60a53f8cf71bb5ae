"""What caching resolvers still answer, judged by the lifetime that they state.

A cached answer is right to be old until its own time is over. Here: one resolver's
memory of that. Not here: asking (`asking`), and what authorities answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import dns.name
import msgspec

from dayshift.drivers.dials.names.asking import Answer, Asker
from dayshift.drivers.dials.names.pool import Pool
from dayshift.drivers.dials.names.saying import shares
from dayshift.model.dial import ALL, Setting
from dayshift.model.units import Instant, elapsed_ms

GRACE_MS = 2_000
"""Lifetimes are whole seconds, and a resolver may ask an authority that lags."""


class Stale(msgspec.Struct, frozen=True):
    """Since when a resolver answers what the authorities do not, and until when its
    answer may live."""

    setting: Setting
    since: Instant
    may_live_ms: int


class ResolverWatch:
    """One resolver, as its users see it."""

    def __init__(
        self, asker: Asker, name: dns.name.Name, pool: Pool, ttl_ms_max: int
    ) -> None:
        self.where = asker.server.where
        self._asker = asker
        self._name = name
        self._pool = pool
        self._ttl_ms_max = ttl_ms_max
        self._stale: Stale | None = None

    @property
    def label(self) -> str:
        return f"resolver {self._asker.server.name}"

    async def ask(self) -> dict[str, Answer]:
        """Its answer for each family.

        Raises:
            DriverRetry: it does not answer.
        """
        kinds = sorted(self._pool.families)
        found = await asyncio.gather(
            *(self._asker.resolver(self._name, kind) for kind in kinds)
        )
        return dict(zip(kinds, found, strict=True))

    def fault(
        self, answers: Mapping[str, Answer], setting: Setting, now: Instant
    ) -> str:
        """What is wrong with these answers while the authorities show `setting`.

        Holds: an answer that its own lifetime still excuses is no fault, and none is
        excused for longer than the longest lifetime that was ever written.
        """
        row = setting.rows[ALL]
        old = sorted(
            value
            for one in answers.values()
            for value in one.values
            if not row.get(self._pool.region_of.get(value, ""))
        )
        if not old:
            self._stale = None
            return ""
        left_ms = 1_000 * max(one.ttl_s or 0 for one in answers.values())
        stale = self._stale
        if stale is None or stale.setting != setting:
            stale = Stale(setting, now, 0)
        age_ms = elapsed_ms(stale.since, now)
        if age_ms <= stale.may_live_ms + GRACE_MS:
            may = min(self._ttl_ms_max, max(stale.may_live_ms, age_ms + left_ms))
            stale = msgspec.structs.replace(stale, may_live_ms=may)
        self._stale = stale
        if age_ms <= stale.may_live_ms + GRACE_MS:
            return ""
        return (
            f"it still answers {', '.join(old)}, {age_ms} ms after the authorities "
            f"answered {shares(setting)} (it may for {stale.may_live_ms} ms)"
        )
