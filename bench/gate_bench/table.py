"""From outcomes to rows, and from rows to the tables of the terminal and the docs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gate_bench.knobs import Scenario
from gate_bench.runs import Outcome

Z95 = 1.959964
SOON_S = 1200.0
BEGIN, END = "<!-- gate-bench: begin -->", "<!-- gate-bench: end -->"


@dataclass(frozen=True)
class Row:
    """One judge in one scenario.

    `false` counts roll-backs of what was healthy until then; `soon` the detections
    within 20 minutes of the onset. Minutes are medians of the runs that got there.
    """

    scenario: str
    judge: str
    runs: int
    false: int
    detected: int
    soon: int
    minutes: float | None
    errors: float
    slow: float
    finished: int
    finish_minutes: float | None

    @property
    def harmed(self) -> float:
        return self.errors + self.slow

    def false_percent(self) -> float:
        return 100.0 * self.false / self.runs

    def detected_percent(self) -> float:
        return 100.0 * self.detected / self.runs


def wilson(count: int, runs: int) -> tuple[float, float]:
    """95 % interval of a share, in per cent."""
    if runs == 0:
        return 0.0, 100.0
    part, over = count / runs, Z95 * Z95 / runs
    middle = (part + over / 2.0) / (1.0 + over)
    half = Z95 * math.sqrt(part * (1.0 - part) / runs + over / (4.0 * runs))
    half /= 1.0 + over
    return 100.0 * max(0.0, middle - half), 100.0 * min(1.0, middle + half)


def row_of(outcomes: Sequence[Outcome]) -> Row:
    """All runs of one judge in one scenario as one row."""
    took, finish, false = [], [], 0
    for one in outcomes:
        if one.finished_s is not None:
            finish.append(one.finished_s)
        if one.rolled_back_s is None:
            continue
        if one.onset_s is None:
            false += 1
        else:
            took.append(one.rolled_back_s - one.onset_s)
    return Row(
        outcomes[0].scenario,
        outcomes[0].judge,
        len(outcomes),
        false,
        len(took),
        sum(1 for one in took if one <= SOON_S),
        statistics.median(took) / 60.0 if took else None,
        statistics.fmean(one.harm.errors for one in outcomes),
        statistics.fmean(one.harm.slow for one in outcomes),
        len(finish),
        statistics.median(finish) / 60.0 if finish else None,
    )


def rows_of(outcomes: Iterable[Outcome]) -> dict[tuple[str, str], Row]:
    """Rows by scenario and judge."""
    kept: dict[tuple[str, str], list[Outcome]] = {}
    for one in outcomes:
        kept.setdefault((one.scenario, one.judge), []).append(one)
    return {key: row_of(each) for key, each in kept.items()}


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The same as plain values, with the intervals."""
    return [{**asdict(row), "false_95": wilson(row.false, row.runs)} for row in rows]


def number(value: float | None) -> str:
    """Short: one decimal below 100, none above."""
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.1f}".removesuffix(".0")


def minutes(value: float | None) -> str:
    """Minutes, or seconds where that says more."""
    if value is not None and value < 1.0:
        return f"{value * 60.0:.0f} s"
    return number(value)


def healthy_cell(row: Row) -> str:
    low, high = wilson(row.false, row.runs)
    finish = minutes(row.finish_minutes)
    if row.finished < row.runs - row.false:
        finish += f" ({100.0 * row.finished / row.runs:.0f} %)"
    return f"{number(row.false_percent())} ({low:.1f}–{high:.1f}) / {finish}"


def regressed_cell(row: Row) -> str:
    early = f" [{row.false} early]" if row.false else ""
    found = number(row.detected_percent())
    return f"{found} / {minutes(row.minutes)} / {number(row.harmed)}{early}"


def markdown(
    scenarios: Sequence[Scenario],
    judges: Sequence[str],
    rows: dict[tuple[str, str], Row],
) -> str:
    """Two tables: what was healthy, and what was not."""
    parts = []
    kinds = (
        (
            True,
            "**Healthy.** False rollbacks in % (95 % Wilson interval) / median minutes"
            " to finish (the part of the runs that finished within the hour, where not"
            " all did).",
            healthy_cell,
        ),
        (
            False,
            "**Regressed.** Detected in % / median time from the onset, in minutes /"
            " mean requests harmed until rolled back, or within the hour.",
            regressed_cell,
        ),
    )
    for healthy, title, cell in kinds:
        several = [one for one in scenarios if one.healthy is healthy]
        lines = [
            title,
            "",
            _line(["", "runs", *judges]),
            _line(["---"] * (len(judges) + 2)),
        ]
        for one in several:
            found = [rows.get((one.name, judge)) for judge in judges]
            runs = sorted({row.runs for row in found if row})
            cells = [cell(row) if row else "" for row in found]
            many = "/".join(map(str, runs))
            lines.append(_line([f"{one.name} {one.about}", many, *cells]))
        if several:
            parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def write(path: Path, text: str) -> None:
    """Replace what is between the markers of the page."""
    page = path.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    path.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}", encoding="utf-8")
