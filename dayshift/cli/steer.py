"""`pause`, `resume`, `take`, `hand-over`, `confirm`: to a run, from any terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from dayshift.cli import controller
from dayshift.cli.everywhere import Cli
from dayshift.cli.foreground import Manner
from dayshift.cli.options import ExitWhenHeld, Plain, Yes
from dayshift.core.state import Status
from dayshift.core.times import steps
from dayshift.errors import Reason, Refused
from dayshift.runtime.session import Session, Workspace


def pause(cli: Cli) -> int:
    """Stop the run where it is. Shares stay as they are; a retreat still ends.

    A work step that runs goes on to its end; no further one starts. `dayshift resume`
    goes on, `dayshift abort` goes back.

    Example: `dayshift pause`, when something outside needs a look first.
    """
    if controller.ask(cli, "pause", {}):
        text = "pause granted: nothing new begins; `dayshift status` shows where"
        return controller.granted(cli, "pause", text)
    _, run = controller.open_run(cli)
    if run.status is not Status.RUNNING:
        raise Refused(
            Reason(
                "NOT-RUNNING",
                f"the run is {run.status.value} already",
                so="nothing changed",
                next="`dayshift status` lists the ways on",
            )
        )
    return _note(cli, "pause", {}, "paused; nobody is watching this run")


def resume(
    cli: Cli,
    yes: Yes = False,
    exit_when_held: ExitWhenHeld = False,
    as_lines: Plain = False,
) -> int:
    """Go on with a paused run, after reading every dial back.

    Without a controller this terminal becomes one and goes on in the foreground.

    Example: `dayshift resume --yes`
    """
    if controller.ask(cli, "resume", {}):
        return controller.granted(cli, "resume", "the run goes on")
    question = "Go on with it?"
    manner = Manner(exit_when_held, as_lines)
    return controller.take_over(cli, "resume", {}, question, yes, manner)


def take(cli: Cli) -> int:
    """Say that you are on duty for this run; it is recorded and shown.

    Example: `dayshift take --as Ada`
    """
    if controller.ask(cli, "take", {}):
        return controller.granted(cli, "take", f"{cli.person} is on duty")
    return _note(cli, "take", {}, f"{cli.person} is on duty; no controller is running")


def hand_over(
    cli: Cli,
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="Who takes over.")],
) -> int:
    """Hand the duty for this run to somebody else; for runs that take days.

    Example: `dayshift hand-over --to Grace`
    """
    if not to.strip():
        raise typer.BadParameter("nobody is named", param_hint="--to")
    text = f"{to} is on duty"
    if controller.ask(cli, "hand-over", {"to": to}):
        return controller.granted(cli, "hand-over", text)
    return _note(cli, "hand-over", {"to": to}, f"{text}; no controller is running")


def _note(cli: Cli, verb: str, args: Mapping[str, str], text: str) -> int:
    """Without a controller: write it down, and leave."""
    state, _ = controller.open_run(cli)
    session = Session.reopen(Workspace(cli.base), state)
    try:
        session.note(verb, cli.person, args)
    finally:
        session.close()
    return controller.granted(cli, verb, text)


def confirm(
    cli: Cli,
    step: Annotated[str, typer.Argument(help="The step that waits for a person.")],
    item: Annotated[
        int | None, typer.Option("--item", min=1, help="One line of its checklist.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="The whole checklist.")] = False,
    result: Annotated[
        str, typer.Option("--result", help="done, partial or failed.")
    ] = "done",
    note: Annotated[str, typer.Option("--note", help="Why, if it is not done.")] = "",
    yes: Yes = False,
) -> int:
    """Give your word on a step that a person does: cabling, a part, a look.

    Your name is recorded with it. `dayshift status` shows what is open.

    Example: `dayshift confirm replace-disks --item 2 --as Ada`
    """
    if (item is None) != every and result == "done":
        raise typer.BadParameter("say --item N or --all", param_hint="--item")
    args = {"step": step, "item": str(item) if item else "all", "result": result}
    args |= {"note": note} if note else {}
    _known_step(cli, step)
    if controller.ask(cli, "confirm", args):
        return controller.granted(cli, "confirm", f"{cli.person} confirmed {step}")
    question = f"Take your word on {step}, and go on with the run?"
    return controller.take_over(cli, "confirm", args, question, yes, Manner())


def _known_step(cli: Cli, step: str) -> None:
    """Refuse a step that the region in flight does not have."""
    state, run = controller.open_run(cli)
    here = run.now_at.region
    names = [one.name for one in steps(state.plan, here)]
    if step not in names:
        raise Refused(
            Reason(
                "NO-SUCH-STEP",
                f"{here} has no step {step}; it has {', '.join(names) or 'none'}",
                so="nothing was recorded",
                next="`dayshift status` names the step that waits",
            )
        )
