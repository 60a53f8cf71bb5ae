"""The journal's disk is full: only what makes things safe goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dayshift.errors import JournalFull, Reason
from dayshift.model.records import Phase, RunResult
from tests.simulation.witness import Shift, watch


def full(*_: Any) -> None:
    raise JournalFull(Reason("JOURNAL-FULL", "no room"))


def test_abort_converges_on_a_full_disk_and_pause_is_refused(tmp_path: Path) -> None:
    async def deed(shift: Shift) -> None:
        await shift.until_phase(Phase.DRAINING)
        assert await shift.ask("pause")
        journal: Any = shift.controller.journal
        journal._store.append = full
        with pytest.raises(JournalFull):
            await shift.ask("take")
        assert await shift.ask("abort")
        await shift.until(shift.closed)
        assert journal.stranded

    shift = watch(tmp_path, deed)
    assert shift.run.result is RunResult.ABORTED
    assert not shift.faults()
