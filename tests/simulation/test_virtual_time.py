"""The orchestrator, unchanged, in virtual time over a world in memory."""

from __future__ import annotations

from pathlib import Path

from dayshift.core.state import RunState, Status
from dayshift.model.records import RunResult
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.rig import Rig


def go(tmp_path: Path, prepare=lambda rig: None) -> tuple[Rig, RunState]:  # type: ignore[no-untyped-def]
    kept: list[Rig] = []

    async def program(clock: VirtualClock) -> RunState:
        rig = Rig(clock, tmp_path / "journal")
        kept.append(rig)
        prepare(rig)
        await clock.sleep(5_000)
        controller = rig.controller()
        try:
            return await controller.go(leave_when_held=True)
        finally:
            controller.journal.close()

    run = run_virtual(program)
    return kept[0], run


def test_a_good_release_reaches_both_regions(tmp_path: Path) -> None:
    rig, run = go(tmp_path)
    assert run.result is RunResult.DONE, (run.status, run.hold, run.why)
    assert rig.world.shares() == {"fra": 5000, "ber": 5000}
    assert all(len(one.began) == 1 for one in rig.workers.values())
    assert not any(one.open for one in rig.brackets.values())


def test_a_bad_release_is_caught_and_the_other_region_is_untouched(
    tmp_path: Path,
) -> None:
    def bad(rig: Rig) -> None:
        rig.bad_release = True

    rig, run = go(tmp_path, bad)
    assert run.status is Status.HELD
    assert run.hold is not None
    assert run.hold.reason.code == "GATE-FAILED"
    assert rig.world.shares() == {"fra": 0, "ber": 10_000}
    assert rig.workers["ber"].began == {}
