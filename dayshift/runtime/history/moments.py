"""Rows in order of time → moments that can be judged: all regions at once, per stream.

Regions are scraped at different instants: rows up to half an interval apart are one
moment. A region without a row in it was not seen; where nobody has a row for a while,
blind moments stand in the gap, as a gate that looked would have seen them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from dayshift.gates.nouns import Look
from dayshift.model.evidence import Counts
from dayshift.runtime.history.rows import ENTRY, Row

INTERVAL_MS_DEFAULT = 15_000
STREAM_DEFAULT = "service"
GAP_LOOKS_MAX = 2_000
"""A gate that was blind for longer has long said so; more looks add nothing."""


class Moment(msgspec.Struct, frozen=True):
    """Every region's row of one stream at one time; `span_ms` since the one before."""

    at_ms: int
    span_ms: int
    stream: str
    rows: dict[str, Row] = {}

    def requests(self, region: str) -> int | None:
        """What a region answered in it; None where it was not seen."""
        row = self.rows.get(region)
        return row.counts.requests if row and row.counts else None


def interval_ms(rows: Iterable[Row]) -> int:
    """The usual time between two rows of one region, the shortest of all streams."""
    steps: dict[str, list[int]] = {}
    last: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.stream, row.region)
        if key in last and row.at_ms > last[key]:
            steps.setdefault(row.stream, []).append(row.at_ms - last[key])
        last[key] = row.at_ms
    usual = [round(median(found)) for found in steps.values()]
    return min(usual, default=INTERVAL_MS_DEFAULT)


def moments(rows: Sequence[Row]) -> tuple[Moment, ...]:
    """All moments of all streams, in order of time."""
    streams: dict[str, list[Row]] = {}
    for row in rows:
        streams.setdefault(row.stream, []).append(row)
    found = [
        one
        for stream, mine in streams.items()
        for one in _spaced(_joined(mine, interval_ms(mine)), stream, interval_ms(mine))
    ]
    return tuple(sorted(found, key=lambda one: (one.at_ms, one.stream)))


def _joined(rows: Iterable[Row], every_ms: int) -> list[list[Row]]:
    """Rows in groups: no region twice, none further than half an interval apart."""
    groups: list[list[Row]] = []
    for row in rows:
        here = groups[-1] if groups else []
        near = bool(here) and row.at_ms - here[0].at_ms <= every_ms // 2
        if near and all(row.region != other.region for other in here):
            here.append(row)
        else:
            groups.append([row])
    return groups


def _spaced(
    groups: Iterable[list[Row]], stream: str, every_ms: int
) -> Iterable[Moment]:
    last_ms: int | None = None
    for group in groups:
        at_ms = group[-1].at_ms
        if last_ms is not None and at_ms - last_ms > every_ms * 3 // 2:
            missing = min(round((at_ms - last_ms) / every_ms) - 1, GAP_LOOKS_MAX)
            for _ in range(missing):
                last_ms += every_ms
                yield Moment(last_ms, every_ms, stream)
        span_ms = at_ms - last_ms if last_ms is not None else every_ms
        yield Moment(at_ms, max(1, span_ms), stream, {row.region: row for row in group})
        last_ms = at_ms


def looks(
    found: Sequence[Moment],
    region: str,
    regions: Sequence[str],
    shares: Sequence[int],
    stream: str = STREAM_DEFAULT,
) -> list[Look]:
    """What the gate is given.

    Args:
        region: the returning one.
        regions: all that serve.
        shares: the returning region's share at each moment, in basis points.
        stream: what rows without a stream are of.
    """
    return [
        Look(
            at_ms=one.at_ms,
            span_ms=one.span_ms,
            share_bp=share,
            regions={name: _counts(one, name) for name in regions},
            stream=one.stream or stream,
            entry=_counts(one, ENTRY),
            gauges=one.rows[region].gauges if region in one.rows else {},
        )
        for one, share in zip(found, shares, strict=True)
    ]


def _counts(one: Moment, region: str) -> Counts | None:
    row = one.rows.get(region)
    return row.counts if row else None
