"""Every surface tells every step of runs that the real core decided."""

from __future__ import annotations

import pytest

from dayshift.core.state import Status
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.records import RunResult
from dayshift.surfaces import bars, page, panels, plain, report
from dayshift.surfaces.nouns import Event, Story
from dayshift.surfaces.story import event_of, from_json, tell, to_json
from tests.kit.play import Play

FAILING = Verdict(VerdictKind.FAIL, "5 of 9 failed", 3000, 2000, 0, 1301, 0, 9, 5)


def _told(play: Play, previous: Story | None, events: list[Event]) -> Story:
    """One step, told everywhere; returns the story."""
    decision = play.step()
    known = events[-1].seq if events else 0
    fresh = [one for one in play.records if one.seq > known]
    events += [event for one in fresh if (event := event_of(one)) is not None]
    story = tell(play.state, play.sight(), decision, events, play.now())
    assert from_json(to_json(story)) == story
    assert len(panels.frame(story, 80, 24, bars.UNICODE)) == 24
    assert plain.page(story) and plain.explain_page(story)
    said = plain.lines(previous, story)
    assert all("\n" not in line for line in said)
    return story


def _play(play: Play, end: Status) -> tuple[Story, list[Event]]:
    story: Story | None = None
    events: list[Event] = []
    for _ in range(600):
        story = _told(play, story, events)
        if play.run.status is end and play.here.retreat is None:
            return story, events
    pytest.fail(f"the run never was {end}; it is {play.here.phase}")


def test_a_good_run_of_two_regions() -> None:
    play = Play()
    story, _ = _play(play, Status.CLOSED)
    assert (story.status, story.result) == ("closed", RunResult.DONE.value)
    told = report.build(play.records, play.plan)
    assert [one.phases[-1].phase for one in told.passes] == ["done", "done"]
    assert all(one.drain_ms is not None and one.return_ms for one in told.passes)
    assert "</html>" in page.html(told)


def test_a_bad_release_is_held_on_every_surface() -> None:
    play = Play()
    play.verdict = lambda region: FAILING
    story, _ = _play(play, Status.HELD)
    assert story.hold is not None and story.hold.reason.code == "GATE-FAILED"
    assert "dayshift abort" in plain.held_page(story)
    told = report.build(play.records, play.plan)
    assert told.result == "held"
    assert told.passes[0].rungs[0].judged[0].gate.kind == "fail"
    assert told.passes[1].phases == ()
