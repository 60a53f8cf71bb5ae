"""What every command promises: help that teaches, exit codes, errors, JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from dayshift.cli import main as entry
from dayshift.cli import version as version_module
from dayshift.cli.everywhere import Cli
from dayshift.cli.main import main
from dayshift.cli.verbs import VERBS

OURS = [one for one in VERBS if one.module not in ("init", "lab")]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No estate above, and lines wide enough not to be folded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


def test_help_names_every_verb_and_every_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in VERBS:
        assert f" {verb.name} " in text
        assert verb.summary in text
    for line in ("0  done", "1  error", "2  usage", "3  held", "4  aborted", "5  refu"):
        assert line in text


@pytest.mark.parametrize("verb", OURS, ids=lambda one: one.name)
def test_every_verb_has_help_with_the_common_options(
    verb: entry.Verb, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb.name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"dayshift {verb.name}" in text
    for option in ("--dir", "--json", "--no-color", "--as"):
        assert option in text
    assert "Example:" in text or verb.name == "version"


def test_help_starts_without_the_parts_behind_the_verbs() -> None:
    """The reason why `--help` is quick; a clock would only measure the machine."""
    code = (
        "import sys; from dayshift.cli.main import main; main(['--help']);"
        "heavy = {'pydantic', 'httpx', 'cryptography', 'ruamel.yaml', 'jinja2'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or None)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_no_verb_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Exit codes" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [
        ["drian", "fra"],
        ["status", "--nope"],
        ["drain"],
        ["close"],
        ["hand-over"],
        ["accept", "CAPACITY-EXCEEDED"],
        ["confirm", "cabling"],
        ["confirm", "cabling", "--item", "0"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_understood_is_usage(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("USAGE: ")
    assert "nothing moved" in shown.err
    assert "--help`" in shown.err

    assert main([*argv, "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["code"] == "USAGE"
    assert shown.err == ""


def test_a_misspelt_verb_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evacuat", "fra"]) == 2
    assert "evacuate" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["status", "check", "pause", "audit", "report"])
def test_without_an_estate_it_says_how_to_get_one(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("NO-ESTATE: there is no dayshift.yaml in ")
    assert "`dayshift init`" in shown.err


def test_json_before_and_behind_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--json", "version"], ["version", "--json"]):
        assert main(argv) == 0
        assert set(json.loads(capsys.readouterr().out)) == {"dayshift", "python"}


def test_a_bug_is_told_as_one_and_its_traceback_goes_into_a_file(
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (elsewhere / ".dayshift").mkdir()

    def broken(cli: Cli) -> int:
        raise RuntimeError("the sky fell\non two lines")

    monkeypatch.setattr(version_module, "version", broken)
    assert main(["version"]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("BUG: RuntimeError: the sky fell\n")
    assert "Traceback" not in shown.err
    (crash,) = (elsewhere / ".dayshift").glob("crash-*.log")
    assert str(crash) in shown.err
    assert "the sky fell" in crash.read_text()


def test_saying_no_is_an_error_and_moves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unwilling(cli: Cli) -> int:
        raise typer.Abort

    monkeypatch.setattr(version_module, "version", unwilling)
    assert main(["version"]) == 1
    assert capsys.readouterr().err.startswith("NOT-CONFIRMED: ")


def test_completion_knows_the_verbs_and_the_options_of_one() -> None:
    def complete(words: str, cword: int) -> str:
        environment = {
            "_DAYSHIFT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(cword),
            "PATH": "/usr/bin:/bin",
        }
        code = "import sys; from dayshift.cli.main import main; sys.exit(main())"
        return subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        ).stdout

    assert "hand-over" in complete("dayshift ha", 1)
    assert "--exit-when-held" in complete("dayshift run --ex", 2)
