"""Fence points: a new epoch stands at all of them before it writes; a dead region's are
not waited for, and nobody counts on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from dayshift.core import fences, interlock, proof
from dayshift.core.desk import Desk
from dayshift.core.fences import unfenced_reason
from dayshift.core.state import Status
from dayshift.model import records as r
from dayshift.model.dial import (
    Claim,
    DialKind,
    Fence,
    InstanceReading,
    holder_word,
    parse_claim,
    split,
)
from dayshift.model.estate import AgentSpec, ControllerSpec, DialSpec, Estate
from dayshift.model.plan import Verb
from dayshift.model.records import ActionKind, Phase, RunResult
from dayshift.model.sight import Sight, WorkStatus
from tests.kit.play import REF, Play, change, estate

DIALS = ("entry", "fra-edge", "ber-edge")


def with_edges(**policy: int) -> Estate:
    """The estate of the tests with a forward in each region, behind its agent."""
    base = estate(**policy)
    service = base.services[0]
    edges = tuple(
        DialSpec(f"{name}-edge", DialKind.FORWARD, REF, (f"a-{name}",))
        for name in ("fra", "ber")
    )
    return replace(
        base,
        services=(replace(service, dials=(*service.dials, *edges)),),
        agents=tuple(
            AgentSpec(f"a-{name}", name, f"https://{name}.example:1")
            for name in ("fra", "ber")
        ),
    )


def silenced(play: Play, dial: str, dead: str = "") -> Callable[[Sight], Sight]:
    """`dial` does not answer, nor do the probes and meters of region `dead`."""

    def bend(sight: Sight) -> Sight:
        reading = sight.dials[dial]
        gone = replace(
            reading, instances=(InstanceReading("a", None, None, "no answer"),)
        )
        seen = replace(sight, dials={**sight.dials, dial: gone})
        lost = fences.lost(play.estate, play.state, seen.dials)
        places = tuple(
            replace(
                one,
                meters=tuple(replace(m, age_ms=60_000) for m in one.meters),
                probes=tuple(replace(p, streak=0, failures=9) for p in one.probes),
            )
            if one.region == dead
            else one
            for one in seen.places
        )
        unfenced = tuple(sorted(set(lost.values())))
        return replace(seen, places=places, unfenced=unfenced)

    return bend


def fenced_first(play: Play) -> None:
    """Every dial carries the epoch's claim before the first write of that epoch."""
    claimed: dict[int, set[str]] = {}
    intents = {
        one.body.action.key: one.body.action
        for one in play.records
        if isinstance(one.body, r.Intent)
    }
    for one in play.records:
        if isinstance(one.body, r.Intent):
            action = one.body.action
            if action.kind is ActionKind.SET_DIAL:
                assert claimed.get(one.epoch, set()) >= set(DIALS), action
        if isinstance(one.body, r.Outcome) and one.body.claim is not None:
            target = intents[one.body.key].target
            claimed.setdefault(one.body.claim.epoch, set()).add(target)


@pytest.mark.parametrize("turns", range(0, 60, 3))
def test_a_new_epoch_is_everywhere_before_it_writes(turns: int) -> None:
    play = Play(with_edges())
    for _ in range(turns):
        play.step()
    play.crash()
    play.until_closed()
    assert play.run.result is RunResult.DONE
    fenced_first(play)


def test_the_first_claims_come_one_after_the_other() -> None:
    """So that of two journals that begin together one gets them all."""
    play = Play(with_edges())
    while len(play.actions) < 5:
        before = len(play.actions)
        play.step()
        new = [a for a in play.actions[before:] if a.kind is ActionKind.HOLD_DIAL]
        assert len(new) <= 1
    held = [a.target for a in play.actions if a.kind is ActionKind.HOLD_DIAL]
    assert held[:3] == sorted(DIALS)


def test_a_dead_region_is_evacuated_without_its_fence_point() -> None:
    play = Play(with_edges(), change("fra"), Verb.EVACUATE)
    play.bend = silenced(play, "fra-edge", dead="fra")
    play.until_closed()
    assert play.run.result is RunResult.EVACUATED
    assert play.dials["entry"] == split({"fra": 0, "ber": 10_000})
    assert "fra-edge" not in {one.target for one in play.actions}


def test_nobody_counts_on_a_region_whose_fence_point_is_lost() -> None:
    """ber answers probes and users, but not its fence point: it is no server."""
    play = Play(with_edges(), change("fra"), Verb.DRAIN)
    play.bend = silenced(play, "ber-edge")
    sight = play.sight()
    assert not proof.serving(sight, "shop", "ber", play.estate.policy)
    play.until_closed()
    assert play.run.result is RunResult.REFUSED
    assert "LAST-SERVER" in play.run.why
    assert play.dials["entry"] == play.plan.baseline["entry"]


def test_a_fence_point_that_answers_again_is_claimed_before_anything_else() -> None:
    play = Play(with_edges(), change("fra"), Verb.EVACUATE)
    play.bend = silenced(play, "fra-edge", dead="fra")
    play.until_phase(Phase.DRAINING)
    play.bend = lambda sight: sight
    before = len(play.actions)
    play.step()
    assert [one.target for one in play.actions[before:]] == ["fra-edge"]
    play.until_closed()
    assert play.run.result is RunResult.EVACUATED


