"""Lines for pipes, the page of `status`, the held page and `explain`, as snapshots."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC

import pytest

from dayshift.model import records as r
from dayshift.surfaces import plain
from tests.kit.story import Tale, run_until, the_tale
from tests.surfaces.conftest import CEST

Matches = Callable[[str, str, Tale], None]


@pytest.mark.parametrize("scene", ["emptying", "working", "returning", "held"])
def test_status_page(scene: str, matches: Matches) -> None:
    tale = run_until(scene)
    matches(f"page-{scene}.txt", plain.page(tale.story(), CEST), tale)


def test_the_held_page_has_three_lines_and_the_exits(matches: Matches) -> None:
    tale = run_until("held")
    page = plain.held_page(tale.story(), CEST)
    matches("held.txt", page, tale)
    what, exits = page.split("\n\n")
    assert len(what.splitlines()) == 3
    assert exits.splitlines()[0] == "the ways on"


def test_a_run_that_is_not_held_has_no_held_page() -> None:
    with pytest.raises(ValueError):
        plain.held_page(run_until("working").story())


@pytest.mark.parametrize("scene", ["returning", "held", "finished"])
def test_explain(scene: str, matches: Matches) -> None:
    tale = run_until(scene)
    matches(f"explain-{scene}.txt", plain.explain_page(tale.story(), CEST), tale)


def test_the_log_of_a_whole_run(matches: Matches) -> None:
    tale = the_tale()
    text = "\n".join(plain.lines(None, tale.story(), CEST)) + "\n"
    matches("log.txt", text, tale)


def test_only_what_changed_is_said() -> None:
    tale = run_until("working")
    first = tale.story()
    assert plain.lines(first, first, CEST) == []
    tale.wait(400)
    assert plain.lines(first, tale.story(), CEST) == []
    tale.add(r.Worked("fra", "upgrade", 1, "no such version"))
    said = plain.lines(first, tale.story(), CEST)
    assert said == [
        "16:13:34 X fra      step upgrade failed, exit code 1: no such version"
    ]


def test_a_pause_and_its_end_are_said() -> None:
    tale = run_until("working")
    running = tale.story()
    tale.add(r.Requested("pause", "ada", {}, "t"), r.Answered("t", True))
    paused = tale.story()
    assert any("PAUSED by ada" in one for one in plain.lines(running, paused, CEST))
    tale.add(r.Requested("resume", "ada", {}, "u"), r.Answered("u", True))
    assert any("goes on" in one for one in plain.lines(paused, tale.story(), CEST))


def test_a_dial_that_tears_is_said_once() -> None:
    tale = run_until("working")
    whole = tale.story()
    tale.torn = True
    torn = tale.story()
    (line,) = plain.lines(whole, torn, CEST)
    assert "dial entry is MIXED: two differ" in line
    assert plain.lines(torn, tale.story(), CEST) == []


def test_a_dial_whose_write_is_under_way_may_tear() -> None:
    tale = run_until("working")
    whole = tale.story()
    move = r.Action(r.ActionKind.SET_DIAL, "k", "entry", "fra", setting=tale.dial)
    tale.add(r.Intent(move))
    tale.torn = True
    assert plain.lines(whole, tale.story(), CEST) == []
    tale.add(r.Outcome("k", r.OutcomeKind.DONE, claim=tale.claim))
    (line,) = plain.lines(whole, tale.story(), CEST)
    assert "dial entry is MIXED" in line


def test_nobody_watching_is_said_on_every_surface() -> None:
    tale = run_until("held")
    left = tale.story(watched=False)
    assert any("nobody is watching" in one for one in plain.lines(None, left, CEST))
    assert "nobody is watching" in plain.page(left, CEST)
    assert "nobody is watching" in plain.explain_page(left, CEST)


def test_text_with_line_breaks_stays_one_line() -> None:
    tale = run_until("working")
    tale.add(r.Requested("pause", "ada\nmallory 16:00:00 + all is well", {}, "t"))
    assert all("\n" not in one for one in plain.lines(None, tale.story(), CEST))


def test_one_clock_where_local_time_is_utc() -> None:
    page = plain.page(run_until("working").story(), UTC)
    assert "14:13:33 UTC" in page
    assert "·  14:13" not in page
