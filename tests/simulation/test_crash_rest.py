"""The controller dies at every named point that belongs to no action; the next one
finds what the recovery table says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dayshift.core.recovery import REST
from dayshift.core.state import Status
from dayshift.drivers.base import WorkOrder
from dayshift.errors import JournalFull, Reason
from dayshift.model import records as r
from dayshift.model.points import Point
from dayshift.model.records import Phase, RunResult
from dayshift.model.sight import WorkSight
from dayshift.runtime import orchestrator
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.crash import DieAt, Died, abandon
from tests.kit.rig import Rig
from tests.simulation.witness import ESTATE, Shift, WatchedWorker

P = Point


def full(*_: Any) -> None:
    raise JournalFull(Reason("JOURNAL-FULL", "no room"))


def written(rig: Rig) -> list[r.AnyBody]:
    with rig.read() as view:
        return [one.body for one in view.records()]


def count(rig: Rig, kind: type[r.Body]) -> int:
    return sum(isinstance(one, kind) for one in written(rig))


async def opening(rig: Rig, hook: DieAt) -> Shift:
    """The first controller of the run."""
    with pytest.raises(Died):
        rig.controller(hook)
    assert rig.journal is not None
    abandon(rig.journal)
    assert count(rig, r.RunOpened) == (hook.point is P.OPENED)
    return Shift(rig)


async def taking_over(rig: Rig, hook: DieAt) -> Shift:
    """The second controller, in the middle of a drain."""
    shift = Shift(rig)
    await shift.pass_by(Phase.DRAINING)
    await shift.die()
    before = count(rig, r.Lease)
    with pytest.raises(Died):
        rig.controller(hook)
    assert count(rig, r.Lease) - before == (hook.point is P.LED)
    shift.succeed()
    return shift


async def merging(rig: Rig, hook: DieAt) -> Shift:
    """The second controller, after an abort on a full disk."""
    shift = Shift(rig)
    await shift.pass_by(Phase.DRAINING)
    assert await shift.ask("pause")
    journal: Any = shift.controller.journal
    journal._store.append = full
    assert await shift.ask("abort")
    stranded = journal.head
    await shift.die()
    with pytest.raises(Died):
        rig.controller(hook)
    merged = [one for one in written(rig) if isinstance(one, r.Merged)]
    assert len(merged) == (hook.point is P.MERGED)
    shift.succeed()
    merged = [one for one in written(rig) if isinstance(one, r.Merged)]
    assert len(merged) == 1
    assert merged[0].head == stranded.hash
    return shift


async def stranding(rig: Rig, hook: DieAt) -> Shift:
    """An abort on a full disk."""
    shift = Shift(rig, points=hook)
    await shift.pass_by(Phase.DRAINING)
    assert await shift.ask("pause")
    journal: Any = shift.controller.journal
    journal._store.append = full
    with suppress(Died):
        await shift.ask("abort")
    assert hook.died
    await shift.die()
    shift.succeed()
    await shift.clock.sleep(1_000)
    assert shift.run.aborting is (hook.point is not P.STRANDING)
    if hook.point is P.STRANDING:
        assert await shift.ask("resume")
    return shift


async def asking(rig: Rig, hook: DieAt) -> Shift:
    """Somebody asks for a pause during the drain."""
    shift = Shift(rig, points=hook)
    await shift.pass_by(Phase.DRAINING)
    verb = "confirm" if hook.point is P.CONFIRMED else "pause"
    with suppress(Died):
        await shift.ask(verb, step="upgrade")
    assert hook.died
    await shift.die()
    shift.succeed()
    await shift.clock.sleep(1_000)
    paused = hook.point in (P.REQUESTED, P.ANSWERED)
    assert (shift.run.status is Status.PAUSED) is paused
    assert count(rig, r.Answered) == paused
    if paused:
        assert await shift.ask("resume")
    return shift


async def anywhere(rig: Rig, hook: DieAt) -> Shift:
    """In a good run that nobody touches."""
    shift = Shift(rig, points=hook)
    if hook.point is P.KEPT:
        rig.workers["fra"] = printing = Printing(rig, "fra", shift.seen)
        workers: Any = shift.controller.drivers.workers
        workers["fra", "upgrade"] = printing
    with suppress(Died):
        await shift.until(lambda: hook.died)
    assert hook.died
    await shift.die()
    before = shift.controller.state
    shift.succeed()
    if hook.point in (P.CLOSED, P.SEALED):
        assert shift.controller.state.run == before.run
    return shift


class Printing(WatchedWorker):
    """Work that prints, so that its output is kept."""

    def output_path(self, order: WorkOrder) -> Path:
        path = self.rig.folder.parent / "output"
        path.write_text("upgraded\n", encoding="utf-8")
        return path

    async def poll(self, order: WorkOrder) -> WorkSight:
        seen: WorkSight = await super().poll(order)
        return WorkSight(seen.key, seen.status, seen.exit_code, output="ab" * 32)


SCENES: dict[Point, Callable[[Rig, DieAt], Awaitable[Shift]]] = {
    **dict.fromkeys((P.OPENING, P.OPENED), opening),
    **dict.fromkeys((P.LOCKED, P.LEADING, P.LED), taking_over),
    **dict.fromkeys((P.MERGING, P.MERGED), merging),
    **dict.fromkeys((P.STRANDING, P.FRAMED, P.STRANDED), stranding),
    **dict.fromkeys((P.ASKED, P.REQUESTED, P.ANSWERED, P.CONFIRMED), asking),
    **dict.fromkeys(
        (
            P.WRITTEN,
            P.KEPT,
            P.HEAD_FILED,
            P.HEAD_SIGNED,
            P.SNAPSHOT_DUE,
            P.SNAPSHOT_KEPT,
            P.CLOSED,
            P.SEALED,
        ),
        anywhere,
    ),
}
ABORTED = {P.MERGING, P.MERGED, P.FRAMED, P.STRANDED}


async def rest_of_the_run(rig: Rig, point: Point) -> list[str]:
    """The controller dies at the point; what was not as the table says."""
    nth = 7 if point in (P.WRITTEN, P.HEAD_FILED, P.HEAD_SIGNED) else 1
    shift = await SCENES[point](rig, DieAt(point, nth=nth))
    ended = await shift.until(shift.closed)
    await shift.leave()
    found = [] if ended else [f"the run never ended: {shift.run.hold}"]
    wanted = RunResult.ABORTED if point in ABORTED else RunResult.DONE
    if shift.run.result is not wanted:
        found.append(f"it ended {shift.run.result}, not {wanted}")
    for kind, times in ((r.RunOpened, 1), (r.RunClosed, 1), (r.Held, 0)):
        if count(rig, kind) != times:
            found.append(f"{kind.__name__} is written {count(rig, kind)} times")
    return found + shift.faults()


@pytest.mark.parametrize("point", REST, ids=str)
def test_every_point_of_no_action(
    point: Point, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestrator, "SNAPSHOT_EVERY", 10)

    async def program(clock: VirtualClock) -> list[str]:
        rig = Rig(clock, tmp_path / "journal", ESTATE)
        await clock.sleep(5_000)
        return await rest_of_the_run(rig, point)

    assert run_virtual(program) == []
