"""Dead-man by phase: what goes back by itself when nobody is left, and what never."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from dayshift.core import interlock
from dayshift.core.decide import decide
from dayshift.core.guards import dials_reason
from dayshift.core.state import Status
from dayshift.model import records as r
from dayshift.model.dial import ALL, DialReading, split
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.plan import Verb
from dayshift.model.records import Action, ActionKind, Phase
from tests.kit.play import PASSING, Play, change, estate

LEASE_MS = 30_000
WAITS = Verdict(VerdictKind.HOLD, "more looks")


def play(verb: Verb = Verb.MAINTAIN, **policy: object) -> Play:
    one = Play(estate(drain_dwell_ms=60_000, **policy), change("fra"), verb)
    one.leased = True
    return one


def row(one: Play) -> dict[str, int]:
    return one.dials["entry"].rows[ALL]


def draining() -> Play:
    return play().until(lambda one: one.here.index == 0)


def held_in_draining() -> Play:
    one = draining()
    one.append(r.Held(r.Reason("TEST", "a test"), "fra"))
    return one.until(lambda one: not one.armed)


def paused_in_draining() -> Play:
    one = draining()
    one.ask("pause")
    return one.until(lambda one: not one.armed)


def at(phase: Phase) -> Play:
    one = Play(estate(), change("fra"))
    one.leased = True
    return one.until_phase(phase)


def on_rung(number: int) -> Callable[[], Play]:
    """On a rung that the gate has not passed yet."""

    def make() -> Play:
        one = Play(estate(), change("fra"))
        one.leased = True
        one.verdict = lambda region: (
            WAITS
            if one.here.phase is Phase.RETURNING and one.here.index >= number
            else PASSING
        )
        return one.until(
            lambda one: one.here.phase is Phase.RETURNING and one.here.index == number
        )

    return make


def evacuating() -> Play:
    one = play(Verb.EVACUATE)
    return one.until(lambda one: row(one)["fra"] == 0)


def handing_over() -> Play:
    one = at(Phase.HANDING_OVER)
    return one.until(lambda one: not one.armed)


def soaking() -> Play:
    one = at(Phase.SOAKING)
    return one.until(lambda one: not one.armed)


DIES = {
    "draining": (draining, 5_000),
    "held in draining": (held_in_draining, 2_500),
    "paused in draining": (paused_in_draining, 2_500),
    "handing over": (handing_over, 0),
    "emptying": (lambda: at(Phase.EMPTYING), 0),
    "empty": (lambda: at(Phase.EMPTY), 0),
    "working": (lambda: at(Phase.WORKING), 0),
    "catching up": (lambda: at(Phase.CATCHING_UP), 0),
    "warming": (lambda: at(Phase.WARMING), 0),
    "validating": (lambda: at(Phase.VALIDATING), 0),
    "on the first rung": (on_rung(0), 0),
    "on the third rung": (on_rung(2), 500),
    "soaking": (soaking, 5_000),
    "evacuated": (evacuating, 0),
}


@pytest.mark.parametrize("phase", DIES)
def test_what_users_get_when_the_controller_dies(phase: str) -> None:
    make, left_bp = DIES[phase]
    one = make()
    one.away(LEASE_MS + 1)
    assert row(one)["fra"] == left_bp


@pytest.mark.parametrize("phase", DIES)
def test_nothing_goes_back_while_a_controller_lives(phase: str) -> None:
    one = DIES[phase][0]()
    for _ in range(LEASE_MS // 200 * 3):
        if one.run.status is not Status.CLOSED:
            one.step()
    assert not [b for b in one.records if isinstance(b.body, r.Reverted)]
    assert not one.run.hold or one.run.hold.reason.code == "TEST"


@pytest.mark.parametrize("phase", DIES)
def test_a_new_controller_ends_the_run_whatever_happened(phase: str) -> None:
    """The reversion is known for what it is, never taken for a stranger's hand."""
    one = DIES[phase][0]()
    one.away(LEASE_MS + 1)
    one.verdict = lambda region: PASSING
    for _ in range(3_000):
        if one.run.status is Status.CLOSED:
            break
        if one.run.status is Status.HELD and one.here.retreat is None:
            assert one.run.hold
            assert one.run.hold.reason.code in ("LEASE-EXPIRED", "TEST")
            assert one.ask("retry").accepted
        if one.run.status is Status.PAUSED:
            assert one.ask("resume").accepted
        one.step()
    assert one.run.status is Status.CLOSED
    assert not one.armed


