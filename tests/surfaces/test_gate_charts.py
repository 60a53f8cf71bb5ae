"""The gate's charts: nothing extreme is lost, everything stays in its box."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dayshift.model import records as r
from dayshift.surfaces import gate_points
from dayshift.surfaces.charts import HIGH, WIDE
from dayshift.surfaces.gate_charts import GateChart, gate_charts
from dayshift.surfaces.gate_points import GatePoint, read_points, thin
from dayshift.surfaces.page import html
from dayshift.surfaces.report import RunReport, build, to_json
from tests.kit.story import BAD, START_MS, THIN, Tale, run_until, samples
from tests.surfaces.conftest import CEST
from tests.surfaces.test_page import Reader

BEGIN_MS = START_MS + 14_000
"""The tale's first rung."""


def point(
    at_ms: int, kind: str = "hold", share_bp: int = 100, **more: int
) -> GatePoint:
    fields = {"rollback_need": 2000, "promote_need": 1301, **more}
    return GatePoint(
        BEGIN_MS + at_ms,
        "shop",
        "shop",
        "fra",
        attempt=1,
        share_bp=share_bp,
        kind=kind,
        signals=THIN.signals,
        **fields,
    )


def a_return() -> list[GatePoint]:
    """Two rungs, a blind stretch, a shared incident, and the end."""
    out = [point(n * 1_000, promote_mlog10=50 * n) for n in range(20)]
    out += [point(n * 1_000, "blind") for n in (20, 21, 22)]
    out += [replace(point(23_000), incident=True), point(25_000, share_bp=500)]
    out += [point(30_000, share_bp=500, rollback_mlog10=900)]
    return [*out, point(31_000, "fail", 500, rollback_mlog10=3150)]


def report_of(points: list[GatePoint], tale: Tale | None = None) -> RunReport:
    tale = tale or run_until("held")
    return build(tale.records, tale.plan, samples(tale), gate=points)


@pytest.fixture
def drawn() -> tuple[GateChart, ...]:
    return gate_charts(report_of(a_return()))


def corners(path: str) -> list[tuple[float, float]]:
    """The points that a path of M, L, H and V goes through."""
    out, x, y = [], 0.0, 0.0
    for step, values in re.findall(r"([MLHVZ])([^MLHVZ]*)", path):
        numbers = [float(one) for one in re.findall(r"-?[\d.]+(?:e-?\d+)?", values)]
        if step in "ML":
            x, y = numbers
        elif step == "H":
            (x,) = numbers
        elif step == "V":
            (y,) = numbers
        out.append((x, y))
    return out


def test_evidence_is_drawn_against_its_limits(drawn: tuple[GateChart, ...]) -> None:
    chart = drawn[0]
    assert chart.title == "Evidence for and against shop in fra"
    assert "at most 1,413:1, limit 100:1; promoted from 20:1" in chart.says
    against, promote = chart.strokes
    limits = {one.kind: one.y for one in chart.levels}
    assert limits["against"] < limits["for"] < HIGH
    heights = [y for _, y in corners(against.path)]
    assert min(heights) == heights[-1] < limits["against"]
    assert min(y for _, y in corners(promote.path)) > limits["for"]
    assert [one.text for one in chart.labels] == ["100:1", "20:1", "1:1", "1:10"]


def test_rungs_blindness_and_incidents_are_behind_it(
    drawn: tuple[GateChart, ...],
) -> None:
    chart = drawn[0]
    assert [one.text for one in chart.rungs] == ["1 %", "5 %"]
    blind, incident = chart.spans
    assert (blind.kind, incident.kind) == ("blind", "incident")
    assert blind.x + blind.width == incident.x
    assert len({y for _, y in corners(chart.steps)}) == 3


def test_a_recorded_verdict_is_marked() -> None:
    tale = run_until("returning")
    tale.wait(31_000 - (tale.ms - 14_000))
    tale.add(r.Judged("fra", "shop", 0, BAD))
    chart = gate_charts(report_of(a_return(), tale))[0]
    (mark,) = chart.marks
    assert mark.kind == "fail" and 0.95 * WIDE < mark.x < WIDE
    assert BAD.why in mark.says


def test_the_ratio_has_its_band_and_both_lines(drawn: tuple[GateChart, ...]) -> None:
    errors, slow = drawn[1:]
    assert errors.title.startswith("Errors: shop in fra")
    assert slow.title.startswith("Answers slower than 250 ms: shop in fra")
    assert "2.4 (0.12–12), tolerated up to 1.1" in errors.says
    one, tolerated = errors.levels
    assert (one.y, tolerated.y < one.y) == (HIGH / 2, True)
    line = [y for _, y in corners(errors.strokes[0].path)]
    band = [y for _, y in corners(errors.band)]
    assert min(band) < min(line) <= max(line) < max(band)


