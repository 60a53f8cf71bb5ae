"""The way back: catch up, warm, validate, ramp under the gate, soak."""

from __future__ import annotations

from collections.abc import Iterator

from dayshift.core import going_out, guards, layers, leases, proof
from dayshift.core.desk import Desk
from dayshift.core.exits import abort_consequence
from dayshift.core.transitions import GATED, OUT
from dayshift.errors import Reason
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.records import (
    Held,
    Judged,
    Phase,
    RunClosed,
    RunResult,
    Staged,
)
from dayshift.model.sight import PlaceSight

BLIND = going_out.BLIND


def catching_up(desk: Desk) -> None:
    """The region is as the survivors need it: dials still held, duties still single.

    One that was evacuated meanwhile stays out: `dayshift return` brings it back.
    """
    if desk.here.kept_out:
        desk.phase(Phase.LEFT_DRAINED, "evacuated with broken glass")
        return
    reason = guards.dials_reason(desk.state, desk.plan, desk.sight)
    reason = reason or guards.duties_reason(desk.plan, desk.sight)
    if reason and not desk.waived(reason.code):
        _wait_or_hold(desk, reason)
        return
    desk.phase(Phase.WARMING)


def warming(desk: Desk) -> None:
    """Our own marked probes warm the region before the first user."""
    missing = _probe_gap(desk, 1)
    if missing:
        _wait_or_hold(desk, missing)
        return
    desk.phase(Phase.VALIDATING)


def validating(desk: Desk) -> None:
    """Straight at the region: it answers, again and again, with the new version."""
    missing = _probe_gap(desk, 1 if desk.run.hurry else desk.policy.probe_streak)
    if missing:
        _wait_or_hold(desk, missing)
        return
    desk.phase(Phase.RETURNING)


def _wait_or_hold(desk: Desk, reason: Reason) -> None:
    waited = min(desk.since(desk.here.since), desk.since(desk.state.led))
    left = desk.policy.return_time_ms - waited
    if left <= 0:
        desk.hold(reason)
        return
    desk.wait(reason.code, reason.what, "it is proven")
    desk.wake_ms = min(desk.wake_ms, 200)


def _probe_gap(desk: Desk, streak: int) -> Reason | None:
    """What the probes of the region have not shown yet, or None."""
    wanted = _expected_version(desk)
    for service in desk.plan.estate.moving():
        if not service.shares[desk.region]:
            continue
        probes = desk.sight.place(service.name, desk.region).probes
        if not probes:
            if proof.serving(desk.sight, service.name, desk.region, desk.policy):
                continue
            return _invalid(desk, f"{service.name} has no probe for {desk.region}")
        for one in probes:
            fresh = one.age_ms is not None and one.age_ms <= desk.policy.fresh_ms
            if not fresh or one.streak < streak:
                have = f"{one.streak} of {streak} good answers in a row"
                said = f" ({one.detail})" if one.detail and not one.streak else ""
                return _invalid(desk, f"probe {one.probe} has {have}{said}")
            if wanted and one.version != wanted:
                return _invalid(
                    desk,
                    f"probe {one.probe} finds version {one.version or '?'}, "
                    f"expected {wanted}",
                )
    return None


def _expected_version(desk: Desk) -> str:
    if desk.here.undone or desk.run.aborting:
        return ""
    for work in desk.plan.change.regions:
        if work.region == desk.region:
            return work.expect_version
    return ""


def _invalid(desk: Desk, what: str) -> Reason:
    return Reason(
        "NOT-VALIDATED",
        what,
        because="validation by probes straight at the region",
        so=f"{desk.region} stays drained",
        next="mend it and `dayshift retry`, or `dayshift abort`",
    )


def returning(desk: Desk) -> None:
    """Rung after rung, each judged before the next; anything bad goes to zero."""
    here, rungs = desk.here, desk.route.ramp
    if here.index >= 0 and not _armed(desk, here.index):
        return
    if here.index >= 0 and _judge(desk, here.index):
        return
    if here.index == len(rungs) - 1:
        _note_pass(desk, here.index)
        desk.phase(Phase.SOAKING)
        return
    target = len(rungs) - 1 if desk.run.hurry else here.index + 1
    reason = guards.survivors_reason(desk.plan, desk.sight, desk.region)
    reason = reason or guards.capacity_reason(
        desk.plan, desk.sight, rungs[target], desk.standing
    )
    # In a hurry the others may be dead: this region is then the one that must serve.
    # That it does is the interlock's to prove.
    waived = desk.run.hurry or (reason is not None and desk.waived(reason.code))
    if reason and not waived and here.index < 0:
        _wait_or_hold(desk, reason)
        return
    if reason and reason.code == BLIND and not waived:
        going_out.wait_for_load(desk, reason)
        return
    if reason and reason.code == "CAPACITY-EXCEEDED" and not desk.waived(reason.code):
        desk.wait(reason.code, reason.what, "the next rung fits")
        return
    key = f"rung/{here.attempt}/{target}"
    if not desk.was_asked(key):
        if here.index >= 0:
            _note_pass(desk, here.index)
        elif not (desk.run.hurry or _entered(desk)):
            return
    if desk.take(rungs[target], key, leases.rung_revert(desk, target)):
        desk.records.append(Staged(desk.region, target, rungs[target].share_bp))


