"""`drain`, `return`, `evacuate`: the everyday verbs, without a change file."""

from __future__ import annotations

from typing import Annotated

import typer

from dayshift.cli import controller, files, glass, launch
from dayshift.cli.everywhere import Cli
from dayshift.cli.foreground import Manner
from dayshift.cli.options import ExitWhenHeld, Plain, Why, Yes
from dayshift.cli.telling import peek
from dayshift.core import planner
from dayshift.core.state import JournalState
from dayshift.errors import Reason, Refused
from dayshift.model.estate import Change, Estate
from dayshift.model.plan import Plan, Verb
from dayshift.runtime.session import Workspace, make_plan

Region = Annotated[str, typer.Argument(help="A region of the estate.")]


def drain(
    cli: Cli,
    region: Region,
    why: Why = "",
    yes: Yes = False,
    exit_when_held: ExitWhenHeld = False,
    as_lines: Plain = False,
) -> int:
    """Take a region out of traffic, prove it empty, and leave it so.

    Every guard is asked first: capacity of the others, both meters, one region at a
    time. `dayshift return` gives its traffic back.

    Example: `dayshift drain fra --reason "power test"`
    """
    plan = _plan(cli, Verb.DRAIN, region, why)
    return launch.launch(cli, plan, Manner(exit_when_held, as_lines), yes)


def give_back(
    cli: Cli,
    region: Region,
    now: Annotated[
        bool, typer.Option("--now", help="As fast as it can serve; no gate, no soak.")
    ] = False,
    why: Why = "",
    yes: Yes = False,
    exit_when_held: ExitWhenHeld = False,
    as_lines: Plain = False,
) -> int:
    """Give a drained region its traffic back, step by step under the gate.

    While a run brings that region back already, `--now` makes it hurry: what the probes
    must show is less, and the gate is not waited for; both are recorded with your name.
    With `--reason` it also works while the journal's store is gone.

    Example: `dayshift return fra`
    """
    manner = Manner(exit_when_held, as_lines)
    if not now:
        return _give_back(cli, region, now, why, yes, manner)
    ask = (yes, manner)
    return glass.or_break(
        cli,
        Verb.RETURN,
        region,
        why,
        ask,
        lambda: _give_back(cli, region, now, why, yes, manner),
    )


def _give_back(
    cli: Cli, region: str, now: bool, why: str, yes: bool, manner: Manner
) -> int:
    args = {"region": region}
    state = peek(Workspace(cli.base))
    run = state.open_run if state else None
    if state is None or run is None or _same(state, Verb.RETURN, region):
        plan = _plan(cli, Verb.RETURN, region, why)
        hurry = ("return", cli.person, args) if now else None
        if run is not None and now and controller.ask(cli, "return", args):
            return controller.granted(cli, "return", f"{region} returns in a hurry")
        return launch.launch(cli, plan, manner, yes, hurry)
    if not now:
        raise Refused(_comes_by_itself(state, region))
    if controller.ask(cli, "return", args):
        return controller.granted(cli, "return", f"{region} returns in a hurry")
    question = f"Return {region} as fast as it can serve?"
    return controller.take_over(cli, "return", args, question, yes, manner)


def evacuate(
    cli: Cli,
    region: Region,
    why: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Recorded.")],
    yes: Yes = False,
    exit_when_held: ExitWhenHeld = False,
    as_lines: Plain = False,
) -> int:
    """Emergency drain: out now, whatever capacity, gate and approvals say.

    Last server, explicit targets and fencing still hold. Works with a full disk, and
    with the journal's store gone, from the sealed bundle (docs/break-glass.md). Never
    reverts by itself. `dayshift return` gives the traffic back.

    Example: `dayshift evacuate fra --reason "fire alarm" --yes`
    """
    manner = Manner(exit_when_held, as_lines)

    def regular() -> int:
        state = peek(Workspace(cli.base))
        run = state.open_run if state else None
        other = state and run and not _same(state, Verb.EVACUATE, region)
        if other and run and run.now_at.region == region:
            return _out_at_once(cli, region, why, yes, manner)
        plan = _plan(cli, Verb.EVACUATE, region, why)
        return launch.launch(cli, plan, manner, yes)

    ask = (yes, manner)
    return glass.or_break(cli, Verb.EVACUATE, region, why, ask, regular)


def _out_at_once(cli: Cli, region: str, why: str, yes: bool, manner: Manner) -> int:
    """The region in flight: whoever leads its run takes it out, with all it holds."""
    args = {"region": region, "reason": why}
    if controller.ask(cli, "evacuate", args):
        return controller.granted(cli, "evacuate", f"{region} goes out at once")
    question = f"Take {region} out at once, and end its run there?"
    return controller.take_over(cli, "evacuate", args, question, yes, manner)


def _plan(cli: Cli, verb: Verb, region: str, why: str) -> Plan:
    """The plan of an everyday verb; that of the open run, if it is the same one.

    Raises:
        Refused: no such region, or another run is open.
    """
    estate = files.load_estate(cli)
    if region not in estate.region_names():
        raise Refused(_unknown(estate, region))
    state = peek(Workspace(cli.base))
    if state is not None and state.open_run is not None:
        if not _same(state, verb, region):
            raise Refused(_busy(state, verb, region))
        return make_plan(estate, state.plan.change, verb, state.plan.out)
    out: tuple[str, ...] = ()
    if state is not None and verb in (Verb.EVACUATE, Verb.RETURN):
        out = tuple(name for name in state.left_drained if name != region)
    return make_plan(estate, _change(verb, region, why), verb, out)


def _change(verb: Verb, region: str, why: str) -> Change:
    reason = why or f"{verb.value} {region}"
    return planner.simple_change(f"{verb.value}-{region}", (region,), reason)


def _same(state: JournalState, verb: Verb, region: str) -> bool:
    """Is the open run this very verb for this region?"""
    plan = state.plan
    return plan.verb is verb and [one.region for one in plan.passes] == [region]


def _unknown(estate: Estate, region: str) -> Reason:
    return Reason(
        "UNKNOWN-REGION",
        f"there is no region {region}; there are {', '.join(estate.region_names())}",
        because=f"estate {estate.name}",
        so="nothing moved",
        next="name one of them",
    )


def _busy(state: JournalState, verb: Verb, region: str) -> Reason:
    run, plan = state.run, state.plan
    assert run is not None
    here = run.now_at
    return Reason(
        "RUN-OPEN",
        f"run {run.run} ({plan.verb.value} {plan.change.name}) is open: {here.region} "
        f"is in {here.phase.value}",
        because="invariant: one wave in the whole estate",
        so=f"{region} was not touched by `{verb.value}`; nothing moved",
        next=f"`dayshift abort` takes {here.region} back first; `dayshift return "
        f"{here.region} --now` hurries if it is coming back already",
    )


def _comes_by_itself(state: JournalState, region: str) -> Reason:
    run = state.run
    assert run is not None
    here = run.now_at
    return Reason(
        "RUN-OPEN",
        f"run {run.run} is open: {here.region} is in {here.phase.value}",
        because="the run returns its regions by itself, under the gate",
        so="nothing changed",
        next=f"`dayshift return {region} --now` hurries; `dayshift abort` goes back",
    )
