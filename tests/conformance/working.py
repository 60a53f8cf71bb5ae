"""What the suites of worker `command` share: an order, a worker, and how to look."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from dayshift.drivers.base import WorkOrder
from dayshift.drivers.workers.command import CommandWorker
from dayshift.drivers.workers.jobs import Job
from dayshift.model.sight import WorkSight, WorkStatus
from tests.kit.driving import eventually, real_context, script

RAN_ONCE = 'echo "$DAYSHIFT_STEP" >> ran; echo begun; sleep 0.4; echo ended'
KEY = "0197-fra-upgrade-0"


def an_order(**changes: Any) -> WorkOrder:
    facts: dict[str, Any] = {
        "key": KEY,
        "run": "0197",
        "region": "fra",
        "change": "shop-2",
        "step": "upgrade",
        "limit_ms": 10_000,
    }
    return WorkOrder(**{**facts, **changes})


def a_worker(place: Path, text: str, **options: Any) -> CommandWorker:
    """A worker whose command is a shell script with this text."""
    argv = [script(place, "step.sh", text)]
    return CommandWorker("upgrade", {"argv": argv, **options}, real_context(place))


def start(worker: CommandWorker, order: WorkOrder) -> None:
    asyncio.run(worker.start(order))


def poll(worker: CommandWorker, order: WorkOrder) -> WorkSight:
    return asyncio.run(worker.poll(order))


def ended(worker: CommandWorker, order: WorkOrder) -> WorkSight:
    """Wait for the end of the step and return its last sight."""
    eventually(lambda: poll(worker, order).status is not WorkStatus.RUNNING)
    return poll(worker, order)


def job_of(place: Path) -> Job:
    return Job(place / "state", KEY)


def begun(place: Path) -> dict[str, Any]:
    found = job_of(place).begun()
    assert found is not None
    return found


def times_ran(place: Path) -> int:
    ran = place / "ran"
    return len(ran.read_text().splitlines()) if ran.exists() else 0