def _entered(desk: Desk) -> bool:
    """Users arrive at the region again, and none of them is served there yet."""
    return layers.entered(desk, f"enter/{desk.here.attempt}")


def _armed(desk: Desk, rung: int) -> bool:
    """A rung that is not proven goes back by itself, also after it was held for a new
    controller; True once it does."""
    revert = leases.rung_revert(desk, rung)
    proven = desk.was_asked(f"rung/{desk.here.attempt}/{rung + 1}")
    return not revert or proven or desk.rearm(desk.route.ramp[rung], revert)


def _judge(desk: Desk, rung: int) -> bool:
    """Ask the gate about the rung; True while the run must stay or leave.

    Why: the services of a region leave together, so the one that fails is heard before
    those that are blind, and those before the ones that still wait.
    """
    if desk.run.hurry:
        return _waits_for_looks(desk)
    if _leave_if_failed(desk, rung):
        return True
    for name, place in _judged(desk):
        if _blind_ms(desk, place) > desk.policy.blind_limit_ms:
            _go_blind(desk, name, rung)
            return True
    if _waits_for_looks(desk):
        return True
    for name, place in _judged(desk):
        verdict = place.verdict
        if verdict is not None and verdict.kind is not VerdictKind.PASS:
            desk.wait("GATE", f"{name}: {verdict.why}", "the gate passes")
            desk.wake_ms = min(desk.wake_ms, 200)
            return True
    return False


def _judged(desk: Desk) -> Iterator[tuple[str, PlaceSight]]:
    """Every service that returns with the region, as it is seen there."""
    for service in desk.plan.estate.moving():
        if service.shares[desk.region]:
            yield service.name, desk.sight.place(service.name, desk.region)


def _waits_for_looks(desk: Desk) -> bool:
    for name, place in _judged(desk):
        if place.verdict is None:
            desk.wait("GATE", f"the first look at {name}", "a meter counts")
            desk.wake_ms = min(desk.wake_ms, 200)
            return True
    return False


def _leave_if_failed(desk: Desk, rung: int) -> bool:
    for name, place in _judged(desk):
        if place.verdict is not None and place.verdict.kind is VerdictKind.FAIL:
            _leave(desk, name, rung, place.verdict)
            return True
    return False


def _blind_ms(desk: Desk, place: PlaceSight) -> int:
    """How long the gate has not seen the service; 0 where it passes.

    A gate that never gave a word, or one that has counted nothing since it began, is as
    blind as one that lost its sight, whatever it calls that.
    """
    if place.verdict is None:
        return min(desk.since(desk.here.index_since), desk.since(desk.state.led))
    return 0 if place.verdict.kind is VerdictKind.PASS else place.blind_ms


def _note_pass(desk: Desk, rung: int) -> None:
    """Write down, once, on which evidence the rung was passed."""
    for service in desk.plan.estate.moving():
        verdict = desk.sight.place(service.name, desk.region).verdict
        if verdict is not None and service.shares[desk.region]:
            desk.records.append(Judged(desk.region, service.name, rung, verdict))


def _leave(desk: Desk, service: str, rung: int, verdict: Verdict) -> None:
    """Users are hurt: away from the region at once, then a person decides."""
    desk.records.append(Judged(desk.region, service, rung, verdict))
    desk.retreat("zero", verdict.why)
    reason = Reason(
        "GATE-FAILED",
        f"{service} in {desk.region}: {verdict.why}",
        because=f"gate, rung {rung + 1} of {len(desk.route.ramp)} at "
        f"{desk.route.ramp[rung].share_bp / 100:.2f} %",
        so=f"all traffic left {desk.region}; it stays drained; no other region "
        "is touched",
        next=f"mend it and `dayshift retry`; or `dayshift abort`: "
        f"{abort_consequence(desk.run, desk.plan)}",
    )
    # Also where the run is held for something less: a person must learn of this.
    desk.records.append(Held(reason, desk.region))


def held(desk: Desk) -> None:
    """Held for blindness with users in the region: what is seen after all still counts.

    Why: nobody may be near, and the sight may come back with bad news.
    Holds: a held run moves traffic only away from the region, never towards it.
    """
    hold = desk.run.hold
    if hold is None or hold.reason.code != BLIND or desk.here.phase not in GATED:
        return
    if not desk.run.hurry:
        _leave_if_failed(desk, desk.here.index)


