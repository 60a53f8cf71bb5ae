"""What the story says, and that it says it from records alone."""

from __future__ import annotations

import typing

import msgspec
import pytest
from msgspec.structs import replace

from dayshift.core.state import JournalState
from dayshift.errors import Reason
from dayshift.model import records as r
from dayshift.model.dial import split
from dayshift.model.evidence import Verdict
from dayshift.model.records import Phase
from dayshift.surfaces import words
from dayshift.surfaces.nouns import Level
from dayshift.surfaces.story import event_of, from_json, tell, to_json
from tests.kit.story import BAD, SCENES, START_MS, Tale, run_until, the_tale

A_RECORD = {
    str: "x",
    int: 3,
    bool: False,
    Reason: Reason("A-CODE", "what went wrong"),
    Verdict: BAD,
}


def _body(kind: type[msgspec.Struct], tale: Tale) -> r.AnyBody:
    """A body of `kind` with something in every field that has no default."""
    special = {
        "plan": tale.plan,
        "old": Phase.SERVING,
        "new": Phase.PREFLIGHT,
        "verdict": BAD,
        "result": r.RunResult.DONE if kind is r.RunClosed else r.OutcomeKind.FAILED,
        "action": r.Action(r.ActionKind.START_WORK, "k", "upgrade", "fra"),
        "setting": split({"fra": 10_000}),
        "sight": {},
        "meters": (),
        "reason": A_RECORD[Reason],
    }
    fields = {
        field.name: special.get(field.name, A_RECORD.get(field.type))
        for field in msgspec.structs.fields(kind)
        if field.required
    }
    return typing.cast(r.AnyBody, kind(**fields))


def test_every_kind_of_record_has_a_line_or_deliberately_none() -> None:
    tale = run_until("opened")
    silent = set()
    for kind in typing.get_args(r.AnyBody):
        event = event_of(r.Record(7, "", tale.now(), 1, "run", _body(kind, tale)))
        if event is None:
            silent.add(kind)
        else:
            assert event.text.strip() == event.text
            assert (event.seq, event.wall_ms) == (7, START_MS + tale.ms)
    assert silent == {r.Genesis, r.Planned, r.Observed, r.SideLog}


def test_a_good_answer_is_silent_and_a_refusal_is_not() -> None:
    at = run_until("opened").now()
    granted = r.Record(1, "", at, 1, "run", r.Answered("t", True))
    reason = Reason("NOT-HELD", "the run is not held")
    refused = r.Record(2, "", at, 1, "run", r.Answered("t", False, reason))
    assert event_of(granted) is None
    event = event_of(refused)
    assert event is not None
    assert event.level is Level.WARN
    assert "NOT-HELD" in event.text


def test_json_is_stable_and_comes_back_the_same() -> None:
    for scene in SCENES:
        story = run_until(scene).story()
        text = to_json(story)
        assert "\n" not in text
        assert from_json(text) == story
        assert to_json(from_json(text)) == text


def test_shares_and_figures_come_from_the_users_side() -> None:
    tale = run_until("returning")
    fra, ber = tale.story().regions
    assert (fra.services[0].share_bp, fra.services[0].baseline_bp) == (100, 5000)
    assert (ber.services[0].share_bp, ber.services[0].mrps) == (9900, 366_300)
    assert fra.probes[0].version == "2"
    assert fra.services[0].seen


def test_nobody_looking_means_expected_shares_and_no_figures() -> None:
    story = run_until("working").story(watched=False)
    fra, ber = story.regions
    assert not story.watched
    assert (fra.services[0].share_bp, ber.services[0].share_bp) == (0, 10_000)
    assert not ber.services[0].seen
    assert story.waiting == ()
    assert story.times.region == "fra"
    assert story.times.absent_ms > 0


def test_a_blind_meter_is_not_shown_as_zero() -> None:
    tale = run_until("working")
    tale.silent = ("ber",)
    service = tale.story().regions[1].services[0]
    assert not service.seen
    assert service.fault == "connection refused"


def test_an_instance_that_disagrees_is_named() -> None:
    tale = run_until("working")
    tale.torn = True
    story = tale.story()
    dial = story.dials[0]
    assert dial.mixed and dial.rows is None
    assert [one.instance for one in dial.instances if one.differs] == ["two"]
    assert story.regions[0].services[0].share_bp is None


def test_rungs_keep_the_verdicts_that_were_recorded_on_them() -> None:
    journey = run_until("soaking").story().regions[0].journey
    assert journey is not None
    assert [one.status for one in journey.ramp] == ["passed"] * 3 + ["here"]
    assert [one.verdicts[0].promote_odds for one in journey.ramp] == ["24:1"] * 4
    assert journey.ramp[0].verdicts[0].smallest_bp == 120


def test_a_failed_rung_stays_visible_until_the_next_attempt() -> None:
    tale = run_until("held")
    journey = tale.story().regions[0].journey
    assert journey is not None
    assert [one.status for one in journey.ramp] == ["failed"] + ["ahead"] * 3
    tale.add(r.Requested("retry", "ada", {}, "t9"), r.Answered("t9", True))
    tale.phase("fra", Phase.RETURNING)
    again = tale.story().regions[0].journey
    assert again is not None
    assert [one.status for one in again.ramp] == ["ahead"] * 4
    assert again.attempt == 2


def test_a_held_run_says_why_and_what_may_be_typed() -> None:
    story = run_until("held").story()
    assert (story.status, story.region) == ("held", "fra")
    assert story.hold is not None
    assert story.hold.reason.code == "GATE-FAILED"
    assert 12_000 <= story.hold.for_ms < 13_000
    assert [one.command for one in story.exits] == [
        "dayshift retry",
        "dayshift abort",
        "dayshift close --leave-drained",
    ]
    ber = story.regions[1].journey
    assert ber is not None and ber.visited == ()


def test_work_shows_its_last_line_and_its_end() -> None:
    running = run_until("working").story().regions[0].journey
    done = run_until("returning").story().regions[0].journey
    assert running is not None and done is not None
    assert (running.steps[0].status, running.steps[0].line) == (
        "running",
        "starting version 2",
    )
    assert done.steps[0].status == "done"


def test_the_end_is_told_with_its_result() -> None:
    story = the_tale().story()
    assert (story.status, story.result) == ("closed", "done")
    assert story.exits == ()
    assert story.closed_wall_ms > story.opened_wall_ms


def test_a_journal_without_a_run_is_idle() -> None:
    state = replace(JournalState(), estate="demo", left_drained=("fra",))
    story = tell(state, None, None, (), Tale().now())
    assert (story.status, story.estate, story.left_drained) == (
        "idle",
        "demo",
        ("fra",),
    )


@pytest.mark.parametrize(
    ("mlog10", "text"),
    [(0, "1:1"), (-5, "1:1"), (800, "6.3:1"), (1301, "20:1"), (2000, "100:1")],
)
def test_odds(mlog10: int, text: str) -> None:
    assert words.odds(mlog10) == text


def test_words_never_turn_something_into_nothing() -> None:
    assert words.error_rate(1) == "<0.01 %"
    assert words.share(None) == "–"
    assert words.took(0) == "–"
    assert words.odds(9_000) == "over 1,000,000:1"
    assert words.span(125_000) == "2 min 05 s"
    assert words.span(-61_000) == "-1 min 01 s"
