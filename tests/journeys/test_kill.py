"""kill -9 at random moments, on the real lab: every run still ends rightly.

`KILLS` and `RUNS` are small here and large in script/soak.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from dayshift.journal.audit import audit
from dayshift.journal.findings import LOCK
from dayshift.journal.lock import read_holder
from dayshift.journal.reader import JournalReader
from dayshift.lab import estate, up, users, view
from dayshift.lab.ledger import now_ms
from dayshift.model import records as r

KILLS = int(os.environ.get("DAYSHIFT_KILLS", "10"))
RUNS = int(os.environ.get("DAYSHIFT_KILL_RUNS", "3"))
SEED = int(os.environ.get("DAYSHIFT_SEED", "20261124"))
FAST = {
    "drain_dwell": "300 ms",
    "soak": "1 s",
    "quiet": "1500 ms",
    "fresh": "1500 ms",
    "probe_streak": "2",
    "ramp": "[5 %, 25 %, 50 %]",
}


def hurry(folder: Path) -> None:
    """The demo's estate with a fast policy: survival is tested, not patience."""
    path = folder / "dayshift.yaml"
    lines = []
    for line in path.read_text().splitlines():
        key = line.strip().partition(":")[0]
        indent = line[: len(line) - len(line.lstrip())]
        fast = key in FAST and len(indent) == 2
        lines.append(f"{indent}{key}: {FAST[key]}" if fast else line)
    path.write_text("\n".join(lines) + "\n")


def controller(spec: estate.LabSpec, log: Path) -> subprocess.Popen[bytes]:
    argv = [spec.python, "-m", "dayshift", "run", "change.yaml", "--yes"]
    with log.open("ab") as out:
        return subprocess.Popen(
            [*argv, "--exit-when-held"], cwd=spec.dir, stdout=out, stderr=out
        )


def until_it_leads(spec: estate.LabSpec, child: subprocess.Popen[bytes]) -> None:
    """Wait until the child is the writer: a kill before that proves little."""
    lock = Path(spec.dir) / ".dayshift" / LOCK
    for _ in range(1_000):
        holder = read_holder(lock) if lock.exists() else None
        if child.poll() is not None or (holder and holder.pid == child.pid):
            return
        time.sleep(0.02)


def ended(child: subprocess.Popen[bytes], log: Path) -> int:
    """The exit code of the last controller, which nobody kills."""
    try:
        return child.wait(timeout=150)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it never ended:\n{log.read_text()[-4000:]}") from None


def run_with_kills(
    spec: estate.LabSpec, kills: int, dice: random.Random, log: Path
) -> tuple[int, int]:
    """Run the change, killing its controller; exit code and kills that struck."""
    struck = 0
    for _ in range(10 * kills + 1):
        child = controller(spec, log)
        try:
            if struck >= kills:
                return ended(child, log), struck
            until_it_leads(spec, child)
            try:
                return child.wait(timeout=dice.uniform(0.0, 2.5)), struck
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                struck += 1
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
    raise AssertionError("the run never ended")


def steps_started(folder: Path) -> dict[str, int]:
    """How often each step's command really ran, by its own output."""
    jobs = (folder / ".dayshift" / "jobs").glob("*")
    return {one.name: 1 for one in jobs if one.is_dir()}


@pytest.mark.journey
@pytest.mark.parametrize("number", range(RUNS))
def test_a_killed_controller_goes_on_rightly(number: int, tmp_path: Path) -> None:
    dice = random.Random(SEED + number)
    spec = estate.build(tmp_path / "lab")
    folder = Path(spec.dir)
    hurry(folder)
    log = tmp_path / "controller.log"
    up.up(spec)
    try:
        users.start(spec, 120, 300)
        time.sleep(4)
        began = now_ms()
        code, struck = run_with_kills(spec, KILLS, dice, log)
        time.sleep(1)
        users.stop(spec)
        seen = view.users_view(folder, view.Marks(began, now_ms()))
        versions = {one.name: up.answering(spec, one.name) for one in spec.regions}
    finally:
        users.stop(spec)
        up.down(spec)
    said = log.read_text()[-3000:]
    assert code == 0, said
    assert struck == KILLS
    assert versions == {"fra": "2", "ber": "2"}, said
    assert seen.hurt == 0, seen
    assert (seen.orders.missing, seen.orders.duplicate) == (0, 0), seen.orders
    assert (seen.job.missing, seen.job.duplicate) == (0, 0), seen.job
    assert seen.sessions_lost == 0
    assert audit(folder / ".dayshift").ok
    assert len(steps_started(folder)) == 2, steps_started(folder)
    with JournalReader.open(folder / ".dayshift") as journal:
        bodies = [record.body for record in journal.records()]
    worked = [one for one in bodies if isinstance(one, r.Worked)]
    assert [(one.region, one.exit_code) for one in worked] == [("fra", 0), ("ber", 0)]
    leases = [one for one in bodies if isinstance(one, r.Lease)]
    assert len(leases) >= struck
    print(f"run {number}: {struck} kills, {seen.requests} requests, 0 failed")
