"""Load that was measured once is no measure of it now (invariants 8 and 9): a drain
whose meters are blind stands where it is, and a person who takes it on may go on."""

from __future__ import annotations

import pytest

from dayshift.core import capacity
from dayshift.core.state import Status
from dayshift.model.dial import ALL
from dayshift.model.evidence import Side
from dayshift.model.plan import Verb
from dayshift.model.records import Phase
from dayshift.model.sight import Sight
from dayshift.model.units import elapsed_ms
from tests.kit.play import Play, change, estate, replace

LIMIT_MS = 6_000


def out_of_sight(play: Play) -> Play:
    """From now on every meter says what it said last, and grows old."""
    begun = play.now()

    def old(sight: Sight) -> Sight:
        age_ms = elapsed_ms(begun, sight.at) + 3_001
        places = tuple(
            replace(
                place, meters=tuple(replace(m, age_ms=age_ms) for m in place.meters)
            )
            for place in sight.places
        )
        return replace(sight, places=places)

    play.bend = old
    return play


def draining(verb: Verb = Verb.MAINTAIN) -> Play:
    the_estate = estate(
        drain_dwell_ms=1_000, blind_limit_ms=LIMIT_MS, fresh_ms=3_000, lease_ms=5_000
    )
    play = Play(the_estate, change("fra"), verb)
    play.leased = True
    # An evacuation takes all at once: it is blind before its first stage.
    index = -1 if verb is Verb.EVACUATE else 0
    play.until(lambda o: o.here.phase is Phase.DRAINING and o.here.index == index)
    return out_of_sight(play)


def share(play: Play) -> int:
    return play.dials["entry"].rows[ALL]["fra"]


def test_one_stale_region_leaves_the_load_unmeasured() -> None:
    play = Play(estate())
    shop, sight = play.estate.services[0], play.sight()
    assert capacity.load_mrps(sight, shop, 10) == 400_000
    assert capacity.load_mrps(sight, shop, 9) is None
    one = sight.place("shop", "ber")
    stale = tuple(
        replace(m, age_ms=3_001) if m.side is Side.USERS else m for m in one.meters
    )
    places = tuple(
        replace(place, meters=stale) if place is one else place
        for place in sight.places
    )
    assert capacity.load_mrps(replace(sight, places=places), shop, 3_000) is None


def test_a_blind_drain_stands_then_holds_and_never_goes_back_by_itself() -> None:
    play = draining()
    before = share(play)
    assert 0 < before < 5_000
    play.until(lambda one: one.run.status is Status.HELD)
    assert play.run.hold is not None and play.run.hold.reason.code == "BLIND"
    assert play.here.phase is Phase.DRAINING and play.here.retreat is None
    for _ in range(100):
        play.step()
        assert share(play) == before
    assert not play.armed
    play.away(20_000)
    assert share(play) == before


def test_a_short_blindness_is_waited_for() -> None:
    play = draining()
    for _ in range(10):
        play.step()
    assert play.run.status is Status.RUNNING and share(play) > 0
    play.bend = lambda sight: sight
    play.until_phase(Phase.EMPTYING)
    assert share(play) == 0


def test_a_held_blind_drain_goes_on_when_it_sees_again() -> None:
    play = draining()
    play.until(lambda one: one.run.status is Status.HELD)
    play.bend = lambda sight: sight
    assert play.ask("retry").accepted
    play.until_phase(Phase.EMPTYING)


@pytest.mark.parametrize("way", ["evacuate", "accept", "abort"])
def test_who_may_override_blindness_may_still(way: str) -> None:
    play = draining(Verb.EVACUATE if way == "evacuate" else Verb.MAINTAIN)
    if way == "accept":
        args = {
            "code": "BLIND",
            "second": "bob",
            "reason": "the meters' vendor is down",
        }
        assert play.ask("accept", **args).accepted
    if way == "abort":
        assert play.ask("abort").accepted
        play.until_closed()
        assert share(play) == 5_000
        return
    play.until(lambda one: share(one) == 0)


def test_blind_between_two_rungs_it_stays_on_the_one_that_was_proven() -> None:
    the_estate = estate(
        blind_limit_ms=LIMIT_MS, fresh_ms=3_000, ramp_bp=(100, 2_500, 5_000)
    )
    play = Play(the_estate, change("fra"))
    play.until(lambda one: one.here.phase is Phase.RETURNING and one.here.index == 0)
    out_of_sight(play)
    before = share(play)
    play.until(lambda one: one.run.status is Status.HELD)
    assert play.run.hold is not None and play.run.hold.reason.code == "BLIND"
    assert share(play) == before == 100
