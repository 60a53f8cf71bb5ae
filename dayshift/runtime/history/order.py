"""Rows as they stood in a file → rows in order of time, each with its own increment.

Here: rows given twice, late rows, running counters and their restarts. What was left
out or mended is told in the recording's notes.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from dayshift.model import buckets
from dayshift.model.evidence import Counts
from dayshift.runtime.history.rows import ENTRY, Recording, Row
from dayshift.runtime.settings.yaml_source import Source

Place = tuple[str, str]
"""Stream and region."""


def place(row: Row) -> Place:
    return (row.stream, row.region)


def put_in_order(
    rows: list[Row], source: Source, is_cumulative: bool, strict: bool
) -> Recording:
    """The recording that these rows are.

    Raises:
        SettingsInvalid: two rows contradict each other; under `strict`, one is late;
            increments with more errors than requests.
    """
    notes: list[str] = []
    once = _without_twice(rows, source, notes)
    late = _late(once)
    for row in late if strict else ():
        source.note(
            row.line,
            "ROW-LATE",
            "is older than a look that was complete before it",
            "without `--strict` rows are sorted by time",
        )
    if late and not strict:
        notes.append(_many(len(late), "late row was", "late rows were") + " sorted in")
    ordered = sorted(once, key=lambda row: (row.at_ms, row.stream, row.region))
    if is_cumulative:
        ordered = increments(ordered, notes)
    else:
        _more_errors(ordered, source)
    blind = sum(row.counts is None for row in ordered)
    if blind and not is_cumulative:
        notes.append(_many(blind, "row has", "rows have") + " no counts: blind there")
    source.check()
    return Recording(source.name, tuple(ordered), tuple(notes))


def _without_twice(rows: list[Row], source: Source, notes: list[str]) -> list[Row]:
    """Each moment of each region once; what is said twice must be the same."""
    first: dict[tuple[int, str, str], Row] = {}
    dropped = 0
    for row in rows:
        known = first.setdefault((row.at_ms, row.stream, row.region), row)
        if known is row:
            continue
        if known.same(row):
            dropped += 1
            continue
        what = f"says something else of {row.region} than line {known.line}, same time"
        source.note(row.line, "ROW-CONTRADICTS", what, "keep the one that is right")
    if dropped:
        notes.append(_many(dropped, "row", "rows") + " given twice: dropped")
    return list(first.values())


def _late(rows: list[Row]) -> list[Row]:
    """Rows older than what every region of their stream had said already."""
    regions: dict[str, set[str]] = {row.stream: set() for row in rows}
    for row in rows:
        regions[row.stream] |= {row.region} - {ENTRY}
    latest: dict[str, dict[str, int]] = {}
    late = []
    for row in rows:
        seen = latest.setdefault(row.stream, {})
        complete = bool(seen) and regions[row.stream] <= seen.keys()
        if complete and row.at_ms < min(seen.values()):
            late.append(row)
        if row.region != ENTRY:
            seen[row.region] = max(row.at_ms, seen.get(row.region, 0))
    return late


def increments(
    rows: Iterable[Row], notes: list[str], gap_ms: int | None = None
) -> list[Row]:
    """Running counters → what each row added, in order of time.

    The first row of a region only says where its counters stand. A counter that went
    backwards was restarted (or ran over): that row is blind, and the next one counts
    from there. So is a row that comes more than `gap_ms` after the one before it.
    """
    last: dict[Place, Row] = {}
    found = []
    restarts = gaps = 0
    for row in rows:
        if row.counts is None:
            found.append(row)
            continue
        before = last.get(place(row))
        last[place(row)] = row
        if before is None:
            found.append(replace(row, counts=None))
            continue
        assert before.counts is not None
        added = since(before.counts, row.counts)
        far = gap_ms is not None and row.at_ms - before.at_ms > gap_ms
        restarts += added is None
        gaps += far
        found.append(replace(row, counts=None if far else added))
    if restarts:
        notes.append(
            _many(restarts, "counter was", "counters were") + " reset: blind there"
        )
    if gaps:
        notes.append(_many(gaps, "gap", "gaps") + " between scrapes: blind there")
    return found


def since(before: Counts, after: Counts) -> Counts | None:
    """The difference of two running counts, or None where one went backwards.

    Errors and requests are two counters that are not read in one stroke: what is more
    errors than requests is cut off.
    """
    requests = after.requests - before.requests
    errors = after.errors - before.errors
    timed = buckets.increment(before.buckets, after.buckets)
    if timed is None or min(requests, errors) < 0:
        return None
    return Counts(requests, min(errors, requests), timed)


def _more_errors(rows: list[Row], source: Source) -> None:
    for row in rows:
        if row.counts is not None and row.counts.errors > row.counts.requests:
            what = f"has {row.counts.errors} errors of {row.counts.requests} requests"
            way_out = "count a failed request in both; running counters: `--cumulative`"
            source.note(row.line, "ERRORS-MORE", what, way_out)


def _many(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"
