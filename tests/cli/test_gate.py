"""`dayshift gate` as a person in a terminal meets it: files in, words and codes out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dayshift.cli.main import main
from dayshift.runtime import wiring
from dayshift.runtime.settings import load
from tests.kit import recorded

ESTATE = Path(__file__).parent.parent / "kit" / "dayshift.yaml"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


@pytest.fixture(scope="module")
def bad() -> str:
    return recorded.text(factor=20)


@pytest.fixture(scope="module")
def good() -> str:
    return recorded.text(rung_min=6)


def lines(capsys: Captured) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_bad_release_is_told_with_exit_code_3(bad: str, capsys: Captured) -> None:
    Path("bad.csv").write_text(bad)
    assert main(["gate", "replay", "bad.csv"]) == 3
    out = capsys.readouterr().out
    assert "fra returns: its requests are the share that the file says" in out
    assert "before the share drops" in out
    told = " ".join(out.split())
    assert "turned back" in told and "more failed requests than" in told
    assert max(map(len, out.splitlines())) <= 80


def test_a_good_release_is_promoted_with_exit_code_0(
    good: str, capsys: Captured
) -> None:
    Path("good.csv").write_text(good)
    assert main(["gate", "replay", "good.csv", "--region", "fra"]) == 0
    out = capsys.readouterr().out
    assert "never turned back; the last word is pass" in out
    assert "from 1 % after" in out and "from 25 % after" in out
    assert main(["gate", "replay", "good.csv", "--all"]) == 0
    every = capsys.readouterr().out
    assert len(every) > len(out)


def test_json_has_every_look_and_last_the_summary(bad: str, capsys: Captured) -> None:
    Path("bad.csv").write_text(bad)
    assert main(["gate", "replay", "bad.csv", "--json"]) == 3
    *looks, last = lines(capsys)
    summary = last["summary"]
    assert len(looks) == summary["looks"] == 4 * 4 * 60 // recorded.STEP_S
    assert summary["failed"]["at_ms"] == next(
        one["at_ms"] for one in looks if one["kind"] == "fail"
    )
    assert {"why", "needs", "wait_ms", "signals", "share_bp", "decides"} <= set(
        looks[0]
    )
    assert summary["trusted"] and summary["region"] == "fra"


def test_without_history_only_the_absolute_limit_turns_back(
    bad: str, capsys: Captured
) -> None:
    Path("bad.csv").write_text(bad)
    assert main(["gate", "replay", "bad.csv", "--no-history"]) == 0
    out = capsys.readouterr().out
    assert "By comparison the gate only holds" in out
    assert "hint     the share went from 1 % to 5 % after 4 min" in out
    Path("dead.csv").write_text(recorded.text(factor=300, history_min=5, rung_min=2))
    assert main(["gate", "replay", "dead.csv", "--no-history"]) == 3
    limit = ["--no-history", "--absolute-errors", "60%"]
    assert main(["gate", "replay", "dead.csv", *limit]) == 0


def test_history_may_be_another_file_or_what_was_kept(
    bad: str, tmp_path: Path, capsys: Captured
) -> None:
    head, *rows = bad.splitlines()
    usual = [row for row in rows if ",50 %," in row][: 2 * 60 * 150 // 15]
    back = rows[len(usual) :]
    Path("usual.csv").write_text("\n".join([head, *usual]))
    Path("back.csv").write_text("\n".join([head, *back]))
    assert main(["gate", "replay", "back.csv"]) == 0
    assert main(["gate", "replay", "back.csv", "--history", "usual.csv"]) == 3
    (tmp_path / "dayshift.yaml").write_text(ESTATE.read_text())
    capsys.readouterr()
    learn = ["gate", "calibrate", "--from-file", "usual.csv"]
    assert main([*learn, "--write"]) == 0
    assert "part of every plan" in capsys.readouterr().out
    kept = "dayshift.calibration.json"
    estate = load.load_estate(tmp_path / "dayshift.yaml", wiring.options_of)
    assert {one.region for one in estate.calibrations} == {"fra", "ber"}
    assert main(["gate", "replay", "back.csv", "--calibration", kept]) == 3
    assert main(["gate", "replay", "back.csv", "--config", "dayshift.yaml"]) == 3
    assert kept in capsys.readouterr().out
    both = ["--history", "usual.csv", "--no-history"]
    assert main(["gate", "replay", "back.csv", *both]) == 2


def test_what_was_learned_is_said_in_words(bad: str, capsys: Captured) -> None:
    Path("bad.csv").write_text(bad)
    assert main(["gate", "calibrate", "--from-file", "bad.csv"]) == 0
    out = capsys.readouterr().out
    assert "service in fra" in out and "learned from 2 h 30 min" in out
    assert "% errors, " in out and "ber (±" in out
    assert "they come one at a time" in out
    assert "within 5 min" in out and "×" in out
    assert "nothing was kept" in out
    assert max(map(len, out.splitlines())) <= 80
    assert main(["gate", "calibrate", "--from-file", "bad.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["smallest"]) == 2 * 4 * 3 and found["written"] is None


def test_little_history_is_not_trusted_and_does_not_replace_more(
    bad: str, tmp_path: Path, capsys: Captured
) -> None:
    Path("much.csv").write_text(bad)
    Path("little.csv").write_text("\n".join(bad.splitlines()[:81]))
    (tmp_path / "dayshift.yaml").write_text(ESTATE.read_text())
    learn = ["gate", "calibrate", "--write", "--from-file"]
    assert main([*learn, "little.csv"]) == 0
    out = capsys.readouterr().out
    assert "not trusted: only 10 min of history, 120 min needed" in out
    assert main([*learn, "much.csv"]) == 0
    kept = (tmp_path / "dayshift.calibration.json").read_bytes()
    capsys.readouterr()
    assert main([*learn, "little.csv"]) == 5
    assert "CALIBRATION-WORSE" in capsys.readouterr().err
    assert (tmp_path / "dayshift.calibration.json").read_bytes() == kept


def test_rows_of_a_stranger_are_not_kept(
    bad: str, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "dayshift.yaml").write_text(ESTATE.read_text())
    Path("par.csv").write_text(bad.replace(",fra,", ",par,"))
    learn = ["gate", "calibrate", "--write", "--from-file", "par.csv"]
    assert main(learn) == 5
    assert "region `par`; there are fra, ber" in capsys.readouterr().err
    Path("bad.csv").write_text(bad)
    assert main([*learn[:-1], "bad.csv", "--stream", "cart"]) == 5
    assert "`cart`" in capsys.readouterr().err
    assert not (tmp_path / "dayshift.calibration.json").exists()


def test_where_nothing_remembers_the_ways_out_are_named(
    tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "dayshift.yaml").write_text(ESTATE.read_text())
    assert main(["gate", "calibrate"]) == 5
    err = capsys.readouterr().err
    assert "NO-HISTORY" in err
    for way in ("--live", "--from-file", "prometheus"):
        assert way in err
    assert main(["gate", "calibrate", "--from-prometheus"]) == 5
    assert main(["gate", "export", "-o", "x.csv"]) == 2
    assert "--requests" in capsys.readouterr().err


BAD_CALLS = {
    "no file": ["replay", "nowhere.csv"],
    "bad span": ["replay", "ok.csv", "--dwell", "long"],
    "bad share": ["replay", "ok.csv", "--absolute-errors", "50"],
    "unknown region": ["replay", "ok.csv", "--region", "par"],
    "two sources": ["calibrate", "--from-samples", "--from-prometheus"],
    "bad since": ["calibrate", "--since", "yesterday"],
    "since after until": ["export", "--since", "1h", "--until", "2h", "-o", "x"],
    "half a query": ["export", "--errors", "x", "-o", "x"],
    "unknown option": ["replay", "--nope"],
}


@pytest.mark.parametrize("call", BAD_CALLS)
def test_what_cannot_be_done_is_exit_code_2_with_a_way_out(
    call: str, good: str, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "dayshift.yaml").write_text(ESTATE.read_text())
    Path("ok.csv").write_text(good)
    assert main(["gate", *BAD_CALLS[call]]) == 2
    assert "  next " in capsys.readouterr().err
    assert main(["gate", *BAD_CALLS[call], "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["next"]


def test_a_fault_in_the_file_names_its_line(good: str, capsys: Captured) -> None:
    torn = good.replace("\n", "\n15,fra,1,2,50 %,1,1,1,1\n", 1)
    Path("torn.csv").write_text(torn)
    assert main(["gate", "replay", "torn.csv"]) == 2
    assert "torn.csv:2: has 2 errors of 1 requests" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["calibrate", "replay", "export"])
def test_help_teaches_with_an_example(verb: str, capsys: Captured) -> None:
    assert main(["gate", verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Example:" in out and f"dayshift gate {verb}" in out and "--json" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.journey
def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "dayshift.yaml").write_text(ESTATE.read_text())
    command = [sys.executable, "-m", "dayshift", "gate", "calibrate", "--live", "10m"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
        env={**os.environ, "COLUMNS": "80"}, text=True,
    )  # fmt: skip
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(6)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in err and out == ""
    assert not (tmp_path / "dayshift.calibration.json").exists()