def test_a_dial_of_no_region_is_required() -> None:
    play = Play(with_edges(), change("fra"), Verb.EVACUATE)
    play.bend = silenced(play, "entry")
    play.until(lambda one: one.run.status is not Status.RUNNING)
    assert play.actions == []
    assert "DIAL-UNREACHABLE" in play.run.why


def test_a_decision_that_forgets_the_fence_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Desk, "fence", lambda desk: True)
    play = Play(with_edges())
    play.until(lambda one: one.run.status is not Status.RUNNING)
    assert play.refused and play.refused[0].kind is ActionKind.SET_DIAL
    codes = [
        one.body.reason.code
        for one in play.records
        if isinstance(one.body, r.Outcome) and one.body.reason
    ]
    assert codes[0] == "NOT-FENCED-YET"
    assert play.dials["entry"] == play.plan.baseline["entry"]


def test_the_interlock_counts_on_no_region_without_a_fence() -> None:
    play = Play(with_edges(), change("fra"), Verb.DRAIN).until_phase(Phase.DRAINING)
    play.crash()
    sight = replace(silenced(play, "ber-edge")(play.sight()), unfenced=())
    to = r.Action(
        ActionKind.SET_DIAL, "k", "entry", "fra", split({"fra": 0, "ber": 10_000})
    )
    claims = {
        name: Claim("demo", "j", play.epoch, 1) for name in DIALS if name != "ber-edge"
    }
    state = replace(play.state, claims=claims)
    found = interlock.reason(state, sight, to)
    assert found is not None and found.code in ("LAST-SERVER", "NOT-FENCED-YET")


def several(*places: str, agents: tuple[str, ...] = ()) -> Estate:
    base = estate()
    service = base.services[0]
    dials = tuple(replace(one, agents=agents) for one in service.dials)
    return replace(
        base,
        services=(replace(service, dials=dials),),
        controllers=tuple(
            ControllerSpec(f"c{i}", place) for i, place in enumerate(places)
        ),
    )


@pytest.mark.parametrize(
    ("places", "fence", "agents", "good"),
    [
        (("fra",), Fence.NONE, (), True),
        (("fra", "ber", "oslo"), Fence.NONE, (), False),
        (("fra", "ber", "oslo"), Fence.MACHINE, (), False),
        (("oslo", "oslo"), Fence.MACHINE, (), True),
        (("oslo", "oslo"), Fence.NONE, (), False),
        (("fra", "ber", "oslo"), Fence.DEVICE, (), True),
        (("fra", "ber", "oslo"), Fence.NONE, ("a",), True),
        (("fra", "ber", "oslo"), None, (), False),
    ],
)
def test_dials_that_cannot_fence(
    places: tuple[str, ...], fence: Fence | None, agents: tuple[str, ...], good: bool
) -> None:
    the_estate = several(*places, agents=agents)
    known = {"entry": fence} if fence else {}
    found = unfenced_reason(the_estate, known)
    assert (found is None) is good
    play = Play(the_estate, change("fra"), Verb.DRAIN)
    play.bend = lambda sight: replace(sight, fences=known)
    play.state = replace(
        play.state, claims={"entry": Claim("demo", "j", play.epoch, 1)}
    )
    to = r.Action(
        ActionKind.SET_DIAL, "k", "entry", "fra", split({"fra": 2_500, "ber": 7_500})
    )
    refused = interlock._device_fence(play.state, play.sight(), to)
    assert (refused is None) is good
    if found is not None:
        assert found.code == "UNFENCED" and "agents" in found.next


def test_a_run_with_a_dial_that_cannot_fence_is_refused() -> None:
    play = Play(several("oslo", "oslo", "oslo"), change("fra"), Verb.EVACUATE)
    play.bend = lambda sight: replace(sight, fences={"entry": Fence.NONE})
    play.until_closed()
    assert play.run.result is RunResult.REFUSED and "UNFENCED" in play.run.why


def test_a_claim_says_who_wrote_it() -> None:
    who = holder_word("ada@bastion: pid 7, c-fra")
    claim = Claim("demo", "0123", 4, 17, who)
    assert parse_claim(str(claim)) == claim
    assert parse_claim("ds1:demo:0123:4:17") == Claim("demo", "0123", 4, 17)
    assert parse_claim("ds1:demo:0123:4:17:a:b") is None
    assert ":" not in who and " " not in who


def test_work_that_another_controller_began_is_not_begun_again() -> None:
    """Its supervisor lies on another machine: nobody here knows whether it runs."""
    play = Play()
    play.epoch += 1
    play.append(r.Lease(play.epoch, "one", "c-fra", "at fra"))
    play.until(lambda one: bool(one.here.started) and bool(one.started))
    key = play.started[0]
    play.works[key] = replace(play.works[key], status=WorkStatus.ABSENT)
    play.epoch += 1
    play.append(r.Lease(play.epoch, "two", "c-ber", "at ber"))
    play.until_held()
    assert play.run.hold is not None
    assert play.run.hold.reason.code == "WORK-ELSEWHERE"
    assert not play.ask("done-by-hand", step="upgrade").accepted
    assert play.ask("retry").accepted
    play.until_held()
    assert play.started == [key]
    play.epoch += 1
    play.append(r.Lease(play.epoch, "one", "c-fra", "at fra"))
    play.works[key] = replace(play.works[key], status=WorkStatus.DONE)
    assert play.ask("retry").accepted
    play.until_closed()
    assert play.started[0] == key and len(play.started) == 2
