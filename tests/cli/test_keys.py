"""`dayshift keys` as it is typed: what it makes, says, refuses, and never shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from dayshift.cli import keys_options
from dayshift.cli.main import main

Captured = pytest.CaptureFixture[str]
CREATE = ["keys", "create", "--estate", "shop", "--controller", "a"]
EDGE = ["--agent", "edge-fra=10.0.0.5,edge.example"]
ESTATE = (Path(__file__).parents[1] / "kit" / "dayshift.yaml").read_text()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


def listed(capsys: Captured) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["keys", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return {one["file"]: one for one in found["certificates"]}


def test_one_command_makes_the_authority_and_whoever_is_named(capsys: Captured) -> None:
    assert main([*CREATE, *EDGE]) == 0
    told = capsys.readouterr().out
    assert "keep ca.key away" in told and "dayshift://shop/agent/edge-fra at" in told
    found = listed(capsys)
    assert set(found) == {"ca.pem", "controller-a.pem", "agent-edge-fra.pem"}
    assert found["agent-edge-fra.pem"]["hosts"] == ["edge.example", "10.0.0.5"]
    assert all(not one["faults"] for one in found.values())
    assert main(["keys", "create", "--controller", "b"]) == 0, "the estate is known"
    assert main([*CREATE]) == 5, "a is there already"


def test_nobody_named_means_everybody_of_the_estate(capsys: Captured) -> None:
    more = (
        "agents:\n  edge: {place: fra, url: 'https://192.0.2.7:7443'}\n"
        "controllers: {c-fra: fra, c-ber: ber, c-oslo: oslo}\n"
    )
    Path("dayshift.yaml").write_text(ESTATE + more)
    code = main(["keys", "create"])
    assert code == 0, capsys.readouterr()
    found = listed(capsys)
    assert found["agent-edge.pem"]["hosts"] == ["192.0.2.7"]
    assert {f"controller-c-{one}.pem" for one in ("fra", "ber", "oslo")} <= set(found)
    before = Path("keys/agent-edge.key").read_bytes()
    assert main(["keys", "create"]) == 0, "nobody is missing any more"
    assert Path("keys/agent-edge.key").read_bytes() == before


def test_no_key_and_no_passphrase_is_ever_shown(capfd: Captured) -> None:
    Path("word").write_text("correct horse battery\n")
    word = ["--passphrase", "file:word"]
    for argv in (
        [*CREATE, *EDGE, *word],
        ["keys", "renew", "agent/edge-fra", *word],
        ["keys", "renew", "agent/edge-fra", *word, "--json"],
        ["keys", "revoke", "controller/a", *word],
        ["keys", "list"],
        ["keys", "list", "--json"],
        ["keys", "renew", "controller/a", *word],
        ["keys", "renew", "agent/edge-fra", "--passphrase", "file:keys/ca.key"],
        [
            "keys",
            "create",
            "--controller",
            "c",
            "--passphrase",
            "correct horse battery",
        ],
    ):
        main(argv)
        said = "".join(capfd.readouterr())
        assert said and "PRIVATE" not in said and "correct horse" not in said
        for key in Path("keys").glob("*.key"):
            for line in key.read_text().splitlines()[1:-1]:
                assert line not in said


def test_a_locked_authority_without_a_person_says_how_to_open_it(
    capsys: Captured,
) -> None:
    Path("word").write_text("correct horse battery\n")
    assert main([*CREATE, "--passphrase", "file:word"]) == 0
    capsys.readouterr()
    assert main(["keys", "renew", "controller/a"]) == 5
    said = capsys.readouterr().err
    assert "AUTHORITY-LOCKED" in said and "--passphrase file:PATH" in said
    assert main(["keys", "renew", "controller/a", "--passphrase", "ask"]) == 2
    assert "NEEDS-TERMINAL" in capsys.readouterr().err


def test_a_person_at_a_terminal_is_asked_twice_for_a_new_passphrase(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []

    def prompt(text: str, *, confirmation_prompt: bool, **more: Any) -> str:
        assert more["hide_input"]
        asked.append(confirmation_prompt)
        return "correct horse battery"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "prompt", prompt)
    assert main([*CREATE, "--passphrase", "ask"]) == 0
    assert main(["keys", "renew", "controller/a"]) == 0, "it is seen to be locked"
    assert asked == [True, False]


def test_what_is_due_is_renewed_and_nothing_else(capsys: Captured) -> None:
    assert main([*CREATE, *EDGE]) == 0
    assert main(["keys", "renew"]) == 0
    assert "nobody" in capsys.readouterr().out
    assert main(["keys", "renew", "agent/edge-fra", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["renewed"]
    assert one["who"] == "dayshift://shop/agent/edge-fra"


def test_a_revocation_says_where_the_list_must_go(capsys: Captured) -> None:
    assert main([*CREATE, *EDGE]) == 0
    assert main(["keys", "revoke", "controller/a"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"copy .*keys/revoked.pem \(list \d+\) to every agent", told)
    assert listed(capsys)["controller-a.pem"]["state"] == "revoked"
    assert main(["keys", "revoke", "controller/a"]) == 5, "nothing counts any more"


def test_one_unknown_name_among_several_loses_no_revocation(capsys: Captured) -> None:
    assert main([*CREATE, *EDGE]) == 0
    assert main(["keys", "revoke", "controller/a", "controller/zz"]) == 5
    assert "controller/zz" in capsys.readouterr().err
    assert listed(capsys)["controller-a.pem"]["state"] == "revoked"


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["keys", "list"], 5, "NO-KEYS"),
        (["keys", "renew"], 5, "NO-AUTHORITY"),
        (["keys", "create", "--controller", "a"], 2, "NO-ESTATE"),
        ([*CREATE, "--agent", "edge"], 2, "write NAME=ADDRESS"),
        ([*CREATE, "--controller", "../a"], 2, "NAME-INVALID"),
        ([*CREATE, "--estate", "Shop!"], 2, "NAME-INVALID"),
        ([*CREATE, "--agent", "e=a b"], 2, "NAME-INVALID"),
    ],
)
def test_what_cannot_be_done_says_why_and_writes_nothing(
    argv: list[str], code: int, says: str, capsys: Captured
) -> None:
    assert main(argv) == code
    said = capsys.readouterr().err
    assert says in said and "next" in said
    assert not Path("keys").exists()


def test_names_are_completed_from_what_was_issued(elsewhere: Path) -> None:
    assert main([*CREATE, *EDGE]) == 0
    context = typer.Context(typer.main.get_command(typer.Typer(callback=print)))
    context.params["keys_dir"] = elsewhere / "keys"
    assert keys_options._known(context, "") == ["agent/edge-fra", "controller/a"]
    assert keys_options._known(context, "a") == ["agent/edge-fra"]
    context.params["keys_dir"] = elsewhere / "nowhere"
    assert keys_options._known(context, "") == []
