"""Whole passes in the core: the good run, every exit, every crash."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dayshift.core.exits import exits
from dayshift.core.state import Status
from dayshift.model import records as r
from dayshift.model.dial import Claim
from dayshift.model.estate import Change
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.plan import Verb
from dayshift.model.records import Phase, RunResult
from dayshift.model.sight import DutySight, Sight, WorkSight, WorkStatus
from tests.kit.play import Play, change, estate

WAY = [
    "preflight",
    "draining",
    "handing-over",
    "emptying",
    "empty",
    "working",
    "catching-up",
    "warming",
    "validating",
    "returning",
    "soaking",
    "done",
]
FAILING = Verdict(VerdictKind.FAIL, "12 of 40 requests failed")


def test_both_regions_are_maintained_one_after_the_other() -> None:
    play = Play().until_closed()
    assert play.run.result is RunResult.DONE
    assert play.phases("fra") == play.phases("ber") == WAY
    assert play.versions == {"fra": "2", "ber": "2"}
    assert play.dials == play.plan.baseline
    assert not play.refused
    assert not play.open
    assert play.started == ["fra-upgrade-0", "ber-upgrade-0"]


def test_three_regions() -> None:
    regions = ("ber", "fra", "muc")
    play = Play(estate(regions), change(*regions)).until_closed()
    assert play.run.result is RunResult.DONE
    assert play.dials == play.plan.baseline


def test_a_failing_gate_empties_the_region_and_holds() -> None:
    play = Play()
    play.verdict = lambda region: FAILING
    play.until_held()
    assert play.run.hold is not None
    assert play.run.hold.reason.code == "GATE-FAILED"
    assert play.dials["entry"].rows["*"] == {"fra": 0, "ber": 10_000}
    assert play.phases("ber") == []


def test_after_a_failing_gate_abort_undoes_and_returns() -> None:
    play = Play()
    play.verdict = lambda region: FAILING
    play.until_held()
    play.verdict = lambda region: Verdict(VerdictKind.PASS, "fine")
    assert play.ask("abort").accepted
    play.until_closed()
    assert play.run.result is RunResult.ABORTED
    assert play.versions["fra"] == "1"
    assert play.dials == play.plan.baseline


@pytest.mark.parametrize("phase", [Phase(name) for name in WAY[:-1]])
def test_abort_converges_from_every_phase(phase: Phase) -> None:
    play = Play().until_phase(phase)
    assert play.ask("abort").accepted
    play.until_closed()
    assert play.run.result is RunResult.ABORTED
    assert play.dials == play.plan.baseline
    assert not play.open
    assert play.versions["fra"] == "1"


@pytest.mark.parametrize("phase", [Phase(name) for name in WAY[5:-1]])
def test_abort_without_undo_leaves_the_region_drained(phase: Phase) -> None:
    play = Play(estate(), change(undo=False)).until_phase(phase)
    play.until(lambda one: bool(one.here.started))
    assert play.ask("abort").accepted
    play.until_closed()
    assert play.run.result is RunResult.ABORTED
    assert play.dials["entry"].rows["*"] == {"fra": 0, "ber": 10_000}
    assert play.state.left_drained == ("fra",)


def test_a_crash_after_every_record_still_ends_well() -> None:
    length = Play().until_closed().seq
    for point in range(5, length, 3):
        play = Play().until(lambda one, at=point: one.seq >= at)
        play.crash()
        play.until_closed()
        assert play.run.result is RunResult.DONE
        assert play.started == ["fra-upgrade-0", "ber-upgrade-0"]
        assert play.dials == play.plan.baseline


class Dying(Play):
    """A controller that dies between one intent and its outcome."""

    def __init__(self, point: int, applied: bool) -> None:
        self.point, self.applied, self.died = point, applied, False
        super().__init__()

    def act(self, action: r.Action, sight: Sight) -> None:
        if self.died or self.seq < self.point:
            super().act(action, sight)
            return
        self.died = True
        intent = self.append(r.Intent(action))[0]
        if self.applied:
            self._apply(action, Claim("demo", "j", self.epoch, intent.seq))
        self.crash()


@pytest.mark.parametrize("applied", [True, False])
def test_an_intent_without_outcome_is_observed(applied: bool) -> None:
    length = Play().until_closed().seq
    for point in range(5, length):
        play = Dying(point, applied)
        play.until_closed()
        assert play.run.result is RunResult.DONE, point
        assert len(play.started) == 2
        assert play.holders["nightly"] in (("fra",), ("ber",))


def test_drift_holds_and_adopt_takes_it() -> None:
    play = Play().until_phase(Phase.SOAKING)
    play.dials["entry"] = play.plan.pass_of("fra").drain[0].moves[0].setting
    play.until_held()
    assert play.run.hold is not None
    assert play.run.hold.reason.code == "DRIFT"
    assert "25.00 %" in play.run.hold.reason.what
    assert play.ask("adopt").accepted
    assert play.run.status is Status.RUNNING


def test_a_run_that_adopted_less_still_ends_with_the_full_share() -> None:
    """It ended done, and left the region at whatever somebody else had set."""
    play = Play().until_phase(Phase.SOAKING)
    usual = play.dials["entry"]
    play.dials["entry"] = play.plan.pass_of("fra").drain[0].moves[0].setting
    play.until_held()
    assert play.ask("adopt").accepted
    play.until(lambda one: one.here.phase is Phase.DONE or one.here.region != "fra")
    assert play.state.confirmed["entry"] == play.dials["entry"] == usual
    put_back = max(
        one.at.mono_ms
        for one in play.records
        if isinstance(one.body, r.Outcome) and "/soak/" in one.body.key
    )
    assert play.ms - put_back >= play.estate.policy.soak_ms


@pytest.mark.parametrize("phase", [Phase.HANDING_OVER, Phase.EMPTYING, Phase.WORKING])
def test_what_feeds_a_drained_region_is_adopted_and_taken_back(phase: Phase) -> None:
    """A forward behind it kept the region empty: the work was to begin under a dial
    that feeds it, and the process stopped itself."""
    play = Play().until_phase(phase)
    play.dials["entry"] = play.plan.baseline["entry"]
    play.until_held()
    assert play.run.hold is not None and play.run.hold.reason.code == "DRIFT"
    assert play.ask("adopt").accepted
    for _ in range(400):
        if play.run.status is Status.CLOSED:
            break
        play.step()
    assert play.run.result is RunResult.DONE


def test_an_accepted_guard_stands_again_in_the_next_region() -> None:
    """What somebody accepted of one region they did not accept of the other."""
    play = Play().until_phase(Phase.DRAINING)
    args = {"code": "CAPACITY-EXCEEDED", "reason": "a quiet day", "second": "bob"}
    assert play.ask("accept", **args).accepted
    assert play.run.accepted == ("CAPACITY-EXCEEDED",)
    play.until_phase(Phase.SOAKING)
    assert play.run.accepted
    play.until_phase(Phase.PREFLIGHT, "ber")
    assert play.run.accepted == ()


def visitors(sight: Sight) -> Sight:
    places = tuple(
        replace(
            place,
            meters=tuple(replace(one, requests=3) for one in place.meters),
        )
        if place.region == "fra"
        else place
        for place in sight.places
    )
    return replace(sight, places=places)


def test_the_tripwire_holds_and_retry_proves_empty_again() -> None:
    play = Play().until_phase(Phase.WORKING)
    play.bend = visitors
    play.until_held()
    assert play.run.hold is not None
    assert play.run.hold.reason.code == "TRIPWIRE"
    assert play.ask("retry").accepted
    assert play.here.phase is Phase.EMPTYING
    play.until_closed()
    assert play.run.result is RunResult.DONE


def test_failed_work_holds_and_retry_runs_it_under_a_new_key() -> None:
    play = Play().until_phase(Phase.WORKING)
    key = "fra-upgrade-0"
    play.works[key] = WorkSight(key, WorkStatus.FAILED, 7)
    play.until_held()
    assert play.run.hold is not None
    assert play.run.hold.reason.code == "WORK-FAILED"
    assert play.ask("retry").accepted
    play.until_closed()
    assert play.run.result is RunResult.DONE
    assert play.started[:2] == ["fra-upgrade-0", "fra-upgrade-1"]


def test_done_by_hand_and_its_refusals() -> None:
    play = Play().until_phase(Phase.WORKING)
    assert not play.ask("done-by-hand", step="upgrade").accepted
    key = "fra-upgrade-0"
    play.works[key] = WorkSight(key, WorkStatus.FAILED, 7)
    play.until_held()
    assert not play.ask("done-by-hand", step="nonsense").accepted
    assert play.ask("done-by-hand", step="upgrade").accepted
    play.until_phase(Phase.CATCHING_UP)


def test_a_running_step_is_never_taken_as_done_by_hand() -> None:
    play = Play().until_phase(Phase.WORKING)
    key = "fra-upgrade-0"
    play.works[key] = WorkSight(key, WorkStatus.RUNNING)
    play.step()
    play.bend = visitors
    play.until_held()
    assert play.run.hold is not None
    assert play.run.hold.reason.code == "TRIPWIRE"
    ways = [one.command for one in exits(play.state, play.sight())]
    assert not [one for one in ways if "done-by-hand" in one], ways
    answer = play.ask("done-by-hand", step="upgrade")
    assert answer.reason is not None
    assert answer.reason.code == "STEP-RUNNING"
    assert play.here.phase is Phase.WORKING


def test_close_leaves_the_region_drained_and_return_brings_it_back() -> None:
    play = Play()
    play.verdict = lambda region: FAILING
    play.until_held()
    assert play.ask("close").accepted
    play.until_closed()
    assert play.run.result is RunResult.LEFT_DRAINED
    assert play.state.left_drained == ("fra",)
    assert not play.open


def test_a_survivor_too_small_refuses_and_nothing_moves() -> None:
    small = estate()
    service = replace(small.services[0], capacity_rps={"fra": 900, "ber": 300})
    play = Play(replace(small, services=(service,))).until_closed()
    assert play.run.result is RunResult.REFUSED
    assert "CAPACITY-EXCEEDED" in play.run.why
    assert "133.33 %" in play.run.why
    assert play.actions == []


def test_a_step_longer_than_the_absence_limit_refuses_before_anything() -> None:
    long = change(limit_ms=90_000_000)
    play = Play(estate(), long).until_closed()
    assert play.run.result is RunResult.REFUSED
    assert "ABSENCE-LIMIT" in play.run.why
    assert play.actions == []


def test_a_new_controller_is_as_patient_in_preflight_as_the_first() -> None:
    play = Play()
    play.bend = lambda sight: replace(sight, dials={})
    play.until(lambda one: one.here.phase is Phase.PREFLIGHT)
    play.ms += 60_000
    play.crash()
    for _ in range(10):
        play.step()
    assert play.run.status is Status.RUNNING
    play.bend = lambda sight: sight
    assert play.until_closed().run.result is RunResult.DONE


def test_approvals_are_bound_to_the_digest_and_not_the_author() -> None:
    play = Play(estate(approvals=1))
    assert play.ask("approve", person="ada", digest=play.plan.digest).accepted
    play.until_closed()
    assert play.run.result is RunResult.REFUSED
    play = Play(estate(approvals=1))
    assert play.ask("approve", person="bob", digest=play.plan.digest).accepted
    assert play.until_closed().run.result is RunResult.DONE


def test_two_holders_of_a_duty_refuse() -> None:
    play = Play()
    play.holders["nightly"] = ("fra", "ber")
    play.until_closed()
    assert play.run.result is RunResult.REFUSED
    assert "fra, ber" in play.run.why


def test_a_duty_is_never_taken_while_another_holds_it() -> None:
    play = Play()
    play.bend = lambda sight: (
        replace(sight, duties={"nightly": DutySight("nightly", ("fra",), at=sight.at)})
        if play.here.phase is Phase.HANDING_OVER
        else sight
    )
    play.until(lambda one: bool(one.refused) or one.ms > 1_060_000)
    taken = [a for a in play.actions if a.kind is r.ActionKind.TAKE_DUTY]
    assert not taken or taken[0] in play.refused


def test_pause_stops_and_resume_goes_on() -> None:
    play = Play().until_phase(Phase.RETURNING)
    assert play.ask("pause").accepted
    before = play.seq
    for _ in range(20):
        play.step()
    assert play.seq == before
    assert play.ask("resume").accepted
    assert play.until_closed().run.result is RunResult.DONE


def test_a_drain_ends_empty_and_a_return_brings_it_back() -> None:
    drain = planner_change("fra")
    play = Play(estate(), drain, Verb.DRAIN).until_closed()
    assert play.run.result is RunResult.LEFT_DRAINED
    assert play.state.left_drained == ("fra",)
    assert play.dials["entry"].rows["*"] == {"fra": 0, "ber": 10_000}
    from dayshift.core import planner

    back = planner.make(play.estate, planner_change("fra"), Verb.RETURN)
    play.plan = back
    play.append(r.Planned(back), r.RunOpened(back.digest, "ada"))
    play.until_closed()
    assert play.run.result is RunResult.DONE
    assert play.state.left_drained == ()
    assert play.dials == play.plan.baseline


def planner_change(*regions: str) -> Change:
    from dayshift.core import planner

    return planner.simple_change("everyday", regions, "a test")


def test_an_evacuation_goes_to_zero_in_one_step_though_the_survivor_is_small() -> None:
    small = estate()
    service = replace(small.services[0], capacity_rps={"fra": 900, "ber": 300})
    play = Play(
        replace(small, services=(service,)), planner_change("fra"), Verb.EVACUATE
    ).until_closed()
    assert play.run.result is RunResult.EVACUATED
    assert play.dials["entry"].rows["*"] == {"fra": 0, "ber": 10_000}
    sets = [a for a in play.actions if a.kind is r.ActionKind.SET_DIAL]
    assert len(sets) == 1


def test_an_evacuation_never_takes_the_last_server() -> None:
    play = Play(estate(), planner_change("fra"), Verb.EVACUATE)

    def dead(sight: Sight) -> Sight:
        places = tuple(
            replace(
                place,
                meters=tuple(replace(m, age_ms=60_000) for m in place.meters),
                probes=tuple(replace(p, streak=0, failures=9) for p in place.probes),
            )
            if place.region == "ber"
            else place
            for place in sight.places
        )
        return replace(sight, places=places)

    play.bend = dead
    for _ in range(200):
        if play.run.status is not Status.RUNNING:
            break
        play.step()
    assert play.dials == play.plan.baseline
