"""A region is left from the inside out and entered from the outside in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from msgspec.structs import replace

from dayshift.core import interlock, planner, review
from dayshift.core.state import Status
from dayshift.model import records as r
from dayshift.model.dial import Caching, DialKind
from dayshift.model.estate import DialSpec, Estate
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.plan import Verb
from dayshift.model.records import Action, ActionKind, Phase
from dayshift.model.sight import PlaceSight, Sight
from tests.kit.play import PASSING, REF, Play, change, estate

REGIONS = ("fra", "ber", "muc")
FAILING = Verdict(VerdictKind.FAIL, "errors")
LIMIT_MS = 60_000
Count = Callable[[Play], int | None]


def layered(**policy: object) -> Estate:
    """Names, then a route, then an edge that forwards; its meter counts connections."""
    usual = estate(REGIONS, connections_limit_ms=LIMIT_MS, **policy)
    dials = (
        DialSpec("dns", DialKind.SPLIT, REF),
        DialSpec("anycast", DialKind.SWITCH, REF),
        DialSpec("edge", DialKind.FORWARD, REF),
    )
    service = usual.services[0]
    entry, inside = service.meters
    meters = (entry, replace(inside, connections=True))
    return replace(usual, services=(replace(service, dials=dials, meters=meters),))


def play(verb: Verb = Verb.MAINTAIN, count: Count = lambda one: 0) -> Play:
    one = Play(layered(), change("fra"), verb)

    def bent(sight: Sight) -> Sight:
        return replace(
            sight,
            settles_ms={"dns": 5_000, "anycast": 700, "edge": 0},
            places=tuple(_counted(place, count(one)) for place in sight.places),
        )

    one.bend = bent
    return one


def _counted(place: PlaceSight, count: int | None) -> PlaceSight:
    meters = tuple(
        replace(
            meter,
            connections=count or 0,
            age_ms=meter.age_ms if count is not None else None,
            fault="" if count is not None else "it does not answer",
        )
        if meter.meter == "edge"
        else meter
        for meter in place.meters
    )
    return replace(place, meters=meters)


def writes(one: Play, phase: Phase) -> list[str]:
    """Dials that were set in a phase, in this order, each once."""
    found: list[str] = []
    now = Phase.SERVING
    for record in one.records:
        body = record.body
        if isinstance(body, r.Phased):
            now = body.new
        if not isinstance(body, r.Intent) or now is not phase:
            continue
        if body.action.kind is ActionKind.SET_DIAL:
            found += [n for n in (body.action.target,) if n not in found[-1:]]
    return found


def at_ms(one: Play, dial: str, key: str) -> int:
    """When a dial was asked for under a key that begins so."""
    return next(
        record.at.mono_ms
        for record in one.records
        if isinstance(record.body, r.Intent)
        and record.body.action.target == dial
        and record.body.action.key.startswith(key)
    )


def test_out_from_the_inside_and_back_from_the_outside() -> None:
    one = play().until_closed()
    assert writes(one, Phase.DRAINING) == ["edge", "dns", "anycast"]
    assert writes(one, Phase.RETURNING) == ["anycast", "dns", "edge"]
    assert not [a for a in one.actions if a.revert_to and a.target != "edge"][2:]
    assert not one.refused
    assert one.dials == one.plan.baseline


def test_each_layer_waits_for_those_who_still_go_the_old_way() -> None:
    one = play().until_closed()
    edge = at_ms(one, "edge", "fra/drain/1/layer/0")
    dns = at_ms(one, "dns", "fra/drain/1/layer/1")
    route = at_ms(one, "anycast", "fra/drain/1/anycast")
    assert dns - edge >= one.estate.policy.drain_dwell_ms
    assert route - dns >= 5_000
    back = at_ms(one, "anycast", "fra/enter/"), at_ms(one, "dns", "fra/enter/")
    assert back[1] - back[0] >= 700
    assert at_ms(one, "edge", "fra/rung/") - back[1] >= 5_000


def test_the_last_outer_dial_waits_for_connections_to_end() -> None:
    left_ms = [1 << 60]

    def count(one: Play) -> int:
        return 12 if one.ms < left_ms[0] else 0

    one = play(count=count)
    one.until(lambda one: "dns" in writes(one, Phase.DRAINING))
    left_ms[0] = one.ms + 30_000
    one.until_phase(Phase.HANDING_OVER)
    assert 30_000 <= one.ms - (left_ms[0] - 30_000) < LIMIT_MS


@pytest.mark.parametrize("count", [7, None], ids=["they stay", "nobody tells"])
def test_but_not_for_ever(count: int | None) -> None:
    def counts(one: Play) -> int | None:
        return count if "dns" in writes(one, Phase.DRAINING) else 7

    one = play(count=counts).until_phase(Phase.HANDING_OVER)
    dns = at_ms(one, "dns", "fra/drain/1/layer/1")
    route = at_ms(one, "anycast", "fra/drain/1/anycast")
    assert LIMIT_MS <= route - dns <= LIMIT_MS + 2_000


def test_what_it_waits_for_is_said() -> None:
    one = play(count=lambda one: 7)
    said: set[str] = set()
    while one.here.phase is not Phase.HANDING_OVER:
        said |= {f"{w.code} {w.what}" for w in one.step().waiting}
    assert "CONNECTED 7 connections in fra" in said
    assert "SETTLING users who still go the old way" in said


def test_before_the_first_outer_dial_nobody_waits_for_connections() -> None:
    """New ones come all the time, as long as names and routes lead there."""
    one = play(count=lambda one: 7)
    one.until(lambda one: "dns" in writes(one, Phase.DRAINING))
    edge = at_ms(one, "edge", "fra/drain/1/layer/0")
    assert at_ms(one, "dns", "fra/drain/1/layer/1") - edge < 5_000


def acted(times: int, one: Play) -> bool:
    return len(one.actions) >= times


@pytest.mark.parametrize("leased", [False, True], ids=["static", "leased"])
def test_a_crash_after_any_action_ends_alike(leased: bool) -> None:
    calm = play().until_closed()
    for number in range(1, len(calm.actions)):
        one = play()
        one.leased = leased
        one.until(partial(acted, number))
        one.crash()
        one.until_closed()
        first = list(dict.fromkeys(writes(one, Phase.DRAINING)))
        assert first == ["edge", "dns", "anycast"], number
        assert one.dials == one.plan.baseline and not one.refused, number


def test_a_drain_that_waits_goes_back_by_itself_and_a_new_controller_arms_it() -> None:
    one = play(count=lambda one: 7)
    one.leased = True
    one.until(lambda one: "dns" in writes(one, Phase.DRAINING)).step()
    assert {"dns", "edge"} <= set(one.armed)
    one.crash()
    one.until(lambda one: not one.armed).until(
        lambda one: {"dns", "edge"} <= set(one.armed)
    )
    assert one.dials["anycast"] == one.plan.baseline["anycast"]


def test_an_evacuation_waits_for_nobody() -> None:
    one = play(Verb.EVACUATE, count=lambda one: 7).until_closed()
    assert writes(one, Phase.DRAINING) == ["edge", "dns", "anycast"]
    edge = at_ms(one, "edge", "fra/drain/")
    assert at_ms(one, "anycast", "fra/drain/") - edge <= 600


def test_a_bad_release_serves_nobody_at_once_and_resets_nobody() -> None:
    one = play(count=lambda one: 7)
    one.until(lambda one: one.here.phase is Phase.RETURNING and one.here.index >= 0)
    one.verdict = lambda region: FAILING
    one.until(lambda one: one.run.status is Status.HELD)
    held_ms = one.ms
    one.until(lambda one: one.dials["edge"].rows["fra"]["fra"] == 0)
    assert one.ms - held_ms <= 600
    assert one.dials["anycast"] == one.plan.baseline["anycast"]
    one.until_held()
    zero = {m.dial: m.setting for m in one.plan.pass_of("fra").drain[-1].moves}
    assert one.dials == zero
    assert one.ms - held_ms >= LIMIT_MS
    one.verdict = lambda region: PASSING


def test_an_abort_half_way_leads_everybody_back() -> None:
    one = play(count=lambda one: 7)
    one.until(lambda one: "dns" in writes(one, Phase.DRAINING))
    assert one.ask("abort").accepted
    one.until_closed()
    assert one.dials == one.plan.baseline and not one.refused


def order(one: Play, dial: str, share_of: str) -> str:
    """What the interlock says to this dial as the drain's zero, or as usual, has it."""
    zero = {m.dial: m.setting for m in one.plan.pass_of("fra").drain[-1].moves}
    setting = zero[dial] if share_of == "zero" else one.plan.baseline[dial]
    action = Action(ActionKind.SET_DIAL, "k", dial, region="fra", setting=setting)
    reason = interlock.reason(one.state, one.sight(), action)
    return reason.code if reason else ""


