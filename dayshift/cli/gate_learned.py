"""What `dayshift gate calibrate` prints. Only layout; the words are in `gate_words`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dayshift.cli import gate_words
from dayshift.cli.gate_options import fold, out_console
from dayshift.cli.gate_words import Smallest
from dayshift.model.calibration import Calibration
from dayshift.model.estate import Policy
from dayshift.runtime.history.learn import Learned
from dayshift.surfaces import words

INDENT = "  "


def show(
    learned: Learned, policy: Policy, found: list[Smallest], regions: Sequence[str]
) -> None:
    """A paragraph and a table for each stream and region, then the notes."""
    console = out_console()
    for one in learned.calibrations:
        console.print(Text(f"{one.stream} in {one.region}", "bold"))
        _wrapped(console, gate_words.span_told(one))
        others = [name for name in regions if name != one.region]
        named = others[0] if len(others) == 1 else "the others"
        for sentence in gate_words.sentences(one, named):
            _wrapped(console, sentence)
        if not one.trusted:
            limit = words.short_share(policy.gate.absolute_error_bp)
            text = (
                f"not trusted: {one.why}. Until then the gate holds where it would "
                f"turn back, and a person decides; alone more than {limit} errors turn "
                "back by themselves"
            )
            _wrapped(console, text, "yellow")
        _table(console, one, found)
        console.print()
    for note in learned.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)


def _table(console: Console, one: Calibration, found: list[Smallest]) -> None:
    """The smallest regression of errors, by rung and time."""
    mine = [s for s in found if (s.stream, s.region) == (one.stream, one.region)]
    _wrapped(console, "smallest rise of errors that would turn it back, 8 of 10 times:")
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(f"{INDENT}{INDENT}at share", justify="right")
    for minutes in gate_words.MINUTES:
        table.add_column(f"within {minutes} min", justify="right")
    for share in sorted({s.share_bp for s in mine}):
        row = [gate_words.times(s.ratio) for s in mine if s.share_bp == share]
        table.add_row(words.short_share(share), *row)
    console.print(table)


def _wrapped(console: Console, text: str, style: str = "") -> None:
    lines = fold(text, console.width - 2 * len(INDENT) - 1)
    for number, line in enumerate(lines):
        pad = INDENT if not number else INDENT * 2
        console.print(Text(pad + line, style), soft_wrap=True)
