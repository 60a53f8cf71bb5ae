"""A run that a controller elsewhere leads, followed from this terminal.

The same picture and the same exit codes as for a run of one's own; but leaving stops
nothing, for the controllers go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal

from dayshift.cli import controller, ending, look, say, telling
from dayshift.cli.everywhere import Cli, on_terminal
from dayshift.cli.foreground import Asked, Manner, read_line
from dayshift.core.exits import abort_consequence
from dayshift.errors import DayshiftError, JournalFull, Reason, Refused
from dayshift.model.plan import Plan
from dayshift.runtime import messages
from dayshift.runtime.clock import RealClock
from dayshift.runtime.session import Workspace
from dayshift.surfaces.nouns import Story

AGAIN_MS = 1_000
TRIES = 30
"""So many looks in a row may tell nothing before it leaves. The controller here, or the
store, may be there again, and the run goes on without this terminal."""


def submit(cli: Cli, plan: Plan, manner: Manner, request: Asked | None, by: str) -> int:
    """Have the leader open the run of `plan`, and follow it to its end.

    Raises:
        Refused: the leader did not open it.
    """
    controller.ask(cli, messages.OPEN, {"plan": messages.plan_text(plan)})
    if request is not None:
        controller.ask(cli, request[0], request[2])
    state = telling.peek(Workspace(cli.base))
    run = state.run.run if state and state.run else ""
    if not cli.as_json:
        say.note(f"run {run} is with the controllers; seen from {by}")
    return Following(cli, manner, run).go()


class Following:
    """Shows one run until it has ended, or is left."""

    def __init__(self, cli: Cli, manner: Manner, run: str) -> None:
        self._cli = cli
        self._manner = manner
        self._run = run
        self._workspace = Workspace(cli.base)
        self._silent = cli.as_json or manner.quiet
        self._view = look.view_of(manner.as_lines)
        self._showing: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._last: Story | None = None
        self._untold = 0
        """Looks in a row that told nothing of the run, and why the last one did not."""
        self._why = ""

    def go(self) -> int:
        """Show it to its end.

        Raises:
            DayshiftError: for too long nothing was heard of it; it may well go on.
        """
        try:
            asyncio.run(self._go())
        finally:
            self._view.stop()
        if self._untold >= TRIES:
            raise DayshiftError(self._out_of_sight())
        return look.end(self._cli, self._last or telling.unwatched(self._workspace))

    async def _go(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        for one in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(one, self._leave)
        if not self._silent:
            self._view.start()
        self._showing = asyncio.create_task(self._show())
        with contextlib.suppress(asyncio.CancelledError):
            await self._showing
        if self._asking is not None:
            self._asking.cancel()

    async def _show(self) -> None:
        while self._untold < TRIES:
            self._untold += 1
            if await self._listened():
                return
            await RealClock().sleep(AGAIN_MS)
            if self._read():
                return

    async def _listened(self) -> bool:
        """Show what the controller here tells, for as long as it does; True when that
        was the end."""
        self._why = "the controller here ended"
        try:
            async for story in telling.stories(self._workspace):
                self._untold = 0
                if self._over(story):
                    return True
        except JournalFull as error:
            self._why = error.reason.what
        except TimeoutError:
            self._why = "the controller here lives and does not answer"
        except telling.NOBODY:
            self._why = "no controller listens here"
        return False

    def _read(self) -> bool:
        """Show what the journal says; True when that was the end. One that grows has a
        controller somewhere."""
        try:
            story = telling.unwatched(self._workspace)
        except JournalFull as error:
            self._why = error.reason.what
            return False
        if story.run == self._run and (not self._last or story.seq > self._last.seq):
            self._untold = 0
        return self._over(story)

    def _out_of_sight(self) -> Reason:
        last = self._last
        seen = "nothing was seen of it"
        if last is not None:
            seen = f"last seen {ending.standing(last)}, record {last.seq}"
        return Reason(
            "OUT-OF-SIGHT",
            f"{TRIES} looks in a row told nothing new of run {self._run}",
            because=self._why,
            so=f"this terminal leaves; the run stays with whichever controller leads, "
            f"and goes on without it ({seen})",
            next="`dayshift watch` follows it again, here or at any other controller; "
            "`dayshift status` says who leads",
        )

    def _over(self, story: Story) -> bool:
        """Show it; True when there is nothing more to wait for."""
        if story.run != self._run:
            return False
        self._last = story
        if not self._silent:
            with contextlib.suppress(OSError):
                self._view.update(story)
        held = story.status in ("held", "paused") and self._manner.exit_when_held
        return story.status == "closed" or held

    def _interrupted(self) -> None:
        if self._asking is None and on_terminal() and not self._silent:
            self._asking = asyncio.create_task(self._ask())
        else:
            self._leave()

    def _leave(self) -> None:
        if self._showing is not None:
            self._showing.cancel()

    async def _ask(self) -> None:
        """Ask what Ctrl-C meant, while the run goes on behind the question."""
        state = telling.peek(self._workspace)
        if state is None or state.open_run is None:
            self._leave()
            return
        self._view.stop()
        say.note(
            "\nThe run goes on behind this question, also when you leave.\n"
            "  l  leave; the controllers go on\n"
            "  p  pause and leave\n"
            f"  a  abort: {abort_consequence(state.open_run, state.plan)}\n"
            "  g  go on looking (Enter)\n"
            "l, p, a or g? (Ctrl-C again: leave) "
        )
        answer = (await read_line()).strip().lower()[:1]
        verb = {"p": "pause", "a": "abort"}.get(answer)
        if verb:
            await self._request(verb)
        if answer in ("l", "p"):
            self._leave()
            return
        self._asking = None
        self._view.start()

    async def _request(self, verb: str) -> None:
        try:
            await asyncio.to_thread(controller.ask, self._cli, verb, {})
        except Refused as error:
            say.note(str(error))
