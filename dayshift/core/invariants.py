"""What must hold of every state, whatever led to it. Checked after every fold.

Why: a decision may be wrong in ways nobody foresaw; a state that breaks a promise stops
the process before it can act on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dayshift.core import glass
from dayshift.core.fold import fold
from dayshift.core.state import JournalState, RunState, Status
from dayshift.core.transitions import ENDED
from dayshift.errors import Bug
from dayshift.model.dial import DialKind
from dayshift.model.glass import is_glass
from dayshift.model.records import ActionKind, AnyBody, Phase, Record
from dayshift.model.units import Instant


def violations(state: JournalState) -> tuple[str, ...]:
    """Every promise that `state` breaks; empty for a good state."""
    run = state.open_run
    found = list(_settings(state))
    if run is not None:
        found.extend(_run(state, run))
    return tuple(found)


def foresee(
    state: JournalState, bodies: Sequence[AnyBody], now: Instant, epoch: int, run: str
) -> None:
    """Fold what would be written, before it is.

    Why: a record that cannot be folded, or that leads to a broken promise, would stop
    every later controller too.

    Raises:
        Bug: so would these; nothing was written.
    """
    for body in bodies:
        state = fold(state, Record(state.seq + 1, "", now, epoch, run, body))
    broken = violations(state)
    if broken:
        raise Bug(f"the state would break an invariant: {'; '.join(broken)}")


def _settings(state: JournalState) -> Iterator[str]:
    if state.glass is not None and not is_glass(state.glass.first):
        yield f"break-glass: epoch {state.glass.first} does not outrank regular ones"
    for dial, setting in sorted(state.confirmed.items()):
        fault = setting.fault()
        if fault:
            yield f"explicit targets: the confirmed setting of {dial} {fault}"
    for dial, claim in sorted(state.claims.items()):
        if claim.journal != state.journal or glass.outranked(state, claim):
            continue
        ahead = glass.numbered(state, claim) and claim.seq > state.seq
        if ahead or claim.epoch > state.epoch:
            yield f"fencing: the claim at {dial} is ahead of the journal"


def _run(state: JournalState, run: RunState) -> Iterator[str]:
    out = [one.region for one in run.passes if _is_out(one.phase)]
    if len(out) > 1:
        yield f"one region: {', '.join(out)} are under maintenance together"
    for one in run.passes[run.current + 1 :]:
        if one.phase is not Phase.SERVING:
            yield f"one region: {one.region} began before its turn"
    if run.status is Status.HELD and run.hold is None:
        yield "a held run has no reason"
    yield from _feeding(state, run)
    for asked in run.asked.values():
        if asked.action.kind is ActionKind.START_WORK and asked.seq > state.seq:
            yield f"journal before act: {asked.action.key} has no durable intent"


def _is_out(phase: Phase) -> bool:
    return phase not in ENDED and phase not in (Phase.SERVING, Phase.PREFLIGHT)


def _feeding(state: JournalState, run: RunState) -> Iterator[str]:
    """A region at work gets no users from any dial that was confirmed, but for those
    of a drift that was adopted: they are being taken out again."""
    here = run.now_at
    if here.retreat is not None and here.retreat.to == "zero":
        return
    if here.phase not in (Phase.WORKING, Phase.CATCHING_UP, Phase.WARMING):
        return
    for dial, setting in sorted(state.confirmed.items()):
        if setting.kind is DialKind.FORWARD or dial not in state.plan.baseline:
            continue
        for row in setting.rows.values():
            if row.get(here.region):
                yield f"proven empty: {dial} feeds {here.region}, which is at work"
