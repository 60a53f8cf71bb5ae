"""Bad files at the command line: every error at once, exit code 2, nothing moved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dayshift.cli.main import main

KIT = Path(__file__).parent.parent / "kit"
READERS = [["check"], ["plan", "change.yaml"], ["run", "change.yaml", "--yes"]]
READERS += [["drain", "fra", "--yes"], ["evacuate", "fra", "--reason", "x", "--yes"]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("dayshift.yaml", "change.yaml"):
        shutil.copy(KIT / name, tmp_path / name)
    return tmp_path


def spoil(path: Path, was: str, becomes: str) -> None:
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, becomes, 1))


@pytest.mark.parametrize("argv", READERS, ids=lambda argv: argv[0])
def test_every_error_of_the_estate_at_once(
    place: Path, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    estate = place / "dayshift.yaml"
    spoil(estate, "shares: {fra: 50 %, ber: 50 %}", "shares: {fra: 50 %, ber: 60 %}")
    spoil(estate, "headroom: 85 %", "headrom: 85 %")
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert "110.00 %" in err
    assert "headrom" in err
    assert err.count("\n  next ") >= 2
    assert "Traceback" not in err

    assert main([*argv, "--json"]) == 2
    shown = capsys.readouterr()
    assert shown.err == ""
    told = json.loads(shown.out)
    assert told["error"] == told["errors"][0]
    assert len(told["errors"]) >= 2
    assert not (place / ".dayshift").exists()


@pytest.mark.parametrize("text", ["", "[]", "estate: demo\n", "{", "\x00", "a: *b\n"])
def test_a_file_that_is_no_estate(
    place: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "dayshift.yaml").write_text(text)
    assert main(["check"]) == 2
    err = capsys.readouterr().err
    assert "dayshift.yaml" in err
    assert "Traceback" not in err


def test_a_change_of_an_unknown_region(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(place / "change.yaml", "region: fra", "region: muc")
    assert main(["plan", "change.yaml", "--offline"]) == 2
    err = capsys.readouterr().err
    assert "change.yaml:" in err
    assert "muc" in err


def test_a_change_that_is_not_there(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "nope.yaml", "--yes"]) == 2
    assert "nope.yaml" in capsys.readouterr().err


def test_a_region_that_is_not_there(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drain", "muc", "--yes"]) == 5
    err = capsys.readouterr().err
    assert err.startswith("UNKNOWN-REGION: there is no region muc; there are ")


def test_the_change_is_found_beside_the_estate_that_is_named(
    place: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert main(["plan", "change.yaml", "--offline", "-C", str(place)]) == 0


def test_the_estate_is_found_above(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = place / "changes" / "2026"
    below.mkdir(parents=True)
    shutil.copy(place / "change.yaml", below / "mine.yaml")
    monkeypatch.chdir(below)
    assert main(["plan", "mine.yaml", "--offline"]) == 0


def test_a_plan_says_what_cannot_be_undone_and_what_fails_static(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(place / "change.yaml", '      undo: [./upgrade, "1"]\n', "")
    assert main(["plan", "change.yaml", "--offline"]) == 0
    out = capsys.readouterr().out
    assert "ONE-WAY: cannot be undone" in out
    assert "one-way    fra/upgrade, ber/upgrade" in out
    assert "fails static" in out
    assert "digest     " in out


def test_a_step_longer_than_the_absence_limit_is_refused_before_the_drain(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(place / "change.yaml", "limit: 1 min", "limit: 2 d")
    assert main(["plan", "change.yaml", "--offline", "--json"]) == 5
    told = json.loads(capsys.readouterr().out)
    assert [one["code"] for one in told["errors"]] == ["ABSENCE-LIMIT"] * 2


def test_an_estate_of_which_nothing_answers(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of the kit's estate runs: each thing says so, and nothing is written."""
    assert main(["check", "--json"]) == 5
    told = json.loads(capsys.readouterr().out)
    found = {one["code"] for one in told["errors"]}
    assert found >= {"DIAL-UNREACHABLE", "BLIND", "PROBE-FAILED", "DUTY-UNCLEAR"}
    assert all(one["next"] for one in told["errors"])
    assert main(["plan", "change.yaml"]) == 5
    assert "BLIND: the load of shop is not measured" in capsys.readouterr().err
    assert not (place / ".dayshift" / "journal.db").exists()
