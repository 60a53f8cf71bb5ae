"""What was said of a duty long ago says nothing of it now (invariant 17)."""

from __future__ import annotations

import pytest

from dayshift.core import guards, interlock
from dayshift.model.records import Action, ActionKind, Phase
from dayshift.model.sight import Sight
from dayshift.model.units import Instant
from tests.kit.play import Play, change, replace


def aged(sight: Sight, ms: int | None) -> Sight:
    at = None
    if ms is not None:
        at = Instant(sight.at.wall_ms - ms, sight.at.mono_ms - ms, sight.at.boot_id)
    return replace(
        sight, duties={n: replace(one, at=at) for n, one in sight.duties.items()}
    )


@pytest.mark.parametrize(
    ("ms", "known"), [(3_000, True), (3_001, False), (None, False)]
)
def test_the_guard_and_the_interlock_ask_for_fresh_word(
    ms: int | None, known: bool
) -> None:
    play = Play(the_change=change("fra"))
    sight = aged(play.sight(), ms)
    assert (guards.duties_reason(play.plan, sight) is None) is known
    take = Action(ActionKind.TAKE_DUTY, "k", "nightly", region="fra")
    assert (interlock.reason(play.state, sight, take) is None) is known


@pytest.mark.parametrize("phase", [Phase.HANDING_OVER, Phase.CATCHING_UP])
def test_a_phase_that_rests_on_a_duty_waits_for_fresh_word(phase: Phase) -> None:
    play = Play(the_change=change("fra")).until_phase(phase)
    play.bend = lambda sight: aged(sight, 60_000)
    for _ in range(20):
        play.step()
        assert play.here.phase is phase
    assert not play.refused
    play.bend = lambda sight: sight
    play.until_closed()
