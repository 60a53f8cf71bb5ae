"""The live view in a terminal; on a pipe or a dumb terminal, the plain lines.

The view owns the alternate screen while it runs, so that a resize repaints cleanly and
the scrollback stays the person's own; what it showed last is left behind on `stop`.
"""

from __future__ import annotations

from datetime import tzinfo

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from dayshift.surfaces import bars, panels, plain
from dayshift.surfaces.nouns import Story

REFRESH_HZ = 4
"""Calm: figures that change faster than this cannot be read."""


class Screen:
    """One story at whatever size the terminal has when it is painted."""

    def __init__(self, story: Story | None = None, zone: tzinfo | None = None) -> None:
        self.story = story
        self.zone = zone

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        if self.story is None:
            return
        height = options.height or console.height
        wide, glyphs = options.max_width, _glyphs(options)
        lines = panels.frame(self.story, wide, height, glyphs, self.zone)
        yield Text("\n").join(lines)


def _glyphs(options: ConsoleOptions) -> bars.Glyphs:
    return bars.ASCII if options.ascii_only else bars.UNICODE


class TerminalView:
    """Shows a story and goes on showing the newest one given to `update`.

    `start` and `stop` may alternate (to ask something in between); `update` works in
    either state and is cheap, so it may be called at every step of the controller.
    """

    def __init__(self, console: Console, zone: tzinfo | None = None) -> None:
        self.console = console
        self.zone = zone
        self._screen = Screen(zone=zone)
        self._live: Live | None = None
        self._told: Story | None = None
        self._paints = console.is_terminal and not console.is_dumb_terminal

    def start(self) -> None:
        if self._paints and self._live is None:
            self._live = Live(
                self._screen,
                console=self.console,
                screen=True,
                refresh_per_second=REFRESH_HZ,
            )
            self._live.start(refresh=True)

    def update(self, story: Story) -> None:
        self._screen.story = story
        if self._paints:
            return
        for line in plain.lines(self._told, story, self.zone):
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._told = story

    def stop(self) -> None:
        """Give the terminal back, with the last picture in its scrollback."""
        if self._live is None:
            return
        self._live.stop()
        self._live = None
        story, wide = self._screen.story, self.console.width
        if story is not None:
            glyphs = _glyphs(self.console.options)
            for line in panels.still(story, wide, glyphs, self.zone):
                self.console.print(line)


def restore(console: Console) -> None:
    """Give back a terminal whose painter was killed: the normal screen, a cursor."""
    if console.is_terminal:
        console.set_alt_screen(True)
        console.set_alt_screen(False)
        console.show_cursor(True)
