"""Blind while returning: back to the last proven rung, and never up by bad luck."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dayshift.core.state import Status
from dayshift.model import records as r
from dayshift.model.dial import ALL, DialKind
from dayshift.model.estate import DialSpec, Estate
from dayshift.model.evidence import Side, Verdict, VerdictKind
from dayshift.model.records import Phase, RunResult
from dayshift.model.sight import PlaceSight, Sight
from tests.kit.play import PASSING, REF, Play, estate, replace

LIMIT_MS = 5_000
BLIND = Verdict(VerdictKind.BLIND, "no counts")
HOLD = Verdict(VerdictKind.HOLD, "not enough evidence")
NOTHING = Verdict(VerdictKind.HOLD, "nothing counted yet in fra")
FAIL = Verdict(VerdictKind.FAIL, "12 of 40 requests failed")
RAMP = (100, 500, 2500, 5000)


def share(play: Play, dial: str = "entry") -> int:
    return play.dials[dial].rows[ALL]["fra"]


def judged(
    play: Play, given: Callable[[str], Verdict | None], blind_ms: int = 0
) -> Callable[[Sight], Sight]:
    """The gate's word on fra by service; a blind one has been so for `blind_ms`, and
    so has one that has counted nothing yet."""

    def place(one: PlaceSight) -> PlaceSight:
        verdict = given(one.service)
        is_blind = verdict in (BLIND, NOTHING)
        return replace(one, verdict=verdict, blind_ms=blind_ms if is_blind else 0)

    def bend(sight: Sight) -> Sight:
        places = tuple(place(p) if p.region == "fra" else p for p in sight.places)
        return replace(sight, places=places)

    return bend


def at_rung(rung: int, the_estate: Estate | None = None) -> Play:
    """A return that waits at a rung, for evidence."""
    play = Play(the_estate or estate(blind_limit_ms=LIMIT_MS))
    play.verdict = lambda region: PASSING if play.here.index < rung else HOLD
    play.until(lambda one: one.here.phase is Phase.RETURNING and one.here.index == rung)
    return play


def go_blind(play: Play, blind_ms: int = LIMIT_MS + 1) -> Play:
    play.bend = judged(play, lambda service: BLIND, blind_ms)
    return play


def reason(play: Play) -> str:
    assert play.run.hold is not None
    return play.run.hold.reason.code


def test_blind_for_a_while_only_waits() -> None:
    play = go_blind(at_rung(2), LIMIT_MS)
    for _ in range(50):
        play.step()
    assert play.run.status is Status.RUNNING
    assert share(play) == 2500


@pytest.mark.parametrize("rung", range(4))
def test_blind_for_too_long_goes_back_to_the_last_proven_rung(rung: int) -> None:
    play = go_blind(at_rung(rung)).until_held()
    assert reason(play) == "BLIND"
    assert share(play) == (0, 100, 500, 2500)[rung]
    assert play.here.phase is (Phase.RETURNING if rung else Phase.VALIDATING)
    assert play.run.hold is not None
    said = ("no rung was proven", "to 1.00 %", "to 5.00 %", "to 25.00 %")[rung]
    assert said in play.run.hold.reason.so


def test_a_proven_rung_is_kept_however_often_a_person_retries_blindly() -> None:
    play = go_blind(at_rung(3)).until_held()
    for _ in range(4):
        assert play.ask("retry").accepted
        play.until_held()
        assert reason(play) == "BLIND"
        assert share(play) == 2500
    retreats = [one for one in play.records if isinstance(one.body, r.Retreating)]
    assert len(retreats) == 1


def test_seen_again_a_retry_climbs_on() -> None:
    play = go_blind(at_rung(3)).until_held()
    play.bend = lambda sight: sight
    play.verdict = lambda region: PASSING
    assert play.ask("retry").accepted
    assert play.until_closed().run.result is RunResult.DONE
    assert play.dials == play.plan.baseline


def test_a_rung_that_was_proven_once_more_can_be_left_for_blindness_above_it() -> None:
    play = go_blind(at_rung(3)).until_held()
    play.bend = judged(play, lambda service: PASSING if play.here.index < 3 else HOLD)
    assert play.ask("retry").accepted
    play.until(lambda one: one.here.index == 3)
    go_blind(play).until_held()
    assert share(play) == 2500


@pytest.mark.parametrize("rung", [1, 3])
def test_what_is_seen_while_held_blind_still_turns_traffic_back(rung: int) -> None:
    play = go_blind(at_rung(rung)).until_held()
    play.bend = judged(play, lambda service: FAIL)
    play.until(lambda one: one.here.retreat is not None)
    play.until_held()
    assert share(play) == 0
    assert reason(play) == "GATE-FAILED"
    assert play.here.phase is Phase.VALIDATING


def test_good_news_while_held_blind_moves_nothing() -> None:
    play = go_blind(at_rung(3)).until_held()
    play.bend = judged(play, lambda service: PASSING)
    before = play.seq
    for _ in range(50):
        play.step()
    assert (play.seq, share(play)) == (before, 2500)


def test_a_hold_for_another_reason_is_left_to_the_person() -> None:
    play = at_rung(2)
    play.bend = lambda sight: replace(sight, clock_jump_ms=5_000)
    play.until_held()
    play.bend = judged(play, lambda service: FAIL)
    for _ in range(20):
        play.step()
    assert (reason(play), share(play)) == ("CLOCK-JUMPED", 2500)


def test_blind_in_the_soak_keeps_the_proven_share_but_not_bad_news() -> None:
    play = Play(estate(blind_limit_ms=LIMIT_MS, soak_ms=60_000))
    play.until_phase(Phase.SOAKING)
    go_blind(play).until_held()
    assert (reason(play), share(play)) == ("BLIND", 5000)
    play.bend = judged(play, lambda service: FAIL)
    play.until(lambda one: one.here.retreat is not None)
    play.until_held()
    assert (reason(play), share(play)) == ("GATE-FAILED", 0)


def test_a_gate_without_a_word_is_blind_too() -> None:
    play = at_rung(1)
    play.bend = judged(play, lambda service: None)
    begun = play.ms
    play.until_held()
    assert (reason(play), share(play)) == ("BLIND", 100)
    assert LIMIT_MS - 500 <= play.ms - begun <= LIMIT_MS + 3_000


def test_a_gate_that_counted_nothing_yet_is_blind_too() -> None:
    play = at_rung(1)
    play.bend = judged(play, lambda service: NOTHING, LIMIT_MS + 1)
    play.until_held()
    assert (reason(play), share(play)) == ("BLIND", 100)


@pytest.mark.parametrize("word", [NOTHING, BLIND, None])
def test_a_soak_that_nobody_sees_never_ends_well(word: Verdict | None) -> None:
    play = Play(estate(blind_limit_ms=LIMIT_MS, soak_ms=100))
    play.until_phase(Phase.SOAKING)
    play.bend = judged(play, lambda service: word, LIMIT_MS + 1)
    play.until_held()
    assert (reason(play), share(play)) == ("BLIND", 5000)


def test_a_new_controller_is_as_patient_without_a_word_as_the_first() -> None:
    play = at_rung(1)
    play.bend = judged(play, lambda service: None)
    play.ms += 60_000
    play.crash()
    for _ in range(10):
        play.step()
    assert (play.run.status, share(play)) == (Status.RUNNING, 500)


def two_services() -> Estate:
    one = estate(blind_limit_ms=LIMIT_MS)
    shop = one.services[0]
    mail = replace(shop, name="mail", dials=(DialSpec("mail", DialKind.SPLIT, REF),))
    return replace(one, services=(shop, mail))


@pytest.mark.parametrize("failing", ["shop", "mail"])
@pytest.mark.parametrize("other", [HOLD, BLIND, None, PASSING])
@pytest.mark.parametrize("phase", [Phase.RETURNING, Phase.SOAKING])
def test_the_service_that_fails_is_heard_before_one_that_waits(
    failing: str, other: Verdict | None, phase: Phase
) -> None:
    """Not only the first in the file: the users of all of them are hurt."""
    play = Play(two_services())
    play.until_phase(phase)
    play.until(lambda one: phase is Phase.SOAKING or one.here.index >= 0)
    words = {failing: FAIL}
    play.bend = judged(play, lambda service: words.get(service, other))
    play.until_held()
    assert reason(play) == "GATE-FAILED"
    assert share(play) == share(play, "mail") == 0


def test_one_blind_service_takes_both_back() -> None:
    play = at_rung(2, two_services())
    words = {"mail": BLIND}
    play.bend = judged(play, lambda service: words.get(service, HOLD), LIMIT_MS + 1)
    play.until_held()
    assert reason(play) == "BLIND"
    assert share(play) == share(play, "mail") == 500


def test_blind_everywhere_still_goes_back() -> None:
    """The users' meter is gone for all regions: probes prove who may take over."""
    play = go_blind(at_rung(3))
    inner = play.bend

    def bend(sight: Sight) -> Sight:
        places = tuple(
            replace(
                place,
                meters=tuple(
                    replace(m, age_ms=60_000) if m.side is Side.USERS else m
                    for m in place.meters
                ),
            )
            for place in inner(sight).places
        )
        return replace(sight, places=places)

    play.bend = bend
    play.until_held()
    assert (reason(play), share(play)) == ("BLIND", 2500)
    assert not play.refused
