"""`dayshift init` writes files that load, asks only people, overwrites nothing."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from dayshift.cli.init_files import change_text, estate_text
from dayshift.cli.main import main
from dayshift.errors import EXIT_REFUSED, EXIT_USAGE
from dayshift.limits import NAME_LENGTH_MAX
from dayshift.runtime import wiring
from dayshift.runtime.settings import load, schema

FLAGS = ["--estate", "demo", "--region", "fra", "--region", "ber", "--service", "shop"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


def test_the_files_load_and_mean_what_was_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", *FLAGS]) == 0
    estate = load.load_estate(tmp_path / "dayshift.yaml", wiring.options_of)
    change = load.load_change(tmp_path / "change.yaml", estate, wiring.options_of)
    assert estate.name == "demo" and estate.region_names() == ("fra", "ber")
    assert estate.service("shop").shares == {"fra": 5000, "ber": 5000}
    assert [work.region for work in change.regions] == ["fra", "ber"]
    assert all(step.undo for work in change.regions for step in work.steps)
    said = capsys.readouterr().out
    edits = (tmp_path / "dayshift.yaml").read_text().count("EDIT")
    assert (
        f"wrote {tmp_path / 'dayshift.yaml'}" in said and "EDIT" in said and edits > 5
    )


def test_the_files_teach(tmp_path: Path) -> None:
    assert main(["init", "--yes"]) == 0
    for name in ("dayshift.yaml", "change.yaml"):
        text = (tmp_path / name).read_text()
        first = text.split("\n")[0]
        assert first.startswith("# yaml-language-server: $schema=")
        named = tmp_path / first.partition("=")[2]
        assert named.read_text() == schema.schema_text(named.name)
        assert text.count("#") > 8
    text = (tmp_path / "dayshift.yaml").read_text()
    for block in ("duties", "brackets", "notify"):
        assert f"# {block}:" in text


def test_what_is_commented_out_loads_too(tmp_path: Path) -> None:
    text = estate_text("demo", ("fra", "ber"), "shop")
    start, end = text.index("# duties:"), text.index("policy:\n  serving")
    block = text[start:end].split("\n")
    prose = ("# Opened", "# Whom")
    opened = [one.removeprefix("# ") for one in block if not one.startswith(prose)]
    (tmp_path / "dayshift.yaml").write_text(
        text[:start] + "\n".join(opened) + text[end:]
    )
    estate = load.load_estate(tmp_path / "dayshift.yaml", wiring.options_of)
    assert estate.duties and estate.brackets and estate.notify


@pytest.mark.parametrize("count", [2, 3, 7, 40])
def test_any_number_of_regions(count: int, tmp_path: Path) -> None:
    regions = [f"r{number}" for number in range(count)]
    (tmp_path / "dayshift.yaml").write_text(estate_text("e", regions, "s"))
    (tmp_path / "change.yaml").write_text(change_text(regions, "s"))
    estate = load.load_estate(tmp_path / "dayshift.yaml", wiring.options_of)
    load.load_change(tmp_path / "change.yaml", estate, wiring.options_of)
    assert sum(estate.services[0].shares.values()) == 10_000


def test_nothing_is_overwritten_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "change.yaml").write_text("mine")
    assert main(["init", *FLAGS]) == EXIT_REFUSED
    assert "FILE-EXISTS" in capsys.readouterr().err
    assert (tmp_path / "change.yaml").read_text() == "mine"
    assert not (tmp_path / "dayshift.yaml").exists()
    assert main(["init", *FLAGS, "--force"]) == 0
    assert (tmp_path / "change.yaml").read_text() != "mine"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--region", "fra"], "two or more"),
        (["--region", "fra", "--region", "fra"], "twice"),
        (["--region", "*", "--region", "fra"], "names nothing"),
        (["--estate", "My Estate"], "lowercase"),
        (["--service", "x" * (NAME_LENGTH_MAX + 1)], "limit 63"),
        (["--driver", "abacus"], "envoy"),
    ],
)
def test_a_wrong_answer_writes_nothing(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--yes", *flags]) == EXIT_USAGE
    told = capsys.readouterr().err
    assert "ANSWER-INVALID" in told and words in told
    assert not list(tmp_path.iterdir())


def test_a_program_is_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--json", "--estate", "demo"]) == EXIT_USAGE
    told = json.loads(capsys.readouterr().out)
    assert told["error"]["code"] == "NEEDS-ANSWERS"
    assert "--region, --service" in told["error"]["what"]
    assert main(["init", "--json", "--yes"]) == 0
    assert len(json.loads(capsys.readouterr().out)["written"]) == 4


def test_a_person_is_asked(tmp_path: Path) -> None:
    """On a real terminal: three questions, the last one left at its default."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dayshift", "init"],
        stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, cwd=tmp_path,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, b"power\nnorth, south east\n\n")
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0, out
    estate = load.load_estate(tmp_path / "dayshift.yaml", wiring.options_of)
    assert estate.name == "power" and estate.services[0].name == "shop"
    assert estate.region_names() == ("north", "south", "east")


def test_a_place_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    assert main(["init", "--yes", "--dir", "taken"]) == EXIT_USAGE
    assert "FILE-UNWRITABLE" in capsys.readouterr().err
