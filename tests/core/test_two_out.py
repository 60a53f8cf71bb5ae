"""A second region goes out while a first one is: only in an emergency, and both come
back one after the other."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dayshift.core import interlock, planner, review
from dayshift.errors import Refused
from dayshift.model import records as r
from dayshift.model.dial import DialKind
from dayshift.model.estate import DialSpec, Estate
from dayshift.model.plan import Plan, Verb
from dayshift.model.records import Action, ActionKind, RunResult
from tests.kit.play import REF, Play, estate

THREE = ("ber", "fra", "muc")
FAMILIES = {
    "split": (DialSpec("entry", DialKind.SPLIT, REF),),
    "switch": (DialSpec("dns", DialKind.SWITCH, REF),),
    "forward": (
        DialSpec("entry", DialKind.SPLIT, REF),
        DialSpec("edge", DialKind.FORWARD, REF),
    ),
}


def an_estate(family: str, regions: tuple[str, ...] = THREE) -> Estate:
    plain = estate(regions)
    service = replace(plain.services[0], dials=FAMILIES[family])
    return replace(plain, services=(service,))


def a_plan(the_estate: Estate, verb: Verb, region: str, *out: str) -> Plan:
    change = planner.simple_change(verb.value, (region,), "smoke")
    return planner.make(the_estate, change, verb, out=out)


def run(play: Play, verb: Verb, region: str) -> Play:
    """Another run in the same world."""
    out = tuple(name for name in play.state.left_drained if name != region)
    plan = a_plan(play.estate, verb, region, *out)
    assert review.faults(plan) == ()
    play.append(r.Planned(plan), r.RunOpened(plan.digest, "ada"))
    play.plan = plan
    return play.until_closed()


def fed(play: Play) -> dict[str, int]:
    place = play.sight().places
    return {one.region: one.meters[0].mrps for one in place}


def first_out(family: str, regions: tuple[str, ...] = THREE) -> Play:
    change = planner.simple_change("drain", ("fra",), "power test")
    play = Play(an_estate(family, regions), change, Verb.DRAIN).until_closed()
    assert play.state.left_drained == ("fra",)
    return play


@pytest.mark.parametrize("family", FAMILIES)
def test_evacuate_a_second_region_and_return_both(family: str) -> None:
    play = run(first_out(family), Verb.EVACUATE, "muc")
    assert play.run.result is RunResult.EVACUATED, play.run.why
    assert play.state.left_drained == ("fra", "muc")
    assert fed(play) == {"ber": 400_000, "fra": 0, "muc": 0}
    run(play, Verb.RETURN, "fra")
    assert play.run.result is RunResult.DONE
    assert play.state.left_drained == ("muc",)
    assert fed(play)["muc"] == 0
    assert fed(play)["fra"] >= 190_000
    run(play, Verb.RETURN, "muc")
    assert play.state.left_drained == ()
    assert (
        play.dials == planner.make(play.estate, play.plan.change, Verb.RETURN).baseline
    )
    assert not play.refused


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_region_is_never_evacuated(family: str) -> None:
    play = run(first_out(family), Verb.EVACUATE, "muc")
    with pytest.raises(Refused, match="LAST-SERVER"):
        a_plan(play.estate, Verb.EVACUATE, "ber", "fra", "muc")


def test_an_evacuation_is_written_without_a_way_back_by_itself() -> None:
    play = run(first_out("split"), Verb.EVACUATE, "muc")
    written = [a for a in play.actions if a.region == "muc"]
    assert written
    assert not any(one.lease_ms or one.revert_to for one in written)


@pytest.mark.parametrize("verb", [Verb.DRAIN, Verb.MAINTAIN])
def test_nothing_but_an_emergency_knows_a_second_region_out(verb: Verb) -> None:
    plan = a_plan(an_estate("split"), verb, "muc", "fra")
    assert "TWO-REGIONS" in [one.code for one in review.faults(plan)]


@pytest.mark.parametrize(
    ("verb", "out"),
    [(Verb.DRAIN, ()), (Verb.EVACUATE, ("ber",)), (Verb.EVACUATE, ("ber", "fra"))],
)
def test_the_interlock_asks_the_journal_who_is_out(
    verb: Verb, out: tuple[str, ...]
) -> None:
    """Whatever the plan believes, and whoever let it pass."""
    play = first_out("split", ("ber", "dus", "fra", "muc"))
    plan = a_plan(play.estate, verb, "muc", *out)
    play.append(r.Planned(plan), r.RunOpened(plan.digest, "ada"))
    setting = plan.pass_of("muc").drain[-1].moves[0].setting
    action = Action(ActionKind.SET_DIAL, "k", "entry", "muc", setting=setting)
    found = interlock.reason(play.state, play.sight(), action)
    assert found is not None and found.code == "OTHER-REGION-OUT"


def test_a_region_is_not_evacuated_into_dead_ones() -> None:
    """Capacity yields, the last server does not: with ber dead, muc must stay."""
    play = first_out("split")
    plan = a_plan(play.estate, Verb.EVACUATE, "muc", "fra")
    play.append(r.Planned(plan), r.RunOpened(plan.digest, "ada"))
    play.plan, before = plan, dict(play.dials)
    play.bend = lambda sight: replace(
        sight,
        places=tuple(
            replace(
                one,
                meters=tuple(replace(m, age_ms=60_000) for m in one.meters),
                probes=tuple(replace(p, streak=0, failures=9) for p in one.probes),
            )
            if one.region == "ber"
            else one
            for one in sight.places
        ),
    )
    for _ in range(400):
        play.step()
    assert play.dials == before
    assert play.run.result is RunResult.REFUSED
    assert "LAST-SERVER" in play.run.why
