"""Cells of a recorded file mean one thing, or are refused with the way to write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayshift.model.evidence import BEYOND_US
from dayshift.runtime.history import fields
from dayshift.runtime.history.fields import Cell, Unfit
from dayshift.runtime.history.native import native

TIMES: dict[Cell, int] = {
    "0": 0,
    "1700000000": 1_700_000_000_000,
    "1700000000.25": 1_700_000_000_250,
    1700000000.5: 1_700_000_000_500,
    "1.7e9": 1_700_000_000_000,
    "2023-11-14T22:13:20Z": 1_700_000_000_000,
    "2023-11-14T23:13:20+01:00": 1_700_000_000_000,
    "2023-11-14T22:13:20.125Z": 1_700_000_000_125,
}
SHARES: dict[Cell, int] = {
    "5 %": 500,
    "5%": 500,
    "0.05": 500,
    0.05: 500,
    "500bp": 500,
    "500 bp": 500,
    "1": 10_000,
    "100 %": 10_000,
    "0": 0,
    "0 %": 0,
    ".5": 5_000,
    "0.00001": 1,
    "33.333 %": 3_333,
}
COUNTS: dict[Cell, int] = {"0": 0, "12": 12, "12.0": 12, "1e+03": 1000, 7: 7}


@pytest.mark.parametrize("cell", TIMES)
def test_times(cell: Cell) -> None:
    assert fields.when_ms(cell) == TIMES[cell]  # type: ignore[index]


@pytest.mark.parametrize("cell", SHARES)
def test_shares(cell: Cell) -> None:
    assert fields.share_bp(cell) == SHARES[cell]  # type: ignore[index]


@pytest.mark.parametrize("cell", COUNTS)
def test_counts(cell: Cell) -> None:
    assert fields.count(cell) == COUNTS[cell]  # type: ignore[index]


def test_a_bare_share_above_one_is_refused_with_what_was_probably_meant() -> None:
    with pytest.raises(Unfit, match="more than all") as caught:
        fields.share_bp("5")
    assert "did you mean `5 %`" in caught.value.way_out


def test_milliseconds_are_not_taken_for_seconds() -> None:
    with pytest.raises(Unfit) as caught:
        fields.when_ms(1_700_000_000_000)
    assert "divide by 1000" in caught.value.way_out


BAD = {
    fields.when_ms: ["soon", "-1", "2023-11-14T22:13:20", "nan", True, "1_000", "２"],
    fields.share_bp: ["5 percent", "-5 %", "101 %", "", "inf", True, {}, "10001bp"],
    fields.count: ["12.5", "-1", "NaN", "+Inf", "1,000", "many", True, [], 1e19],
    fields.milli: ["high", "NaN", 1e300, True],
    fields.bound_us: ["fast", "-1", "0", "NaN", "1e9"],
}


@pytest.mark.parametrize(
    ("reader", "cell"), [(reader, cell) for reader in BAD for cell in BAD[reader]]
)
def test_everything_else_is_refused_with_a_way_out(reader: object, cell: Cell) -> None:
    with pytest.raises(Unfit) as caught:
        reader(cell)  # type: ignore[operator]
    assert str(caught.value) and caught.value.way_out


@given(st.text(max_size=12))
def test_no_text_breaks_a_reader(text: str) -> None:
    for reader in (fields.when_ms, fields.share_bp, fields.count, fields.bound_us):
        try:
            assert reader(text) >= 0
        except Unfit as unfit:
            assert unfit.way_out


def test_empty_cells_are_not_zero() -> None:
    assert fields.empty("") and fields.empty("  ") and fields.empty(None)
    assert not fields.empty("0") and not fields.empty(0)


def test_bounds_are_seconds() -> None:
    assert fields.bound_us("0.25") == 250_000
    assert fields.bound_us("+Inf") == BEYOND_US
    assert fields.bound_us("0.005") == 5_000


def test_a_native_histogram_becomes_cumulative_bounds() -> None:
    found = native(
        {
            "schema": 0,
            "zero_threshold": 0.0001,
            "zero_count": 2,
            "buckets": {"-2": 10, "-1": 5, "0": 3},
        }
    )
    assert found[250_000] == 12
    assert found[500_000] == 17
    assert found[1_000_000] == 20
    assert found[BEYOND_US] == 20


@pytest.mark.parametrize(
    "cell",
    [
        {},
        {"schema": 0},
        {"schema": 99, "buckets": {}},
        {"schema": -53, "buckets": {"1": 1}},
        {"schema": True, "buckets": {}},
        {"schema": 0, "buckets": {"x": 1}},
        {"schema": 0, "buckets": {"0": -1}},
        {"schema": 0, "buckets": {"0": 1}, "sum": 3},
        {"schema": 0, "buckets": {"0": 1}, "zero_threshold": "low"},
        [],
        "text",
    ],
)
def test_what_is_no_native_histogram_is_refused(cell: Cell) -> None:
    with pytest.raises(Unfit) as caught:
        native(cell)
    assert caught.value.way_out
