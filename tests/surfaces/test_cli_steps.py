"""What a dial cannot hold is told when it is planned, with file and line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from dayshift.cli.main import main
from tests.conformance.test_dial_pages import estate_with

KIT = Path(__file__).parent.parent / "kit"
FINE = [("drain: [25 %, 0 %]", "drain: [0 %]"), ("ramp: [1 %, ", "ramp: [50 %] # ")]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(KIT / "change.yaml", tmp_path / "change.yaml")
    return tmp_path


def write(page: str, *edits: tuple[str, str]) -> str:
    """The estate with the dials of a page in docs/dials, with these edits."""
    text = estate_with(page)
    for was, becomes in edits:
        assert was in text
        text = text.replace(was, becomes, 1)
    Path("dayshift.yaml").write_text(text)
    return text


def line(text: str, key: str) -> str:
    return f"dayshift.yaml:{text[: text.index(key)].count(chr(10)) + 1}"


@pytest.mark.usefixtures("place")
def test_shares_that_no_number_of_addresses_gives_are_refused(
    capsys: Captured,
) -> None:
    text = write("rfc2136")
    assert main(["plan", "change.yaml", "--offline"]) == 5
    shown = capsys.readouterr()
    told = shown.out + shown.err
    assert told.count("STEP-TOO-FINE") == 2
    assert "fra at 25.00 % of shop asks dial dns for fra 25.00 %, ber 75.00 %" in told
    assert "of this way it can hold 0.00 %" in told
    assert "fra at 1.00 % of shop asks dial dns for fra 1.00 %, ber 99.00 %" in told
    assert "of this way it can hold 50.00 %" in told
    assert "any step of 50.00 % can" in told
    assert f"policy.drain, {line(text, 'drain: [')}" in told
    assert f"policy.ramp, {line(text, 'ramp: [')}" in told


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "argv",
    [
        ["run", "change.yaml", "--yes"],
        ["drain", "fra", "--yes"],
        ["return", "fra", "--yes"],
        ["rehearse", "change.yaml", "--runs", "1"],
    ],
)
def test_no_run_begins_that_its_dials_would_stop(
    argv: list[str], capsys: Captured
) -> None:
    write("rfc2136")
    assert main(argv) == 5
    assert capsys.readouterr().err.startswith("STEP-TOO-FINE: ")
    assert not Path(".dayshift/journal.db").exists()


@pytest.mark.usefixtures("place")
def test_a_check_of_the_estate_finds_it_before_there_is_a_change(
    capsys: Captured,
) -> None:
    write("rfc2136")
    assert main(["check", "--json"]) == 5
    told = json.loads(capsys.readouterr().out)
    found = [one for one in told["findings"] if one["kind"] == "steps"]
    assert [one["reason"]["code"] for one in found] == ["STEP-TOO-FINE"] * 2


@pytest.mark.usefixtures("place")
def test_stops_that_it_can_hold_are_planned(capsys: Captured) -> None:
    write("rfc2136", *FINE)
    assert main(["plan", "change.yaml", "--offline"]) == 0
    assert "50 %  fra 50.00 %, ber 50.00 %, under the gate" in capsys.readouterr().out


@pytest.mark.usefixtures("place")
def test_usual_shares_that_it_cannot_hold_are_named_by_their_line(
    capsys: Captured,
) -> None:
    shares = ("shares: {fra: 50 %, ber: 50 %}", "shares: {fra: 40 %, ber: 60 %}")
    text = write("rfc2136", shares, *FINE)
    assert main(["plan", "change.yaml", "--offline"]) == 5
    shown = capsys.readouterr()
    told = shown.out + shown.err
    assert f"services.shop.shares, {line(text, 'shares: {')}" in told
    assert "asks dial dns for fra 40.00 %, ber 60.00 %" in told


@pytest.mark.usefixtures("place")
def test_a_dial_of_another_kind_is_refused_once_with_the_line(
    capsys: Captured,
) -> None:
    text = write("bird", ("kind: switch", "kind: split"))
    assert main(["plan", "change.yaml", "--offline"]) == 5
    shown = capsys.readouterr()
    told = shown.out + shown.err
    assert "DIAL-KIND: dial anycast is a switch, the estate says split" in told
    assert line(text, "kind: split") in told
    assert "STEP-TOO-FINE" not in told


@pytest.mark.usefixtures("place")
def test_a_switch_alone_makes_no_stop_and_the_plan_says_so(capsys: Captured) -> None:
    write("bird")
    assert main(["plan", "change.yaml", "--offline"]) == 0
    out = capsys.readouterr().out
    assert "shop has on/off dials alone" in out
    first = out[: out.index("2. ber")]
    assert re.findall(r"(out|back) +([\d.]+ %).*; (anycast \w+ for \w+)", first) == [
        ("out", "0 %", "anycast off for fra"),
        ("back", "50 %", "anycast on for fra"),
    ]


@pytest.mark.usefixtures("place")
def test_a_switch_beside_weights_flips_at_its_rung(capsys: Captured) -> None:
    """Anycast outside, weights inside: the route comes with the first share."""
    weights = (KIT / "dayshift.yaml").read_text()
    start = weights.index("      - name: entry\n        driver: envoy\n        kind")
    inner = weights[start : weights.index("    meters:")]
    text = estate_with("bird").replace("    meters:", inner + "    meters:", 1)
    Path("dayshift.yaml").write_text(text)
    assert main(["plan", "change.yaml", "--offline"]) == 0
    out = capsys.readouterr().out
    first = out[: out.index("2. ber")]
    assert "on/off dials alone" not in out
    assert re.findall(r"(out|back) +([\d.]+ %).*; (anycast \w+ for \w+)", first) == [
        ("out", "0 %", "anycast off for fra"),
        ("back", "1 %", "anycast on for fra"),
    ]