def test_a_drain_that_went_back_is_a_retreat_and_begins_anew() -> None:
    one = draining()
    one.away(LEASE_MS + 1)
    one.until_held()
    assert one.run.hold and one.run.hold.reason.code == "LEASE-EXPIRED"
    assert one.here.phase is Phase.SERVING
    assert row(one) == {"fra": 5_000, "ber": 5_000}
    assert one.ask("retry").accepted
    one.until(lambda one: one.here.index == 0 and one.here.phase is Phase.DRAINING)
    assert row(one)["fra"] == 2_500 and one.armed


def test_an_evacuation_goes_on_over_a_lease_that_ran_out() -> None:
    """Asked for while nobody renewed: the dial went back just before."""
    one = draining()
    one.away(LEASE_MS + 1)
    assert one.ask("evacuate", region="fra", reason="fire").accepted
    one.until_closed()
    assert not [b for b in one.records if isinstance(b.body, r.Held)]
    assert one.run.result is r.RunResult.EVACUATED and row(one)["fra"] == 0


def test_broken_glass_goes_on_over_a_lease_that_ends_during_its_fence() -> None:
    """The first thing that it asks of the dial is under way just then."""
    one = draining()
    bundle = one.state
    one.away(LEASE_MS + 1)
    reading = one.sight().dials["entry"]
    assert all(bundle.went_back("entry", each) for each in reading.instances)
    assert dials_reason(bundle, one.plan, one.sight()) is None
    strange = replace(one.sight(), dials={"entry": _unmarked(reading)})
    reason = dials_reason(bundle, one.plan, strange)
    assert reason is not None and reason.code == "DRIFT"


def _unmarked(reading: DialReading) -> DialReading:
    """The same shares, as if somebody's hand had put them there."""
    bare = tuple(replace(one, claim=None) for one in reading.instances)
    return replace(reading, instances=bare)


def test_a_return_that_went_back_goes_on_from_what_was_proven() -> None:
    one = on_rung(2)()
    one.away(LEASE_MS + 1)
    one.until_held()
    assert one.run.hold and one.run.hold.reason.code == "LEASE-EXPIRED"
    assert (one.here.phase, one.here.index) == (Phase.RETURNING, 1)
    one.verdict = lambda region: PASSING
    assert one.ask("retry").accepted
    one.until_closed()


def test_a_setting_without_the_mark_is_a_strangers() -> None:
    """Somebody put the usual shares back by hand: that is drift, not our lease."""
    one = draining()
    one.dials["entry"] = one.plan.baseline["entry"]
    one.until_held()
    assert one.run.hold and one.run.hold.reason.code == "DRIFT"


def test_a_new_controller_arms_again_what_it_fenced() -> None:
    one = draining()
    one.crash()
    one.step()
    one.until(lambda one: bool(one.armed))
    assert one.here.index == 0 and row(one)["fra"] == 2_500
    one.away(LEASE_MS + 1)
    assert row(one)["fra"] == 5_000


def test_resume_arms_again() -> None:
    one = paused_in_draining()
    assert one.ask("resume").accepted
    one.until(lambda one: bool(one.armed))
    assert one.here.index == 0


