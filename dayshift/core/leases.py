"""Writes that expire unless somebody renews them: which to keep, which ran out.

A drain goes back to the usual shares and a return to its last proven rung when nobody
is left who watches. Nothing expires from the hand-over of duties to the end of the
work, in a run that stands before its work, while soaking, or after an evacuation.
"""

from __future__ import annotations

from collections.abc import Mapping

from dayshift.core.decision import Renewal
from dayshift.core.desk import Desk, Settings
from dayshift.core.state import JournalState, Leased, RunState, Status
from dayshift.core.transitions import BEFORE_WORK, GATED
from dayshift.errors import Reason
from dayshift.model.dial import DialReading, InstanceReading, Setting
from dayshift.model.records import OutcomeKind, Phase, Reverted
from dayshift.model.units import Instant

LOW = 3
"""A lease of which less than one part in so many is left was not renewed in time."""


def renewals(desk: Desk) -> tuple[Renewal, ...]:
    """The leases to be kept alive now; a dial with a write under way renews by that.

    Holds: what an earlier epoch armed is not renewed: this one has not claimed it yet.
    """
    busy = {
        one.action.target for one in desk.run.asked.values() if one.result is None
    } | {one.target for one in desk.actions}
    return tuple(
        Renewal(dial, leased.claim, leased.lease_ms)
        for dial, leased in sorted(desk.state.leases.items())
        if dial not in busy and leased.claim.epoch == desk.state.epoch
    )


def drain_revert(desk: Desk) -> Settings | None:
    """Where a drain goes back to when its controller dies; an evacuation never does."""
    return None if desk.evacuating else desk.plan.baseline


def rung_revert(desk: Desk, rung: int) -> Settings | None:
    """What was proven before `rung`: the rung below it, or no share at all. What leads
    users there stays: they are served elsewhere."""
    if desk.run.hurry:
        return None
    below = desk.route.ramp[rung - 1] if rung > 0 else desk.route.leaving[0]
    return {move.dial: move.setting for move in below.moves}


def unkept(state: JournalState, dials: Mapping[str, DialReading]) -> bool:
    """True while a run that stands still has a lease that it can still hold.

    Why: whoever leaves it then would let the region come back behind a held screen.
    """
    run = state.open_run
    if run is None or not stands(run):
        return False
    for dial, leased in state.leases.items():
        seen = dials.get(dial)
        if seen is None or seen.expires_ms is None:
            continue
        key = f"/keep/{leased.claim.seq}/{dial}/"
        asked = [one for name, one in run.asked.items() if key in name]
        given_up = (OutcomeKind.FAILED, OutcomeKind.REFUSED)
        if not asked or asked[-1].result not in given_up:
            return True
    return False


def stands(run: RunState) -> bool:
    """Held or paused before the work: what was drained stays drained."""
    here = run.now_at
    still = run.status in (Status.HELD, Status.PAUSED)
    return still and here.phase in BEFORE_WORK and here.retreat is None


def look(desk: Desk) -> None:
    """See what went back by itself, and what is about to: the pass retreats with it."""
    reverted = [one for dial in sorted(desk.state.claims) if (one := _back(desk, dial))]
    desk.records.extend(reverted)
    if reverted:
        _follow(desk, reverted[0].setting, reverted[0].dial, _expired(reverted[0].dial))
        return
    for dial, leased in sorted(desk.state.leases.items()):
        if _fades(desk, dial, leased):
            _follow(desk, leased.revert_to, dial, _fading(desk, dial))
            return


def _back(desk: Desk, dial: str) -> Reverted | None:
    """What the device wrote by itself, not noted yet."""
    seen = desk.sight.dials.get(dial)
    pending = dial in desk.busy
    confirmed_at = desk.state.confirmed_at.get(dial)
    if seen is None or pending or (confirmed_at and _older(seen.at, confirmed_at)):
        return None
    for one in seen.instances:
        if went_back(desk.state, dial, one):
            assert one.setting is not None and one.claim is not None
            return Reverted(dial, one.setting, one.claim)
    return None


def _older(reading: Instant, confirmed: Instant) -> bool:
    same = reading.boot_id == confirmed.boot_id
    return same and reading.mono_ms <= confirmed.mono_ms


def went_back(state: JournalState, dial: str, one: InstanceReading) -> bool:
    """True when this instance shows what its own lease told it to go back to."""
    claim = one.claim
    if claim is None or one.setting is None or dial not in state.plan.baseline:
        return False
    ours = (claim.estate, claim.journal) == (state.estate, state.journal)
    if not ours or not claim.reverted:
        return False
    return one.setting != state.confirmed.get(dial) and state.allows(dial, one)


def _fades(desk: Desk, dial: str, leased: Leased) -> bool:
    """Renewals have failed for so long that the device will go back by itself."""
    left = desk.sight.lease_left_ms.get(dial)
    low = leased.lease_ms // LOW
    running = desk.run.status is Status.RUNNING or desk.here.phase in GATED
    led_long = desk.since(desk.state.led) > low
    idle = desk.here.retreat is None
    return left is not None and left < low and running and led_long and idle


def _follow(desk: Desk, setting: Setting, dial: str, reason: Reason) -> None:
    """Go with all dials where one went; a person decides what comes next.

    A person who asked for an emergency has decided: it goes on from what there is.
    """
    if desk.here.retreat is not None or desk.emergency:
        return
    if desk.here.phase in GATED:
        for rung in reversed(range(len(desk.route.ramp))):
            moves = desk.route.ramp[rung].moves
            if any(m.dial == dial and m.setting == setting for m in moves):
                desk.retreat("rung", reason.what, rung)
                break
        else:
            desk.retreat("zero", reason.what)
    elif desk.here.phase in BEFORE_WORK and desk.here.phase is not Phase.SERVING:
        desk.retreat("baseline", reason.what)
    desk.hold(reason)


def _expired(dial: str) -> Reason:
    return Reason(
        "LEASE-EXPIRED",
        f"dial {dial} went back by itself: nobody renewed its lease in time",
        because="invariant: a drain that nobody watches goes back, a return keeps "
        "what was proven",
        so="the other dials follow it; no region is touched beyond that",
        next="`dayshift retry` goes on from there; `dayshift abort` ends the run",
    )


def _fading(desk: Desk, dial: str) -> Reason:
    left, whole = desk.sight.lease_left_ms[dial], desk.state.leases[dial].lease_ms
    return Reason(
        "LEASE-NOT-RENEWED",
        f"the lease of dial {dial} has {left / 1000:.1f} s left of "
        f"{whole / 1000:.1f} s and could not be renewed",
        because="its agent does not answer, or refuses; see `dayshift check`",
        so="the run goes back before the device does so by itself",
        next="let the agent answer again, then `dayshift retry`",
    )
