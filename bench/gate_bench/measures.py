"""What the gate promises, as limits on rows of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gate_bench.runs import OURS
from gate_bench.table import Row

Reads = Callable[[Row], float | None]


@dataclass(frozen=True)
class Measure:
    """One promise: what is read from one scenario's row, and its limit."""

    scenario: str
    what: str
    read: Reads
    most: float | None = None
    least: float | None = None

    def missed(self, row: Row) -> str | None:
        """What is wrong, or None. A value that is not there is a miss."""
        value = self.read(row)
        if value is None:
            return f"{self.scenario} {self.what}: never"
        if self.most is not None and value > self.most + 1e-9:
            return f"{self.scenario} {self.what}: {value:.2f}, at most {self.most:g}"
        if self.least is not None and value < self.least - 1e-9:
            return f"{self.scenario} {self.what}: {value:.2f}, at least {self.least:g}"
        return None


def _false(name: str, most: float) -> Measure:
    return Measure(name, "false rollbacks %", Row.false_percent, most=most)


def _found(
    name: str, most: float, harmed: float | None = None, least: float = 100.0
) -> list[Measure]:
    several = [
        Measure(name, "detected %", Row.detected_percent, least=least),
        Measure(name, "median minutes", lambda row: row.minutes, most=most),
    ]
    if harmed is not None:
        harm = Measure(name, "mean harmed", lambda row: row.harmed, most=harmed)
        several.append(harm)
    return several


def _soon(row: Row) -> float:
    return 100.0 * row.soon / row.runs


MEASURES = (
    *(_false(f"H{n}", 1.0) for n in range(1, 9)),
    Measure("H1", "minutes to finish", lambda row: row.finish_minutes, most=12.0),
    _false("H9", 1.5),
    *_found("R4", 2.5, 8.0),
    *_found("R1", 12.0, 45.0),
    *_found("R7", 6.0, 40.0),
    *_found("R13", 0.25),
    *_found("R13m", 0.25),
    *_found("R13s", 0.05),
    *_found("R13ms", 0.05),
    Measure("R14", "detected within 20 minutes %", _soon, least=95.0),
)
MEASURED = tuple(dict.fromkeys(one.scenario for one in MEASURES))


def missed(rows: dict[tuple[str, str], Row]) -> list[str]:
    """Every promise that these rows break; rows that were not run are left out."""
    found = []
    for measure in MEASURES:
        row = rows.get((measure.scenario, OURS))
        wrong = measure.missed(row) if row else None
        if wrong:
            found.append(wrong)
    return found
