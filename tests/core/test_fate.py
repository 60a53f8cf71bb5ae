"""No shared fate: what the guard refuses, what the interlock refuses behind it, and
the way out of each."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dayshift.core import fate, guards, interlock
from dayshift.core.state import Status
from dayshift.model import records as r
from dayshift.model.dial import Fence, split
from dayshift.model.estate import ControllerSpec, Estate, StoreSpec, VotingSpec
from dayshift.model.plan import Verb
from dayshift.model.records import Action, ActionKind, Phase, RunResult
from dayshift.model.sight import Sight
from tests.kit.play import Play, change, estate

THREE = {"a": "fra", "b": "ber", "c": "oslo"}
TWO = {"a": "fra", "b": "ber"}


def placed(
    store: dict[str, str] | None = None,
    controllers: dict[str, str] | None = None,
    voting: dict[str, str] | None = None,
    driver: str = "etcd",
    **meter_places: str,
) -> Estate:
    """The estate of the tests with the places given."""
    base = estate()
    service = base.services[0]
    meters = tuple(
        replace(one, place=meter_places.get(one.name, one.place))
        for one in service.meters
    )
    return replace(
        base,
        services=(replace(service, meters=meters),),
        journal=StoreSpec(driver, members=store or {}),
        controllers=tuple(
            ControllerSpec(name, place) for name, place in (controllers or {}).items()
        ),
        voting=(VotingSpec("quorum-db", voting),) if voting else (),
    )


ONE = {"only": "fra"}
# estate, the controller that leads, and whether fra and ber may be drained.
TABLE: dict[str, tuple[dict[str, Any], str, bool, bool]] = {
    "nothing declared": ({"driver": "sqlite"}, "", True, True),
    "three of each": ({"store": THREE, "controllers": THREE}, "a", True, True),
    "a store of two": ({"store": TWO, "controllers": THREE}, "a", False, False),
    "controllers in two": ({"store": THREE, "controllers": TWO}, "a", False, False),
    "a store in fra": ({"store": {"one": "fra"}}, "", False, True),
    "a store outside": ({"store": {"one": "oslo"}}, "", True, True),
    "two of three in ber": (
        {"store": {"a": "fra", "b": "ber", "c": "ber"}},
        "",
        True,
        False,
    ),
    "one controller": ({"controllers": ONE, "driver": "sqlite"}, "", False, True),
    "one controller, shared": ({"controllers": ONE}, "", False, True),
    "two homes, led from fra": (
        {"controllers": TWO, "driver": "sqlite"},
        "a",
        False,
        True,
    ),
    "two homes, led from ber": (
        {"controllers": TWO, "driver": "sqlite"},
        "b",
        True,
        False,
    ),
    "two homes, nobody says which": (
        {"controllers": TWO, "driver": "sqlite"},
        "",
        False,
        False,
    ),
    "two voters": ({"voting": TWO}, "", False, False),
    "three voters": ({"voting": THREE}, "", True, True),
    "four voters, two in fra": (
        {"voting": {"a": "fra", "b": "fra", "c": "ber", "d": "oslo"}},
        "",
        False,
        True,
    ),
    "the entry's meter stands in fra": ({"entry": "fra"}, "", False, True),
    "ber is seen from fra": ({"edge": "fra"}, "", False, True),
    "meters stand outside": ({"entry": "oslo", "edge": "oslo"}, "", True, True),
}


def leading(the_estate: Estate, controller: str) -> Play:
    play = Play(the_estate)
    play.bend = lambda sight: replace(sight, fences={"entry": Fence.DEVICE})
    if controller:
        play.epoch += 1
        play.append(r.Lease(play.epoch, "test", controller))
    return play


@pytest.mark.parametrize("case", TABLE)
def test_the_table(case: str) -> None:
    how, controller, fra, ber = TABLE[case]
    the_estate = placed(**how)
    for region, free in (("fra", fra), ("ber", ber)):
        found = fate.reason(the_estate, region, controller)
        assert (found is None) is free, (region, found)
        if found is not None:
            assert found.code == "SHARED-FATE"
            assert region in found.what and found.next


@pytest.mark.parametrize("case", [one for one in TABLE if "meter" not in one])
def test_the_interlock_agrees_without_asking_the_guard(case: str) -> None:
    how, controller, fra, _ = TABLE[case]
    play = leading(placed(**how), controller)
    ways = {"entry": "oslo", "edge": "oslo"}
    if set(how) & set(ways):
        return
    play.state = replace(play.state, claims={"entry": claim_of(play)})
    to = Action(
        ActionKind.SET_DIAL, "k", "entry", "fra", split({"fra": 2_500, "ber": 7_500})
    )
    found = interlock.reason(play.state, play.sight(), to)
    unknown = case == "two homes, nobody says which"
    assert (found is None) is (fra or unknown), found
    assert found is None or found.code == "SHARED-FATE"


def claim_of(play: Play) -> Any:
    from dayshift.model.dial import Claim

    return Claim("demo", "j", play.epoch, 1)


def test_a_run_is_refused_before_anything_moves() -> None:
    play = leading(placed(store=TWO), "").until_closed()
    assert play.run.result is RunResult.REFUSED
    assert "SHARED-FATE" in play.run.why
    assert play.actions == []


def test_evacuate_overrides_it_with_one_person() -> None:
    the_estate = placed(store=TWO, controllers=TWO)
    play = Play(the_estate, change("fra"), Verb.EVACUATE)
    play.bend = lambda sight: replace(sight, fences={"entry": Fence.DEVICE})
    play.until_closed()
    assert play.run.result is RunResult.EVACUATED
    assert play.dials["entry"] == split({"fra": 0, "ber": 10_000})


def test_it_is_accepted_by_two_persons_only() -> None:
    """In the second region, where the run holds instead of ending."""
    the_estate = placed(store={"a": "fra", "b": "ber", "c": "ber"})
    play = leading(the_estate, "").until_held()
    assert play.run.hold is not None and play.here.region == "ber"
    assert play.run.hold.reason.code == "SHARED-FATE"
    args = {"code": "SHARED-FATE", "reason": "a spare stands by"}
    assert not play.ask("accept", **args).accepted
    assert play.ask("accept", second="grace", **args).accepted
    play.until_closed()
    assert play.run.result is RunResult.DONE


def test_a_controller_is_moved_between_two_regions() -> None:
    """The same plan goes on: held before the region in which the controller stands,
    and let through once one that stands elsewhere leads."""
    play = leading(placed(controllers=TWO, driver="sqlite"), "b").until_held()
    assert (play.here.region, play.here.phase) == ("ber", Phase.PREFLIGHT)
    assert play.run.hold is not None
    assert "move the controller out of ber" in play.run.hold.reason.next
    play.epoch += 1
    play.append(r.Lease(play.epoch, "test", "a"))
    assert play.ask("retry").accepted
    play.until_closed()
    assert play.run.result is RunResult.DONE


def test_the_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that forgets the places is stopped by the interlock."""
    monkeypatch.setattr(fate, "reason", lambda *args: None)
    play = leading(placed(store=TWO), "")
    play.until(lambda one: one.run.status is not Status.RUNNING)
    assert [one.kind for one in play.refused] == [ActionKind.SET_DIAL]
    assert play.dials["entry"] == play.plan.baseline["entry"]


def test_the_guard_is_asked_in_preflight() -> None:
    play = leading(placed(store=TWO), "")
    found = guards.preflight_reasons(play.state, play.plan, play.sight(), "fra")
    assert "SHARED-FATE" in [one.code for one in found]


def test_a_sight_without_places_says_nothing_of_fences() -> None:
    assert Sight(at=Play().now()).fences == {}
