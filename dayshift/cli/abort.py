"""`dayshift abort`: back to verified shares, from every state."""

from __future__ import annotations

import asyncio

from dayshift.cli import controller, look, say, telling
from dayshift.cli.confirming import confirm
from dayshift.cli.everywhere import Cli
from dayshift.cli.foreground import Foreground, Manner
from dayshift.cli.options import Plain, Yes
from dayshift.cli.submitted import Following
from dayshift.core.exits import abort_consequence
from dayshift.errors import EXIT_DONE
from dayshift.runtime.session import Session, Workspace


def abort(cli: Cli, yes: Yes = False, as_lines: Plain = False) -> int:
    """Go back and end the run. First it prints the shares that will result.

    It converges from every phase: before the work the region simply gets its users
    back; after it the work is undone or the region stays drained, whichever is safe.
    Every dial is read back. Exit code 4 once the run has ended aborted.

    Example: `dayshift abort`
    """
    workspace = Workspace(cli.base)
    state, run = controller.open_run(cli)
    text = f"abort: {abort_consequence(run, state.plan)}"
    if not cli.as_json:
        say.note(text)
    confirm(cli, "Abort this run?", yes)
    if controller.ask(cli, "abort", {}):
        if controller.serving(cli):
            # Controllers that serve stay; the run is what comes to an end.
            return Following(cli, Manner(True, as_lines), run.run).go()
        try:
            return asyncio.run(look.follow(cli, workspace, as_lines, True))
        except telling.NOBODY:
            return _ended(cli, workspace)
        except KeyboardInterrupt:
            say.note("the controller goes on aborting; `dayshift watch` follows it")
            return EXIT_DONE
    session = Session.reopen(workspace, state)
    try:
        manner = Manner(as_lines=as_lines)
        return Foreground(cli, session, manner).go(("abort", cli.person, {}))
    finally:
        session.close()


def _ended(cli: Cli, workspace: Workspace) -> int:
    """It was so quick that there was nothing left to follow."""
    return look.end(cli, telling.unwatched(workspace))
