"""A person's request: to the controller that runs, or by becoming the controller.

Every verb that steers goes through `ask` first. Only where nobody listens may a verb
take the writer's lock itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from dayshift.cli import say
from dayshift.cli.confirming import confirm
from dayshift.cli.everywhere import Cli
from dayshift.cli.foreground import Foreground, Manner
from dayshift.cli.telling import NOBODY, peek
from dayshift.core.state import JournalState, RunState
from dayshift.errors import EXIT_DONE, DayshiftError, Reason, Refused
from dayshift.runtime import control
from dayshift.runtime.clock import RealClock
from dayshift.runtime.session import Session, Workspace

ANSWER_MS = 10_000
"""How long a person waits for a controller that decides several times a second."""


def ask(cli: Cli, verb: str, args: Mapping[str, str]) -> bool:
    """Ask the running controller; False if none runs.

    Raises:
        Refused: it said no, with its reason.
        DayshiftError: it lives and does not answer.
    """
    path = Workspace(cli.base).socket
    try:
        reply = asyncio.run(_call(path, verb, args, cli.name))
    except NOBODY:
        return False
    except TimeoutError:
        raise DayshiftError(_silent(verb)) from None
    if not reply.accepted:
        raise Refused(reply.reason or Reason("REFUSED", f"`{verb}` was refused"))
    return True


def serving(cli: Cli) -> str:
    """The name of the controller that serves in this directory; empty if none does."""
    try:
        return asyncio.run(_served_by(Workspace(cli.base).socket))
    except NOBODY:
        return ""
    except TimeoutError:
        raise DayshiftError(_silent("who")) from None


async def _served_by(path: Path) -> str:
    return await RealClock().within(ANSWER_MS, control.served_by(path))


async def _call(
    path: Path, verb: str, args: Mapping[str, str], name: str
) -> control.Reply:
    return await RealClock().within(ANSWER_MS, control.call(path, verb, args, name))


def _silent(verb: str) -> Reason:
    return Reason(
        "CONTROLLER-SILENT",
        f"the controller did not answer `{verb}` within {ANSWER_MS // 1000} s",
        because="its process is there: stopped, stuck, or overloaded",
        so=f"nobody knows whether `{verb}` is granted; it may be, once it goes on",
        next="`dayshift status` names it: let it go on, or end it; then ask again",
    )


def granted(cli: Cli, verb: str, text: str) -> int:
    """Say that a request was granted."""
    if cli.as_json:
        say.document({"accepted": True, "verb": verb, "by": cli.person, "text": text})
    else:
        say.out(text)
    return EXIT_DONE


def open_run(cli: Cli) -> tuple[JournalState, RunState]:
    """The state and its open run, as the journal has them.

    Raises:
        Refused: no run is open.
    """
    state = peek(Workspace(cli.base))
    run = state.open_run if state else None
    if state is None or run is None:
        raise Refused(
            Reason(
                "NO-RUN",
                "no run is open here",
                because=_last(state),
                so="there is nothing to steer; nothing moved",
                next="`dayshift run change.yaml` begins one",
            )
        )
    return state, run


def _last(state: JournalState | None) -> str:
    if state is None or state.run is None:
        return "no run was ever opened in this journal"
    run = state.run
    result = run.result.value if run.result else "closed"
    return f"the last one, {run.run}, ended: {result}"


def take_over(
    cli: Cli,
    verb: str,
    args: Mapping[str, str],
    question: str,
    yes: bool,
    manner: Manner,
) -> int:
    """Become the controller, ask first what was asked, and go on with the run."""
    state, run = open_run(cli)
    here = run.now_at
    if not cli.as_json:
        say.note(
            f"No controller is running: nobody is watching run {run.run}, which is "
            f"{run.status.value} in {here.phase.value} of {here.region}."
        )
    confirm(cli, f"{question} This terminal becomes its controller.", yes)
    session = Session.reopen(Workspace(cli.base), state)
    try:
        return Foreground(cli, session, manner).go((verb, cli.person, args))
    finally:
        session.close()
