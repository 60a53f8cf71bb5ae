"""state + record → state. The only way in which state changes.

Why: a restart, the audit and a rehearsal all refold the same records and must arrive at
the same state, so nothing may be remembered outside this function.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch
from typing import TypeVar

from msgspec.structs import replace

from dayshift.core import glass, transitions
from dayshift.core.grant import granted, pass_of, put
from dayshift.core.state import (
    Asked,
    Hold,
    JournalState,
    Leased,
    PassState,
    Retreat,
    RunState,
    Standby,
    Status,
)
from dayshift.errors import Bug
from dayshift.model import records as r
from dayshift.model.dial import Claim, Setting
from dayshift.model.records import ActionKind, OutcomeKind, Phase, Record

T = TypeVar("T")


def fold(state: JournalState, record: Record) -> JournalState:
    """Return the state after `record`.

    Raises:
        Bug: a record that the present state does not allow (the journal is ours; such a
            record was never written by this code).
    """
    after = _apply(record.body, state, record)
    return replace(after, seq=record.seq)


def fold_all(state: JournalState, records: Iterable[Record]) -> JournalState:
    for record in records:
        state = fold(state, record)
    return state


@singledispatch
def _apply(body: r.Body, state: JournalState, record: Record) -> JournalState:
    """Records that inform a reader but change nothing."""
    return state


@_apply.register
def _(body: r.Genesis, state: JournalState, record: Record) -> JournalState:
    return replace(state, journal=body.journal, estate=body.estate)


@_apply.register
def _(body: r.Lease, state: JournalState, record: Record) -> JournalState:
    if body.epoch <= state.epoch:
        raise Bug(f"epoch went from {state.epoch} to {body.epoch}")
    # Nobody heard of the last leader since it led: it must show itself first.
    others = {**state.standby, state.controller: Standby(False, record.at)}
    others = {n: one for n, one in others.items() if n not in ("", body.controller)}
    led = replace(
        state,
        epoch=body.epoch,
        holder=body.holder,
        controller=body.controller,
        jobs=body.jobs,
        led=record.at,
        standby=others,
        glass=None,
    )
    return glass.unparked(led)


_apply.register(r.GlassBroken, glass.broken)
_apply.register(r.GlassAdopted, glass.adopted)


@_apply.register
def _(body: r.StoodBy, state: JournalState, record: Record) -> JournalState:
    others = {**state.standby, body.controller: Standby(body.alive, record.at)}
    return replace(state, standby=others)


@_apply.register
def _(body: r.Planned, state: JournalState, record: Record) -> JournalState:
    waiting = [*state.parked, *([state.open_run] if state.open_run else [])]
    kept = {one.digest: state.plans[one.digest] for one in waiting}
    return replace(state, plans={**kept, body.plan.digest: body.plan})


@_apply.register
def _(body: r.Approved, state: JournalState, record: Record) -> JournalState:
    given = (*state.approvals.get(body.digest, ()), body)
    return replace(state, approvals={**state.approvals, body.digest: given})


@_apply.register
def _(body: r.RunOpened, state: JournalState, record: Record) -> JournalState:
    if state.open_run:
        raise Bug(f"run {record.run} opened while {state.open_run.run} is open")
    plan = state.plans[body.digest]
    passes = tuple(
        PassState(
            region=one.region,
            since=record.at,
            share_bp=None,
            phase=Phase.SERVING,
        )
        for one in plan.passes
    )
    confirmed = {**plan.baseline, **state.confirmed} if state.confirmed else {}
    run = RunState(
        run=record.run,
        digest=body.digest,
        person=body.person,
        opened=record.at,
        passes=passes,
        on_duty=body.person,
    )
    base = {
        name: setting
        for name, setting in plan.baseline.items()
        if name not in confirmed
    }
    return replace(state, run=run, confirmed={**confirmed, **base})


@_apply.register
def _(body: r.RunClosed, state: JournalState, record: Record) -> JournalState:
    run = _run(state)
    closed = replace(
        run,
        status=Status.CLOSED,
        result=body.result,
        why=body.why,
        closed=record.at,
        hold=None,
    )
    out = run.left_drained(state.left_drained)
    return glass.overtaken(replace(state, run=closed, left_drained=out))


@_apply.register
def _(body: r.Phased, state: JournalState, record: Record) -> JournalState:
    run = _run(state)
    here = pass_of(run, body.region)
    if here.phase is not body.old:
        raise Bug(f"{body.region} is {here.phase}, the record says {body.old}")
    transitions.check(body.old, body.new)
    moved = replace(
        here,
        phase=body.new,
        since=record.at,
        entered={body.new.value: record.at, **here.entered},
        index=-1,
        index_since=None,
        retreat=None,
    )
    if body.new is Phase.RETURNING:
        moved = replace(moved, attempt=here.attempt + 1, verdicts={})
    if body.new is Phase.SOAKING:
        moved = replace(moved, index=here.index, index_since=record.at)
    if body.new is Phase.HANDING_OVER:
        entered = {**moved.entered, body.new.value: record.at}
        moved = replace(moved, entered=entered)
    if body.new in (Phase.EMPTYING, Phase.SERVING, Phase.RETURNING):
        moved = replace(moved, certified=False, trip_base={})
    run = put(run, moved)
    if body.new in (Phase.DONE, Phase.DONE_PARTIAL):
        current = min(run.current + 1, len(run.passes) - 1)
        run = replace(run, current=current, hurry=False, accepted=())
    return _with(state, run)


@_apply.register
def _(body: r.Staged, state: JournalState, record: Record) -> JournalState:
    run = _run(state)
    here = replace(
        pass_of(run, body.region),
        index=body.index,
        index_since=record.at,
        share_bp=body.share_bp,
        retreat=None,
    )
    return _with(state, put(run, here))


@_apply.register
def _(body: r.Certified, state: JournalState, record: Record) -> JournalState:
    run = _run(state)
    here = replace(pass_of(run, body.region), certified=True, trip_base=body.base)
    return _with(state, put(run, here))


@_apply.register
def _(body: r.Tripped, state: JournalState, record: Record) -> JournalState:
    run = _run(state)
    here = pass_of(run, body.region)
    tripped = replace(here, tripped=here.tripped + 1, certified=False)
    return _with(state, put(run, tripped))


@_apply.register
def _(body: r.Judged, state: JournalState, record: Record) -> JournalState:
    run = _run(state)
    here = pass_of(run, body.region)
    verdicts = {**here.verdicts, body.service: body.verdict}
    return _with(state, put(run, replace(here, verdicts=verdicts)))


@_apply.register
def _(body: r.Retreating, state: JournalState, record: Record) -> JournalState:
    run = _run(state)
    here = pass_of(run, body.region)
    number = here.retreats + 1
    retreat = Retreat(body.to, body.rung, number)
    return _with(state, put(run, replace(here, retreat=retreat, retreats=number)))


@_apply.register
def _(body: r.Adopted, state: JournalState, record: Record) -> JournalState:
    if glass.overruled(state, body.dial, body.claim):
        return state
    claims = dict(state.claims)
    if body.claim is not None:
        claims[body.dial] = body.claim
    return replace(
        state,
        confirmed={**state.confirmed, body.dial: body.setting},
        confirmed_at={**state.confirmed_at, body.dial: record.at},
        claims=claims,
        tried=_without(state.tried, body.dial),
        leases=_without(state.leases, body.dial),
    )


@_apply.register
def _(body: r.Reverted, state: JournalState, record: Record) -> JournalState:
    before = (*state.tried.get(body.dial, ()), state.confirmed[body.dial])
    return replace(
        state,
        confirmed={**state.confirmed, body.dial: body.setting},
        confirmed_at={**state.confirmed_at, body.dial: record.at},
        claims={**state.claims, body.dial: body.claim},
        tried={**state.tried, body.dial: before},
        leases=_without(state.leases, body.dial),
    )


@_apply.register
def _(body: r.Intent, state: JournalState, record: Record) -> JournalState:
    run = _run(state)
    action = body.action
    before = run.asked.get(action.key)
    asked = Asked(
        action=action,
        epoch=record.epoch,
        seq=record.seq,
        at=record.at,
        attempts=1 if before is None else before.attempts + 1,
        by=state.controller or state.holder,
        jobs=state.jobs,
    )
    run = replace(run, asked={**run.asked, action.key: asked})
    if action.kind is ActionKind.START_WORK:
        here = pass_of(run, action.region)
        if action.target not in here.started:
            run = put(run, replace(here, started=(*here.started, action.target)))
    if action.kind is ActionKind.ENTER_BRACKET:
        # From here on it may be open, whatever the outcome says, and must be left.
        opened = tuple(sorted({*run.brackets, action.target}))
        run = replace(run, brackets=opened)
    if action.kind is ActionKind.SET_DIAL and action.setting is not None:
        state = replace(state, tried=_tried(state, action))
    return _with(state, run)


def _tried(state: JournalState, action: r.Action) -> dict[str, tuple[Setting, ...]]:
    before = state.tried.get(action.target, ())
    new = [one for one in (action.setting, action.revert_to) if one is not None]
    more = tuple(one for one in new if one not in before)
    return {**state.tried, action.target: (*before, *more)}


def _without(of_dials: dict[str, T], dial: str) -> dict[str, T]:
    return {name: one for name, one in of_dials.items() if name != dial}


@_apply.register
def _(body: r.Outcome, state: JournalState, record: Record) -> JournalState:
    run = _run(state)
    asked = run.asked[body.key]
    ended = replace(asked, result=body.result, reason=body.reason, ended=record.at)
    run = replace(run, asked={**run.asked, body.key: ended})
    if body.result is not OutcomeKind.DONE:
        return _with(state, run)
    return _succeeded(_with(state, run), asked, body, record)


def _succeeded(
    state: JournalState, asked: Asked, body: r.Outcome, record: Record
) -> JournalState:
    run, action = _run(state), asked.action
    match action.kind:
        case ActionKind.SET_DIAL | ActionKind.HOLD_DIAL:
            if glass.overruled(state, action.target, body.claim):
                return state
            claims = dict(state.claims)
            if body.claim is not None:
                claims[action.target] = body.claim
            confirmed = dict(state.confirmed)
            if action.setting is not None:
                confirmed[action.target] = action.setting
            return replace(
                state,
                claims=claims,
                confirmed=confirmed,
                confirmed_at={**state.confirmed_at, action.target: record.at},
                tried=_without(state.tried, action.target),
                leases=_leases(state, action, body.claim),
            )
        case ActionKind.LEAVE_BRACKET:
            rest = tuple(name for name in run.brackets if name != action.target)
            return _with(state, replace(run, brackets=rest))
        case ActionKind.UNDO_WORK:
            here = pass_of(run, action.region)
            undone = (*here.undone, action.target)
            return _with(state, put(run, replace(here, undone=undone)))
        case _:
            return state


def _leases(
    state: JournalState, action: r.Action, claim: Claim | None
) -> dict[str, Leased]:
    """A write that expires replaces the lease before it; any other one ends it."""
    rest = _without(state.leases, action.target)
    if not (claim and action.revert_to and action.lease_ms):
        return rest
    return {**rest, action.target: Leased(claim, action.revert_to, action.lease_ms)}


@_apply.register
def _(body: r.Worked, state: JournalState, record: Record) -> JournalState:
    run = _run(state)
    here = pass_of(run, body.region)
    if body.exit_code == 0 and body.step not in here.done:
        here = replace(here, done=(*here.done, body.step))
    if body.exit_code != 0:
        failed = here.failed.get(body.step, 0) + 1
        here = replace(here, failed={**here.failed, body.step: failed})
    return _with(state, put(run, here))


@_apply.register
def _(body: r.Held, state: JournalState, record: Record) -> JournalState:
    run = _run(state)
    hold = Hold(body.reason, body.region, record.at)
    return _with(state, replace(run, status=Status.HELD, hold=hold))


@_apply.register
def _(body: r.Requested, state: JournalState, record: Record) -> JournalState:
    if state.run is None or not body.token:
        return state
    requests = {**state.run.requests, body.token: body}
    return _with(state, replace(state.run, requests=requests))


@_apply.register
def _(body: r.Answered, state: JournalState, record: Record) -> JournalState:
    if state.run is None or body.token not in state.run.requests:
        return state
    run = state.run
    request = run.requests[body.token]
    left = {token: one for token, one in run.requests.items() if token != body.token}
    run = replace(run, requests=left)
    if not body.accepted:
        return _with(state, run)
    return _with(state, granted(run, request))


def _run(state: JournalState) -> RunState:
    if state.run is None:
        raise Bug("a record of a run, and no run")
    return state.run


def _with(state: JournalState, run: RunState) -> JournalState:
    return replace(state, run=run)
