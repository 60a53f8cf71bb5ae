"""Histogram layouts against their naive twins: count every latency again."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayshift.model.buckets import (
    BEYOND_US,
    SCHEMA_MAX,
    SCHEMA_MIN,
    Span,
    bound_us,
    coarser,
    increment,
    merged,
    native,
    native_bound_us,
    spanned,
)
from dayshift.model.evidence import Counts, MeterReading, add, since
from dayshift.model.units import Instant

CLASSIC_US = (1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1 << 20)
EVERY = (*CLASSIC_US, BEYOND_US)
SCHEMAS = st.integers(SCHEMA_MIN, SCHEMA_MAX)
# Between bounds of whole microseconds, so that which side it is on is never in doubt.
LATENCIES = st.lists(st.integers(1, 90_000_000).map(lambda us: us + 0.5), max_size=60)
LAYOUTS = st.sets(st.sampled_from(CLASSIC_US)).map(lambda found: (*found, BEYOND_US))


def counted(latencies: list[float], bounds: tuple[int, ...]) -> dict[int, int]:
    """The naive twin: at each bound, count all."""
    return {
        bound: sum(one <= bound or bound == BEYOND_US for one in latencies)
        for bound in sorted(bounds)
    }


def indexed(latencies: list[float], schema: int) -> dict[int, int]:
    """The naive twin of a client's native histogram: find each one's bucket."""
    found: Counter[int] = Counter()
    for one in latencies:
        index = math.ceil(math.log2(one / 1e6) * 2.0**schema)
        while one / 1e6 > 2.0 ** (index * 2.0**-schema):
            index += 1
        while one / 1e6 <= 2.0 ** ((index - 1) * 2.0**-schema):
            index -= 1
        found[index] += 1
    return dict(found)


def reading(buckets: dict[int, int], requests: int = 0) -> MeterReading:
    return MeterReading(Instant(0, 0, "b"), requests, 0, 0, 0, buckets, {})


@given(LATENCIES, LATENCIES, LAYOUTS, LAYOUTS)
def test_merging_is_counting_in_the_common_layout(
    one: list[float], other: list[float], left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    common = tuple(bound for bound in left if bound in right)
    both = merged(counted(one, left), counted(other, right))
    assert both == counted(one + other, common)


@given(LATENCIES, LATENCIES, SCHEMAS, SCHEMAS)
def test_merging_native_is_counting_in_the_coarser_schema(
    one: list[float], other: list[float], first: int, second: int
) -> None:
    both = merged(
        native(first, indexed(one, first)), native(second, indexed(other, second))
    )
    schema = min(first, second)
    wanted = native(schema, indexed(one + other, schema))
    known = set(native(first, indexed(one, first))) & set(
        native(second, indexed(other, second))
    )
    assert both == {bound: wanted[bound] for bound in sorted(known)}
    assert both == counted(one + other, tuple(both))


@given(LATENCIES, SCHEMAS)
def test_a_native_layout_is_counting_at_its_bounds(
    latencies: list[float], schema: int
) -> None:
    layout = native(schema, indexed(latencies, schema))
    assert layout == counted(latencies, tuple(layout))
    assert layout[BEYOND_US] == len(latencies)
    assert len(layout) <= 66


@given(LATENCIES, SCHEMAS, SCHEMAS)
def test_down_scaling_is_indexing_in_the_coarser_schema(
    latencies: list[float], schema: int, target: int
) -> None:
    if target > schema:
        with pytest.raises(ValueError, match="finer"):
            coarser(indexed(latencies, schema), schema, target)
        return
    found = coarser(indexed(latencies, schema), schema, target)
    assert found == indexed(latencies, target)


@given(SCHEMAS, SCHEMAS, st.integers(-40, 25))
def test_equal_bounds_are_equal_numbers(schema: int, finer: int, index: int) -> None:
    schema, finer = sorted((schema, finer))
    if abs(index * 2.0**-schema) > 19:
        return
    same = index * 2 ** (finer - schema)
    assert native_bound_us(index, schema) == native_bound_us(same, finer)
    exact = 2.0 ** (index * 2.0**-schema)
    assert native_bound_us(index, schema) == bound_us(exact)
    assert native_bound_us(index, schema) == bound_us(float(f"{exact:.12g}"))


@given(LATENCIES, LATENCIES, LAYOUTS, LAYOUTS)
def test_an_increment_is_counting_what_came_between(
    before: list[float],
    more: list[float],
    left: tuple[int, ...],
    right: tuple[int, ...],
) -> None:
    common = tuple(bound for bound in left if bound in right)
    found = increment(counted(before, left), counted(before + more, right))
    assert found == (counted(more, common) if len(common) > 1 else {})


@given(LATENCIES, LATENCIES, SCHEMAS, SCHEMAS)
def test_a_change_of_schema_loses_bounds_and_invents_nothing(
    before: list[float], more: list[float], first: int, second: int
) -> None:
    found = increment(
        native(first, indexed(before, first)),
        native(second, indexed(before + more, second)),
    )
    assert found is not None
    assert found == counted(more, tuple(found))


@given(LATENCIES, LATENCIES, LAYOUTS, LAYOUTS)
def test_a_bound_that_some_sources_lack_is_never_too_low(
    old: list[float], new: list[float], left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    """A deploy half-way: `sum by (le)` adds two layouts as if they were one."""
    summed: Counter[int] = Counter(counted(old, left))
    summed.update(counted(new, right))
    every = dict(sorted(summed.items()))
    found = increment(dict.fromkeys(every, 0), every)
    assert found is not None
    heights = list(found.values())
    assert heights == sorted(heights)
    assert not found or found[BEYOND_US] == len(old + new)


@given(st.permutations(range(3)), st.lists(LATENCIES, min_size=3, max_size=3), LAYOUTS)
def test_adding_does_not_mind_the_order(
    order: list[int], parts: list[list[float]], layout: tuple[int, ...]
) -> None:
    """Also with a region without requests, which has no buckets yet."""
    windows = [
        Counts(len(one), 0, counted(one, layout if i else EVERY) if one else {})
        for i, one in enumerate(parts)
    ]
    left = add(add(windows[order[0]], windows[order[1]]), windows[order[2]])
    right = add(windows[order[0]], add(windows[order[1]], windows[order[2]]))
    for found in (left, right):
        everything = [one for part in parts for one in part]
        assert found.requests == len(everything)
        if found.buckets:
            assert found.buckets[max(found.buckets)] == len(everything)
            told = {b: n for b, n in found.buckets.items() if b != max(found.buckets)}
            assert told == counted(everything, tuple(told))


def test_an_unknown_latency_is_not_taken_for_the_others() -> None:
    known, unknown = Counts(5, 0, {1000: 4, BEYOND_US: 5}), Counts(7)
    assert add(known, unknown).buckets == add(unknown, known).buckets == {}
    assert add(known, Counts()).buckets == add(Counts(), known).buckets == known.buckets


def test_a_layout_that_is_replaced_leaves_the_counts() -> None:
    before = reading({1000: 4, BEYOND_US: 9}, 9)
    after = reading({2000: 3, BEYOND_US: 12}, 12)
    assert since(before, after) == Counts(3)
    assert since(reading({}), after) == Counts(12)
    assert since(before, reading({}, 12)) == Counts(3)


def test_a_histogram_that_went_backwards_is_a_reset() -> None:
    before = reading({1000: 4, BEYOND_US: 9}, 9)
    assert since(before, reading({1000: 3, BEYOND_US: 12}, 12)) is None
    assert since(before, reading({1000: 4, BEYOND_US: 8}, 12)) is None


def test_zero_bucket_overflow_and_negative_durations() -> None:
    layout = native(0, {-2: 3, 10: 2}, zero_count=4, zero_threshold=0.01)
    assert 7_812 not in layout and layout[15_625] == 4
    assert layout[250_000] == 7 and layout[max(b for b in layout if b < BEYOND_US)] == 7
    assert layout[BEYOND_US] == 9
    told = [Span(-0.001, 0.001, 4), Span(1, math.inf, 2)]
    assert spanned(told) == spanned(told[::-1])
    assert spanned(told)[BEYOND_US] == 6 and spanned(told)[1_000_000] == 4
    assert 2_000_000 not in spanned(told)
    with pytest.raises(ValueError, match="negative"):
        spanned([Span(-2, -1, 1)])
    with pytest.raises(ValueError, match="counts -1"):
        native(0, {0: -1})
    with pytest.raises(ValueError, match="schema 9"):
        native(9, {0: 1})


def test_custom_buckets_keep_the_bounds_that_are_told() -> None:
    spans = [Span(-math.inf, 0.1, 5), Span(0.25, 0.7, 2), Span(0.7, math.inf, 1)]
    expected = {100_000: 5, 250_000: 5, 700_000: 7, BEYOND_US: 8}
    assert spanned(spans) == expected


def test_an_empty_native_histogram_is_zero_everywhere() -> None:
    empty = native(3, {})
    assert set(empty.values()) == {0}
    one = native(3, {-10: 1})
    assert increment(empty, one) == one


@pytest.mark.parametrize("value", [math.nan, -1.0, 1e9])
def test_what_is_no_bound(value: float) -> None:
    with pytest.raises(ValueError, match="no bound"):
        bound_us(value)
