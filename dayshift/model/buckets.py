"""Histogram layouts: what sources say of latency, as counts that can be compared.

A layout maps an upper bound in microseconds to how many answers took at most that long
(cumulative), the highest bound holding all of them. Two layouts meet on the bounds that
both have and nowhere else: a cumulative count at a bound of one side only is unknown on
the other, and nothing is interpolated. Not here: which bound a policy means.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate
from operator import sub

import msgspec

BEYOND_US = 1_000_000_000_000
"""The bound of the last bucket where a source has one without bound (`+Inf`)."""
SECOND_US = 1_000_000
SCHEMA_MIN, SCHEMA_MAX = -4, 8
STEPS = 1 << SCHEMA_MAX
"""Into so many steps the finest schema divides a doubling; every schema's bounds are
whole steps, so that equal bounds are equal numbers whatever schema they come from."""
FINEST = 2
"""Native histograms are taken at four bounds a doubling at most: sparse and endless
layouts become few bounds, always the same ones."""
LEAST_US, MOST_US = 900, 70_000_000
SNAP = 1e-6

Layout = dict[int, int]


class Span(msgspec.Struct, frozen=True):
    """One bucket with its own count, not cumulative: above `left`, up to `right`."""

    left: float
    right: float
    count: int


def bound_us(value: float, unit_us: int = SECOND_US) -> int:
    """A bound as it is told (`0.25`, `inf`), in microseconds.

    Raises:
        ValueError: it is no bound of a duration.
    """
    if value == math.inf:
        return BEYOND_US
    if not 0 <= value * unit_us < BEYOND_US:
        raise ValueError(f"{value} is no bound of a duration")
    steps = _steps(value)
    return round(value * unit_us) if steps is None else _step_us(steps, unit_us)


def native_bound_us(index: int, schema: int, unit_us: int = SECOND_US) -> int:
    """The upper bound of bucket `index`: 2^(index · 2^-schema) units."""
    return _step_us(index * _width(schema), unit_us)


def native(
    schema: int,
    counts: Mapping[int, int],
    zero_count: int = 0,
    zero_threshold: float = 0.0,
    unit_us: int = SECOND_US,
) -> Layout:
    """The layout of a native histogram; `counts` maps an index to its own count.

    Raises:
        ValueError: a schema without exponential buckets, or a negative count.
    """
    width = _width(schema)
    spans = [Span(-zero_threshold, zero_threshold, zero_count)] if zero_count else []
    for index, count in sorted(counts.items()):
        right = index * width
        spans.append(Span(_power(right - width), _power(right), count))
    return spanned(spans, unit_us, schema)


def coarser(counts: Mapping[int, int], schema: int, target: int) -> dict[int, int]:
    """A native histogram's own counts by index in a coarser schema, which is exact.

    Raises:
        ValueError: the target is finer than the schema.
    """
    if target > schema:
        raise ValueError(f"schema {target} is finer than {schema}")
    joined = _width(target) // _width(schema)
    merged: dict[int, int] = {}
    for index, count in sorted(counts.items()):
        wide = -(-index // joined)
        merged[wide] = merged.get(wide, 0) + count
    return merged


def spanned(
    spans: Iterable[Span], unit_us: int = SECOND_US, schema: int | None = None
) -> Layout:
    """The layout of a native histogram that is told bucket by bucket, sparse.

    Exponential buckets get the bounds of their schema (`FINEST` at most) over all
    durations that matter, seen or not, so that the layout stays when a bucket is used
    for the first time. Custom buckets get the bounds that are told. A bound inside a
    used bucket is left out: how many were below it is unknown.

    Args:
        schema: as the source says it; else it is told from the buckets themselves.

    Raises:
        ValueError: a negative duration or count.
    """
    used = sorted((one for one in spans if one.count), key=lambda one: one.right)
    for one in used:
        if one.count < 0:
            raise ValueError(f"a bucket counts {one.count}")
        if one.right < 0:
            raise ValueError(f"a bucket of negative durations, up to {one.right}")
    ends = [one.right for one in used]
    below = [0, *accumulate(one.count for one in used)]
    layout: Layout = {}
    for bound, us in _bounds(used, unit_us, schema):
        full = bisect_right(ends, bound * (1 + SNAP))
        if full == len(used) or bound * (1 - SNAP) <= used[full].left:
            layout[us] = below[full]
    layout[BEYOND_US] = below[-1]
    return layout


def merged(left: Mapping[int, int], right: Mapping[int, int]) -> Layout:
    """Two layouts added, on their common bounds; the highest bound holds all of both.

    Nothing is known of the sum where one of them is empty.
    """
    if not left or not right:
        return {}
    top, other = max(left), max(right)
    found = {
        bound: left[bound] + right[bound]
        for bound in sorted(left)
        if bound in right and bound <= min(top, other)
    }
    found[max(top, other)] = left[top] + right[other]
    return found


def increment(before: Mapping[int, int], after: Mapping[int, int]) -> Layout | None:
    """What came between two readings, on their common bounds; None: a reset.

    Empty where they have no finite bound in common, or another highest one. A bound at
    which fewer came than at a lower one is left out: in a sum over many sources, some
    of them do not have it.
    """
    if not before or not after:
        return {}
    bounds = sorted(after)
    if bounds == [*after] == [*before]:
        # As nearly always: one layout, in order, in which every count grew.
        counts = list(map(sub, after.values(), before.values()))
        if counts[0] >= 0 and counts == sorted(counts):
            return dict(zip(bounds, counts, strict=True)) if len(bounds) > 1 else {}
    top = bounds[-1]
    if max(before) != top:
        return {}
    grown = [(le, after[le] - before[le]) for le in bounds if le in before]
    most = grown[-1][1]
    found: Layout = {}
    below = 0
    for bound, count in grown:
        if below <= count <= most:
            found[bound] = below = count
        elif count < 0:
            return None
    if most < 0:
        return None
    return found if len(found) > 1 else {}


def _width(schema: int) -> int:
    """How many steps one bucket of a schema is wide."""
    if not SCHEMA_MIN <= schema <= SCHEMA_MAX:
        raise ValueError(f"schema {schema} is not from {SCHEMA_MIN} to {SCHEMA_MAX}")
    width: int = 1 << (SCHEMA_MAX - schema)
    return width


def _power(steps: int) -> float:
    return math.pow(2.0, steps / STEPS)


def _step_us(steps: int, unit_us: int) -> int:
    return round(_power(steps) * unit_us)


def _steps(bound: float) -> int | None:
    """Which power of two it is, in steps; None: none that a schema has."""
    if not 0 < bound < math.inf:
        return None
    steps = round(math.log2(bound) * STEPS)
    return steps if math.isclose(_power(steps), bound, rel_tol=SNAP) else None


def _bounds(
    used: list[Span], unit_us: int, schema: int | None
) -> list[tuple[float, int]]:
    """The bounds of a layout, each as it is told and in microseconds."""
    width = _common_width(used) if schema is None else _width(schema)
    if width is None:
        told = sorted({one.left for one in used} | {one.right for one in used})
        finite = [bound for bound in told if 0 < bound < math.inf]
        return [(bound, bound_us(bound, unit_us)) for bound in finite]
    width = max(width, _width(FINEST))
    first = math.ceil(math.log2(LEAST_US / unit_us) * STEPS / width)
    last = math.floor(math.log2(MOST_US / unit_us) * STEPS / width)
    return [
        (_power(number * width), _step_us(number * width, unit_us))
        for number in range(first, last + 1)
    ]


def _common_width(used: list[Span]) -> int | None:
    """How wide all buckets between zero and infinity are, in steps; 0: there is none.

    None where they are not one schema's: custom buckets.
    """
    widths = set()
    for one in used:
        if one.left > 0 and one.right < math.inf:
            left, right = _steps(one.left), _steps(one.right)
            if left is None or right is None:
                return None
            widths.add(right - left)
    known = {_width(schema) for schema in range(SCHEMA_MIN, SCHEMA_MAX + 1)}
    if len(widths) > 1 or not widths <= known:
        return None
    return max(widths, default=0)
