"""What the gate's verbs take (spans, moments, shares), and how they fill lines.

Here live the options and the folding of text, no verb.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dayshift.runtime.history import fields
from dayshift.runtime.history.fields import Unfit

SPAN_MS = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
}
WIDTH_MIN = 40
_UNIT = re.compile(r"(?<=\d) (?=%|ms\b|s\b|min\b|h\b|µs\b)")
PIPE_WIDTH = 200
"""Lines of a pipe are not folded to the width of a terminal that is not there."""

Region = Annotated[
    str, typer.Option("--region", metavar="REGION", help="The returning region.")
]
Cumulative = Annotated[
    bool,
    typer.Option("--cumulative", help="Counts are running counters, not increments."),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse rows that come late in the file.")
]

_HISTORY = "History (default: the file's own beginning)"
History = Annotated[
    Path | None, typer.Option(help="Learn from these rows.", rich_help_panel=_HISTORY)
]
Known = Annotated[
    Path | None,
    typer.Option(help="What `gate calibrate` wrote.", rich_help_panel=_HISTORY),
]
NoHistory = Annotated[
    bool, typer.Option("--no-history", help="Learn nothing.", rich_help_panel=_HISTORY)
]

_POLICY = "Policy"
Config = Annotated[
    Path | None,
    typer.Option(help="Policy and ramp of a dayshift.yaml.", rich_help_panel=_POLICY),
]
Dwell = Annotated[
    str, typer.Option(help="Least time on a rung: 3min.", rich_help_panel=_POLICY)
]
RollbackOdds = Annotated[
    int | None,
    typer.Option(min=2, help="Odds to 1 that turn back.", rich_help_panel=_POLICY),
]
AbsoluteErrors = Annotated[
    str,
    typer.Option(
        help="More errors are bad by themselves: 10%.", rich_help_panel=_POLICY
    ),
]
Slow = Annotated[
    list[str] | None,
    typer.Option(help="Judge answers slower than: 250ms.", rich_help_panel=_POLICY),
]
Ramp = Annotated[
    str, typer.Option(help="Rungs: 1%,5%,25%,50%.", rich_help_panel=_POLICY)
]

_SOURCE = "Where from (default: Prometheus, else samples)"
FromPrometheus = Annotated[
    bool,
    typer.Option(
        "--from-prometheus", help="What the meters remember.", rich_help_panel=_SOURCE
    ),
]
FromSamples = Annotated[
    bool,
    typer.Option(
        "--from-samples", help="The journal's samples.", rich_help_panel=_SOURCE
    ),
]
FromFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A recorded file.", rich_help_panel=_SOURCE),
]
Live = Annotated[
    str,
    typer.Option(metavar="SPAN", help="From now on: 10m.", rich_help_panel=_SOURCE),
]


def span_ms(text: str, option: str) -> int:
    """`10m`, `4 h`, `90s` → milliseconds."""
    found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,3})?)\s*([a-z]+)\s*", text)
    if found is None or found[2] not in SPAN_MS:
        known = ", ".join(SPAN_MS)
        raise typer.BadParameter(
            f"{option} {text!r} is not a span such as 10m or 4h (units: {known})"
        )
    return round(float(found[1]) * SPAN_MS[found[2]])


def moment_ms(text: str, now_ms: int, option: str) -> int:
    """`4h` ago, or a moment as recorded files have it."""
    if re.fullmatch(r"\s*\d[\d.]*\s*[a-z]+\s*", text):
        return now_ms - span_ms(text, option)
    try:
        return fields.when_ms(text)
    except Unfit as unfit:
        way_out = f"{unfit.way_out}, or `4h` for four hours ago"
        raise typer.BadParameter(f"{option}: {unfit}; {way_out}") from None


def share_bp(text: str, option: str) -> int:
    """A share as recorded files have it."""
    try:
        return fields.share_bp(text)
    except Unfit as unfit:
        raise typer.BadParameter(f"{option}: {unfit}; {unfit.way_out}") from None


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line that changes, on a terminal only: results stay alone on stdout."""
    console = Console(stderr=True, highlight=False)
    if quiet or not console.is_terminal:
        yield lambda text: None
        return
    with console.status("") as status:
        yield lambda text: status.update(text)


def out_console() -> Console:
    """Where results go; as wide as the terminal, or as a line needs to be."""
    console = Console(highlight=False)
    if not sys.stdout.isatty() and not _told_width():
        console.width = PIPE_WIDTH
    return console


def fold(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Text in lines of a width; a number keeps its unit."""
    kept = _UNIT.sub("\u00a0", text)
    lines = textwrap.wrap(
        kept,
        max(WIDTH_MIN, width),
        break_on_hyphens=False,
        initial_indent=first,
        subsequent_indent=rest,
    )
    return [line.replace("\u00a0", " ") for line in lines]


def _told_width() -> bool:
    return os.environ.get("COLUMNS", "").isdigit()
