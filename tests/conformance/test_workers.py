"""Worker `command` on real processes: what it promises when nobody dies."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dayshift.drivers.workers import supervise
from dayshift.drivers.workers.command import CommandWorker
from dayshift.errors import DriverFault, DriverRetry, Refused
from dayshift.model.estate import Interrupt
from dayshift.model.sight import WorkStatus
from tests.conformance.working import (
    RAN_ONCE,
    a_worker,
    an_order,
    begun,
    ended,
    job_of,
    poll,
    start,
    times_ran,
)
from tests.kit.driving import eventually, real_context, script


def test_a_step_runs_with_its_facts_and_its_output_streams(tmp_path: Path) -> None:
    text = "env; echo first; sleep 0.5; echo second >&2"
    worker = a_worker(tmp_path, text, environment={"COLOUR": "green"})
    order = an_order()
    assert poll(worker, order).status is WorkStatus.ABSENT
    start(worker, order)
    eventually(lambda: poll(worker, order).progress == "first")
    assert poll(worker, order).status is WorkStatus.RUNNING
    last = ended(worker, order)
    assert (last.status, last.exit_code) == (WorkStatus.DONE, 0)
    assert last.progress == "second"
    output = worker.output_path(order).read_text()
    for fact in ("REGION=fra", "CHANGE=shop-2", "RUN=0197", "STEP=upgrade"):
        assert f"DAYSHIFT_{fact}\n" in output
    assert "COLOUR=green\n" in output


def test_the_environment_of_dayshift_is_not_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS_ALONE", "hidden")
    monkeypatch.setenv("KUBECONFIG", "shared")
    worker = a_worker(tmp_path, "env", inherit=["KUBECONFIG"])
    start(worker, an_order())
    ended(worker, an_order())
    output = worker.output_path(an_order()).read_text()
    assert "KUBECONFIG=shared" in output and "OURS_ALONE" not in output


def test_a_failing_step_keeps_its_exit_code(tmp_path: Path) -> None:
    worker = a_worker(tmp_path, "echo no room; exit 7")
    start(worker, an_order())
    last = ended(worker, an_order())
    assert (last.status, last.exit_code) == (WorkStatus.FAILED, 7)
    assert (last.detail, last.progress) == ("exit code 7", "no room")


def test_a_command_that_is_not_there_fails_and_says_so(tmp_path: Path) -> None:
    worker = CommandWorker("x", {"argv": ["./nowhere"]}, real_context(tmp_path))
    start(worker, an_order())
    last = ended(worker, an_order())
    assert (last.status, last.exit_code) == (WorkStatus.FAILED, 127)
    assert "cannot be started" in last.detail and "No such file" in last.detail


def test_the_time_limit_ends_the_whole_group(tmp_path: Path) -> None:
    text = "trap '' TERM; sh -c 'trap \"\" TERM; sleep 30' & echo $! > child; wait"
    worker = a_worker(tmp_path, text, stop_grace="200 ms")
    order = an_order(limit_ms=400)
    start(worker, order)
    last = ended(worker, order)
    assert last.status is WorkStatus.FAILED
    assert "time limit of 400 ms" in last.detail and "signal 9" in last.detail
    child = int((tmp_path / "child").read_text())
    eventually(lambda: not group_member_lives(child))


def test_the_limit_reaches_those_whose_parent_gave_up_first(tmp_path: Path) -> None:
    child = script(tmp_path, "child.sh", "trap '' TERM; echo $$ > child; sleep 30; :")
    worker = a_worker(tmp_path, f"{child} & wait", stop_grace="300 ms")
    order = an_order(limit_ms=500)
    start(worker, order)
    assert ended(worker, order).status is WorkStatus.FAILED
    pid = int((tmp_path / "child").read_text())
    eventually(lambda: not group_member_lives(pid), 1)


def group_member_lives(pid: int) -> bool:
    try:
        return supervise.is_alive(supervise.identity(pid))
    except OSError:
        return False


def test_a_limit_lets_the_step_clean_up_within_its_grace(tmp_path: Path) -> None:
    text = "trap 'echo cleaned; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    worker = a_worker(tmp_path, text, stop_grace="5 s")
    order = an_order(limit_ms=500)
    start(worker, order)
    last = ended(worker, order)
    # Even a step that then ends with 0 was not done in time.
    assert (last.status, last.progress) == (WorkStatus.FAILED, "cleaned")


def test_starting_again_attaches(tmp_path: Path) -> None:
    worker, other = a_worker(tmp_path, RAN_ONCE), a_worker(tmp_path, RAN_ONCE)
    start(worker, an_order())
    start(other, an_order())
    assert ended(other, an_order()).status is WorkStatus.DONE
    start(other, an_order())
    assert ended(worker, an_order()).status is WorkStatus.DONE
    assert times_ran(tmp_path) == 1


def test_racing_controllers_start_once(tmp_path: Path) -> None:
    workers = [a_worker(tmp_path, RAN_ONCE) for _ in range(6)]

    async def race() -> None:
        await asyncio.gather(*(one.start(an_order()) for one in workers))

    asyncio.run(race())
    assert ended(workers[0], an_order()).status is WorkStatus.DONE
    assert times_ran(tmp_path) == 1


def test_another_key_is_another_job(tmp_path: Path) -> None:
    worker = a_worker(tmp_path, "echo ran >> ran")
    keys = ("fra/up", "fra_up", "fra/up.", "x" * 300, "x" * 299)
    for key in keys:
        start(worker, an_order(key=key))
        ended(worker, an_order(key=key))
    assert times_ran(tmp_path) == len(keys)


@pytest.mark.parametrize("kind", [Interrupt.BETWEEN, Interrupt.NEVER])
def test_a_step_that_must_not_be_interrupted_is_not(
    tmp_path: Path, kind: Interrupt
) -> None:
    worker = a_worker(tmp_path, RAN_ONCE)
    start(worker, an_order(interrupt=kind))
    with pytest.raises(Refused, match=f"interrupt: {kind.value}"):
        asyncio.run(worker.stop(an_order(interrupt=kind)))
    assert ended(worker, an_order()).status is WorkStatus.DONE


@pytest.mark.parametrize("text", ["exec sleep 30", "trap '' TERM; sleep 30; sleep 30"])
def test_a_step_that_may_be_interrupted_is_stopped(tmp_path: Path, text: str) -> None:
    worker = a_worker(tmp_path, text, stop_grace="300 ms")
    order = an_order(interrupt=Interrupt.SIGNAL)
    asyncio.run(worker.stop(order))
    assert poll(worker, order).status is WorkStatus.ABSENT
    start(worker, order)
    began = time.monotonic()
    asyncio.run(worker.stop(order))
    assert time.monotonic() - began < 5
    sight = poll(worker, order)
    assert sight.status is WorkStatus.FAILED
    assert "stopped on request" in sight.detail
    asyncio.run(worker.stop(order))
    assert poll(worker, order) == sight


def test_undo_runs_once_and_waits(tmp_path: Path) -> None:
    undo = script(tmp_path, "undo.sh", "sleep 0.3; echo $DAYSHIFT_REGION >> undone")
    worker = a_worker(tmp_path, "true", undo=[undo])
    start(worker, an_order())
    ended(worker, an_order())
    asyncio.run(worker.undo(an_order()))
    asyncio.run(worker.undo(an_order()))
    assert (tmp_path / "undone").read_text() == "fra\n"


def test_an_undo_that_was_cut_off_is_attached_to(tmp_path: Path) -> None:
    undo = script(tmp_path, "undo.sh", "sleep 0.5; echo done >> undone")
    worker = a_worker(tmp_path, "true", undo=[undo])

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker.undo(an_order()), 0.25)

    asyncio.run(leave())
    asyncio.run(worker.undo(an_order()))
    assert (tmp_path / "undone").read_text() == "done\n"


def test_a_failed_undo_is_told_and_may_be_tried_again(tmp_path: Path) -> None:
    undo = script(tmp_path, "undo.sh", "test -e way || { echo no way; exit 3; }")
    worker = a_worker(tmp_path, "true", undo=[undo])
    with pytest.raises(DriverFault, match="no way"):
        asyncio.run(worker.undo(an_order()))
    (tmp_path / "way").touch()
    asyncio.run(worker.undo(an_order()))


def test_undo_refuses_while_the_step_runs_and_without_a_command(tmp_path: Path) -> None:
    worker = a_worker(tmp_path, RAN_ONCE, undo=["true"])
    start(worker, an_order())
    with pytest.raises(Refused, match="WORK-RUNNING"):
        asyncio.run(worker.undo(an_order()))
    ended(worker, an_order())
    with pytest.raises(Refused, match="WORK-ONE-WAY"):
        asyncio.run(a_worker(tmp_path, "true").undo(an_order()))


@pytest.mark.parametrize(("code", "done"), [(0, True), (1, False)])
def test_check_answers(tmp_path: Path, code: int, done: bool) -> None:
    check = script(tmp_path, "check.sh", f'test "$DAYSHIFT_REGION" = fra; exit {code}')
    worker = a_worker(tmp_path, "true", check=[check])
    assert asyncio.run(worker.check(an_order())) is done


def test_check_that_answers_nonsense_or_nothing(tmp_path: Path) -> None:
    assert asyncio.run(a_worker(tmp_path, "true").check(an_order())) is None
    check = script(tmp_path, "check.sh", "echo disk on fire; exit 2")
    with pytest.raises(DriverFault, match="disk on fire"):
        asyncio.run(a_worker(tmp_path, "true", check=[check]).check(an_order()))
    slow = script(tmp_path, "slow.sh", "sleep 20 & sleep 20")
    worker = a_worker(tmp_path, "true", check=[slow], answer_limit="200 ms")
    with pytest.raises(DriverRetry, match="COMMAND-TIMEOUT"):
        asyncio.run(worker.check(an_order()))


SECRET = 's3cr3t/päss wörd+"x"\nsecond-line-of-it'
LEAKY = """
import base64, json, os, sys, time, urllib.parse
secret = os.environ["TOKEN"]
print("plain", secret, flush=True)
print("json", json.dumps({"password": secret}), flush=True)
print("url", "https://u:" + urllib.parse.quote(secret, safe="") + "@x/", flush=True)
print("base64", base64.b64encode(("user:" + secret + "!").encode()).decode())
print("line", secret.splitlines()[1], flush=True)
data = ("split " + secret + " end\\n").encode()
for at in range(0, len(data), 7):
    sys.stdout.buffer.write(data[at:at + 7])
    sys.stdout.buffer.flush()
    time.sleep(0.01)
