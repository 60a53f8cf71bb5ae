"""Bars, marks and strips of the terminal view, in Unicode or in ASCII. Drawing only."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.text import Text

from dayshift.limits import FULL_BP
from dayshift.model.records import Phase
from dayshift.surfaces.nouns import Level, PassStory, RungStory


class Glyphs(msgspec.Struct, frozen=True):
    """The characters that a terminal can show."""

    full: str
    half: str
    empty: str
    mark: str
    past: str
    here: str
    ahead: str
    failed: str
    line: str
    here_region: str
    more: str


UNICODE = Glyphs("━", "╸", "─", "┃", "●", "◉", "○", "✗", "─", "▸", "…")
ASCII = Glyphs("=", "-", ".", "|", "*", "@", "o", "X", "-", ">", "~")
LEVEL_STYLES = {
    Level.INFO: "",
    Level.GOOD: "green",
    Level.WARN: "yellow",
    Level.BAD: "bold red",
}
LEVEL_MARKS = {Level.INFO: " ", Level.GOOD: "+", Level.WARN: "!", Level.BAD: "X"}
STRIP = tuple(
    one for one in Phase if one not in (Phase.DONE_PARTIAL, Phase.LEFT_DRAINED)
)
WIDE_STRIP = sum(len(one.value) + 1 for one in STRIP) + 2


def bar(part: int, whole: int, width: int, style: str, glyphs: Glyphs) -> Text:
    """`part` of `whole` in half cells; anything above nothing shows at least a half."""
    halves = max(0, min(2 * width, 2 * width * part // whole)) if whole else 0
    if part > 0 and not halves:
        halves = 1
    full, half = divmod(halves, 2)
    out = Text.assemble((glyphs.full * full + glyphs.half * half, style))
    return out.append(glyphs.empty * (width - full - half), "dim")


def share_bar(
    share_bp: int | None, baseline_bp: int, width: int, style: str, glyphs: Glyphs
) -> Text:
    """A share, with a mark where it usually is."""
    if share_bp is None:
        return Text("shares unknown".ljust(width)[:width], "yellow")
    out = bar(share_bp, FULL_BP, width, style, glyphs)
    at = min(width - 1, baseline_bp * width // FULL_BP)
    return Text.assemble(out[:at], (glyphs.mark, "bold"), out[at + 1 :])


def strip(journey: PassStory, width: int, glyphs: Glyphs) -> Text:
    """The pass from serving to done, the present phase lit."""
    now = Phase(journey.phase)
    if now not in STRIP:
        style = "green" if now is Phase.DONE_PARTIAL else "yellow"
        return Text(f"{glyphs.here} {now.value}", f"bold {style}")
    at = STRIP.index(now)
    if width >= WIDE_STRIP and journey.current:
        return _named(at)
    return _dotted(at, journey.current, glyphs)


def _named(at: int) -> Text:
    out = Text()
    for number, phase in enumerate(STRIP):
        if number == at:
            out.append(f"[{phase.value}]", "bold black on cyan")
        else:
            out.append(phase.value, "green" if number < at else "dim")
        out.append(" ")
    return out


def _dotted(at: int, current: bool, glyphs: Glyphs) -> Text:
    last = len(STRIP) - 1
    if at == last:
        return Text.assemble((glyphs.past * last, "green"), (" done", "bold green"))
    if at == 0 and not current:
        return Text(f"{glyphs.ahead * last} its turn comes", "dim")
    out = Text.assemble((glyphs.past * at, "green"))
    out.append(f"{' ' if at else ''}{glyphs.here} {STRIP[at].value} ", "bold cyan")
    return out.append(glyphs.ahead * (last - at), "dim").append(" done", "dim")


def stops(rungs: Sequence[RungStory], glyphs: Glyphs) -> Text:
    """The stops of a drain or a ramp: `● 1 %  ◉ 5 %  ○ 25 %  ○ 50 %`."""
    styles = {
        "passed": ("green", glyphs.past),
        "here": ("bold cyan", glyphs.here),
        "failed": ("bold red", glyphs.failed),
        "ahead": ("dim", glyphs.ahead),
    }
    out = Text()
    for one in rungs:
        style, mark = styles[one.status]
        out.append(f"{mark} {one.share_bp / 100:g} %   ", style)
    return out
