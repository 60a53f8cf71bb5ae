"""The HTML: one file, nothing from outside, nothing unescaped, readable by machines."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from dayshift.core import planner
from dayshift.errors import Reason
from dayshift.model import records as r
from dayshift.model.plan import Verb
from dayshift.surfaces import charts, felt
from dayshift.surfaces.nouns import Level
from dayshift.surfaces.page import html
from dayshift.surfaces.report import build
from tests.kit.story import USERS, Tale, change, estate, run_until, samples, the_tale
from tests.surfaces.conftest import CEST

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Reader(HTMLParser):
    """Tags with their attributes; fails on a tag that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def page_of(tale: Tale, users: dict[str, Any] | None = None) -> str:
    return html(build(tale.records, tale.plan, samples(tale), users), CEST)


@pytest.fixture(scope="module")
def whole() -> str:
    return page_of(the_tale(), USERS)


def test_it_is_well_formed_and_needs_nothing_from_outside(whole: str) -> None:
    reader = Reader(whole)
    used = {name for name, _ in reader.tags}
    assert not used & {"script", "link", "img", "iframe", "object", "image", "a"}
    for _, attributes in reader.tags:
        assert not {"src", "href", "onload", "onclick"} & attributes.keys()
    assert "url(" not in whole and "@import" not in whole
    policy = reader.all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"] == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    )


def test_it_can_be_read_without_eyes(whole: str) -> None:
    reader = Reader(whole)
    assert reader.all("html")[0]["lang"] == "en"
    tables = len(reader.all("table"))
    assert tables and len(reader.all("caption")) == tables
    assert all("scope" in one for one in reader.all("th"))
    for drawing in reader.all("svg"):
        named = {"aria-label", "aria-labelledby", "aria-hidden"} & drawing.keys()
        assert named
    plots = [one for one in reader.all("svg") if one.get("role") == "img"]
    assert len(reader.all("desc")) == len(plots) == 5


def test_every_reference_of_a_chart_to_its_name_exists(whole: str) -> None:
    reader = Reader(whole)
    ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for drawing in reader.all("svg"):
        if "aria-labelledby" in drawing:
            assert drawing["aria-labelledby"] in ids


def test_it_says_what_matters(whole: str) -> None:
    for text in (
        "32,410",
        "sent 1,944, confirmed 1,944, missing 0, duplicate 0",
        "fra 21 ms, ber 18 ms",
        "Proven empty at 16:13:31: shop/edge and shop/entry quiet for 3.00 s.",
        "smallest regression visible",
        "grace",
        "3b1f3b1f",
        "2026-09-21 16:13:25 CEST · 14:13:25 UTC",
        "NOT-HELD",
    ):
        assert text in whole


def test_a_held_run_shows_the_hold_and_the_untouched_region() -> None:
    text = page_of(run_until("held"))
    assert "Nobody has chosen a way out yet." in text
    assert "GATE-FAILED in fra" in text
    assert "Untouched." in text
    assert "No count from the users" in text


def test_nothing_that_people_or_machines_named_becomes_markup() -> None:
    work = change(EVIL, EVIL)
    plan = planner.make(estate(EVIL, EVIL), work, Verb.MAINTAIN)
    tale = run_until("held", plan)
    tale.add(r.Requested("accept", EVIL, {EVIL: EVIL}, "t"))
    tale.add(r.Answered("t", False, Reason(EVIL, EVIL, EVIL, EVIL, EVIL)))
    tale.add(r.Worked("fra", EVIL, 1, EVIL, EVIL))
    tale.add(r.SideLog(EVIL, 1, EVIL), r.Tripped("fra", 1, EVIL))
    tale.add(r.Held(Reason(EVIL, EVIL, EVIL, EVIL), "fra"))
    users = {**USERS, EVIL: EVIL, "by_region": {EVIL: 1}, "weather": {EVIL: EVIL}}
    text = page_of(tale, users)
    used = {name for name, _ in Reader(text).tags}
    assert not used & {"script", "img"}
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_run_without_samples_still_has_a_page() -> None:
    tale = run_until("opened")
    text = html(build(tale.records, tale.plan), CEST)
    Reader(text)
    assert "No samples were kept" in text


def test_shares_are_stacked_to_the_whole() -> None:
    tale = the_tale()
    told = build(tale.records, tale.plan, samples(tale))
    shares = charts.charts(told)[0]
    assert [one.region for one in shares.lines] == ["fra", "ber"]
    heights = [float(y) for y in re.findall(r",([\d.]+)", shares.lines[1].path)]
    assert (min(heights), max(heights)) == (0, 100)
    strips = charts.strips(told)
    assert [band.kind for band in strips[0].bands] == ["leaving", "away", "back"]
    assert strips[0].bands[-1].x < strips[1].bands[0].x + charts.WIDE


def test_a_region_without_users_has_a_gap_not_a_zero() -> None:
    tale = the_tale()
    told = build(tale.records, tale.plan, samples(tale))
    p99 = next(one for one in charts.charts(told) if one.key == "p0")
    assert p99.lines[0].path.count("M") == 2


def test_bad_counts_are_marked_bad() -> None:
    told = felt.tell_users({**USERS, "hurt": 7, "first_hurt_ms": 0})
    tiles = {one.label: one for one in told.tiles}
    assert tiles["hurt"].level is Level.BAD
    assert tiles["never sent"].level is Level.GOOD
    assert dict(told.more)["first hurt"] == "never"
