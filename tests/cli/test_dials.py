"""`dayshift dials`: what is installed, and what an estate's own dials say now."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dayshift.cli.main import main
from dayshift.runtime.wiring import available

ROOT = Path(__file__).parents[2]
KIT = ROOT / "tests/kit/dayshift.yaml"
SCRIPT = ROOT / "docs/examples/exec-dial/dial.py"
HALF = {"kind": "split", "rows": {"*": {"fra": 5000, "ber": 5000}}}
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


def estate(dial: str) -> None:
    """The kit's estate with another dial."""
    text = KIT.read_text()
    start = text.index("        driver: envoy\n        kind: split")
    end = text.index("    meters:")
    Path("dayshift.yaml").write_text(text[:start] + dial + text[end:])


def exec_estate(place: Path) -> None:
    for name in "ab":
        (place / f"{name}.json").write_text(json.dumps({"setting": HALF}))
    argv = json.dumps([sys.executable, str(SCRIPT), str(place)])
    estate(
        "        driver: exec\n        kind: split\n        options:\n"
        f"          read: {argv}\n          write: {argv}\n"
        "          regions: [fra, ber]\n"
    )


def test_every_installed_driver_is_listed_with_what_it_can_do(
    capsys: Captured,
) -> None:
    assert main(["dials", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["driver"] for one in told["kinds"]] == sorted(available("dials"))
    assert all(one["says"] and not one["fault"] for one in told["kinds"])
    assert all(one["offers"] for one in told["kinds"])
    assert told["dials"] == []
    assert main(["dials"]) == 0
    out = capsys.readouterr().out
    assert "haproxy" in out and "0.50 %" in out and "dayshift init" in out


def test_an_estate_shows_its_dials_as_they_answer(
    elsewhere: Path, capsys: Captured
) -> None:
    exec_estate(elsewhere)
    assert main(["dials", "exec", "--json"]) == 0
    (dial,) = json.loads(capsys.readouterr().out)["dials"]
    assert dial["reachable"] is True
    assert [one["instance"] for one in dial["instances"]] == ["a", "b"]
    (elsewhere / "b.down").touch()
    assert main(["dials", "--json"]) == 0
    (dial,) = json.loads(capsys.readouterr().out)["dials"]
    assert dial["reachable"] is False
    assert dial["instances"][1]["fault"] == "it does not answer"
    assert main(["dials"]) == 0
    out = capsys.readouterr().out
    assert "NO" in out and "fra 50.00 %" in out
    assert main(["dials", "haproxy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dials"] == []


def test_a_driver_that_is_not_installed_is_named(capsys: Captured) -> None:
    assert main(["dials", "haproxi"]) == 2
    assert "installed are:" in capsys.readouterr().err


def test_wrong_options_are_told_with_file_and_line(capsys: Captured) -> None:
    estate(
        "        driver: haproxy\n        kind: split\n        options:\n"
        "          map: {fra: a, ber: a}\n"
        "          instances: [{name: x, socket: s, file: f, port: 1}]\n"
    )
    assert main(["dials"]) == 2
    told = capsys.readouterr().err
    assert "dayshift.yaml:" in told and "port" in told
