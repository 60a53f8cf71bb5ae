"""From a plan to a run in this terminal: show it, ask, open or find it, go."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from dayshift.cli import controller, fitting, say
from dayshift.cli.confirming import confirm
from dayshift.cli.everywhere import Cli
from dayshift.cli.foreground import Asked, Foreground, Manner
from dayshift.cli.submitted import submit
from dayshift.cli.telling import peek
from dayshift.core import review
from dayshift.core.state import RunState, Status
from dayshift.errors import JournalHeld, Refused
from dayshift.model.estate import Estate
from dayshift.model.plan import PassPlan, Plan, Verb
from dayshift.runtime.session import Session, Workspace
from dayshift.surfaces import words


def launch(
    cli: Cli, plan: Plan, manner: Manner, yes: bool, request: Asked | None = None
) -> int:
    """Open a run of `plan`, or go on with the one that is open; run it here, or have
    the controllers do it where one serves in this directory.

    The question comes before the lock: whoever thinks it over keeps nobody else out.

    Raises:
        Refused: the plan has a fault, or another plan's run is open.
        JournalHeld: a controller runs already.
    """
    workspace = Workspace(cli.base)
    found = peek(workspace)
    run = found.open_run if found else None
    if run is None:
        _begin(cli, plan, yes)
    elif run.digest == plan.digest:
        resume = _go_on(cli, run, yes)
        # A hurry is a wish to go on as well.
        request = request or resume
    served = controller.serving(cli)
    if served:
        return submit(cli, plan, manner, request, served)
    session = _open(workspace, plan.estate)
    try:
        hurry = request is not None and request[0] == "return"
        session.begin(plan, cli.person, hurry or plan.verb is Verb.EVACUATE)
        if run is not None and not cli.as_json:
            say.note(
                f"resuming run {run.run}: {run.now_at.region} is in "
                f"{run.now_at.phase.value}; every dial is read back before anything "
                "moves"
            )
        return Foreground(cli, session, manner).go(request)
    finally:
        session.close()


def _open(workspace: Workspace, estate: Estate) -> Session:
    try:
        return Session.open(workspace, estate)
    except JournalHeld as error:
        way = "`dayshift watch` follows it; pause, abort and all others reach it"
        raise JournalHeld(replace(error.reason, next=way)) from None


def _begin(cli: Cli, plan: Plan, yes: bool) -> None:
    faults = review.faults(plan)
    faults += asyncio.run(fitting.faults(Workspace(cli.base), plan))
    if faults:
        raise Refused(faults[0])
    if not cli.as_json:
        for line in brief(plan):
            say.note(line)
    confirm(cli, "Begin?", yes)


def _go_on(cli: Cli, run: RunState, yes: bool) -> Asked | None:
    """A pause was somebody's wish, so its end is asked about."""
    if run.status is not Status.PAUSED:
        return None
    confirm(cli, f"It was paused by {run.paused_by}. Go on?", yes)
    return ("resume", cli.person, {})


def brief(plan: Plan) -> list[str]:
    """The plan in one line for each region."""
    change = plan.change
    about = f" ({change.ticket})" if change.ticket else ""
    reason = f": {change.reason}" if change.reason else ""
    out = [f"{plan.verb.value} {change.name}{about}{reason}"]
    out += [f"  {one.region}  {route(plan, one)}" for one in plan.passes]
    out.append(f"  plan {plan.digest}")
    return out


def route(plan: Plan, one: PassPlan) -> str:
    """The way out and back of one region: `out 25 %, 0 % · upgrade · back 1 %, …`."""
    steps = next(w.steps for w in plan.change.regions if w.region == one.region)
    out = ", ".join(words.short_share(stage.share_bp) for stage in one.drain)
    back = ", ".join(words.short_share(stage.share_bp) for stage in one.ramp)
    work = ", ".join(step.name for step in steps)
    parts = {
        Verb.DRAIN: (f"out {out}", "stays out"),
        Verb.EVACUATE: (f"out {out}", "stays out, never reverts"),
        Verb.RETURN: (f"back {back}",),
    }.get(plan.verb, (f"out {out}", f"work {work or 'none'}", f"back {back}"))
    return " · ".join(parts)
