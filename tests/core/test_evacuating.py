"""`evacuate` of the region in flight, at every phase of its run: out at once, held
there, left so; nothing that was begun is forgotten (DESIGN section 5, Overrides)."""

from __future__ import annotations

import pytest

from dayshift.core import interlock
from dayshift.core.state import Status
from dayshift.model.dial import ALL
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.records import Action, ActionKind, Phase, RunResult
from dayshift.model.sight import WorkSight, WorkStatus
from tests.kit.play import Play, change, estate, replace

WHERE = [one for one in Phase if one not in (Phase.DONE, Phase.DONE_PARTIAL)]
WHERE.remove(Phase.LEFT_DRAINED)
WAITS = Verdict(VerdictKind.HOLD, "not enough yet")


def at(phase: Phase, **policy: int) -> Play:
    given = {"drain_dwell_ms": 30_000, "lease_ms": 5_000, "soak_ms": 60_000, **policy}
    play = Play(estate(**given), change("fra"))
    play.leased = True
    if phase is Phase.WORKING:
        play.works["fra-upgrade-0"] = WorkSight("fra-upgrade-0", WorkStatus.RUNNING)
        return play.until(lambda one: bool(one.here.started))
    if phase is Phase.RETURNING:
        play.verdict = lambda region: WAITS
        return play.until(lambda one: one.here.phase is phase and share(one) > 0)
    return play.until_phase(phase)


def share(play: Play) -> int:
    return play.dials["entry"].rows[ALL]["fra"]


def evacuated(play: Play) -> None:
    if any(one.status is WorkStatus.RUNNING for one in play.works.values()):
        for _ in range(20):
            play.step()
        assert play.run.status is Status.RUNNING, "a step that runs is watched"
        play.works["fra-upgrade-0"] = WorkSight("fra-upgrade-0", WorkStatus.DONE)
    play.until_closed()
    assert play.run.result is RunResult.EVACUATED
    assert play.state.left_drained == ("fra",)
    assert share(play) == 0 and not play.armed and not play.open and not play.refused
    play.away(60_000)
    assert share(play) == 0


@pytest.mark.parametrize("before", ["running", "paused", "aborting"])
@pytest.mark.parametrize("phase", WHERE)
def test_out_at_once_from_every_phase(phase: Phase, before: str) -> None:
    play = at(phase)
    if before != "running":
        assert play.ask("pause" if before == "paused" else "abort").accepted
    if play.here.phase is Phase.SERVING and Phase.DRAINING in play.here.entered:
        return
    if play.run.status is Status.CLOSED:
        return
    begun = play.ms
    assert play.ask("evacuate", region="fra", reason="fire").accepted
    play.until(lambda one: share(one) == 0)
    assert play.ms - begun <= 5_000, "no dwell, no gate, no soak"
    evacuated(play)


def test_another_region_is_not_meant_and_a_reason_is_asked_for() -> None:
    play = at(Phase.DRAINING)
    assert not play.ask("evacuate", region="ber", reason="fire").accepted
    assert not play.ask("evacuate", region="fra").accepted
    assert play.run.evacuating is False


def test_a_retreat_towards_users_is_not_taken_any_further() -> None:
    play = at(Phase.EMPTYING)
    assert play.ask("abort").accepted
    play.until(lambda one: one.here.retreat is not None)
    assert play.ask("evacuate", region="fra", reason="fire").accepted
    evacuated(play)


def test_the_last_server_is_not_evacuated() -> None:
    play = at(Phase.DRAINING)
    play.until(lambda one: one.here.index == 0)
    before = share(play)

    def alone(sight):  # type: ignore[no-untyped-def]
        places = tuple(
            replace(
                one,
                meters=tuple(replace(m, mrps=0) for m in one.meters),
                probes=tuple(replace(p, streak=0, failures=9) for p in one.probes),
            )
            if one.region == "ber"
            else one
            for one in sight.places
        )
        return replace(sight, places=places)

    play.bend = alone
    assert play.ask("evacuate", region="fra", reason="fire").accepted
    for _ in range(100):
        play.step()
        assert share(play) >= before
    assert play.run.status is Status.HELD


def test_the_interlock_lets_no_evacuated_region_come_back_by_itself() -> None:
    play = at(Phase.DRAINING)
    play.until(lambda one: one.here.index == 0)
    assert play.ask("evacuate", region="fra", reason="fire").accepted
    zero = play.plan.pass_of("fra").drain[-1].moves[0].setting
    back = play.plan.baseline["entry"]
    write = Action(
        ActionKind.SET_DIAL,
        "k",
        "entry",
        region="fra",
        setting=zero,
        revert_to=back,
        lease_ms=5_000,
    )
    refused = interlock.reason(play.state, play.sight(), write)
    assert refused is not None and refused.code == "LEASE-MISPLACED"


def test_a_rung_that_is_evacuated_goes_to_zero() -> None:
    play = at(Phase.RETURNING)
    assert play.ask("evacuate", region="fra", reason="fire").accepted
    evacuated(play)
