"""When the last cached answer dies: examples, and every cache asked one by one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dayshift.model.caching import Lifetime, last_cached_ms, soonest_ms

USUAL, LOW = Lifetime(0, 300), Lifetime(1_000, 5)


@pytest.mark.parametrize(
    ("gone", "dies"),
    [
        (500, 800),  # never lowered: an answer of the last moment lives 300
        (1_000, 1_300),  # lowered in this very moment: too late to help
        (1_100, 1_300),  # the last usual answer outlives the short ones
        (1_295, 1_300),
        (1_296, 1_301),  # one usual lifetime ahead: only the short ones are left
        (9_000, 9_005),
    ],
)
def test_the_last_cached_answer_dies(gone: int, dies: int) -> None:
    assert last_cached_ms([USUAL, LOW], gone) == dies


def test_the_lowering_pays_one_usual_lifetime_later() -> None:
    assert soonest_ms([USUAL, LOW]) == 1_295
    assert soonest_ms([USUAL]) == 0


def test_an_unknown_past_is_no_answer() -> None:
    with pytest.raises(ValueError, match="nothing is known"):
        last_cached_ms([LOW], 999)


HISTORIES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=4).map(
    lambda found: [Lifetime(0, 7), *(Lifetime(*one) for one in sorted(found))]
)
EVEN_IF_SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@EVEN_IF_SLOW
@given(HISTORIES, st.integers(0, 90))
def test_no_cache_of_any_moment_outlives_it(history: list[Lifetime], gone: int) -> None:
    """The naive twin: a cache for each moment, filled with the lifetime of then.

    At the moment of a change either answer may still be given.
    """
    dies = [
        moment + one.lifetime_ms
        for moment in range(gone + 1)
        for one, after in zip(history, [*history[1:], None], strict=True)
        if one.from_ms <= moment and (after is None or moment <= after.from_ms)
    ]
    assert last_cached_ms(history, gone) == max(dies)


@EVEN_IF_SLOW
@given(HISTORIES)
def test_from_the_soonest_moment_on_only_the_present_lifetime_counts(
    history: list[Lifetime],
) -> None:
    start, now = soonest_ms(history), history[-1]
    for gone in range(now.from_ms, start + 40):
        waits = last_cached_ms(history, gone) - gone
        assert (waits == now.lifetime_ms) is (gone >= start)
