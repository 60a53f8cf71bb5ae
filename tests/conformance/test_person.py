"""Worker `person`: done when enough named persons said so, and never by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dayshift.drivers.base import WorkOrder
from dayshift.drivers.workers.person import PersonWorker
from dayshift.errors import Refused
from dayshift.model.estate import Interrupt
from dayshift.model.sight import WorkSight, WorkStatus
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.driving import real_context

ORDER = WorkOrder("0197-fra-swap-0", "0197", "fra", "disks", "swap", 3_600_000)
OPTIONS = {
    "instruction": "swap the disks of rack 4",
    "checklist": ["power is off", "disks are in", "power is on"],
}


def a_worker(place: Path, **options: Any) -> PersonWorker:
    return PersonWorker("swap", {**OPTIONS, **options}, real_context(place))


def do(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def poll(worker: PersonWorker) -> WorkSight:
    sight: WorkSight = do(worker.poll(ORDER))
    return sight


def confirm(worker: PersonWorker, person: str, **args: str) -> None:
    do(worker.confirm(ORDER, person, args))


def test_each_item_is_confirmed_and_it_survives_a_restart(tmp_path: Path) -> None:
    worker = a_worker(tmp_path)
    assert poll(worker).status is WorkStatus.ABSENT
    do(worker.start(ORDER))
    sight = poll(worker)
    assert sight.status is WorkStatus.RUNNING
    assert "swap the disks of rack 4" in sight.waiting_for
    assert "1. power is off; 2. disks are in; 3. power is on" in sight.waiting_for
    confirm(worker, "ada", step="swap", item="2")
    again = a_worker(tmp_path)
    do(again.start(ORDER))
    sight = poll(again)
    assert sight.progress == "1 of 3 confirmed"
    assert "disks are in" not in sight.waiting_for
    confirm(again, "ada", item="1")
    confirm(again, "bob", item="3")
    sight = poll(worker)
    assert (sight.status, sight.detail) == (WorkStatus.DONE, "by ada, bob")


def test_all_at_once_and_without_a_checklist(tmp_path: Path) -> None:
    worker = a_worker(tmp_path, checklist=[])
    do(worker.start(ORDER))
    assert poll(worker).waiting_for == "swap the disks of rack 4"
    confirm(worker, "ada", item="all")
    assert poll(worker).status is WorkStatus.DONE
    assert do(worker.check(ORDER)) is None


def test_four_eyes_are_two_persons(tmp_path: Path) -> None:
    worker = a_worker(tmp_path, persons=2)
    do(worker.start(ORDER))
    confirm(worker, "ada")
    confirm(worker, " ada ")
    sight = poll(worker)
    assert sight.status is WorkStatus.RUNNING
    assert "ada confirmed; 2 persons must" in sight.waiting_for
    confirm(worker, "bob", item="all")
    assert poll(worker).status is WorkStatus.DONE


@pytest.mark.parametrize("result", ["partial", "failed"])
def test_what_was_not_finished_is_not_done(tmp_path: Path, result: str) -> None:
    worker = a_worker(tmp_path)
    do(worker.start(ORDER))
    confirm(worker, "ada", result=result, note="one disk was missing")
    sight = poll(worker)
    assert (sight.status, sight.exit_code) == (WorkStatus.FAILED, 1)
    assert sight.detail == f"{result}, says ada: one disk was missing"
    with pytest.raises(Refused, match="waits for nobody"):
        confirm(worker, "bob")


@pytest.mark.parametrize(
    ("person", "args", "why"),
    [
        (" ", {}, "nobody is named"),
        ("ada", {"item": "4"}, "none of 1 to 3"),
        ("ada", {"item": "0"}, "none of 1 to 3"),
        ("ada", {"item": "²"}, "none of 1 to 3"),
        ("ada", {"item": "-1"}, "none of 1 to 3"),
        ("ada", {"result": "fine"}, "none of done"),
        ("ada", {"result": "failed"}, "needs a note"),
        ("ada", {"tick": "1"}, "unknown word tick"),
    ],
)
def test_words_that_make_no_sense_change_nothing(
    tmp_path: Path, person: str, args: dict[str, str], why: str
) -> None:
    worker = a_worker(tmp_path)
    do(worker.start(ORDER))
    before = poll(worker)
    with pytest.raises(Refused, match=why):
        do(worker.confirm(ORDER, person, args))
    assert poll(worker) == before


def test_nothing_is_confirmed_before_it_was_asked(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not started"):
        confirm(a_worker(tmp_path), "ada")


def test_it_can_be_taken_back_only_where_that_is_allowed(tmp_path: Path) -> None:
    worker = a_worker(tmp_path)
    do(worker.start(ORDER))
    with pytest.raises(Refused, match="interrupt: between"):
        do(worker.stop(ORDER))
    do(worker.stop(msgspec.structs.replace(ORDER, interrupt=Interrupt.SIGNAL)))
    assert poll(worker).status is WorkStatus.FAILED
    with pytest.raises(Refused, match="reverse it by hand"):
        do(worker.undo(ORDER))


def test_reminders_fall_due_and_lateness_is_said(tmp_path: Path) -> None:
    async def wait(clock: VirtualClock) -> list[tuple[int, bool]]:
        context = msgspec.structs.replace(real_context(tmp_path), clock=clock)
        worker = PersonWorker("swap", {**OPTIONS, "remind": "20 min"}, context)
        await worker.start(ORDER)
        seen = []
        for _ in range(5):
            sight = await worker.poll(ORDER)
            seen.append((sight.reminders, "over its 60 min" in sight.waiting_for))
            await clock.sleep(16 * 60_000)
        return seen

    assert run_virtual(wait) == [
        (0, False),
        (0, False),
        (1, False),
        (2, False),
        (3, True),
    ]
