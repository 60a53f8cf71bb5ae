"""Reasons not to proceed. Each guard returns the reason, or None.

Guards are the decision's own conscience; `core.interlock` stands behind them and trusts
none of this.
"""

from __future__ import annotations

from collections.abc import Callable

from dayshift.core import (
    attested,
    capacity,
    fate,
    fences,
    glass,
    overrides,
    proof,
    steering,
)
from dayshift.core.state import JournalState
from dayshift.errors import Reason
from dayshift.limits import STORE_ROOM_BYTES_MIN
from dayshift.model.dial import Claim
from dayshift.model.evidence import Side
from dayshift.model.plan import Plan, Stage, Verb
from dayshift.model.sight import Sight
from dayshift.model.units import percent


def approval_reason(state: JournalState, plan: Plan, sight: Sight) -> Reason | None:
    """Enough people, none of them the author, approved exactly this digest in time."""
    need = plan.estate.policy.approvals
    author = state.run.person if state.run else ""
    people = {
        one.person
        for one in state.approvals.get(plan.digest, ())
        if one.person not in (author, plan.change.author)
        and (not one.expires_wall_ms or one.expires_wall_ms > sight.at.wall_ms)
    }
    if len(people) >= need:
        return None
    return Reason(
        "NOT-APPROVED",
        f"{len(people)} of {need} approvals for plan {plan.digest[:12]}",
        because="guard `approval`, policy.approvals",
        so="nothing moved",
        next=f"someone else runs `dayshift approve {plan.digest[:12]}`",
    )


def elsewhere_reason(state: JournalState, plan: Plan, region: str) -> Reason | None:
    """No other region is out (invariant 2)."""
    others = [name for name in state.left_drained if name != region]
    if not others:
        return None
    return Reason(
        "OTHER-REGION-OUT",
        f"{', '.join(others)} is drained already; {region} would be the second",
        because="invariant: one region at a time in the whole estate",
        so="nothing moved",
        next=f"`dayshift return {others[0]}` first",
    )


def absence_reason(plan: Plan, region: str) -> Reason | None:
    """No step of the region may take longer than the region may be away."""
    limit = plan.estate.policy.absence_ms
    for work in plan.change.regions:
        for step in work.steps:
            if work.region == region and step.limit_ms > limit:
                return Reason(
                    "ABSENCE-LIMIT",
                    f"step {step.name} in {region} may take {step.limit_ms // 1000} s "
                    f"(absence limit {limit // 1000} s)",
                    because="invariant: work beyond the absence limit is refused",
                    so="nothing moved",
                    next="shorten the step's limit, or raise policy.absence_limit",
                )
    return None


def store_reason(sight: Sight) -> Reason | None:
    """There is room for the journal to write the whole run down.

    A store that cannot tell its room (None) is not refused: `check` says so, and an
    append that fails holds the run.
    """
    room = sight.store_room_bytes
    if room is None or room >= STORE_ROOM_BYTES_MIN:
        return None
    have, need = room >> 20, STORE_ROOM_BYTES_MIN >> 20
    return Reason(
        "STORE-FULL",
        f"{have} MiB left for the journal (needs {need} MiB)",
        because="guard `store`: no action without a durable intent",
        so="nothing moved",
        next="make room where the journal lies",
    )


def dials_reason(state: JournalState, plan: Plan, sight: Sight) -> Reason | None:
    """Every dial answers, its instances agree, and it shows what is expected.

    The fence points of a dead region need not answer: it counts as not serving instead,
    and can still be drained.
    """
    lost = fences.lost(plan.estate, state, sight.dials)
    for name, usual in sorted(plan.baseline.items()):
        reading = sight.dials.get(name)
        if name in lost:
            continue
        if reading is None or reading.fault:
            fault = "never read" if reading is None else reading.fault
            return _dial("UNREACHABLE", name, f"cannot be read: {fault}")
        if any(state.went_back(name, one) for one in reading.instances):
            continue  # That is no drift, and `core.leases` sees to it.
        expected = state.confirmed.get(name, usual)
        if reading.shows(expected):
            continue
        if reading.mixed:
            return _dial("MIXED", name, "has instances that disagree")
        return drift(name, expected, reading.setting)
    return None


def out_of_place(state: JournalState, plan: Plan, sight: Sight) -> tuple[str, ...]:
    """Every dial that does not show what is expected, with what it shows and what it
    should; lost fence points as well: nobody can say how those stand."""
    found = []
    for name, usual in sorted(plan.baseline.items()):
        reading, expected = sight.dials.get(name), state.confirmed.get(name, usual)
        if reading is None or reading.fault:
            fault = "never read" if reading is None else reading.fault
            found.append(f"dial {name} cannot be read: {fault}")
        elif not reading.shows(expected):
            shows = dict.fromkeys(_show(one.setting) for one in reading.instances)
            found.append(
                f"dial {name} shows {' and '.join(shows)}, expected {_show(expected)}"
            )
    return tuple(found)


