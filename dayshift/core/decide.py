"""What to do now: `decide(state, sight) -> Decision`. Level-triggered, without memory.

The next action follows from the journal's state and the present sight alone, so that
recovery, rehearsal, `explain` and the audit all run this very function.
"""

from __future__ import annotations

from collections.abc import Callable

from dayshift.core import (
    alarms,
    coming_back,
    fences,
    glass,
    going_out,
    guards,
    layers,
    leases,
    proof,
    recovery,
    requests,
    working,
)
from dayshift.core.decision import Decision, Waiting
from dayshift.core.desk import BACKOFF_MS, Desk
from dayshift.core.exits import abort_consequence, exits, outstanding, undoable
from dayshift.core.state import Asked, JournalState, Status
from dayshift.core.times import times
from dayshift.core.transitions import BEFORE_WORK, ENDED, GATED, TRIPWIRE_ARMED
from dayshift.errors import Reason
from dayshift.limits import CLOCK_JUMP_MS, PAGE_REPEAT_MS
from dayshift.model.plan import Verb
from dayshift.model.records import (
    Action,
    ActionKind,
    ClockJumped,
    Held,
    Outcome,
    OutcomeKind,
    Phase,
    RunClosed,
    RunResult,
    Tripped,
)
from dayshift.model.sight import Sight
from dayshift.model.units import Instant

RECOVER_MS = 30_000
"""How long a new controller waits for what it must see before it calls a person."""
SILENT_MS = 5_000
"""How long it waits for a dial that stands in a region, which may be dead."""
PAGE_RETRY_MS_MAX = 30_000
"""A channel that fails is tried again after a pause, no longer than this."""
HANDLERS: dict[Phase, Callable[[Desk], None]] = {
    Phase.SERVING: going_out.serving,
    Phase.PREFLIGHT: going_out.preflight,
    Phase.DRAINING: going_out.draining,
    Phase.HANDING_OVER: going_out.handing_over,
    Phase.EMPTYING: going_out.emptying,
    Phase.EMPTY: going_out.empty,
    Phase.WORKING: working.working,
    Phase.CATCHING_UP: coming_back.catching_up,
    Phase.WARMING: coming_back.warming,
    Phase.VALIDATING: coming_back.validating,
    Phase.RETURNING: coming_back.returning,
    Phase.SOAKING: coming_back.soaking,
    Phase.DONE: coming_back.closed,
    Phase.DONE_PARTIAL: coming_back.closed,
    Phase.LEFT_DRAINED: coming_back.closed,
}


def decide(state: JournalState, sight: Sight) -> Decision:
    """The records to append, the actions to take, and what is waited for.

    Why: everything that moves traffic passes through here, so it can be read, replayed
    and rehearsed.
    Holds: an action is asked for once and observed after a crash, never repeated
    blindly (invariant 13); abort converges from every phase (invariant 15).
    """
    run = state.open_run
    if run is None:
        return Decision(waiting=(Waiting("IDLE", "no run is open"),))
    desk = Desk(state, run, sight)
    looks = (
        _recover,
        requests.answer,
        _clock,
        _outranked,
        leases.look,
        _drift,
        _fence,
    )
    for look in looks:
        look(desk)
        if desk.moved:
            return _decision(desk)
    if not desk.waiting:
        _go_on(desk)
    if run.status is Status.HELD and run.hold:
        _page(desk)
        desk.wait("HELD", run.hold.reason.what, "a person chooses an exit")
    return _decision(desk)


def _decision(desk: Desk) -> Decision:
    return Decision(
        records=tuple(desk.records),
        actions=tuple(desk.actions),
        wake_ms=1 if desk.records else desk.wake_ms,
        waiting=tuple(desk.waiting),
        exits=exits(desk.state, desk.sight),
        times=times(desk.here, desk.plan, desk.now),
        renewals=leases.renewals(desk),
    )


def _go_on(desk: Desk) -> None:
    if not desk.run.evacuating:
        _tripwire(desk)
    if desk.moved:
        return
    alarms.sound(desk)
    if leases.stands(desk.run):
        desk.keep_armed()
    if desk.here.retreat is not None:
        coming_back.retreating(desk)
    elif desk.run.status is Status.HELD:
        coming_back.held(desk)
    elif desk.run.status is Status.PAUSED:
        desk.wait("PAUSED", f"paused by {desk.run.paused_by}", "`dayshift resume`")
    elif desk.run.evacuating and desk.here.phase not in ENDED:
        going_out.evacuating(desk)
    elif desk.run.aborting:
        _abort(desk)
    else:
        _survivors(desk)
        if not desk.records:
            HANDLERS[desk.here.phase](desk)


