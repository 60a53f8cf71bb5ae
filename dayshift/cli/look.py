"""`dayshift status`, `watch` and `explain`: where it is, and why it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

import typer
from msgspec.structs import replace
from rich.console import Console

from dayshift.cli import bundles, ending, say, storing, telling
from dayshift.cli.everywhere import Cli
from dayshift.errors import EXIT_DONE, JournalBroken, JournalFull
from dayshift.runtime.session import Workspace
from dayshift.surfaces import plain
from dayshift.surfaces.nouns import Story
from dayshift.surfaces.story import to_json
from dayshift.surfaces.terminal import TerminalView


def status(cli: Cli) -> int:
    """Say where the run is: shares, phase, what it waits for, the ways on.

    From the running controller if there is one; else from the journal, and then it says
    that nobody is watching. Looks only; safe at any time, from any terminal.

    Example: `dayshift status --json | jq .status`
    """
    return _show(cli, plain.page)


def explain(cli: Cli) -> int:
    """Say why the run waits, on which evidence, and what would move it.

    The same decision that steers the run answers, so it cannot say one thing and do
    another.

    Example: `dayshift explain`, when a rung takes longer than you thought.
    """
    return _show(cli, plain.explain_page)


def _show(cli: Cli, page: Callable[[Story], str]) -> int:
    workspace = Workspace(cli.base)
    try:
        story = asyncio.run(telling.now(workspace))
    except (JournalFull, JournalBroken) as error:
        raise bundles.with_bundle(error, workspace) from None
    access = workspace.access()
    if cli.as_json:
        seen = storing.look_at_store(workspace, access)
        say.line(to_json(replace(story, store=seen.told(story.wall_ms))))
        return EXIT_DONE
    say.out(page(story).rstrip("\n"))
    if access.shared:
        for line in storing.look_at_store(workspace, access).lines():
            say.out(line)
    for line in bundles.waiting(workspace):
        say.out(line)
    if not story.watched and story.status not in ("closed", "idle"):
        who = ending.SILENT if story.silent else ending.NOBODY_RUNS
        say.out(f"\n{who}\n  next     {ending.go_on(story)}")
    return EXIT_DONE


def watch(
    cli: Cli,
    as_lines: Annotated[
        bool, typer.Option("--plain", help="Lines instead of a live picture.")
    ] = False,
) -> int:
    """Follow the run of another terminal, live, until its controller ends.

    Ctrl-C leaves; the run goes on without you. With `--json` every change is one JSON
    document on a line of its own.

    Example: `dayshift watch --plain | tee maintenance.log`
    """
    workspace = Workspace(cli.base)
    try:
        return asyncio.run(follow(cli, workspace, as_lines))
    except (TimeoutError, *telling.NOBODY):
        return _show(cli, plain.page)
    except KeyboardInterrupt:
        return EXIT_DONE


async def follow(
    cli: Cli, workspace: Workspace, as_lines: bool, leave_when_held: bool = False
) -> int:
    """Show every story; at the end say how it ended.

    Raises:
        ConnectionError, FileNotFoundError: no controller runs here.
    """
    view = view_of(as_lines)
    last: Story | None = None
    try:
        async for story in telling.stories(workspace):
            if cli.as_json and not leave_when_held:
                say.line(to_json(story))
            elif not cli.as_json:
                view.update(story)
                view.start()
            if leave_when_held and story.status == "held":
                last = story
                break
    finally:
        view.stop()
    return end(cli, last or telling.unwatched(workspace))


def end(cli: Cli, story: Story) -> int:
    """Say how it ended, and return the exit code."""
    if cli.as_json:
        say.line(to_json(story))
    else:
        say.out(ending.last_words(story))
    return ending.exit_code(story)


def view_of(as_lines: bool) -> TerminalView:
    """The live picture on a terminal; plain lines on a pipe, or if asked for."""
    if as_lines:
        return TerminalView(Console(force_terminal=False, highlight=False))
    return TerminalView(Console(highlight=False))