time.sleep(0.5)
"""


def test_a_secret_is_nowhere_but_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET + "\n", encoding="utf-8")
    (tmp_path / "leaky.py").write_text(LEAKY, encoding="utf-8")
    options = {
        "argv": [sys.executable, "leaky.py"],
        "secrets": {"TOKEN": "file:token"},
    }
    worker = CommandWorker("leaky", options, real_context(tmp_path))
    start(worker, an_order())
    eventually(lambda: "split" in worker.output_path(an_order()).read_text())
    pids = [begun(tmp_path)[who]["pid"] for who in ("supervisor", "command")]
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
    given = [Path(f"/proc/{pid}/environ").read_bytes() for pid in pids]
    assert all(lines)
    assert [SECRET.encode() in one for one in given] == [False, True]
    assert ended(worker, an_order()).status is WorkStatus.DONE
    output = worker.output_path(an_order()).read_text()
    assert output.count("[redacted]") >= 6 and " end\n" in output
    written = [
        one.read_bytes() for one in (tmp_path / "state").rglob("*") if one.is_file()
    ]
    inner = base64.b64encode(b"user:" + SECRET.encode()).decode()[8:-8]
    for shape in ("s3cr3t", "second-line-of-it", "w%C3%B6rd", inner):
        for text in (*lines, *written):
            assert shape.encode() not in text, shape


def test_a_job_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    worker = a_worker(tmp_path, "true")
    start(worker, an_order())
    ended(worker, an_order())
    modes = {one.stat().st_mode & 0o077 for one in job_of(tmp_path).path.iterdir()}
    assert modes == {0} and job_of(tmp_path).path.stat().st_mode & 0o077 == 0


def test_output_is_bounded_and_keeps_its_end(tmp_path: Path) -> None:
    text = "echo head; seq 1 60000; echo tail"
    worker = a_worker(tmp_path, text, output_bytes_max=8_192)
    start(worker, an_order())
    assert ended(worker, an_order()).progress == "tail"
    output = worker.output_path(an_order()).read_text()
    assert output.startswith("head\n1\n2\n") and output.endswith("60000\ntail\n")
    assert "bytes left out]" in output
    assert len(output) < 8_192 + supervise.TAIL_BYTES + 100


def test_output_that_is_no_text_harms_nobody(tmp_path: Path) -> None:
    text = r"printf '\377\376 \033[31mred\033[0m\r\007\n'"
    worker = a_worker(tmp_path, text)
    start(worker, an_order())
    assert ended(worker, an_order()).progress.endswith("red")


def test_a_daemon_left_behind_may_go_on_writing(tmp_path: Path) -> None:
    text = "(sleep 0.6; echo late && echo late && echo survived > survived) & echo up"
    worker = a_worker(tmp_path, text)
    start(worker, an_order())
    last = ended(worker, an_order())
    assert last.status is WorkStatus.DONE
    assert not (tmp_path / "survived").exists()
    eventually((tmp_path / "survived").exists)


def test_a_broken_record_is_a_fault_and_not_a_new_start(tmp_path: Path) -> None:
    worker = a_worker(tmp_path, RAN_ONCE)
    start(worker, an_order())
    ended(worker, an_order())
    (job_of(tmp_path).path / supervise.BEGUN).write_text("{")
    with pytest.raises(DriverFault, match="WORK-RECORD-BROKEN"):
        start(worker, an_order())
    assert times_ran(tmp_path) == 1


def test_the_exit_record_says_what_happened(tmp_path: Path) -> None:
    worker = a_worker(tmp_path, "echo x")
    start(worker, an_order())
    last = ended(worker, an_order())
    record = json.loads((job_of(tmp_path).path / supervise.EXIT).read_text())
    assert (record["why"], record["exit_code"], record["signal"]) == ("exited", 0, 0)
    assert last.output == record["sha256"] and len(last.output) == 64


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"argv": "upgrade 2"}, "list of words"),
        ({"argv": []}, "names no command"),
        ({"argv": [""]}, "names no command"),
        ({"argv": ["./upgrade", 2]}, 'write "2"'),
        ({"argv": ["a\0b"]}, "NUL"),
        ({"argv": ["true"], "undo": "true"}, "list of words"),
        ({"argv": ["true"], "environment": {"DAYSHIFT_RUN": "x"}}, "own to set"),
        ({"argv": ["true"], "environment": {"A=B": "x"}}, "name of a variable"),
        ({"argv": ["true"], "shell": True}, "not permitted"),
        ({"argv": ["true"], "stop_grace": "soon"}, "not a duration"),
    ],
)
def test_options_are_strict(tmp_path: Path, options: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        CommandWorker("x", options, real_context(tmp_path))


def test_a_command_waits_for_nobody(tmp_path: Path) -> None:
    worker = a_worker(tmp_path, "true")
    with pytest.raises(Refused, match="no confirmation"):
        asyncio.run(worker.confirm(an_order(), "ada", {}))
