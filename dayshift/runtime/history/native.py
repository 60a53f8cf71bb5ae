"""A native histogram in a JSON row → the layout that all of Dayshift compares."""

from __future__ import annotations

import math

from dayshift.model import buckets
from dayshift.runtime.history.fields import Cell, Unfit, count

KEYS = ("schema", "zero_threshold", "zero_count", "buckets")
FORM = "write {schema, zero_threshold, zero_count, buckets: {index: count}}"
INDEX_MAX = 16_384


def native(cell: Cell) -> buckets.Layout:
    """Cumulative counts by bound. `buckets` maps an index to its own count.

    Raises:
        Unfit: it is no histogram, or of a schema without exponential buckets.
    """
    if not isinstance(cell, dict):
        raise Unfit("is no object", FORM)
    unknown = sorted(cell.keys() - set(KEYS))
    if unknown:
        raise Unfit(f"has an unknown key `{unknown[0][:40]}`", FORM)
    schema, own = cell.get("schema"), cell.get("buckets")
    if isinstance(schema, bool) or not isinstance(schema, int):
        raise Unfit("has no whole `schema`", FORM)
    if not isinstance(own, dict):
        raise Unfit("has no object `buckets`", FORM)
    counts = {_index(index): count(_cell(one)) for index, one in own.items()}
    zero = cell.get("zero_threshold", 0)
    if isinstance(zero, bool) or not isinstance(zero, int | float) or not _short(zero):
        raise Unfit("has no `zero_threshold` in seconds", FORM)
    try:
        zeros = count(_cell(cell.get("zero_count", 0)))
        return buckets.native(schema, counts, zeros, zero)
    except Unfit:
        raise
    except ValueError as error:
        way_out = "record custom buckets as classic ones, with `buckets`"
        raise Unfit(str(error), way_out) from None


def _short(seconds: float) -> bool:
    return math.isfinite(seconds) and 0 <= seconds < 1


def _cell(value: object) -> Cell:
    return value if isinstance(value, str | int | float | dict | list) else None


def _index(text: str) -> int:
    try:
        index = int(text)
    except ValueError:
        index = INDEX_MAX + 1
    if abs(index) > INDEX_MAX:
        raise Unfit(f"`{text[:40]}` is no index of a bucket", FORM)
    return index