def claims_reason(state: JournalState, sight: Sight) -> Reason | None:
    """Nobody else claims a dial, and none is ahead of this journal (invariant 3)."""
    for name, reading in sorted(sight.dials.items()):
        for one in reading.instances:
            claim = one.claim
            if claim is None:
                continue
            if (claim.estate, claim.journal) != (state.estate, state.journal):
                return _fenced(
                    "FENCED-OFF",
                    f"dial {name} is claimed by estate {claim.estate}, journal "
                    f"{claim.journal[:12]}{_who(claim)}; this is estate "
                    f"{state.estate}, journal "
                    f"{state.journal[:12]}",
                    "let that journal's controller finish; if it is gone for good, "
                    "take the claim off the device by hand (docs/stores.md)",
                )
            unmerged = glass.unmerged_reason(state, name, claim)
            if unmerged is not None:
                return unmerged
            if glass.outranked(state, claim):
                continue
            if claim.epoch > state.epoch and state.controller:
                return _fenced(
                    "FENCED-OFF",
                    f"dial {name} carries epoch {claim.epoch}{_who(claim)}; this "
                    f"controller has {state.epoch}",
                    "where another controller leads, let it; where the store was "
                    "restored or moved, lead from the newest one",
                )
            newer = claim.epoch > state.epoch
            if newer or (claim.seq > state.seq and glass.numbered(state, claim)):
                return _behind(state, name, claim)
    return None


def _behind(state: JournalState, dial: str, claim: Claim) -> Reason:
    """Why a dial knows of records or epochs that this journal has not."""
    return _fenced(
        "JOURNAL-BEHIND",
        f"dial {dial} holds the claim of record {claim.seq}, epoch {claim.epoch}"
        f"{_who(claim)}; the journal ends at record {state.seq}, epoch {state.epoch}",
        "an older copy was restored here, or the journal went on elsewhere: bring back "
        "the newest one, the whole directory, or lead where it lies now; if it is gone "
        "for good, docs/stores.md says how to begin anew",
    )


def _who(claim: Claim) -> str:
    return f" ({claim.holder})" if claim.holder else ""


def _fenced(code: str, what: str, next_step: str) -> Reason:
    return Reason(
        code,
        what,
        because="invariant: every dial stores who wrote it last",
        so="nothing moved; the dial keeps what it has",
        next=next_step,
    )


def _dial(code: str, name: str, what: str) -> Reason:
    return Reason(
        f"DIAL-{code}",
        f"dial {name} {what}",
        because="guard `dials`: the state before is asserted too",
        so="nothing moved",
        next="mend it, see `dayshift check`, then `dayshift retry`",
    )


def drift(name: str, expected: object, observed: object) -> Reason:
    """The reason for a dial that shows something nobody here asked for."""
    show = _show
    return Reason(
        "DRIFT",
        f"dial {name} shows {show(observed)}, expected {show(expected)}",
        because="somebody or something else moved it",
        so="nothing moved; the run holds",
        next="`dayshift adopt` to take what it shows, or put it back and "
        "`dayshift retry`",
    )


def _show(setting: object) -> str:
    rows = getattr(setting, "rows", None)
    if not rows:
        return "nothing readable"
    parts = []
    for key, row in sorted(rows.items()):
        shares = ", ".join(f"{r} {percent(s)}" for r, s in sorted(row.items()))
        parts.append(shares if key == "*" else f"{key} → {shares}")
    return "; ".join(parts)


def meters_reason(plan: Plan, sight: Sight, region: str) -> Reason | None:
    """Both sides of the region are seen, freshly, and both have counted users."""
    policy = plan.estate.policy
    for service in plan.estate.moving():
        if not service.shares[region]:
            continue
        place = sight.place(service.name, region)
        for side in Side:
            seen = [one for one in place.meters if one.side is side]
            fresh = [one for one in seen if proof.is_fresh(one, policy)]
            if len(fresh) < max(1, len(seen)):
                faults = [one.fault for one in seen if one not in fresh and one.fault]
                return _blind(
                    f"{service.name} in {region} is not seen from the {side.value} side"
                    + (f": {faults[0]}" if faults else "")
                )
            if not all(one.counted for one in fresh):
                return _blind(
                    f"the {side.value} side of {service.name} in {region} has not "
                    "counted one user yet, so its silence would prove nothing"
                )
    return None


def _blind(what: str) -> Reason:
    return Reason(
        "BLIND",
        what,
        because="guard `meters`: blind is not green",
        so="nothing moved",
        next="see `dayshift check`; the run goes on by itself when it sees again",
    )


