"""The live view: several sizes, no colour, dumb terminals, and its manners."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from rich.console import Console

from dayshift.surfaces import bars, panels
from dayshift.surfaces.nouns import Story
from dayshift.surfaces.terminal import Screen, TerminalView
from tests.kit.story import SCENES, Tale, run_until, the_tale
from tests.surfaces.conftest import CEST

Matches = Callable[[str, str, Tale], None]


def painted(story: Story, width: int, height: int) -> str:
    console = Console(
        width=width,
        height=height,
        file=io.StringIO(),
        force_terminal=True,
        no_color=True,
    )
    with console.capture() as caught:
        console.print(Screen(story, CEST))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", caught.get())
    return "\n".join(line.rstrip() for line in plain.splitlines()) + "\n"


@pytest.mark.parametrize("scene", ["emptying", "working", "returning", "held"])
def test_80_by_24(scene: str, matches: Matches) -> None:
    tale = run_until(scene)
    matches(f"terminal-{scene}-80x24.txt", painted(tale.story(), 80, 24), tale)


def test_more_room_is_used(matches: Matches) -> None:
    tale = run_until("returning")
    matches("terminal-returning-140x45.txt", painted(tale.story(), 140, 45), tale)


@pytest.mark.parametrize("size", [(80, 24), (140, 45), (60, 15), (40, 10), (20, 5)])
@pytest.mark.parametrize("scene", [*SCENES, "the end"])
def test_every_scene_fits_every_size(scene: str, size: tuple[int, int]) -> None:
    story = (the_tale() if scene == "the end" else run_until(scene)).story()
    width, height = size
    for glyphs in (bars.UNICODE, bars.ASCII):
        lines = panels.frame(story, width, height, glyphs, CEST)
        assert len(lines) == height
        assert max(line.cell_len for line in lines) <= width


def test_a_large_estate_with_long_names_fits() -> None:
    story = run_until("returning").story()
    fra = story.regions[0]
    many = tuple(
        replace(
            fra,
            name=f"a-region-with-a-long-name-{number}",
            services=tuple(
                replace(fra.services[0], service=f"a-service-with-a-long-name-{n}")
                for n in range(3)
            ),
        )
        for number in range(20)
    )
    lines = panels.frame(
        replace(story, regions=(fra, *many)), 80, 24, bars.UNICODE, CEST
    )
    assert len(lines) == 24
    assert max(line.cell_len for line in lines) <= 80
    assert any("and 5" in line.plain and "more" in line.plain for line in lines)


def test_every_exit_of_a_hold_is_on_the_smallest_usual_screen() -> None:
    story = run_until("held").story()
    text = painted(story, 80, 24)
    for one in story.exits:
        assert one.command in text
    assert "absence limit" in text


def test_trouble_is_shown_in_words_not_only_in_colour() -> None:
    tale = run_until("returning")
    tale.torn, tale.silent = True, ("ber",)
    tale.holders = ("fra", "ber")
    text = painted(tale.story(), 100, 30)
    assert "dial entry is MIXED" in text
    assert "blind: connection refused" in text
    assert "duty nightly is held by fra and ber" in text


def test_an_ascii_terminal_gets_ascii() -> None:
    for scene in SCENES:
        lines = panels.frame(run_until(scene).story(), 80, 24, bars.ASCII, CEST)
        assert all(line.plain.isascii() for line in lines)


def test_the_timeline_stands_still_while_a_phase_goes_on() -> None:
    tale = run_until("returning")
    rule = "─" * 80
    places = set()
    for waits in ((), tale.waiting, tale.waiting * 3):
        tale.waiting = waits
        lines = painted(tale.story(), 80, 24).splitlines()
        places.add([n for n, line in enumerate(lines) if line == rule][-1])
    assert len(places) == 1


def test_bars_show_a_half_for_anything_above_nothing() -> None:
    assert bars.bar(0, 10_000, 10, "", bars.UNICODE).plain == "──────────"
    assert bars.bar(1, 10_000, 10, "", bars.UNICODE).plain == "╸─────────"
    assert bars.bar(10_000, 10_000, 10, "", bars.UNICODE).plain == "━━━━━━━━━━"
    assert bars.share_bar(2500, 5000, 8, "", bars.ASCII).plain == "==..|..."


def test_the_view_gives_the_terminal_back() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24)
    view = TerminalView(console, CEST)
    view.start()
    view.update(run_until("working").story())
    view.update(run_until("held").story())
    view.stop()
    view.stop()
    said = out.getvalue()
    assert said.count("\x1b[?1049h") == said.count("\x1b[?1049l") == 1
    assert said.rfind("\x1b[?25h") > said.rfind("\x1b[?25l")
    left = said[said.rfind("\x1b[?1049l") :]
    assert "GATE-FAILED" in left
    assert "close --leave-drained" in left


def test_a_pipe_gets_plain_lines_and_each_only_once() -> None:
    out = io.StringIO()
    view = TerminalView(Console(file=out, width=80), CEST)
    view.start()
    story = run_until("working").story()
    view.update(story)
    before = out.getvalue()
    view.update(story)
    view.stop()
    assert out.getvalue() == before
    assert "\x1b" not in before
    assert "16:13:31   fra      step upgrade starts" in before


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = io.StringIO()
    view = TerminalView(Console(file=out, force_terminal=True, width=80), CEST)
    view.start()
    view.update(run_until("working").story())
    view.stop()
    assert "\x1b[?1049h" not in out.getvalue()
    assert "step upgrade starts" in out.getvalue()


def test_markup_in_names_is_only_text() -> None:
    story = replace(run_until("working").story(), change="[bold]x[/bold] [/]")
    assert "[bold]x[/bold] [/]" in painted(story, 120, 30)
