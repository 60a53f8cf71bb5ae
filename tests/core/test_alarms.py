"""Who is called while a region is out, whatever the run waits for."""

from __future__ import annotations

from msgspec.structs import replace

from dayshift.core.state import Status
from dayshift.model import records as r
from dayshift.model.estate import NotifySpec
from dayshift.model.records import Phase
from dayshift.model.sight import Sight, WorkSight, WorkStatus
from tests.kit.play import REF, Play, estate


def called(play: Play) -> list[str]:
    kinds = [one for one in play.actions if one.kind is r.ActionKind.NOTIFY]
    return [one.key.split("/")[1] for one in kinds if one.key.startswith("alarm/")]


def paused_at_work(**policy: int) -> Play:
    the_estate = replace(estate(**policy), notify=(NotifySpec("on-call", REF),))
    play = Play(the_estate).until_phase(Phase.WORKING)
    assert play.ask("pause").accepted
    return play


def ber_fails(sight: Sight) -> Sight:
    places = tuple(
        replace(
            place,
            meters=tuple(
                replace(one, errors=50, error_ppm=500_000) for one in place.meters
            ),
        )
        if place.region == "ber"
        else place
        for place in sight.places
    )
    return replace(sight, places=places)


def test_a_paused_run_calls_when_the_survivor_is_in_trouble_once() -> None:
    play = paused_at_work()
    play.step()
    assert called(play) == []
    play.bend = ber_fails
    for _ in range(5):
        play.step()
    assert called(play) == ["survivor-trouble"]
    assert play.run.status is Status.PAUSED


def test_half_of_the_absence_limit_calls() -> None:
    play = paused_at_work(absence_ms=3_600_000)
    play.ms += 1_700_000
    play.step()
    assert called(play) == []
    play.ms += 200_000
    play.step()
    assert called(play) == ["absence"]


def test_a_blind_tripwire_calls() -> None:
    play = paused_at_work()
    play.bend = lambda sight: replace(
        sight,
        places=tuple(
            replace(
                place, meters=tuple(replace(one, age_ms=None) for one in place.meters)
            )
            if place.region == "fra"
            else place
            for place in sight.places
        ),
    )
    play.step()
    assert called(play) == ["blind"]


def test_a_started_step_that_nobody_knows_is_lost_after_a_while() -> None:
    play = Play().until_phase(Phase.WORKING)
    play.works["fra-upgrade-0"] = WorkSight("fra-upgrade-0", WorkStatus.ABSENT)
    play.until_held()
    assert play.run.hold is not None
    assert play.run.hold.reason.code == "WORK-LOST"
