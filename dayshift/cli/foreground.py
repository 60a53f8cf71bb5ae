"""This terminal as the controller: the view, and what Ctrl-C and a hang-up mean.

The run is never stopped half-way: leaving is asking it to pause and waiting until it
stands still. Whatever happens, the terminal is given back as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from dayshift.cli import ending, say
from dayshift.cli.everywhere import Cli, on_terminal
from dayshift.cli.look import view_of
from dayshift.cli.telling import TELL_MS, Teller
from dayshift.core.exits import abort_consequence
from dayshift.core.state import Status
from dayshift.model.units import Instant, elapsed_ms
from dayshift.runtime.frame import Frame
from dayshift.runtime.orchestrator import Orchestrator
from dayshift.runtime.session import Session
from dayshift.surfaces.nouns import Story
from dayshift.surfaces.story import tell, to_json

Asked = tuple[str, str, Mapping[str, str]]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Manner:
    """How a run is shown, and whether a hold is a reason to leave."""

    exit_when_held: bool = False
    as_lines: bool = False
    quiet: bool = False


class Foreground:
    """Runs the open run of a session here, until it ends or is left."""

    def __init__(self, cli: Cli, session: Session, manner: Manner) -> None:
        self._cli = cli
        self._session = session
        self._manner = manner
        self._silent = cli.as_json or manner.quiet
        self._view = view_of(manner.as_lines)
        self._teller = Teller(session.journal)
        self._orchestrator: Orchestrator | None = None
        self._running: asyncio.Task[object] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._signals = 0
        self._told: Instant | None = None
        self._frame: Frame | None = None

    def go(self, request: Asked | None = None) -> int:
        """Run, say the last words, and return the exit code."""
        try:
            asyncio.run(self._go(request))
        finally:
            self._view.stop()
        story = self._last()
        if self._cli.as_json:
            say.line(to_json(story))
        else:
            say.out(ending.last_words(story))
        return ending.exit_code(story)

    async def _go(self, request: Asked | None) -> None:
        loop = asyncio.get_running_loop()
        for one in SIGNALS:
            loop.add_signal_handler(one, self._signalled, one)
        if not self._silent:
            self._view.start()
        self._running = asyncio.create_task(
            self._session.run(
                self._show, self._manner.exit_when_held, request, self._started
            )
        )
        try:
            await self._running
        except asyncio.CancelledError:
            if not self._signals:
                raise
        finally:
            if self._asking is not None:
                self._asking.cancel()
            for one in SIGNALS:
                loop.remove_signal_handler(one)

    def _started(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator

    def _show(self, frame: Frame) -> None:
        self._frame = frame
        if self._silent:
            return
        at = frame.sight.at
        if self._told is None or elapsed_ms(self._told, at) >= TELL_MS:
            self._told = at
            self._update(self._teller.story(frame))

    def _update(self, story: Story) -> None:
        # A terminal that hung up must not stop a region half-way.
        with contextlib.suppress(OSError):
            self._view.update(story)

    def _last(self) -> Story:
        """The end, as the journal has it and the world was seen last."""
        state = self._session.state
        sight = self._frame.sight if self._frame else None
        events = self._teller.events(state.seq)
        now = self._session.clock.now()
        story = tell(state, sight, None, events, now, watched=state.open_run is None)
        if not self._silent and not self._view.console.is_terminal:
            self._update(story)
        return story

    def _signalled(self, number: signal.Signals) -> None:
        """First Ctrl-C asks; any other signal pauses and leaves; the third leaves as
        it is."""
        self._signals += 1
        if self._signals > 2 and self._running is not None:
            self._running.cancel()
        elif number is signal.SIGINT and self._signals == 1 and self._can_ask():
            self._asking = asyncio.create_task(self._ask())
        else:
            self._pause_and_leave()

    def _can_ask(self) -> bool:
        return on_terminal() and not self._silent

    def _pause_and_leave(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        self._asking = asyncio.create_task(self._leave())

    async def _leave(self) -> None:
        """Leave as soon as the run stands still; a held one does already."""
        orchestrator = self._orchestrator
        if orchestrator is None:
            return
        if not self._silent:
            with contextlib.suppress(OSError):
                say.note("pausing; it leaves when nothing is under way any more")
        if orchestrator.run.status is Status.RUNNING:
            await orchestrator.ask("pause", self._cli.person, {})
        orchestrator.leaving = True

    async def _ask(self) -> None:
        """Ask what Ctrl-C meant, while the run goes on behind the question."""
        orchestrator = self._orchestrator
        if orchestrator is None:
            self._pause_and_leave()
            return
        run, plan = orchestrator.run, orchestrator.state.plan
        held = run.status is not Status.RUNNING
        self._view.stop()
        leave = "leave; nobody will be watching" if held else "pause and leave"
        say.note(
            "\nThe run goes on behind this question.\n"
            f"  p  {leave}\n"
            f"  a  abort: {abort_consequence(run, plan)}\n"
            "  g  go on (Enter)\n"
            "p, a or g? (Ctrl-C again: pause and leave) "
        )
        answer = (await read_line()).strip().lower()
        self._signals = 0
        if answer.startswith("p"):
            await self._leave()
            return
        if answer.startswith("a"):
            await orchestrator.ask("abort", self._cli.person, {})
        self._view.start()


async def read_line() -> str:
    """A line from the terminal, without stopping the loop; `p` at its end."""
    loop = asyncio.get_running_loop()
    got: asyncio.Future[str] = loop.create_future()
    source = sys.stdin.fileno()

    def ready() -> None:
        if not got.done():
            text = os.read(source, 256).decode(errors="replace")
            got.set_result(text or "p")

    loop.add_reader(source, ready)
    try:
        return await got
    finally:
        loop.remove_reader(source)
