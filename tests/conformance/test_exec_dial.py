"""Dial `exec`: what its commands may say, how long they may take, and what they get."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dayshift.drivers.base import Context
from dayshift.drivers.dials.exec import ExecDial
from dayshift.errors import DriverFault, DriverRetry, Refused
from dayshift.model.dial import DialKind, DialReading, Fence, Setting, parse_claim
from dayshift.runtime.secrets import Secrets
from tests.conformance.exec_rig import ExecRig
from tests.conformance.rigs import REGIONS, claim, context, row, token, with_dial
from tests.kit.daemons import eventually

GOOD = '{"instances": [{"instance": "a", "setting": {"kind": "split", "rows": {"*": '
GOOD += '{"fra": 5000, "ber": 5000}}}, "claim": null}]}'


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-E", "-c", code]


def a_dial(place: Path, read: str, write: str = "", **more: Any) -> ExecDial:
    options = {"read": python(read), "write": python(write), "regions": list(REGIONS)}
    return ExecDial("entry", {**options, **more}, context(place))


class Rig:
    """What `with_dial` needs of a rig."""

    def __init__(self, make: Callable[[], ExecDial]) -> None:
        self.dial = make


def shown(dial: ExecDial) -> DialReading:
    return with_dial(Rig(lambda: dial), lambda one: one.read())  # type: ignore[arg-type]


def write(dial: ExecDial, fra: int = 0) -> None:
    with_dial(  # type: ignore[arg-type]
        Rig(lambda: dial), lambda one: one.set(row(fra), token(claim(1)))
    )


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("", "form"),
        ("[]", "form"),
        ('{"instances": []}', "form"),
        ('{"instances": [], "more": 1}', "form"),
        (GOOD.replace('"claim": null', '"claim": null, "more": 1'), "form"),
        (GOOD.replace('"kind": "split"', '"kind": "split", "more": 1'), "form"),
        (GOOD.replace("5000}", "5000.5}"), "form"),
        (GOOD.replace("5000}", "4000}"), "sums to"),
        (GOOD.replace('"ber"', '"par"'), "names"),
        (GOOD.replace("null", '"mine"'), "none of ours"),
        (GOOD.replace("split", "switch"), "neither on nor off"),
        (GOOD[:-2] + ", " + GOOD[len('{"instances": [') :], "twice"),
    ],
)
def test_an_answer_of_another_form_is_a_fault_and_never_a_setting_to_write_on(
    tmp_path: Path, said: str, fault: str
) -> None:
    reading = shown(a_dial(tmp_path, f"print({said!r})"))
    assert fault in reading.fault
    assert shown(a_dial(tmp_path, f"print({GOOD!r})")).fault == ""


def test_the_writing_command_is_told_all_of_it(tmp_path: Path) -> None:
    code = "import sys; open('told', 'w').write(sys.stdin.read())"
    dial = a_dial(tmp_path, f"print({GOOD!r})", code, lease=True)
    mine = token(claim(7), None, "ber")

    async def check(one: Any) -> None:
        await one.set(row(0), mine, revert_to=row(5000), lease_ms=900)

    with_dial(Rig(lambda: dial), check)  # type: ignore[arg-type]
    told = json.loads((tmp_path / "told").read_text())
    assert told == {
        "dial": "entry",
        "do": "set",
        "setting": {"kind": "split", "rows": {"*": {"fra": 0, "ber": 10_000}}},
        "claim": "ds1:demo:j1:1:7",
        "expected": None,
        "serving": ["ber"],
        "first": False,
        "revert_to": {"kind": "split", "rows": {"*": {"fra": 5000, "ber": 5000}}},
        "lease_ms": 900,
    }
    assert parse_claim(told["claim"]) == claim(7)


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ('print(\'{"why": "the moon"}\'); raise SystemExit(3)', Refused, "the moon"),
        ("raise SystemExit(75)", DriverRetry, "not set yet"),
        ("print('no'); raise SystemExit(1)", DriverFault, "exit code 1"),
        ("print('done')", DriverFault, "form"),
    ],
)
def test_exit_codes(
    tmp_path: Path, code: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        write(a_dial(tmp_path, f"print({GOOD!r})", code))


def test_a_command_past_its_limit_ends_with_all_its_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-S',"
        " '-c', 'import time; time.sleep(60)']); open('child', 'w').write("
        "str(child.pid)); time.sleep(60)"
    )
    dial = a_dial(tmp_path, f"print({GOOD!r})", code, answer_limit="2 s")
    with pytest.raises(DriverRetry, match="2000 ms"):
        write(dial)
    child = (tmp_path / "child").read_text()
    eventually(lambda: _ended(child), "the child of the command ended")
    hanging = a_dial(tmp_path, "import time; time.sleep(60)", read_limit="200 ms")
    assert "200 ms" in shown(hanging).fault
    with pytest.raises(DriverRetry):
        write(hanging)


def _ended(pid: str) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_a_secret_is_given_and_never_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct horse battery")
    secrets = Secrets(tmp_path)
    where = Context(
        "demo",
        tmp_path,
        tmp_path,
        context(tmp_path).clock,
        secrets.resolve,
        secrets.redactor.redact,
    )
    code = "import os; print('no', os.environ['KEY']); raise SystemExit(1)"
    options = {
        "read": python(f"print({GOOD!r})"),
        "write": python(code),
        "regions": list(REGIONS),
        "secrets": {"KEY": "file:token"},
    }
    with pytest.raises(DriverFault) as failed:
        write(ExecDial("entry", options, where))
    assert "no [redacted]" in str(failed.value)
    assert "horse" not in str(failed.value)


def test_output_is_bounded(tmp_path: Path) -> None:
    reading = shown(a_dial(tmp_path, "print('x' * 5_000_000)"))
    assert "form" in reading.fault and len(reading.fault) < 600


def test_options_are_strict(tmp_path: Path) -> None:
    for wrong in (
        {"read": "cat /etc/passwd"},
        {"regions": []},
        {"regions": ["fra", "fra"]},
        {"granularity": 0},
        {"answer_limit": "1 h"},
        {"shell": True},
    ):
        options = {"read": ["r"], "write": ["w"], "regions": ["fra"], **wrong}
        with pytest.raises(ValidationError):
            ExecDial.Options.model_validate(options)


def test_it_is_what_its_options_say(tmp_path: Path) -> None:
    rig = ExecRig(tmp_path)
    more = {"kind": "switch", "granularity": 10_000, "lease": True, "compares": True}
    able = ExecDial("entry", rig.options(**more), context(tmp_path)).describe()
    assert (able.kind, able.granularity_bp, able.lease, able.fence) == (
        DialKind.SWITCH,
        10_000,
        True,
        Fence.DEVICE,
    )


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            "switch",
            {"*": {"fra": 0, "ber": 10_000}},
            [{"*": {"fra": 0, "ber": 0}}, {"*": {"fra": 0, "ber": 5000}}],
        ),
        (
            "forward",
            {"fra": {"fra": 0, "ber": 10_000}, "ber": {"fra": 0, "ber": 10_000}},
            [
                {"fra": {"fra": 0, "ber": 10_000}},
                {"fra": {"fra": 0, "ber": 0}, "ber": {"fra": 0, "ber": 10_000}},
            ],
        ),
    ],
)
def test_switches_and_forwards(
    tmp_path: Path, kind: str, good: Any, bad: list[Any]
) -> None:
    said = json.loads(GOOD)
    said["instances"][0]["setting"] = {"kind": kind, "rows": good}
    dial = a_dial(tmp_path, f"print({json.dumps(said)!r})", kind=kind)
    assert shown(dial).setting == Setting(DialKind(kind), good)

    async def check(one: Any) -> None:
        await one.set(Setting(DialKind(kind), good), token(claim(1)))
        for rows in bad:
            with pytest.raises(Refused):
                await one.set(Setting(DialKind(kind), rows), token(claim(1)))

    with_dial(Rig(lambda: dial), check)  # type: ignore[arg-type]