def _go_blind(desk: Desk, service: str, rung: int) -> None:
    """Too long without sight: back to the last rung that was proven, and stay there.

    A rung is proven once the gate let the region go beyond it in this return; it is not
    left for more blindness, however often a person retries.
    """
    if desk.was_asked(f"rung/{desk.here.attempt}/{rung + 1}"):
        desk.hold(_blind(desk, service, f"it stays at {_share(desk, rung)}, proven"))
    elif rung > 0:
        desk.retreat("rung", "blind for too long", rung - 1)
        back = f"back to {_share(desk, rung - 1)}, the last proven rung"
        desk.hold(_blind(desk, service, back))
    else:
        desk.retreat("zero", "blind for too long")
        desk.hold(_blind(desk, service, "back to zero: no rung was proven"))


def _share(desk: Desk, rung: int) -> str:
    return f"{desk.route.ramp[rung].share_bp / 100:.2f} %"


def _blind(desk: Desk, service: str, so: str) -> Reason:
    return Reason(
        BLIND,
        f"{service} in {desk.region} was not seen for longer than "
        f"{desk.policy.blind_limit_ms // 1000} s while returning",
        because="invariant: blind is not green",
        so=so,
        next="mend the meters, then `dayshift retry`",
    )


def soaking(desk: Desk) -> None:
    """At its full share, still watched by the gate, until the soak is over."""
    rung = len(desk.route.ramp) - 1
    desk.keep_armed()
    if _judge_soak(desk, rung) or desk.armed():
        return
    if not _full_share_stands(desk, rung):
        return
    # Nobody watched before this controller led: the soak begins again with it.
    since = (desk.here.since, desk.state.led)
    soaked = min(desk.since_asked("soak"), *map(desk.since, since))
    left = desk.policy.soak_ms - soaked
    if left > 0 and not desk.run.hurry:
        desk.wait("SOAK", f"{desk.region} at its full share", "the soak is over", left)
        desk.wake_ms = min(desk.wake_ms, 200)
        return
    if layers.restored(desk) and going_out.leave_brackets(desk):
        desk.phase(Phase.DONE)


def _full_share_stands(desk: Desk, rung: int) -> bool:
    """What somebody adopted meanwhile may have left the region with less than was
    proven: that is put back. A run that is done leaves nobody short."""
    stage, usual = desk.route.ramp[rung], desk.plan.baseline
    stands = all(
        desk.state.confirmed.get(one.dial, usual[one.dial]) == one.setting
        for one in stage.moves
    )
    return stands or desk.take(stage, "soak")


def _judge_soak(desk: Desk, rung: int) -> bool:
    """Leave, hold or wait; a verdict that only waits for evidence does not stop a soak.

    The full share was proven before the soak began: blindness keeps it.
    """
    if desk.run.hurry:
        return False
    if _leave_if_failed(desk, rung):
        return True
    for name, place in _judged(desk):
        blind_ms, verdict = _blind_ms(desk, place), place.verdict
        if blind_ms > desk.policy.blind_limit_ms:
            desk.hold(_blind(desk, name, "it keeps its full share"))
        is_blind = verdict is not None and verdict.kind is VerdictKind.BLIND
        if is_blind or blind_ms > desk.policy.fresh_ms:
            why = verdict.why if verdict else "no word of the gate yet"
            desk.wait("GATE", f"{name}: {why}", "it is seen again")
            desk.wake_ms = min(desk.wake_ms, 200)
            return True
    return _waits_for_looks(desk)


def retreating(desk: Desk) -> None:
    """Going back to safe shares, in whatever state the run is; then say where it is."""
    retreat = desk.here.retreat
    assert retreat is not None
    key = f"retreat/{retreat.number}"
    if retreat.to == "baseline":
        if desk.take(desk.route.ramp[-1], key) and going_out.duties_kept(desk):
            desk.phase(Phase.SERVING, "back at its usual share")
    elif retreat.to == "zero":
        if layers.left(desk, key):
            out = desk.here.phase in OUT
            desk.phase(Phase.EMPTYING if out else Phase.VALIDATING, "back to zero")
    else:
        stage = desk.route.ramp[retreat.rung]
        if desk.take(stage, key):
            if desk.here.phase is Phase.SOAKING:
                # From there it climbs under the gate again.
                desk.phase(Phase.RETURNING, "back on an earlier rung")
            desk.records.append(Staged(desk.region, retreat.rung, stage.share_bp))


def closed(desk: Desk) -> None:
    """Every pass has ended: so has the run."""
    if not going_out.may_close(desk):
        return
    if desk.here.phase is Phase.LEFT_DRAINED:
        desk.records.append(RunClosed(_drained_result(desk)))
    else:
        desk.records.append(RunClosed(RunResult.DONE))


def _drained_result(desk: Desk) -> RunResult:
    if desk.evacuating:
        return RunResult.EVACUATED
    return RunResult.ABORTED if desk.run.aborting else RunResult.LEFT_DRAINED
