"""The legal ways out of a hold or a pause, each with its consequence."""

from __future__ import annotations

from dayshift.core.decision import Exit
from dayshift.core.state import JournalState, PassState, RunState, Status
from dayshift.core.transitions import ENDED, OUT
from dayshift.core.working import attempt_begun
from dayshift.errors import Reason
from dayshift.model.plan import Plan, Verb
from dayshift.model.records import Phase
from dayshift.model.sight import Sight

CLOSABLE = OUT | {Phase.LEFT_DRAINED}
"""Phases in which a run may end with its region out."""


def exits(state: JournalState, sight: Sight | None) -> tuple[Exit, ...]:
    """What may be typed now; empty while the run goes on by itself.

    Holds: what stands here is granted (`requests`), and what does not is refused; where
    nobody looks (no sight), what depends on the dials is found out when it is typed.
    """
    if state.run is None:
        return ()
    run, plan = state.run, state.plan
    if run.status is Status.PAUSED:
        return (
            Exit("dayshift resume", "goes on where it stopped"),
            Exit("dayshift abort", abort_consequence(run, plan)),
        )
    if run.status is not Status.HELD or run.hold is None:
        return ()
    here = run.now_at
    step = unfinished_step(here, plan)
    begun = step is not None and attempt_begun(here, run, step)
    goes_on = _retry(here, begun)
    if drifted(run):
        goes_on = f"once the dial shows again what is expected: {goes_on}"
    out = [Exit("dayshift retry", goes_on)]
    if here.phase is Phase.WORKING and step and not begun:
        out.append(
            Exit(
                f"dayshift done-by-hand {step}",
                f"takes step {step} as done by you and goes on",
            )
        )
    if drifted(run):
        if sight is None or adopt_reason(state, sight) is None:
            out.append(Exit("dayshift adopt", _adopt(here)))
        then = f"once what the dial shows is adopted: {abort_consequence(run, plan)}"
        out.append(Exit("dayshift abort", then))
        return tuple(out)
    out.append(Exit("dayshift abort", abort_consequence(run, plan)))
    if here.phase in CLOSABLE:
        out.append(
            Exit(
                "dayshift close --leave-drained",
                f"ends the run; {here.region} stays out until "
                f"`dayshift return {here.region}`",
            )
        )
    return tuple(out)


def adopt_reason(state: JournalState, sight: Sight) -> Reason | None:
    """Why what the dials show now cannot become the expected."""
    for dial, usual in sorted(state.plan.baseline.items()):
        reading = sight.dials.get(dial)
        if reading is None or reading.setting is None:
            return _not_adopted("DIAL-UNREACHABLE", f"dial {dial} cannot be read now")
        fault = reading.setting.fault()
        if fault and reading.setting != state.confirmed.get(dial, usual):
            return _not_adopted("LAST-SERVER", f"dial {dial}: {fault}")
    return None


def _not_adopted(code: str, what: str) -> Reason:
    next_step = "bring the dial back by hand, then see `dayshift status`"
    return Reason(code, what, so="nothing moved", next=next_step)


def drifted(run: RunState) -> bool:
    """True while the run is held for a dial that shows what nobody here asked for."""
    return run.hold is not None and run.hold.reason.code == "DRIFT"


def _adopt(here: PassState) -> str:
    taken = "takes what the dial shows as expected"
    if here.phase not in OUT:
        return taken
    return (
        f"{taken}; users that it sends to {here.region} are taken out again, and "
        f"{here.region} is proven empty before anything goes on there"
    )


def unfinished_step(here: PassState, plan: Plan) -> str | None:
    """The first work step of this region that is not done."""
    for work in plan.change.regions:
        if work.region == here.region:
            for step in work.steps:
                if step.name not in here.done:
                    return step.name
    return None


def undoable(here: PassState, plan: Plan) -> bool:
    """True when every step that was started can be undone."""
    steps = {
        step.name: step
        for work in plan.change.regions
        if work.region == here.region
        for step in work.steps
    }
    return all(name in steps and steps[name].undo for name in here.started)


def outstanding(here: PassState) -> bool:
    """True when a step was started and not undone: the region is not as it was."""
    return not set(here.started) <= set(here.undone)


def abort_consequence(run: RunState, plan: Plan) -> str:
    """The shares that will result from an abort, in words."""
    here = run.now_at
    region = here.region
    shares = _usual(plan, region)
    begun = here.phase not in (Phase.SERVING, Phase.PREFLIGHT)
    if plan.verb is Verb.RETURN and not begun:
        return f"nothing moves; {region} stays drained"
    if here.phase in ENDED or not begun:
        return f"nothing more moves; shares stay {shares}"
    if plan.verb is Verb.RETURN:
        return f"{region} goes to 0.00 % and stays drained"
    if not outstanding(here):
        return f"{region} goes back to its usual share: {shares}"
    if undoable(here, plan):
        return (
            f"undoes the work in {region} at zero traffic, then returns it under the "
            f"gate: {shares}"
        )
    return (
        f"{region} goes to 0.00 % and stays drained: a step there cannot be undone; "
        "the others keep all traffic"
    )


def _usual(plan: Plan, region: str) -> str:
    parts = []
    served = plan.pass_of(region).ramp[-1].served
    for service in plan.estate.moving():
        shares = served.get(service.name, service.shares)
        row = ", ".join(f"{r} {shares[r] / 100:.2f} %" for r in service.shares)
        parts.append(row if len(plan.estate.moving()) == 1 else f"{service.name} {row}")
    return "; ".join(parts)


def _retry(here: PassState, begun: bool) -> str:
    match here.phase:
        case Phase.SERVING | Phase.PREFLIGHT:
            return f"checks {here.region} again and begins its pass"
        case Phase.WORKING if not here.certified:
            return f"proves {here.region} empty again, then goes on with the work"
        case Phase.WORKING if begun:
            return "waits for the step that was started, then goes on with the work"
        case Phase.WORKING:
            return "runs the failed step again"
        case Phase.VALIDATING:
            return f"probes {here.region} again, then ramps from the first rung"
        case _:
            return f"goes on with {here.phase.value} of {here.region}"