def test_without_a_tolerance_of_its_own_errors_have_that_of_the_policy() -> None:
    bare = tuple(replace(one, tolerated_ppm=0) for one in THIN.signals)
    points = [replace(one, signals=bare) for one in a_return()]
    _, errors, slow = gate_charts(report_of(points))
    assert [len(errors.levels), len(slow.levels)] == [2, 1]


def test_each_return_and_stream_is_drawn_for_itself() -> None:
    points = a_return()
    again = [replace(one, attempt=2, wall_ms=one.wall_ms + 60_000) for one in points]
    vip = [replace(one, stream="shop/vip") for one in points]
    charts = gate_charts(report_of([*points, *again, *vip]))
    assert [one.title for one in charts if one.title.startswith("Evidence")] == [
        "Evidence for and against shop in fra",
        "Evidence for and against shop/vip in fra",
        "Evidence for and against shop in fra, attempt 2",
    ]
    assert len({one.key for one in charts}) == len(charts) == 9


@pytest.mark.parametrize(
    "points",
    [
        [point(0)],
        [point(0), point(0)],
        [point(0, rollback_need=0, promote_need=0)],
        [replace(point(0), signals=()), point(9, "blind")],
        [point(0, rollback_mlog10=-(10**9)), point(9, rollback_mlog10=10**9)],
    ],
    ids=["one", "at once", "no limits", "no signals", "beyond every scale"],
)
def test_the_edge_of_what_can_be_drawn(points: list[GatePoint]) -> None:
    for chart in gate_charts(report_of(points)):
        for path in (chart.steps, chart.band, *(one.path for one in chart.strokes)):
            for x, y in corners(path):
                assert 0 <= x <= WIDE and 0 <= y <= HIGH


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3_600_000),
            st.integers(-9_000, 9_000),
            st.integers(-9_000, 9_000),
            st.sampled_from(["pass", "hold", "blind", "fail"]),
        ),
        min_size=1,
        max_size=300,
    )
)
def test_thinning_keeps_what_was_extreme(
    looks: list[tuple[int, int, int, str]],
) -> None:
    points = [
        point(at, kind, rollback_mlog10=back, promote_mlog10=forth)
        for at, back, forth, kind in looks
    ]
    kept = thin(points, 10)
    assert len(kept) <= 10 * 6
    for extreme in (max, min):
        assert extreme(one.promote_mlog10 for one in kept) == extreme(
            one.promote_mlog10 for one in points
        )
    assert max(one.rollback_mlog10 for one in kept) == max(
        one.rollback_mlog10 for one in points
    )
    assert ("fail" in {one.kind for one in kept}) == (
        "fail" in {one.kind for one in points}
    )


def test_a_day_of_looks_is_a_page_and_not_a_book() -> None:
    points = [point(n * 1_000, rollback_mlog10=n % 977) for n in range(86_400)]
    report = report_of(points)
    assert len(report.gate) <= 6 * gate_points.BINS_MAX
    assert len(html(report, CEST)) < 400_000


def test_lines_survive_a_torn_end_and_an_unknown_kind() -> None:
    whole = msgspec.json.encode(point(0))
    odd = replace(point(1), kind="a word of a later version")
    assert read_points(whole + b"\n" + whole[:30]) == [point(0)]
    assert thin([point(0), odd])
    assert read_points(b"") == []


def test_the_page_shows_them_and_stays_a_page(
    page_checks: Callable[[str], Reader],
) -> None:
    text = html(report_of(a_return()), CEST)
    reader = page_checks(text)
    plots = [one for one in reader.all("svg") if one.get("role") == "img"]
    assert len(reader.all("desc")) == len(plots)
    ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {one["aria-labelledby"] for one in plots if "aria-labelledby" in one} <= {
        *ids
    }
    assert "Evidence for and against shop in fra" in text


def test_a_run_without_looks_says_so(page_checks: Callable[[str], Reader]) -> None:
    text = html(report_of([]), CEST)
    page_checks(text)
    assert "No look of the gate was kept" in text


def test_the_report_as_json_has_the_looks() -> None:
    told = msgspec.json.decode(to_json(report_of(a_return())))
    assert told["gate"][-1]["kind"] == "fail"
    assert told["gate"][-1]["signals"][0]["canary"] == 210


@pytest.fixture
def page_checks() -> Callable[[str], Reader]:
    """Well formed, and nothing from outside."""

    def check(text: str) -> Reader:
        reader = Reader(text)
        assert not {name for name, _ in reader.tags} & {"script", "link", "img", "a"}
        assert "url(" not in text and "@import" not in text
        return reader

    return check
