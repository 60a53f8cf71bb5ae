"""Meters go silent while traffic comes back, before the real orchestrator and gate."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayshift.core.state import Status
from dayshift.model.records import Phase
from tests.kit.memory import MemoryMeter, MeterLie
from tests.kit.rig import Rig
from tests.simulation.witness import ESTATE, Shift, watch

BLIND_MS = ESTATE.policy.blind_limit_ms
SILENT = [MeterLie.BLIND, MeterLie.FAULT, MeterLie.STALE, MeterLie.HANG]


def meter(rig: Rig, name: str) -> MemoryMeter:
    return next(one for one in rig.meters if one.name == name)


async def until_rung(shift: Shift, rung: int) -> None:
    await shift.until(
        lambda: shift.phase is Phase.RETURNING and shift.run.now_at.index >= rung
    )


@pytest.mark.parametrize("how", SILENT)
@pytest.mark.parametrize("rung", [0, 2])
def test_a_silent_entry_goes_back_to_the_last_proven_rung(
    how: MeterLie, rung: int, tmp_path: Path
) -> None:
    """Neither up nor down by itself before the limit, one proven rung down after it."""
    seen: list[int] = []

    async def deed(shift: Shift) -> None:
        await until_rung(shift, rung)
        meter(shift.rig, "entry").lie(how, "fra")
        begun = shift.clock.now().mono_ms
        rungs: list[int] = []

        def held() -> bool:
            rungs.extend([] if shift.held() else [shift.run.now_at.index])
            return shift.held()

        await shift.until(held)
        seen.append(shift.clock.now().mono_ms - begun)
        at = rungs[-1]
        await shift.until(lambda: shift.run.now_at.retreat is None, 10_000)
        shares = [
            stage.share_bp for stage in shift.controller.state.plan.passes[0].ramp
        ]
        assert shift.rig.world.shares()["fra"] == (shares[at - 1] if at else 0)
        assert shift.run.hold is not None and shift.run.hold.reason.code == "BLIND"
        meter(shift.rig, "entry").be_honest()
        await shift.to_the_end()

    shift = watch(tmp_path, deed)
    assert not shift.faults()
    assert shift.run.status is Status.CLOSED
    assert BLIND_MS - 1_000 <= seen[0] <= BLIND_MS + 10_000


@pytest.mark.parametrize("how", SILENT)
def test_users_errors_with_a_silent_region_meter_are_judged(
    how: MeterLie, tmp_path: Path
) -> None:
    """A release that kills its own exporter must not hide behind that."""
    codes: list[str] = []

    async def deed(shift: Shift) -> None:
        await shift.until_phase(Phase.VALIDATING)
        meter(shift.rig, "edge").lie(how, "fra")
        shift.rig.world["fra"].error_ppm = 300_000
        await shift.until(shift.held, 60_000)
        await shift.until(lambda: shift.run.now_at.retreat is None, 10_000)
        assert shift.run.hold is not None
        codes.append(shift.run.hold.reason.code)
        assert shift.rig.world.shares()["fra"] == 0

    shift = watch(tmp_path, deed)
    assert codes == ["GATE-FAILED"]
    assert not shift.seen