def test_interlock_keeps_the_order() -> None:
    """OUT-OF-ORDER, asked apart from what decides."""
    one = play().until(lambda one: one.here.phase is Phase.DRAINING)
    assert order(one, "anycast", "zero") == "OUT-OF-ORDER"
    assert order(one, "dns", "zero") == "OUT-OF-ORDER"
    assert order(one, "edge", "zero") == ""
    one.until_phase(Phase.RETURNING)
    assert order(one, "edge", "usual") == "OUT-OF-ORDER"
    assert order(one, "anycast", "usual") == ""


def test_interlock_lets_an_evacuation_leave_a_dead_edge_behind() -> None:
    one = play(Verb.EVACUATE).until(lambda one: one.here.phase is Phase.DRAINING)
    assert order(one, "anycast", "zero") == ""


def test_plan_without_its_layers_has_a_fault() -> None:
    plan = planner.make(layered(), change("fra"), Verb.MAINTAIN)
    assert review.faults(plan) == ()
    route = plan.passes[0]
    for forwarded in ((), route.forwarded[::-1], route.forwarded[:1]):
        bent = replace(plan, passes=(replace(route, forwarded=forwarded),))
        bent = replace(bent, digest=planner.digest(bent))
        assert {one.code for one in review.faults(bent)} >= {"ORDER"}


