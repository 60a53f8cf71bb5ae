"""Worker `command` when controller or supervisor die, at every named point."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dayshift.drivers.workers import supervise
from dayshift.drivers.workers.command import CommandWorker
from dayshift.errors import DriverRetry
from dayshift.model.estate import Interrupt
from dayshift.model.sight import WorkSight, WorkStatus
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
from tests.kit.driving import eventually

STARTER = """
    import asyncio, os, signal, sys
    from pathlib import Path
    from dayshift.drivers.base import WorkOrder
    from dayshift.drivers.workers import command, supervise
    from tests.conformance.working import RAN_ONCE, a_worker, an_order

    def die(point):
        if point == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)

    command.reached = supervise.reached = die
    worker = a_worker(Path(sys.argv[1]), RAN_ONCE)
    asyncio.run(worker.start(an_order()))
    print("started", flush=True)
    signal.pause()
"""


def controller(place: Path, point: str) -> subprocess.Popen[str]:
    """A controller in a process of its own, which dies at `point`."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STARTER), str(place), point],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
    )


def test_the_step_survives_the_controller_and_is_attached_to(tmp_path: Path) -> None:
    process = controller(tmp_path, "nowhere")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    worker = a_worker(tmp_path, RAN_ONCE)
    assert poll(worker, an_order()).status is WorkStatus.RUNNING
    start(worker, an_order())
    last = ended(worker, an_order())
    assert (last.status, last.progress) == (WorkStatus.DONE, "ended")
    assert times_ran(tmp_path) == 1


@pytest.mark.parametrize("point", ["order-written", "ordered", "launched"])
def test_kill_of_the_controller_at_each_point(tmp_path: Path, point: str) -> None:
    process = controller(tmp_path, point)
    assert process.wait(timeout=20) == -signal.SIGKILL
    worker = a_worker(tmp_path, RAN_ONCE)
    start(worker, an_order())
    assert ended(worker, an_order()).status is WorkStatus.DONE
    assert times_ran(tmp_path) == 1


MORTAL = """
    import os, signal, sys
    from dayshift.drivers.workers import supervise

    def die(point):
        if point == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGKILL)

    supervise.reached = die
    sys.exit(supervise.main(sys.argv[1:]))
"""


def mortal(place: Path, worker: CommandWorker, point: str) -> None:
    """Give `worker` a supervisor that is killed at `point`."""
    path = place / "mortal.py"
    path.write_text(textwrap.dedent(MORTAL), encoding="utf-8")
    worker.supervisor = (sys.executable, str(path), point)


@pytest.mark.parametrize("point", ["given", "locked", "forked", "begun-written"])
def test_kill_of_the_supervisor_before_it_began(tmp_path: Path, point: str) -> None:
    """Nothing ran, and the step may be started again."""
    worker = a_worker(tmp_path, RAN_ONCE)
    mortal(tmp_path, worker, point)
    with pytest.raises(DriverRetry, match="WORK-NOT-STARTED"):
        start(worker, an_order())
    eventually(lambda: poll(worker, an_order()).status is WorkStatus.ABSENT)
    assert times_ran(tmp_path) == 0
    again = a_worker(tmp_path, RAN_ONCE)
    start(again, an_order())
    assert ended(again, an_order()).status is WorkStatus.DONE
    assert times_ran(tmp_path) == 1


@pytest.mark.parametrize(
    ("point", "ran"), [("begun", 0), ("gone", 1), ("ended", 1), ("exit-written", 1)]
)
def test_kill_of_the_supervisor_once_it_began(
    tmp_path: Path, point: str, ran: int
) -> None:
    """What the command did is unknown: it is lost, and never started again."""
    worker = a_worker(tmp_path, RAN_ONCE)
    mortal(tmp_path, worker, point)
    try:
        start(worker, an_order())
    except DriverRetry:
        assert point in ("begun", "gone")
    assert ended(worker, an_order()).status is WorkStatus.LOST
    again = a_worker(tmp_path, RAN_ONCE)
    start(again, an_order())
    assert ended(again, an_order()).status is WorkStatus.LOST
    assert times_ran(tmp_path) == ran


def test_a_command_without_its_supervisor_counts_as_running(tmp_path: Path) -> None:
    worker = a_worker(tmp_path, "echo up; exec sleep 30", stop_grace="100 ms")
    start(worker, an_order())
    os.kill(begun(tmp_path)["supervisor"]["pid"], signal.SIGKILL)
    eventually(lambda: not job_of(tmp_path).is_held())
    sight = poll(worker, an_order())
    assert sight.status is WorkStatus.RUNNING
    assert f"process {begun(tmp_path)['command']['pid']}" in sight.detail
    asyncio.run(worker.stop(an_order(interrupt=Interrupt.SIGNAL)))
    sight = poll(worker, an_order())
    assert sight.status is WorkStatus.LOST
    assert "supervisor was killed" in sight.detail


def lost_with(place: Path, change: Callable[[dict[str, Any]], None]) -> WorkSight:
    """Begin a step, lose it, rewrite its `begun`, and look."""
    worker = a_worker(place, "exec sleep 30")
    start(worker, an_order())
    facts = begun(place)
    os.kill(facts["supervisor"]["pid"], signal.SIGKILL)
    os.kill(facts["command"]["pid"], signal.SIGKILL)
    eventually(lambda: poll(worker, an_order()).status is WorkStatus.LOST)
    change(facts)
    job_of(place).write(supervise.BEGUN, facts)
    return poll(worker, an_order())


def test_a_pid_given_to_another_process_is_not_the_command(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "30"]) as stranger:
        sight = lost_with(
            tmp_path, lambda facts: facts["command"].update(pid=stranger.pid)
        )
        assert sight.status is WorkStatus.LOST
        stop = an_order(interrupt=Interrupt.SIGNAL)
        asyncio.run(a_worker(tmp_path, "exec sleep 30").stop(stop))
        assert stranger.poll() is None, "a stranger was signalled"
        stranger.kill()


def test_a_zombie_is_not_a_running_command(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "30"]) as zombie:
        name = supervise.identity(zombie.pid)
        assert supervise.is_alive(name)
        zombie.kill()
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        sight = lost_with(tmp_path, lambda facts: facts.update(command=name))
        assert sight.status is WorkStatus.LOST


def test_nothing_of_another_boot_lives(tmp_path: Path) -> None:
    def reboot(facts: dict[str, Any]) -> None:
        facts["supervisor"]["boot"] = "another"
        facts["command"] = {**supervise.identity(os.getpid()), "boot": "another"}

    sight = lost_with(tmp_path, reboot)
    assert sight.status is WorkStatus.LOST
    assert "machine was restarted" in sight.detail
