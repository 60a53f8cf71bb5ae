"""The way out: preflight, drain, hand over duties, prove empty."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from dayshift.core import glass, guards, layers, leases, proof, working
from dayshift.core.desk import Desk
from dayshift.core.transitions import GATED
from dayshift.errors import Reason
from dayshift.model.plan import Verb
from dayshift.model.records import (
    Action,
    ActionKind,
    Certified,
    Phase,
    RunClosed,
    RunResult,
    Staged,
)

PATIENCE_MS = 15_000
"""How long preflight waits for meters that have only begun to count."""
BLIND = "BLIND"
MAY_COME = frozenset({BLIND, "LAST-SERVER", "DUTY-UNCLEAR", "DIAL-UNREACHABLE"})
"""Reasons that the first readings may lift."""


def serving(desk: Desk) -> None:
    """A new pass begins; a `return` run begins on the way back."""
    if desk.plan.verb is Verb.RETURN:
        reason = glass.parked_reason(desk.state, desk.region, returning=True)
        if reason is not None:
            desk.records.append(RunClosed(RunResult.REFUSED, str(reason)))
            return
        desk.phase(Phase.VALIDATING, "asked to return")
    else:
        desk.phase(Phase.PREFLIGHT)


def preflight(desk: Desk) -> None:
    """Every guard, before anything moves; then the brackets, then the fence."""
    found = guards.preflight_reasons(desk.state, desk.plan, desk.sight, desk.region)
    if found:
        # A new controller has seen nothing yet: its patience begins with its lead.
        waited = min(desk.since(desk.here.since), desk.since(desk.state.led))
        if found[0].code in MAY_COME and waited < PATIENCE_MS:
            left = PATIENCE_MS - waited
            desk.wait(found[0].code, found[0].what, "it can be proven", left)
            desk.wake_ms = min(desk.wake_ms, 200)
            return
        _refuse(desk, found[0])
        return
    brackets = desk.plan.verb is Verb.MAINTAIN and not desk.evacuating
    if brackets and not enter_brackets(desk):
        return
    if desk.fence():
        desk.phase(Phase.DRAINING)


def _refuse(desk: Desk, reason: Reason) -> None:
    """In the first region nothing has happened yet: the run ends refused. Later, the
    regions that are done stay done and a person decides about the rest."""
    untouched = desk.run.current == 0 and not desk.run.asked and not desk.run.round
    if untouched:
        desk.records.append(RunClosed(RunResult.REFUSED, str(reason)))
    else:
        desk.hold(reason)


def enter_brackets(desk: Desk) -> bool:
    done = True
    for bracket in desk.plan.estate.brackets:
        key = f"{desk.region}/enter/{bracket.name}/{desk.run.round}"
        action = Action(ActionKind.ENTER_BRACKET, key, bracket.name, region=desk.region)
        done = desk.want(action) and done
    return done


def leave_brackets(desk: Desk) -> bool:
    """Close what was opened; True once nothing is open any more."""
    done = True
    for name in desk.run.brackets:
        key = f"{desk.region}/leave/{name}/{desk.run.round}"
        action = Action(ActionKind.LEAVE_BRACKET, key, name, region=desk.region)
        done = desk.want(action) and done
    return done


def may_close(desk: Desk) -> bool:
    """True once nothing is under way, no step runs, and every bracket is closed."""
    return desk.settled() and not working.is_running(desk) and leave_brackets(desk)


def draining(desk: Desk) -> None:
    """Stage after stage down to zero, each read back, each behind its guards."""
    here, stages = desk.here, desk.route.drain
    if here.index == len(stages) - 1:
        desk.phase(Phase.HANDING_OVER)
        return
    if here.index < 0 and not (desk.emergency or layers.prepared(desk)):
        return
    revert = leases.drain_revert(desk)
    if _unarmed(desk) and revert and not desk.rearm(stages[here.index], revert):
        return
    if here.index >= 0 and not desk.emergency:
        left = desk.policy.drain_dwell_ms - desk.since(here.index_since)
        if left > 0:
            desk.wait("DWELL", "letting the stage settle", "the dwell is over", left)
            return
    target = here.index + 1 if not desk.emergency else len(stages) - 1
    stage = stages[target]
    reason = _stage_reason(desk, target)
    if reason and reason.code == BLIND:
        wait_for_load(desk, reason)
        return
    if reason and desk.evacuating:
        _wait_for_survivors(desk, reason)
        return
    if reason:
        desk.retreat("baseline", reason.what)
        desk.hold(reason)
        return
    last = target == len(stages) - 1
    take = partial(layers.left, desk) if last else partial(desk.take, stage)
    if take(f"drain/{target}", revert):
        desk.records.append(Staged(desk.region, target, stage.share_bp))


def _wait_for_survivors(desk: Desk, reason: Reason) -> None:
    """Nobody is proven to take the users of a region that must go out. It is not given
    any back for that; when nobody comes, a person is called."""
    left = PATIENCE_MS - desk.since(desk.here.since)
    if left <= 0:
        desk.hold(replace(reason, so=f"{desk.region} keeps the shares that it has"))
        return
    desk.wait(reason.code, reason.what, "it can be proven", left)
    desk.wake_ms = min(desk.wake_ms, 200)


def _unarmed(desk: Desk) -> bool:
    """A stage that was held in between, and that nothing speaks against, is to go back
    by itself again."""
    index = desk.here.index
    begun = index < 0 or desk.was_asked(f"drain/{index + 1}")
    return not begun and _stage_reason(desk, index) is None


def wait_for_load(desk: Desk, reason: Reason) -> None:
    """The load is not measured now: nothing moves, neither on nor back, and when it
    lasts a person is called (invariants 8 and 9)."""
    led_ms = desk.since(desk.state.led)
    unseen_ms = guards.load_unseen_ms(desk.plan, desk.sight)
    waited = led_ms if unseen_ms is None else min(unseen_ms, led_ms)
    left = desk.policy.blind_limit_ms - waited
    if left <= 0:
        so = f"{desk.region} keeps the shares that it has; nothing expires while held"
        mend = "mend the meters, then `dayshift retry`; `dayshift abort` goes back"
        desk.hold(replace(reason, so=so, next=mend))
        return
    desk.wait(reason.code, reason.what, "it is measured", left)
    desk.wake_ms = min(desk.wake_ms, 200)


def _stage_reason(desk: Desk, target: int) -> Reason | None:
    """Why the next stage must not be taken, the waived reasons left out."""
    stage = desk.route.drain[target]
    reason = guards.survivors_reason(desk.plan, desk.sight, desk.region)
    reason = reason or guards.capacity_reason(
        desk.plan, desk.sight, stage, desk.standing
    )
    if reason is None or desk.waived(reason.code):
        return None
    return reason


def handing_over(desk: Desk) -> None:
    """Duties leave the region: released and read back, then taken, then read back.

    Holds: no duty moves while a dial could still bring users back by itself.
    """
    if desk.evacuating:
        _evacuated(desk)
        return
    if not desk.hold_dials("hold"):
        return
    for duty in desk.plan.estate.duties:
        to = desk.route.duties_to.get(duty.name)
        gap = proof.duty_gap(desk.sight, duty.name, desk.policy)
        if to is None or gap:
            if to is not None and not desk.waived("DUTY-UNCLEAR"):
                desk.wait("DUTY", f"who holds {duty.name}: {gap}")
                return
            continue
        seen = desk.sight.duties[duty.name]
        if len(seen.holders) == 1 and desk.region not in seen.holders:
            # Another region has it, and only that one: nothing is handed over.
            continue
        if desk.region in seen.holders and not _duty(
            desk, ActionKind.RELEASE_DUTY, duty.name, desk.region
        ):
            return
        if to not in seen.holders and not _duty(
            desk, ActionKind.TAKE_DUTY, duty.name, to
        ):
            return
        if seen.holders != (to,):
            desk.wait("DUTY", f"{duty.name} to be held by {to} alone")
            return
    desk.phase(Phase.EMPTYING)


def _evacuated(desk: Desk) -> None:
    """Users come first: duties are moved where they answer, and nothing waits for one
    that does not."""
    for duty in desk.plan.estate.duties:
        to = desk.route.duties_to.get(duty.name)
        gap = proof.duty_gap(desk.sight, duty.name, desk.policy)
        seen = desk.sight.duties.get(duty.name)
        if to is None or (seen is not None and seen.fault):
            continue
        if gap or seen is None:
            # It is being asked: an answer comes, or a fault.
            desk.wait("DUTY", f"who holds {duty.name}: {gap}")
            return
        wanted = [(ActionKind.TAKE_DUTY, to)] if not seen.holders else []
        if desk.region in seen.holders:
            wanted = [(ActionKind.RELEASE_DUTY, desk.region)]
        for kind, region in wanted:
            key = f"{desk.region}/{kind.value}/{duty.name}/{region}/{desk.run.round}"
            if key not in desk.run.asked:
                desk.actions.append(Action(kind, key, duty.name, region=region))
                return
            if desk.run.asked[key].result is None:
                desk.wait("DUTY", f"{duty.name} to move to {to}")
                return
    if desk.hold_dials("hold"):
        desk.phase(Phase.LEFT_DRAINED, "evacuated")


def evacuating(desk: Desk) -> None:
    """The region in flight goes out at once, from wherever it stands, and stays out.

    Holds: it is at zero at every dial, and nothing of that expires, before it counts as
    evacuated; a step that runs there is watched to its end.
    """
    phase = desk.here.phase
    if phase is Phase.SERVING:
        desk.phase(Phase.PREFLIGHT, "evacuate")
    elif phase is Phase.PREFLIGHT:
        preflight(desk)
    elif phase in GATED:
        desk.retreat("zero", "evacuate")
    elif phase is Phase.DRAINING:
        draining(desk)
    elif not desk.take(desk.route.drain[-1], "evacuate"):
        return
    elif phase is Phase.HANDING_OVER:
        _evacuated(desk)
    elif desk.hold_dials("evacuate"):
        desk.phase(Phase.LEFT_DRAINED, "evacuated")


def duties_kept(desk: Desk) -> bool:
    """On the way back from a hand-over: True once every duty has a holder again.

    Why: a retreat between release and take would leave a duty with nobody.
    """
    if desk.here.phase is not Phase.HANDING_OVER:
        return True
    for duty in desk.plan.estate.duties:
        if duty.name not in desk.route.duties_to:
            continue
        gap = proof.duty_gap(desk.sight, duty.name, desk.policy)
        if gap:
            desk.wait("DUTY", f"who holds {duty.name} is not known: {gap}")
            waited = min(desk.since(desk.here.since), desk.since(desk.state.led))
            reason = guards.duties_reason(desk.plan, desk.sight)
            if reason and waited > desk.policy.return_time_ms:
                desk.hold(reason)
            return False
        if not desk.sight.duties[duty.name].holders:
            kind, again = ActionKind.TAKE_DUTY, desk.here.retreats
            key = f"{desk.region}/keep/{duty.name}/{again}/{desk.run.round}"
            desk.want(Action(kind, key, duty.name, region=desk.region))
            return False
    return desk.settled()


def _duty(desk: Desk, kind: ActionKind, duty: str, region: str) -> bool:
    """Ask for one half of a hand-over; its effect is seen in the next sight."""
    key = f"{desk.region}/{kind.value}/{duty}/{region}/{desk.run.round}"
    done = desk.want(Action(kind, key, duty, region=region))
    if done and kind is ActionKind.RELEASE_DUTY:
        desk.wait("DUTY", f"{duty} to be seen released by {region}")
        return False
    return done


def emptying(desk: Desk) -> None:
    """Wait until the region is proven empty; then hold the dials and certify."""
    estate = desk.plan.estate
    gaps = proof.empty_gaps(desk.sight, estate, desk.region)
    if "RESIDUE" in desk.run.accepted:
        gaps = tuple(gap for gap in gaps if not gap.startswith(proof.RESIDUE))
    if gaps:
        waited = desk.since(desk.here.since)
        for gap in gaps:
            desk.wait("EMPTYING", gap, "the region is proven empty")
        desk.wake_ms = min(desk.wake_ms, 200)
        if waited > desk.policy.empty_limit_ms:
            desk.hold(_residue(desk, gaps, waited))
        return
    if not desk.hold_dials("hold"):
        return
    desk.records.append(
        Certified(
            desk.region,
            desk.policy.quiet_ms,
            tuple(sorted(proof.meter_counts(desk.sight, estate, desk.region))),
            proof.residue_lines(desk.sight, estate, desk.region),
            proof.meter_counts(desk.sight, estate, desk.region),
        )
    )
    desk.phase(Phase.EMPTY)


def _residue(desk: Desk, gaps: tuple[str, ...], waited_ms: int) -> Reason:
    return Reason(
        "RESIDUE",
        f"{desk.region} is not proven empty after {waited_ms // 1000} s "
        f"(limit {desk.policy.empty_limit_ms // 1000} s): {gaps[0]}",
        because="invariant: no work without the proof of empty",
        so=f"{desk.region} stays drained; no work has begun",
        next="name its disposition under `residue`, or `dayshift retry`",
    )


def empty(desk: Desk) -> None:
    """Where a drain ends and maintenance begins."""
    if desk.plan.verb is Verb.MAINTAIN:
        desk.phase(Phase.WORKING)
    else:
        desk.phase(Phase.LEFT_DRAINED, "drained and proven empty")