def survivors_reason(plan: Plan, sight: Sight, region: str) -> Reason | None:
    """Enough other regions serve every service, and none of them is in trouble."""
    policy = plan.estate.policy
    for service in plan.estate.services:
        away = proof.away(plan, service, region)
        enough, count = proof.enough_serve(sight, service, away, policy)
        if not enough:
            return Reason(
                "LAST-SERVER",
                f"{count} other regions are proven to serve {service.name} "
                f"(policy.serving is {policy.serving})",
                because="invariant: never the last server",
                so=f"{region} is not drained further",
                next="mend the survivors; see `dayshift status`",
            )
        for text in proof.troubles(sight, service, away, policy):
            return _trouble(text)
    return None


def _trouble(text: str) -> Reason:
    return Reason(
        "SURVIVOR-TROUBLE",
        text,
        because="guard `survivors`: the region that takes over must be well",
        so="no further traffic is sent there",
        next="mend it, then `dayshift retry`; `dayshift abort` goes back",
    )


def capacity_reason(
    plan: Plan, sight: Sight, stage: Stage, standing: steering.Settings | None = None
) -> Reason | None:
    """Measured load fits every region with headroom (invariant 9), after the stage and,
    from the settings that stand now, on the way there."""
    policy = plan.estate.policy
    loads: dict[str, int] = {}
    for service in plan.estate.moving():
        load = capacity.load_mrps(sight, service, policy.fresh_ms)
        if load is None:
            return _blind(f"the load of {service.name} is not measured")
        loads[service.name] = load
    moving = plan.estate.moving()
    found = [capacity.worst(moving, stage.served, loads)]
    for name, row in steering.on_the_way(moving, stage.moves, standing or {}):
        found.append(capacity.worst(moving, {name: row}, loads))
    worst = max(filter(None, found), key=lambda one: one.filled_bp, default=None)
    if worst is None or worst.filled_bp <= policy.headroom_bp:
        return None
    return Reason(
        "CAPACITY-EXCEEDED",
        f"{worst.region} would be at {percent(worst.filled_bp)} with {worst.service} "
        f"({worst.load_rps} of {worst.capacity_rps} requests/s; "
        f"limit {percent(policy.headroom_bp)})",
        because="guard `capacity`, policy.headroom",
        so="nothing moved",
        next="shed load or add capacity, then plan again",
    )


def load_unseen_ms(plan: Plan, sight: Sight) -> int | None:
    """For how long the load of some service has not been seen; None: it never was."""
    ages = [capacity.unseen_ms(sight, one) for one in plan.estate.moving()]
    known = [age for age in ages if age is not None]
    return max(known, default=0) if len(known) == len(ages) else None


def duties_reason(plan: Plan, sight: Sight) -> Reason | None:
    """Every duty has exactly one holder, and it is one of the declared regions."""
    for duty in plan.estate.duties:
        gap = proof.duty_gap(sight, duty.name, plan.estate.policy)
        if gap:
            return _duty(f"duty {duty.name} cannot be read: {gap}")
        seen = sight.duties[duty.name]
        if len(seen.holders) != 1:
            holders = ", ".join(seen.holders) or "nobody"
            return _duty(f"duty {duty.name} is held by {holders}, not by exactly one")
        if seen.holders[0] not in duty.regions:
            return _duty(f"duty {duty.name} is held by undeclared {seen.holders[0]}")
    return None


def _duty(what: str) -> Reason:
    return Reason(
        "DUTY-UNCLEAR",
        what,
        because="guard `duties`: never two holders, and none lost",
        so="nothing moved",
        next="let exactly one declared region hold it, then `dayshift retry`",
    )


def preflight_reasons(
    state: JournalState, plan: Plan, sight: Sight, region: str
) -> tuple[Reason, ...]:
    """Every reason not to begin the pass of `region`, the waived ones left out."""
    run = state.run
    stages = plan.pass_of(region).drain
    checks: list[Callable[[], Reason | None]] = [
        lambda: approval_reason(state, plan, sight),
        lambda: elsewhere_reason(state, plan, region),
        lambda: absence_reason(plan, region),
        lambda: store_reason(sight),
        lambda: attested.agents_reason(sight),
        lambda: claims_reason(state, sight),
        lambda: glass.parked_reason(state, region, returning=False),
        lambda: dials_reason(state, plan, sight),
        lambda: fate.reason(plan.estate, region, state.controller),
        lambda: fences.unfenced_reason(plan.estate, sight.fences),
        lambda: meters_reason(plan, sight, region),
        lambda: survivors_reason(plan, sight, region),
        lambda: capacity_reason(plan, sight, stages[-1]),
        lambda: duties_reason(plan, sight),
    ]
    found = [reason for check in checks if (reason := check())]
    accepted = run.accepted if run else ()
    evacuating = plan.verb is Verb.EVACUATE or (run is not None and run.evacuating)
    verb = "evacuate" if evacuating else ""
    return tuple(r for r in found if not overrides.waived(r.code, verb, accepted))