def test_services_of_different_depth_end_together() -> None:
    one = layered()
    shop = one.services[0]
    mail = replace(shop, name="mail", dials=shop.dials[1:], meters=(), probes=())
    mail = replace(
        mail, dials=tuple(replace(d, name=f"mail-{d.name}") for d in mail.dials)
    )
    plan = planner.make(replace(one, services=(shop, mail)), change("fra"), Verb.DRAIN)
    assert review.faults(plan) == ()
    first, second = plan.passes[0].forwarded
    zero = {m.dial: m.setting for m in plan.passes[0].drain[-1].moves}
    gone = [
        {m.dial for m in stage.moves if m.setting == zero[m.dial]}
        for stage in (first, second)
    ]
    assert gone == [{"edge", "mail-edge"}, {"edge", "mail-edge", "dns"}]


USUAL_MS, LOW_MS = 300_000, 30_000


def cached(verb: Verb = Verb.MAINTAIN) -> Play:
    """Caches keep the answers of dns for five minutes."""
    one = Play(layered(), change("fra"), verb)
    one.caching = {"dns": Caching(USUAL_MS, LOW_MS)}
    one.lifetimes = {"dns": USUAL_MS}
    return one


def lowered(one: Play) -> bool:
    return one.lifetimes["dns"] == LOW_MS


def drain_begins(one: Play) -> bool:
    return any("/drain/" in action.key for action in one.actions)


def test_a_drain_waits_until_older_answers_are_dead() -> None:
    one = cached().until(lowered)
    lowered_ms = one.ms
    said = {w.code for w in one.step().waiting}
    one.until(drain_begins)
    waited_ms = one.ms - lowered_ms
    assert USUAL_MS - LOW_MS <= waited_ms <= USUAL_MS - LOW_MS + 1_000
    assert "CACHED" in said
    assert one.dials["dns"] == one.plan.baseline["dns"], "the edge goes first"


def test_answers_live_as_usual_once_the_region_is_done() -> None:
    one = cached().until_phase(Phase.SOAKING)
    assert lowered(one)
    one.until_closed()
    assert one.lifetimes["dns"] == USUAL_MS


def test_an_abort_restores_them_too() -> None:
    one = cached().until(lowered)
    one.ask("abort")
    one.until_closed()
    assert one.lifetimes["dns"] == USUAL_MS
    assert not drain_begins(one)


def test_a_region_left_drained_keeps_short_answers_for_its_way_back() -> None:
    one = cached(Verb.DRAIN).until_closed()
    assert lowered(one)


def test_an_evacuation_does_not_wait_for_caches() -> None:
    one = cached(Verb.EVACUATE).until_closed()
    assert one.lifetimes["dns"] == USUAL_MS
    assert one.ms < 1_000_000 + 60_000


def test_a_new_controller_does_not_wait_anew() -> None:
    one = cached().until(lowered)
    lowered_ms = one.ms
    one.until(lambda one: one.ms >= lowered_ms + 200_000)
    one.crash()
    one.until(drain_begins)
    assert one.ms - lowered_ms <= USUAL_MS - LOW_MS + 2_000
    asked = [action for action in one.actions if action.lifetime_ms]
    assert len(asked) == 1


def test_a_dial_that_refuses_to_restore_is_told_of() -> None:
    one = cached().until_phase(Phase.SOAKING)
    one.obey = lambda action: (
        r.OutcomeKind.FAILED if action.lifetime_ms == USUAL_MS else r.OutcomeKind.DONE
    )
    one.until_held()
    assert one.run.hold is not None and one.run.hold.reason.code == "ACTION-FAILED"