@pytest.mark.parametrize(("make", "to_bp"), [(draining, 5_000), (on_rung(2), 500)])
def test_a_lease_that_cannot_be_renewed_is_left_in_time(
    make: Callable[[], Play], to_bp: int
) -> None:
    one = make()
    one.renewing = lambda dial: False
    one.until_held()
    assert one.run.hold and one.run.hold.reason.code == "LEASE-NOT-RENEWED"
    assert row(one)["fra"] == to_bp
    assert not [b for b in one.records if isinstance(b.body, r.Reverted)]


def test_a_reversion_seen_late_moves_every_dial_and_only_once() -> None:
    one = draining()
    one.renewing = lambda dial: False
    one.armed["entry"] = (one.ms + 100, one.armed["entry"][1])
    one.until_held()
    found = [b.body for b in one.records if isinstance(b.body, r.Reverted)]
    assert len(found) == 1 and found[0].claim.reverted


REFUSED = {
    "expires while at work": (Phase.WORKING, {"fra": 5_000, "ber": 5_000}, LEASE_MS),
    "expires to nothing": (Phase.DRAINING, None, LEASE_MS),
    "expires never": (Phase.DRAINING, {"fra": 5_000, "ber": 5_000}, 0),
    "more users": (Phase.RETURNING, {"fra": 5_000, "ber": 5_000}, LEASE_MS),
    "not planned": (Phase.DRAINING, {"fra": 1_234, "ber": 8_766}, LEASE_MS),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_interlock_refuses_a_wrong_lease(case: str) -> None:
    phase, back, lease_ms = REFUSED[case]
    one = at(phase)
    zero = split({"fra": 0, "ber": 10_000})
    action = Action(
        ActionKind.SET_DIAL,
        "key",
        "entry",
        "fra",
        zero,
        split(back) if back else None,
        lease_ms,
    )
    found = interlock.reason(one.state, one.sight(), action)
    expected = "NOT-APPROVED-SETTING" if case == "not planned" else "LEASE-MISPLACED"
    assert found and found.code == expected


def test_no_work_while_the_device_says_that_something_expires() -> None:
    one = at(Phase.WORKING)
    start = Action(ActionKind.START_WORK, "k", "upgrade", "fra", text="fra-upgrade-0")
    assert interlock.reason(one.state, one.sight(), start) is None
    sight = one.sight()
    reading = sight.dials["entry"]
    armed = replace(reading.instances[0], expires_ms=900)
    shown = replace(sight, dials={"entry": replace(reading, instances=(armed,))})
    found = interlock.reason(one.state, shown, start)
    assert found and found.code == "NOT-EMPTY" and "900 ms" in found.what


def test_a_new_controller_renews_nothing_before_its_claim_stands() -> None:
    """Not even while it answers what was asked of the one before (found by a
    rehearsal: several 2, people-ask-twice)."""
    one = draining()
    one.crash()
    one.append(r.Requested("retry", "eve", {}, "t"))
    decision = decide(one.state, one.sight())
    assert any(isinstance(body, r.Answered) for body in decision.records)
    assert decision.renewals == ()


def test_a_lease_that_ends_while_soaking_leads_back_under_the_gate() -> None:
    """Nobody gets the full share again without a rung that was judged (found by a
    rehearsal: several 117)."""
    one = Play(estate(), change("fra"))
    one.leased = True
    one.until_phase(Phase.RETURNING)
    last = len(one.plan.pass_of("fra").ramp) - 1
    one.until(lambda one: one.here.index == last)
    one.renewing = lambda dial: False
    keep = "/keep/"
    one.obey = lambda action: (
        r.OutcomeKind.RETRY if keep in action.key else r.OutcomeKind.DONE
    )
    one.until_held().until(lambda one: not one.armed)
    one.obey = lambda action: r.OutcomeKind.DONE
    one.ask("retry")
    one.until_closed()
    phases = one.phases("fra")
    after = phases[phases.index("soaking") :]
    assert after == ["soaking", "returning", "soaking", "done"]
    assert not [a for a in one.actions if "/soak/" in a.key]
