"""The benches still run, each at its smallest; what they measure is their own matter.

Not here: `scale` (`test_growth`), and those that take seconds at their smallest:
`redirect` (real Envoys under load) and `rehearsal`, which the type checker reads.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


def ran(*words: str) -> str:
    argv = [sys.executable, str(BENCH / words[0]), *words[1:]]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=110)
    # 1 is a target that a busy machine missed.
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr
    return done.stdout


def test_journal(tmp_path: Path) -> None:
    small = ("--appends", "60", "--records", "1500", "--folder", str(tmp_path))
    told = ran("journal.py", *small)
    for figure in ("bare SQLite", "ratio", "restart"):
        assert figure in told


@pytest.mark.parametrize("argv", [["--list"], ["--only", "R1", "--runs", "1"]])
def test_gate(argv: list[str]) -> None:
    one = () if argv == ["--list"] else ("--judges", "dayshift", "--processes", "1")
    assert "R1" in ran("gate.py", *argv, *one)