def _recover(desk: Desk) -> None:
    """Intents of an earlier epoch have no outcome: look, then write one."""
    for key, asked in sorted(desk.under_way.items()):
        if asked.epoch < desk.state.epoch:
            outcome = _observed(desk, key, asked)
            if outcome is not None:
                desk.records.append(outcome)
                continue
            desk.wait("RECOVERING", f"what became of {key}", "it is observed")
            if desk.since(desk.state.led) > RECOVER_MS:
                desk.hold(_unobserved(key))


def _observed(desk: Desk, key: str, asked: Asked) -> Outcome | None:
    """What became of an intent, as far as it can be seen from here.

    What another controller started on its own machine is not seen at all; what was
    asked of a dead region's dial is not waited for.
    """
    action = asked.action
    if action.kind is ActionKind.START_WORK and working.elsewhere(desk, action.text):
        return None
    gone = action.target in fences.silent(desk.plan.estate, desk.sight.dials)
    if gone and desk.since(desk.state.led) > SILENT_MS:
        return Outcome(key, OutcomeKind.RETRY, "its fence point does not answer")
    return recovery.observed(asked, desk.sight)


def _unobserved(key: str) -> Reason:
    return Reason(
        "UNOBSERVED",
        f"what became of {key} was not seen for {RECOVER_MS // 1000} s",
        because="an intent without outcome is observed, never repeated blindly",
        so="nothing moved since this controller began",
        next="let what it acts on answer again; then `dayshift retry`",
    )


def _clock(desk: Desk) -> None:
    jump = desk.sight.clock_jump_ms
    if abs(jump) < CLOCK_JUMP_MS:
        return
    desk.records.append(ClockJumped(jump))
    desk.hold(
        Reason(
            "CLOCK-JUMPED",
            f"the wall clock jumped by {jump / 1000:.1f} s (limit 1.0 s)",
            because="times of approvals and evidence rest on it",
            so="nothing moved; the run holds",
            next="see to the time source, then `dayshift retry`",
        )
    )


def _outranked(desk: Desk) -> None:
    """With broken glass: what our own controllers wrote since the bundle stands. Where
    somebody else broke it, that is what a held run is held for."""
    desk.records.extend(glass.taken_over(desk.state, desk.sight))
    reason, hold = glass.unmerged(desk.state, desk.sight), desk.run.hold
    if reason is not None and hold is not None and hold.reason.code != reason.code:
        desk.records.append(Held(reason, desk.region))


def _drift(desk: Desk) -> None:
    """A dial shows what nobody here asked for: hold, and show both."""
    if desk.run.status is Status.HELD or desk.here.phase in (
        Phase.SERVING,
        Phase.PREFLIGHT,
    ):
        return
    claimed = guards.claims_reason(desk.state, desk.sight)
    if claimed:
        desk.hold(claimed)
        return
    for dial in sorted(desk.plan.baseline):
        reading = desk.sight.dials.get(dial)
        confirmed_at = desk.state.confirmed_at.get(dial)
        if reading is None or dial in desk.busy:
            continue
        if confirmed_at and not _newer(reading.at, confirmed_at):
            continue
        for one in reading.instances:
            if one.setting is not None and not desk.state.allows(dial, one):
                expected = desk.state.expected(dial)[0]
                desk.hold(guards.drift(dial, expected, one.setting))
                return


def _newer(reading: Instant, confirmed: Instant) -> bool:
    """A reading from before the last confirmation says nothing about it."""
    if reading.boot_id != confirmed.boot_id:
        return True
    return reading.mono_ms > confirmed.mono_ms


def _fence(desk: Desk) -> None:
    """A new epoch installs its claim at every dial before its first write."""
    begun = desk.here.phase not in (Phase.SERVING, Phase.PREFLIGHT)
    if begun or desk.here.retreat is not None:
        desk.fence()


