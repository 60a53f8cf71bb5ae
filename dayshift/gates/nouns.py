"""What the gate is given at each look. Values only."""

from __future__ import annotations

import msgspec

from dayshift.model.evidence import Counts


class Look(msgspec.Struct, frozen=True):
    """What one moment added, in one stream, as the users saw it.

    Args:
        at_ms: when the counts were read, on any clock that only goes forward.
        span_ms: how long they took to gather (since the previous look).
        share_bp: the returning region's share of all arrivals in that time, 1–10 000.
        regions: counts by region, the returning one and all others, not cumulative;
            None (or left out): that region was not seen, which is never zero.
        stream: the service, or `service/class` for one class of its users.
        next_bp: the share after a pass; 0: the next rung of the judge's own ramp.
        entry: counts of all regions together at the users' entry, where that is known.
            They stand in for a region whose own counts are missing.
        gauges: levels of the returning region by name, in thousandths.
    """

    at_ms: int
    span_ms: int
    share_bp: int
    regions: dict[str, Counts | None]
    stream: str = "service"
    next_bp: int = 0
    entry: Counts | None = None
    gauges: dict[str, int] = {}
