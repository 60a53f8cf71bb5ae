"""docs/gate.md is true: its Python, what its commands print, its numbers.

`python -m tests.gates.test_gate_docs` pastes what they print anew.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from dayshift.cli.main import main
from dayshift.model.estate import GatePolicy
from tests.kit import recorded

PAGE = Path(__file__).parents[2] / "docs" / "gate.md"
PYTHON = re.compile(r"(?s)```python\n(.*?)```\n(.*?)```text\n(.*?)```")
CONSOLE = re.compile(r"(?s)```console\n\$ dayshift (.*?)\n(.*?)```")
ROW = re.compile(r"(?m)^\| `(\w+)` \| ([^|]+) \|")
CONSTANT = re.compile(r"(?m)^\| `(\w+)\.([A-Z_]+)` \|(.*)\|$")
ENVIRONMENT = {"COLUMNS": "80", "NO_COLOR": "1"}
ELLIPSIS = "…"
SHOWN = "elsewhere;"
"""What an example prints is shown up to here."""
DEFAULTS: dict[str, Callable[[GatePolicy], str]] = {
    "rollback_odds": lambda gate: f"{gate.rollback_odds}",
    "promote_odds": lambda gate: f"{gate.promote_odds}",
    "dwell": lambda gate: f"{gate.dwell_ms_min / 1000:g} s",
    "warmup": lambda gate: f"{gate.warmup_ms / 1000:g} s",
    "blast_radius": lambda gate: f"{gate.blast_bp / 100:g} %",
    "slow_blast_radius": lambda gate: f"{gate.slow_blast_bp / 100:g} %",
    "harm_requests": lambda gate: f"{gate.harm_requests}",
    "horizon": lambda gate: f"{gate.horizon_ms / 1000:g} s",
    "absolute_errors": lambda gate: f"{gate.absolute_error_bp / 100:g} %",
    "tolerated_ratio": lambda gate: f"{gate.tolerated_ratio_ppm / 1e6:g}",
    "slow": lambda gate: ", ".join(map(str, gate.slow_us)) or "learned",
    "gauges": lambda gate: ", ".join(one.name for one in gate.gauges) or "none",
    "calibration": lambda gate: "trusted" if gate.trusted else "not trusted",
}


def printed(command: str) -> str:
    """What `dayshift COMMAND` says beside the recorded file that the page speaks of."""
    out = io.StringIO()
    Path("incident.csv").write_text(recorded.text(factor=10))
    with contextlib.redirect_stdout(out):
        main(shlex.split(command))
    return out.getvalue()


def ran(source: str) -> list[str]:
    """What the page's Python prints, shortened as it is there."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(source, str(PAGE), "exec"), {"__name__": "example"})
    lines = [line.partition(SHOWN) for line in out.getvalue().splitlines()]
    return [f"{before}{mark} {ELLIPSIS}" for before, mark, _ in lines]


def constant(module: str, name: str) -> str:
    """A constant of the gate as the page shows it."""
    value = getattr(import_module(f"dayshift.gates.{module}"), name)
    several = value if isinstance(value, tuple) else (value,)
    return ", ".join(f"{one:.7g}" for one in several)


def told(text: str) -> str:
    """The words and the order, without numbers: those may differ in the last digit."""
    return " ".join(re.sub(r"\d[\d.,]*", "#", text).split())


def test_the_python_of_the_page_runs_and_prints_what_it_says() -> None:
    found = PYTHON.search(PAGE.read_text(encoding="utf-8"))
    assert found
    assert ran(found[1]) == found[3].splitlines(), "paste it anew, see above"


def test_the_commands_of_the_page_print_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    found = CONSOLE.findall(PAGE.read_text(encoding="utf-8"))
    assert len(found) == 2
    for command, shown in found:
        assert told(printed(command)) == told(shown), "paste it anew, see above"


def test_the_defaults_of_the_page_are_those_of_the_policy() -> None:
    rows = dict(ROW.findall(PAGE.read_text(encoding="utf-8")))
    gate = GatePolicy()
    assert {name: rows.get(name, "").strip() for name in DEFAULTS} == {
        name: shown(gate) for name, shown in DEFAULTS.items()
    }


def test_the_constants_of_the_page_are_those_of_the_code() -> None:
    found = CONSTANT.findall(PAGE.read_text(encoding="utf-8"))
    assert len(found) > 40
    shown = {(module, name): value.strip() for module, name, value in found}
    assert shown == {place: constant(*place) for place in shown}


def paste() -> None:
    """Put the commands' real output into the page."""
    os.environ.update(ENVIRONMENT)
    text = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        text = CONSOLE.sub(
            lambda one: f"```console\n$ dayshift {one[1]}\n{printed(one[1])}```", text
        )
    text = PYTHON.sub(
        lambda one: (
            f"```python\n{one[1]}```\n{one[2]}```text\n"
            + "".join(f"{line}\n" for line in ran(one[1]))
            + "```"
        ),
        text,
    )
    text = CONSTANT.sub(
        lambda one: f"| `{one[1]}.{one[2]}` | {constant(one[1], one[2])} |", text
    )
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    paste()
