"""The ways out of a hold: `retry`, `done-by-hand`, `adopt`, `accept`, `close`.

Whether one is legal now is the core's to say; it refuses with its reason.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from dayshift.cli import controller
from dayshift.cli.everywhere import Cli
from dayshift.cli.foreground import Manner
from dayshift.cli.options import ExitWhenHeld, Plain, Why, Yes
from dayshift.runtime.session import Session, Workspace


def retry(
    cli: Cli,
    yes: Yes = False,
    exit_when_held: ExitWhenHeld = False,
    as_lines: Plain = False,
) -> int:
    """Try again what failed; what was done stays done.

    After traffic came to an empty region, it is proven empty again first.

    Example: `dayshift retry`, after the cause was mended.
    """
    if controller.ask(cli, "retry", {}):
        return controller.granted(cli, "retry", "it tries again")
    manner = Manner(exit_when_held, as_lines)
    return controller.take_over(cli, "retry", {}, "Try again?", yes, manner)


def done_by_hand(
    cli: Cli,
    step: Annotated[str, typer.Argument(help="The step that failed or waits.")],
    yes: Yes = False,
    exit_when_held: ExitWhenHeld = False,
    as_lines: Plain = False,
) -> int:
    """Say that you did a step of the work yourself; the run goes on behind it.

    Probes and the gate still judge the region before it gets users.

    Example: `dayshift done-by-hand upgrade`
    """
    args = {"step": step}
    if controller.ask(cli, "done-by-hand", args):
        text = f"step {step} counts as done by {cli.person}"
        return controller.granted(cli, "done-by-hand", text)
    manner = Manner(exit_when_held, as_lines)
    question = f"Take step {step} as done by you, and go on?"
    return controller.take_over(cli, "done-by-hand", args, question, yes, manner)


def adopt(
    cli: Cli,
    yes: Yes = False,
    exit_when_held: ExitWhenHeld = False,
    as_lines: Plain = False,
) -> int:
    """Take what the dials show as what is expected, after somebody moved one.

    Refused where it would send users to a region under maintenance.

    Example: `dayshift explain` shows both values; then `dayshift adopt`.
    """
    if controller.ask(cli, "adopt", {}):
        return controller.granted(cli, "adopt", "what the dials show is expected now")
    manner = Manner(exit_when_held, as_lines)
    question = "Take what the dials show as expected, and go on?"
    return controller.take_over(cli, "adopt", {}, question, yes, manner)


def accept(
    cli: Cli,
    code: Annotated[str, typer.Argument(help="The code of the guard, as shown.")],
    why: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Recorded.")],
    second: Annotated[
        str, typer.Option("--second", metavar="NAME", help="The second person.")
    ] = "",
    yes: Yes = False,
    exit_when_held: ExitWhenHeld = False,
    as_lines: Plain = False,
) -> int:
    """Accept one named guard for this run, with a reason; some need a second person.

    Last server, explicit targets and fencing can be accepted by nobody.

    Example: `dayshift accept CAPACITY-EXCEEDED --reason "load falls" --second Grace`
    """
    args = {"code": code.upper(), "reason": why}
    args |= {"second": second} if second else {}
    if controller.ask(cli, "accept", args):
        return controller.granted(cli, "accept", f"{code.upper()} is accepted")
    manner = Manner(exit_when_held, as_lines)
    question = f"Accept {code.upper()}, and go on?"
    return controller.take_over(cli, "accept", args, question, yes, manner)


def close(
    cli: Cli,
    leave_drained: Annotated[
        bool, typer.Option("--leave-drained", help="Say it: the region stays out.")
    ] = False,
    why: Why = "",
) -> int:
    """End a held run and leave its region without users, until you return it.

    Only one region may be out at a time, so the next run needs `dayshift return` first.

    Example: `dayshift close --leave-drained --reason "waiting for a spare part"`
    """
    if not leave_drained:
        raise typer.BadParameter(
            "the region stays without users; say so", param_hint="--leave-drained"
        )
    args = {"reason": why}
    if not controller.ask(cli, "close", args):
        state, _ = controller.open_run(cli)
        session = Session.reopen(Workspace(cli.base), state)
        try:
            request = ("close", cli.person, args)
            asyncio.run(session.run(lambda frame: None, True, request))
        finally:
            session.close()
    return controller.granted(cli, "close", "the run is closed; the region stays out")
