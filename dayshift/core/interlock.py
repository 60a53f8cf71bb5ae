"""The last gate between a decision and the world. It may only refuse.

Why: a mistake in the planner, in a phase or in a guard must not reach a dial. This
module imports none of them and asks its own questions of the same sight.
"""

from __future__ import annotations

from collections.abc import Callable

from dayshift.core import dead_man, interlock_glass, interlock_order, overrides, proof
from dayshift.core.state import Asked, JournalState, PassState, RunState
from dayshift.core.transitions import BEFORE_WORK
from dayshift.errors import Reason
from dayshift.model.dial import DialKind, Fence, Setting
from dayshift.model.estate import Service
from dayshift.model.plan import Plan, Verb
from dayshift.model.records import Action, ActionKind, Phase
from dayshift.model.sight import Sight
from dayshift.model.units import elapsed_ms

Check = Callable[[JournalState, Sight, Action], "Reason | None"]


def reason(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    """Why `action` must not happen, or None.

    Holds: invariants 1 (last server), 2 (one region), 3 (fencing), 4 (explicit
    targets), 5 (executed ⊆ approved), 6 and 7 (work only in a held, empty region), 11
    (no shared fate), 16 (drift), 17 (never two holders).
    """
    if state.open_run is None:
        return _no("NO-RUN", "no run is open", "every action belongs to a run")
    for check in _CHECKS.get(action.kind, ()):
        found = check(state, sight, action)
        if found is not None:
            return found
    return None


def fed(setting: Setting) -> frozenset[str]:
    """Regions that get traffic from `setting`."""
    return frozenset(
        name for row in setting.rows.values() for name, share in row.items() if share
    )


def service_of(plan: Plan, dial: str) -> Service | None:
    """The service whose dial it is."""
    for service in plan.estate.services:
        if any(one.name == dial for one in service.dials):
            return service
    return None


def _explicit(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    if action.target in ("", "*") or action.target not in state.plan.baseline:
        return _no(
            "EXPLICIT-TARGET",
            f"`{action.target}` is not a dial of the plan",
            "invariant: empty, null and wildcard selectors are errors",
        )
    if action.kind is ActionKind.SET_DIAL:
        fault = "has no setting" if not action.setting else action.setting.fault()
        if fault:
            return _no("EXPLICIT-TARGET", f"the setting for {action.target} {fault}")
    return None


def _approved(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    plan = state.plan
    allowed = [plan.baseline[action.target]]
    for one in plan.passes:
        for stage in (*one.drain, *one.forwarded, *one.ramp):
            allowed.extend(m.setting for m in stage.moves if m.dial == action.target)
    back = [] if action.revert_to is None else [action.revert_to]
    if all(one in allowed for one in (action.setting, *back)):
        return None
    return _no(
        "NOT-APPROVED-SETTING",
        f"dial {action.target} would get a setting that the plan does not list",
        "invariant: executed is a subset of approved",
    )


def _last_server(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    """Of the regions fed after the write, enough are proven to serve, and every region
    that gets more than it has now is among them."""
    plan, setting = state.plan, action.setting
    service = service_of(plan, action.target)
    if service is None or setting is None:
        return _no("EXPLICIT-TARGET", f"no service owns dial {action.target}")
    proven = set(proof.serving_regions(sight, plan.estate, service.name))
    proven -= {where for where, _ in _without_fence(state, sight)}
    left = fed(setting) & proven
    need = plan.estate.policy.serving
    if len(left) < need:
        return _no(
            "LAST-SERVER",
            f"{len(left)} regions are proven to serve {service.name} after the write "
            f"(policy.serving is {need})",
            "invariant: never the last server",
        )
    before = state.confirmed.get(action.target)
    unproven = sorted(_raised(before, setting) - proven)
    if unproven:
        return _no(
            "RECEIVER-NOT-READY",
            f"{', '.join(unproven)} would get traffic and is not proven to serve "
            f"{service.name}",
            "invariant: the receiver is ready before it receives",
        )
    return None


def _fence_first(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    """No dial moves before this epoch's claim was read back at every one of them, but
    for those of regions that are dead and get nothing more."""
    setting, before = action.setting, state.confirmed.get(action.target)
    if setting is not None and setting == before and state.tried.get(action.target):
        return None  # What a lost write left is put back: that is the fence itself.
    raised = _raised(before, setting) if setting is not None else set()
    for where, dial in _without_fence(state, sight):
        if not where or where in raised:
            return _no(
                "NOT-FENCED-YET",
                f"dial {dial} does not carry the claim of epoch {state.epoch}",
                "invariant: a new epoch stands at every fence point before it writes",
            )
    return None


def _without_fence(state: JournalState, sight: Sight) -> list[tuple[str, str]]:
    """Dials without this epoch's claim, each behind the dead region it stands in, or
    behind nothing when it stands in none or answers."""
    estate, found = state.plan.estate, []
    for service in estate.services:
        for dial in service.dials:
            claim = state.claims.get(dial.name)
            if claim and (claim.journal, claim.epoch) == (state.journal, state.epoch):
                continue
            places = {a.place for a in estate.agents if a.name in dial.agents}
            reading = sight.dials.get(dial.name)
            dead = reading is not None and any(i.fault for i in reading.instances)
            inside = len(places) == 1 and places <= set(estate.region_names())
            found.append((min(places) if dead and inside else "", dial.name))
    return found


def _device_fence(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    """Where several controllers can exist, the dial itself refuses the stale one."""
    estate = state.plan.estate
    one_place = len({one.place for one in estate.controllers}) < 2
    if len(estate.controllers) < 2:
        return None
    for service in estate.services:
        for dial in service.dials:
            reach = sight.fences.get(dial.name)
            enough = {Fence.DEVICE, Fence.MACHINE} if one_place else {Fence.DEVICE}
            if dial.name == action.target and not dial.agents and reach not in enough:
                return _no(
                    "UNFENCED",
                    f"dial {dial.name} does not refuse a controller that was replaced",
                    "invariant: fencing reaches the device",
                )
    return None


def _fate(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    """The write that begins to take users away leaves every majority standing."""
    run, setting = state.run, action.setting
    if run is None or setting is None or setting.kind is DialKind.FORWARD:
        return None
    here, estate = run.now_at, state.plan.estate
    going = here.phase in (Phase.SERVING, Phase.PREFLIGHT, Phase.DRAINING)
    usual = state.confirmed.get(action.target, state.plan.baseline[action.target])
    less = any(
        share < usual.rows.get(key, {}).get(here.region, 0)
        for key, row in setting.rows.items()
        for region, share in row.items()
        if region == here.region
    )
    evacuating = state.plan.verb is Verb.EVACUATE or run.evacuating
    verb = "evacuate" if evacuating else ""
    if not (going and less) or overrides.waived("SHARED-FATE", verb, run.accepted):
        return None
    groups = {one.name: one.members for one in estate.voting}
    groups["the journal's store"] = estate.journal.members
    standing = {one.name: one.place for one in estate.controllers}
    if not estate.journal.shared and len(standing) > 1:
        standing = {n: p for n, p in standing.items() if n == state.controller}
    groups["the controllers"] = standing
    for name, members in sorted(groups.items()):
        inside = [one for one, place in members.items() if place == here.region]
        if inside and len(inside) >= len(members) - len(inside):
            return _no(
                "SHARED-FATE",
                f"{name}: {', '.join(sorted(inside))} of {len(members)} would go down "
                f"with {here.region}",
                "invariant: no shared fate with the region that is taken out",
            )
    return None


def _raised(before: Setting | None, after: Setting) -> set[str]:
    """Regions that get more than before: those must be proven first."""
    former = before.rows if before else {}
    return {
        name
        for key, row in after.rows.items()
        for name, share in row.items()
        if share > former.get(key, {}).get(name, 0)
    }


def _one_region(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    """Only the region in flight may have less than its usual share."""
    run, plan, setting = state.run, state.plan, action.setting
    if run is None or setting is None or setting.kind is DialKind.FORWARD:
        return None
    here = run.now_at.region
    before = state.confirmed.get(action.target)
    back = sorted(_raised(before, setting) & {*state.left_drained} - {here})
    if back:
        return _no(
            "OTHER-REGION-OUT",
            f"{back[0]} was left drained and would get users again",
            "invariant: a drained region comes back under its own return",
        )
    others = sorted({*state.left_drained} - {here})
    alone = plan.verb in (Verb.MAINTAIN, Verb.DRAIN)
    if sorted(plan.out) != others and (plan.out or alone):
        return _no(
            "OTHER-REGION-OUT",
            f"drained are {', '.join(others) or 'none'}; the plan was made for "
            f"{', '.join(plan.out) or 'none'}",
            "invariant: one region at a time, but in an emergency",
        )
    usual = plan.baseline[action.target]
    for key, row in sorted(setting.rows.items()):
        for region, share in sorted(row.items()):
            if region != here and share < usual.rows.get(key, {}).get(region, 0):
                return _no(
                    "OTHER-REGION-OUT",
                    f"{region} would lose traffic while {here} is under maintenance",
                    "invariant: one region at a time",
                )
    return None


def _no_drift(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    """What the dial shows now is what this journal expects it to show."""
    reading = sight.dials.get(action.target)
    run = state.run
    if reading is None or run is None:
        return None
    expected = [action.setting]
    for one in run.asked.values():
        if one.action.target == action.target and one.result is None:
            expected.extend([one.action.setting, one.action.revert_to])
    confirmed_at = state.confirmed_at.get(action.target)
    stale = confirmed_at is not None and (
        reading.at.boot_id == confirmed_at.boot_id
        and reading.at.mono_ms < confirmed_at.mono_ms
    )
    shown = [one for one in reading.instances if one.setting is not None]
    if stale or all(
        one.setting in expected or state.allows(action.target, one) for one in shown
    ):
        return None
    return _no(
        "DRIFT",
        f"dial {action.target} shows something that this run did not set",
        "invariant: drift refuses",
    )


def _kept_out(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    """No user is sent to a region whose work has begun, unless it was validated."""
    run, setting = state.run, action.setting
    if run is None or setting is None:
        return None
    here = run.now_at
    begun = not set(here.started) <= set(here.undone)
    gone = here.phase not in BEFORE_WORK | {Phase.RETURNING, Phase.SOAKING}
    gone = gone or (begun and here.phase in BEFORE_WORK)
    if gone and here.region in fed(setting) and setting.kind is not DialKind.FORWARD:
        return _no(
            "REGION-AT-WORK",
            f"{here.region} is {here.phase.value}; it must not get users",
            "invariant: a region under maintenance stays drained",
        )
    return None


def _held_and_empty(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    """Work starts only in a region proven empty, at zero in every dial, all held."""
    run, plan = state.run, state.plan
    if run is None:
        return None
    here = run.now_at
    if action.region != here.region or here.phase is not Phase.WORKING:
        return _no("NOT-EMPTY", f"{action.region} is not the region at work")
    if action.kind is ActionKind.START_WORK and not here.certified:
        return _no(
            "NOT-EMPTY",
            f"{here.region} is not proven empty",
            "invariant: no work without the certificate of emptiness",
        )
    newest = _newest_writes(run, here)
    zero = {m.dial: m.setting for m in plan.pass_of(here.region).drain[-1].moves}
    for dial, setting in sorted(zero.items()):
        if state.confirmed.get(dial) != setting:
            return _no("NOT-EMPTY", f"dial {dial} is not confirmed at zero")
        seen = sight.dials.get(dial)
        left = seen.expires_ms if seen else None
        if not _was_held(newest.get(dial)) or left is not None:
            says = "" if left is None else f": it goes back in {left} ms"
            return _no(
                "NOT-EMPTY",
                f"dial {dial} was not read back as held{says}",
                "invariant: no expiring write is outstanding while work runs",
            )
    return None


def _newest_writes(run: RunState, here: PassState) -> dict[str, Asked]:
    """The newest write at each dial, asked for by this pass."""
    newest: dict[str, Asked] = {}
    for one in run.asked.values():
        action = one.action
        writes = action.kind in (ActionKind.SET_DIAL, ActionKind.HOLD_DIAL)
        if writes and action.region == here.region:
            known = newest.get(action.target)
            if known is None or one.seq > known.seq:
                newest[action.target] = one
    return newest


def _was_held(newest: Asked | None) -> bool:
    """The write was read back, and nothing of it expires."""
    return newest is not None and newest.result == "done" and not newest.action.lease_ms


def _known_step(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    for work in state.plan.change.regions:
        if work.region == action.region:
            if any(step.name == action.target for step in work.steps):
                return None
            return _no(
                "NOT-APPROVED-SETTING",
                f"step {action.target} is not in the plan for {action.region}",
                "invariant: executed is a subset of approved",
            )
    return _no("NOT-APPROVED-SETTING", f"no work is planned in {action.region}")


def _nobody_holds(state: JournalState, sight: Sight, action: Action) -> Reason | None:
    seen = sight.duties.get(action.target)
    fresh_ms = state.plan.estate.policy.fresh_ms
    old = seen is None or seen.at is None or elapsed_ms(seen.at, sight.at) > fresh_ms
    if seen is None or seen.fault or old:
        return _no("TWO-HOLDERS", f"who holds {action.target} is not known now")
    others = [name for name in seen.holders if name != action.region]
    if others:
        return _no(
            "TWO-HOLDERS",
            f"{action.target} is held by {', '.join(others)}",
            "invariant: release is read back before take",
        )
    return None


def _no(code: str, what: str, because: str = "interlock") -> Reason:
    return Reason(
        code, what, because=because, so="nothing moved", next="see `dayshift explain`"
    )


_CHECKS: dict[ActionKind, tuple[Check, ...]] = {
    ActionKind.SET_DIAL: (
        _explicit,
        _approved,
        dead_man.misplaced_reason,
        _no_drift,
        _one_region,
        _last_server,
        _kept_out,
        interlock_order.order_reason,
        _device_fence,
        _fence_first,
        _fate,
        interlock_glass.newest,
        interlock_glass.overtaken,
    ),
    ActionKind.HOLD_DIAL: (_explicit, _no_drift, interlock_glass.newest),
    ActionKind.START_WORK: (_known_step, _held_and_empty),
    ActionKind.UNDO_WORK: (_known_step, _held_and_empty),
    ActionKind.TAKE_DUTY: (_nobody_holds,),
}
