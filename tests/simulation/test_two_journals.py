"""Two controllers with journals of their own on the same dials: the second one is
refused, whichever it is, and is told who was first."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dayshift.core.state import RunState, Status
from dayshift.model.records import RunResult
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.rig import Rig


def both(tmp_path: Path, apart_ms: int, first: str) -> dict[str, tuple[Rig, RunState]]:
    """Two rigs over one world; `first` begins so much earlier."""

    async def one(rig: Rig, wait_ms: int) -> RunState:
        await rig.clock.sleep(5_000 + wait_ms)
        controller = rig.controller()
        try:
            return await controller.go(leave_when_held=True)
        finally:
            controller.journal.close()

    async def program(clock: VirtualClock) -> dict[str, tuple[Rig, RunState]]:
        rigs = {name: Rig(clock, tmp_path / name) for name in ("one", "two")}
        mine, other = rigs.values()
        other.world, other.dial, other.meters = mine.world, mine.dial, mine.meters
        waits = [0 if name == first else apart_ms for name in rigs]
        runs = await asyncio.gather(
            *(one(rig, ms) for rig, ms in zip(rigs.values(), waits, strict=True))
        )
        return dict(zip(rigs, zip(rigs.values(), runs, strict=True), strict=True))

    return run_virtual(program)


def journal_of(rig: Rig) -> str:
    return rig.dial.writes[-1][1].claim.journal


@pytest.mark.parametrize("first", ["one", "two"])
@pytest.mark.parametrize("apart_ms", [0, 1, 50, 200, 1_000, 10_000])
def test_the_second_is_refused(apart_ms: int, first: str, tmp_path: Path) -> None:
    ends = both(tmp_path, apart_ms, first)
    done = [run for _, run in ends.values() if run.result is RunResult.DONE]
    rest = [run for _, run in ends.values() if run.result is not RunResult.DONE]
    assert len(done) == len(rest) == 1
    rig = ends["one"][0]
    writers = {token.claim.journal for _, token in rig.dial.writes}
    assert len(writers) == 1, "two journals wrote"
    if apart_ms >= 1_000:
        assert ends[first][1] is done[0]
    refused = rest[0]
    said = refused.why
    if refused.status is Status.HELD:
        assert refused.hold is not None
        said = str(refused.hold.reason)
    writer = writers.pop()
    assert "estate demo" in said and writer[:12] in said and "test" in said
    assert rig.world.shares() == {"fra": 5_000, "ber": 5_000}


def test_the_second_never_works_on_a_region(tmp_path: Path) -> None:
    ends = both(tmp_path, 0, "one")
    for rig, run in ends.values():
        began = [one for worker in rig.workers.values() for one in worker.began]
        assert bool(began) is (run.result is RunResult.DONE)
