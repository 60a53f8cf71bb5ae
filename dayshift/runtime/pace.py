"""How often the shell looks at the world. One orchestrator, two paces.

The first is for the real world, where a look costs little and late news costs users.
The other is for hours that are not lived through: as rarely as the plan itself allows,
so that whatever the policy calls fresh still is. Nothing else depends on the pace.
"""

from __future__ import annotations

import msgspec

from dayshift.limits import OBSERVE_HELD_MS, OBSERVE_MS
from dayshift.model.estate import Estate, MeterSpec

LOOKS_WHILE_FRESH = 3
"""So many looks fit into the time for which one of them counts as fresh."""
RATE_MS = 1_000
"""A source that always has new counts is asked this often, or has no rate."""


class Pace(msgspec.Struct, frozen=True):
    """Milliseconds between two looks, for each kind of source."""

    step_ms: int = OBSERVE_MS
    held_ms: int = OBSERVE_HELD_MS
    observe_ms: int = OBSERVE_MS
    dial_ms: int = 400
    probe_ms: int = 1_000
    slow_ms: int = 1_000
    ack_ms: int = 3_000
    scrape: bool = False
    """Ask a meter no more often than it has new counts."""
    fresh_ms: int = 0

    def meter_ms(self, spec: MeterSpec) -> int:
        """How often to ask this meter."""
        if not self.scrape:
            return self.observe_ms
        often = self.fresh_ms // LOOKS_WHILE_FRESH
        return max(OBSERVE_MS, min(spec.every_ms or RATE_MS, often))


USUAL = Pace()
"""The pace of the real world."""


def unhurried(estate: Estate) -> Pace:
    """The slowest pace at which everything that is read stays fresh."""
    fresh_ms = estate.policy.fresh_ms
    look_ms = max(OBSERVE_MS, fresh_ms // LOOKS_WHILE_FRESH)
    return Pace(
        step_ms=look_ms,
        held_ms=max(OBSERVE_HELD_MS, look_ms),
        observe_ms=look_ms,
        dial_ms=max(400, look_ms),
        probe_ms=max(400, look_ms),
        slow_ms=max(1_000, look_ms),
        ack_ms=max(3_000, look_ms),
        scrape=True,
        fresh_ms=fresh_ms,
    )