def _tripwire(desk: Desk) -> None:
    """Users in a region proven empty: assert the dials again, start nothing, page."""
    here = desk.here
    if here.phase not in TRIPWIRE_ARMED or not here.certified:
        return
    found = proof.tripped(desk.sight, desk.plan.estate, here.region, here.trip_base)
    if found is None:
        return
    meter, count = found
    desk.records.append(Tripped(here.region, count, meter))
    desk.hold(
        Reason(
            "TRIPWIRE",
            f"{count} user requests reached {here.region}, seen by {meter}",
            because="invariant: the tripwire stays armed through the work",
            so="no further step starts; what may be stopped is stopped",
            next="find who still goes there; `dayshift retry` proves it empty again",
        )
    )
    working.stop_running(desk)
    key = f"trip/{here.tripped + 1}"
    for move in desk.route.drain[-1].moves:
        action = Action(
            ActionKind.HOLD_DIAL,
            f"{here.region}/{key}/{move.dial}",
            move.dial,
            region=here.region,
            setting=move.setting,
        )
        desk.want(action)


def _survivors(desk: Desk) -> None:
    """A survivor is in trouble while this region is out: give it back if it can."""
    here = desk.here
    out = here.phase not in ENDED and here.phase not in (
        Phase.SERVING,
        Phase.PREFLIGHT,
        Phase.DRAINING,
        Phase.RETURNING,
        Phase.SOAKING,
    )
    if not out or desk.waived("SURVIVOR-TROUBLE"):
        return
    reason = guards.survivors_reason(desk.plan, desk.sight, here.region)
    if reason is None or reason.code != "SURVIVOR-TROUBLE":
        return
    if here.phase in BEFORE_WORK and not here.started:
        desk.retreat("baseline", reason.what)
    desk.hold(reason)


def _abort(desk: Desk) -> None:
    """Converge to verified shares from every phase, or say what could not be done."""
    here = desk.here
    if here.phase in (Phase.SERVING, Phase.PREFLIGHT, *ENDED):
        out = here.phase is Phase.LEFT_DRAINED
        if (out or layers.restored(desk)) and going_out.may_close(desk):
            desk.records.append(RunClosed(RunResult.ABORTED, _as_it_stands(desk)))
    elif here.phase in BEFORE_WORK and not here.started:
        desk.retreat("baseline", "abort")
    elif desk.plan.verb is Verb.RETURN:
        if here.phase in GATED:
            desk.retreat("zero", "abort")
        else:
            desk.phase(Phase.LEFT_DRAINED, abort_consequence(desk.run, desk.plan))
    elif not outstanding(here):
        _return_undone(desk)
    elif not undoable(here, desk.plan) and here.phase not in GATED:
        desk.phase(Phase.LEFT_DRAINED, abort_consequence(desk.run, desk.plan))
    elif here.phase in GATED:
        desk.retreat("zero", "abort")
    elif here.phase in BEFORE_WORK:
        HANDLERS[here.phase](desk)
    elif not here.certified:
        desk.phase(Phase.EMPTYING, "abort: empty again before the work is undone")
    elif here.phase is not Phase.WORKING:
        desk.phase(Phase.WORKING, "abort: the work is undone")
    else:
        working.undoing(desk)


def _as_it_stands(desk: Desk) -> str:
    """How an abort ends that has nothing of its own to take back, and every dial that
    is not as it should be: what somebody else moved is not ours to move."""
    wrong = guards.out_of_place(desk.state, desk.plan, desk.sight)
    left = f"; not touched: {'; '.join(wrong)}" if wrong else ""
    return f"aborted on request{left}"


def _return_undone(desk: Desk) -> None:
    """The region is as it was: catch up, validate, ramp and soak as always."""
    if desk.here.phase is Phase.WORKING:
        desk.phase(Phase.CATCHING_UP, "abort: as it was before")
    else:
        HANDLERS[desk.here.phase](desk)


def _page(desk: Desk) -> None:
    """Call people about the hold: the first at once, the next when nobody answers."""
    hold = desk.run.hold
    assert hold is not None
    waited = desk.since(hold.at)
    for number, channel in enumerate(desk.plan.estate.notify):
        base = f"page/{hold.at.wall_ms}/{channel.name}"
        if base in desk.sight.acks:
            return
        key = f"{base}/{waited // PAGE_REPEAT_MS}"
        asked = desk.run.asked.get(key)
        text = f"{hold.reason.what}"
        action = Action(
            ActionKind.NOTIFY, key, channel.name, region=hold.region, text=text
        )
        if asked is None:
            desk.actions.append(action)
        elif asked.result is OutcomeKind.RETRY:
            pause = min(BACKOFF_MS * asked.attempts, PAGE_RETRY_MS_MAX)
            if desk.since(asked.ended) >= pause:
                desk.actions.append(action)
        if number + 1 < len(desk.plan.estate.notify):
            left = channel.escalate_ms - waited
            if left > 0:
                desk.wake_ms = min(desk.wake_ms, left)
                return
