"""The tables of the core, row by row: overrides, transitions, requests and exits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dayshift.core import overrides, planner, review, transitions
from dayshift.core.exits import abort_consequence, exits
from dayshift.core.state import Status
from dayshift.errors import Bug
from dayshift.model import records as r
from dayshift.model.estate import NotifySpec, Policy
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.plan import Verb
from dayshift.model.records import Phase, RunResult
from dayshift.model.sight import Sight, WorkSight, WorkStatus
from tests.kit.play import REF, Play, change, estate, replace

VERBS = ("evacuate", "return --now", "abort", "accept")
NEVER = (
    "LAST-SERVER",
    "EXPLICIT-TARGET",
    "FENCED-OFF",
    "JOURNAL-BEHIND",
    "NOT-APPROVED-SETTING",
    "NOT-EMPTY",
    "TWO-HOLDERS",
    "DRIFT",
    "REGION-AT-WORK",
    "A-GUARD-OF-TOMORROW",
)
BY_ONE_IN_AN_EMERGENCY = (
    "CAPACITY-EXCEEDED",
    "BLIND",
    "GATE-FAILED",
    "OTHER-REGION-OUT",
    "NOT-APPROVED",
)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("code", NEVER)
def test_nobody_overrides(code: str, verb: str) -> None:
    for second in (True, False):
        policy = Policy(override_second_person=second)
        assert overrides.persons_needed(code, verb, policy) == 0
    assert not overrides.waived(code, verb, (code,))
    assert not overrides.waived(code, verb, ())


@pytest.mark.parametrize("verb", VERBS[:3])
@pytest.mark.parametrize("code", BY_ONE_IN_AN_EMERGENCY)
def test_one_person_overrides_in_an_emergency(code: str, verb: str) -> None:
    assert overrides.persons_needed(code, verb, Policy()) == 1
    assert overrides.waived(code, verb, ())
    assert not overrides.waived(code, "", ())


@pytest.mark.parametrize("code", sorted(overrides.TABLE))
def test_every_guard_has_a_word_for_every_verb(code: str) -> None:
    assert set(overrides.TABLE[code]) == set(VERBS)
    lenient = Policy(override_second_person=False)
    assert overrides.persons_needed(code, "accept", Policy()) in (0, 2)
    assert overrides.persons_needed(code, "accept", lenient) in (0, 1)
    named = overrides.TABLE[code]["accept"] > 0
    assert overrides.waived(code, "", (code,)) is named


def test_the_transitions_are_complete() -> None:
    assert set(transitions.NEXT) == set(Phase)
    reached = {new for old in Phase for new in transitions.NEXT[old]}
    assert reached | {Phase.SERVING} == set(Phase)
    for old in Phase:
        for new in Phase:
            if new in transitions.NEXT[old]:
                transitions.check(old, new)
            else:
                with pytest.raises(Bug):
                    transitions.check(old, new)
    assert all(not transitions.NEXT[one] for one in transitions.ENDED)


def test_every_phase_can_end() -> None:
    """From everywhere there is a way to an end."""
    ends = set(transitions.ENDED) | {Phase.SERVING}
    while True:
        more = {p for p in Phase if transitions.NEXT[p] & ends} | ends
        if more == ends:
            break
        ends = more
    assert ends == set(Phase)


def test_users_come_back_only_by_the_gate_or_before_work() -> None:
    """Nothing leads from an opened region to users but `returning`."""
    for old in (Phase.WORKING, Phase.CATCHING_UP, Phase.WARMING, Phase.VALIDATING):
        assert Phase.SERVING not in transitions.NEXT[old]
        assert Phase.SOAKING not in transitions.NEXT[old]
    before = [old for old in Phase if Phase.RETURNING in transitions.NEXT[old]]
    assert before == [Phase.VALIDATING, Phase.SOAKING]


def test_the_diagram_in_the_docs_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "phases.md"
    drawn = page.read_text("utf-8").split("```mermaid\n")[1].split("```")[0]
    assert drawn == transitions.diagram()


# Requests: every verb in every state.

FAILING = Verdict(VerdictKind.FAIL, "12 of 40 requests failed")


def running() -> Play:
    return Play().until_phase(Phase.EMPTYING)


def returning() -> Play:
    return Play().until_phase(Phase.RETURNING)


def paused() -> Play:
    play = Play().until_phase(Phase.EMPTYING)
    assert play.ask("pause").accepted
    return play


def held_at_the_gate() -> Play:
    play = Play()
    play.verdict = lambda region: FAILING
    return play.until_held()


def held_at_work() -> Play:
    play = Play().until_phase(Phase.WORKING)
    key = "fra-upgrade-0"
    play.works[key] = WorkSight(key, WorkStatus.FAILED, 7)
    return play.until_held()


def held_by_drift() -> Play:
    play = Play().until_phase(Phase.SOAKING)
    play.dials["entry"] = play.plan.pass_of("fra").drain[0].moves[0].setting
    return play.until_held()


def held_by_drift_at_work() -> Play:
    play = Play(the_change=change("fra")).until(lambda one: bool(one.here.started))
    play.works["fra-upgrade-0"] = WorkSight("fra-upgrade-0", WorkStatus.RUNNING)
    play.dials["entry"] = play.plan.pass_of("fra").drain[0].moves[0].setting
    return play.until_held()


def held_before_it_began() -> Play:
    play = Play().until(lambda one: one.here.region == "ber")
    play.holders["nightly"] = ()
    return play.until_held()


def visitors(play: Play, count: int) -> None:
    """So many users were counted in fra since it was proven empty."""

    def seen(sight: Sight) -> Sight:
        places = tuple(
            replace(p, meters=tuple(replace(m, requests=count) for m in p.meters))
            if p.region == "fra"
            else p
            for p in sight.places
        )
        return replace(sight, places=places)

    play.bend = seen


STATES: dict[str, Callable[[], Play]] = {
    "running": running,
    "returning": returning,
    "paused": paused,
    "held at the gate": held_at_the_gate,
    "held at work": held_at_work,
    "held by drift": held_by_drift,
    "held by drift at work": held_by_drift_at_work,
    "held before it began": held_before_it_began,
}
HELD = {name for name in STATES if name.startswith("held")}
GRANTED: dict[str, set[str]] = {
    "pause": {"running", "returning", "paused"},
    "resume": {"paused"},
    "abort": set(STATES),
    "retry": HELD,
    "adopt": {"held by drift", "held by drift at work"},
    "done-by-hand": {"held at work"},
    "close": {"held at the gate", "held at work"},
    "return": {"returning", "held at the gate", "held by drift"},
    "take": set(STATES),
    "hand-over": set(STATES),
    "approve": set(STATES),
    "accept": set(STATES),
    "nonsense": set(),
}
ARGS = {
    "done-by-hand": {"step": "upgrade"},
    "return": {"region": "fra"},
    "hand-over": {"to": "bob"},
    "approve": {"digest": "d"},
    "accept": {"code": "CAPACITY-EXCEEDED", "reason": "known", "second": "bob"},
}


@pytest.mark.parametrize("verb", GRANTED)
@pytest.mark.parametrize("state", STATES)
def test_a_request_is_granted_where_it_makes_sense(state: str, verb: str) -> None:
    play = STATES[state]()
    answered = play.ask(verb, **ARGS.get(verb, {}))
    assert answered.accepted is (state in GRANTED[verb]), answered.reason
    if not answered.accepted:
        assert answered.reason is not None and answered.reason.what


@pytest.mark.parametrize("verb", GRANTED)
@pytest.mark.parametrize("state", STATES)
def test_a_request_without_its_arguments_breaks_nothing(state: str, verb: str) -> None:
    play = STATES[state]()
    play.ask(verb)
    play.step()


@pytest.mark.parametrize("state", sorted({*HELD, "paused"}))
def test_every_exit_that_is_shown_is_accepted(state: str) -> None:
    asked = STATES[state]()
    shown = exits(asked.state, asked.sight())
    assert shown
    for one in shown:
        play = STATES[state]()
        words = one.command.removeprefix("dayshift ").split()
        args = {"step": words[1]} if words[0] == "done-by-hand" else {}
        assert play.ask(words[0], **args).accepted, one
        assert one.consequence


@pytest.mark.parametrize("state", ["running", "returning"])
def test_no_exit_is_shown_while_it_goes_on_by_itself(state: str) -> None:
    play = STATES[state]()
    assert exits(play.state, play.sight()) == ()


@pytest.mark.parametrize("phase", [one for one in Phase if one in transitions.NEXT])
@pytest.mark.parametrize("undo", [True, False])
def test_abort_does_what_its_consequence_says(phase: Phase, undo: bool) -> None:
    if phase in transitions.ENDED:
        return
    play = Play(estate(), change(undo=undo)).until_phase(phase)
    said = abort_consequence(play.run, play.plan)
    assert play.ask("abort").accepted
    play.until_closed()
    row = play.dials["entry"].rows["*"]
    if "stays drained" in said:
        assert row["fra"] == 0
        assert play.state.left_drained == ("fra",)
    else:
        assert row == {"fra": 5_000, "ber": 5_000}
    assert play.run.result is RunResult.ABORTED
    assert not play.open


def test_a_return_that_did_not_begin_leaves_its_region_out() -> None:
    play = Play(verb=Verb.RETURN)
    assert play.ask("pause").accepted
    assert play.here.phase is Phase.SERVING
    said = {one.command: one.consequence for one in exits(play.state, play.sight())}
    assert said["dayshift abort"] == "nothing moves; fra stays drained"


# Regressions: each was a mistake once.


OUT_NOW = (
    Phase.EMPTY,
    Phase.WORKING,
    Phase.CATCHING_UP,
    Phase.WARMING,
    Phase.VALIDATING,
)


@pytest.mark.parametrize("ask", ["adopt", "abort"])
@pytest.mark.parametrize("undo", [True, False])
@pytest.mark.parametrize("phase", OUT_NOW)
def test_drift_that_feeds_a_drained_region_has_a_way_out(
    phase: Phase, undo: bool, ask: str
) -> None:
    play = Play(estate(), change("fra", undo=undo)).until_phase(phase)
    play.dials["entry"] = play.plan.pass_of("fra").drain[0].moves[0].setting
    play.until_held()
    assert play.run.hold is not None and play.run.hold.reason.code == "DRIFT"
    assert not play.ask("close").accepted, "there are users in it"
    if ask == "abort":
        assert play.ask("abort").accepted
        play.until_held()
    started = list(play.started)
    assert play.ask("adopt").accepted
    play.until(lambda one: one.dials["entry"].rows["*"]["fra"] == 0)
    play.until(lambda one: one.here.certified)
    assert play.started == started, "nothing began before it was proven empty again"
    play.until_closed()
    done = RunResult.DONE if ask == "adopt" else RunResult.ABORTED
    assert play.run.result is done and not play.refused
    assert len(play.started) <= 1


def test_hurry_is_for_one_region() -> None:
    """`return --now` of fra must not make the drain of ber an emergency."""
    play = Play().until_phase(Phase.RETURNING)
    assert play.ask("return", region="fra").accepted
    play.until(lambda one: one.here.region == "ber")
    assert not play.run.hurry
    play.until_closed()
    drained = [a for a in play.actions if a.region == "ber" and "drain" in a.key]
    assert all(not one.override for one in drained)


def test_two_requests_at_once_are_answered_one_after_the_other() -> None:
    play = held_at_the_gate()
    play.append(
        r.Requested("close", "eve", {}, "a"), r.Requested("abort", "bob", {}, "b")
    )
    play.until_closed()
    assert play.run.status is Status.CLOSED


def test_a_region_half_worked_on_is_not_given_back_by_abort() -> None:
    """After a tripwire it is proven empty again; an abort there undoes first."""
    play = Play().until(lambda one: bool(one.here.started))
    play.works["fra-upgrade-0"] = WorkSight("fra-upgrade-0", WorkStatus.RUNNING)
    visitors(play, 5)
    play.until_held()
    assert play.ask("retry").accepted
    assert play.here.phase is Phase.EMPTYING
    play.works["fra-upgrade-0"] = WorkSight("fra-upgrade-0", WorkStatus.FAILED, 1)
    assert "undoes" in abort_consequence(play.run, play.plan)
    assert play.ask("abort").accepted
    play.until_closed()
    assert play.versions["fra"] == "1"
    kinds = [one.kind.value for one in play.actions]
    assert "undo-work" in kinds
    undone = kinds.index("undo-work")
    assert not any(
        one.kind.value == "set-dial"
        and one.setting is not None
        and one.setting.rows["*"]["fra"]
        for one in play.actions[kinds.index("start-work") : undone]
    )


def test_a_run_is_not_closed_while_a_step_still_runs() -> None:
    play = Play(estate(), change(undo=False)).until(lambda one: bool(one.here.started))
    play.works["fra-upgrade-0"] = WorkSight("fra-upgrade-0", WorkStatus.RUNNING)
    assert play.ask("abort").accepted
    for _ in range(50):
        play.step()
    assert play.run.status is Status.RUNNING
    assert play.open
    play.works["fra-upgrade-0"] = WorkSight("fra-upgrade-0", WorkStatus.DONE)
    play.until_closed()
    assert play.state.left_drained == ("fra",)


def test_a_tripwire_is_not_stepped_over_by_adopt_or_accept() -> None:
    play = Play().until_phase(Phase.VALIDATING)
    visitors(play, 5)
    play.until_held()
    assert not play.ask("adopt").accepted
    play.ask("accept", code="CAPACITY-EXCEEDED", reason="r", second="bob")
    assert play.run.status is Status.HELD


def test_the_soak_begins_again_with_a_new_controller() -> None:
    play = Play(estate(soak_ms=20_000)).until_phase(Phase.SOAKING)
    play.ms += 30_000
    play.crash()
    begun = play.ms
    play.until(lambda one: one.here.region == "ber")
    assert play.ms - begun >= 20_000


def test_a_hold_pages_even_when_a_dial_is_away_after_a_crash() -> None:
    called = replace(estate(), notify=(NotifySpec("duty", REF),))
    play = Play(called)
    play.verdict = lambda region: FAILING
    play.until_held()
    play.crash()
    play.obey = lambda action: (
        r.OutcomeKind.DONE if action.kind.value == "notify" else r.OutcomeKind.RETRY
    )
    before = [a for a in play.actions if a.kind.value == "notify"]
    for _ in range(2_000):
        play.step()
    after = [a for a in play.actions if a.kind.value == "notify"]
    assert len(after) > len(before)


def test_an_everyday_verb_is_for_one_region() -> None:
    works = planner.simple_change("out", ("fra", "ber"), "a test")
    plan = planner.make(estate(("ber", "fra", "muc")), works, Verb.DRAIN)
    assert "TWO-REGIONS" in [one.code for one in review.faults(plan)]
