"""Who cannot write down what it does, or leads no more, keeps no lease alive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dayshift.core.state import Status
from dayshift.errors import JournalFull, Reason
from dayshift.model.records import Phase
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.play import estate
from tests.kit.rig import POLICY, Rig
from tests.simulation.witness import Shift

LEASE_MS = 6_000
ESTATE = estate(
    gate=POLICY, fresh_ms=3_000, drain_dwell_ms=60_000, lease_ms=LEASE_MS, approvals=0
)


def _leader_no_more(journal: Any) -> None:
    type(journal._store).lost = property(lambda _: True)


def _full(journal: Any) -> None:
    def refuse(*_: Any) -> None:
        raise JournalFull(Reason("JOURNAL-FULL", "no room"))

    journal._store.append = journal._store.put_head = refuse


@pytest.mark.parametrize("lost", [_leader_no_more, _full])
def test_a_drain_goes_back_when_its_controller_has_no_store(
    lost: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def program(clock: VirtualClock) -> None:
        rig = Rig(clock, tmp_path / "journal", ESTATE, instances=1)
        await clock.sleep(5_000)
        shift = Shift(rig, True)
        await shift.until(lambda: shift.run.now_at.index == 0)
        device = rig.world.devices[0]
        await clock.sleep(3 * LEASE_MS)
        assert device.expires_ms is not None, "renewed while all is well"
        assert shift.phase is Phase.DRAINING and shift.run.status is Status.RUNNING
        store = type(shift.controller.journal._store)  # type: ignore[attr-defined]
        monkeypatch.setattr(store, "lost", store.lost)
        lost(shift.controller.journal)
        await clock.sleep(2 * LEASE_MS)
        rig.world.advance()
        rows = device.setting.rows["*"]
        assert rows["fra"] == 5_000, rows
        monkeypatch.undo()
        await shift.die()

    run_virtual(program)


def test_a_journal_that_takes_nothing_says_so(tmp_path: Path) -> None:
    async def program(clock: VirtualClock) -> None:
        rig = Rig(clock, tmp_path / "journal", ESTATE, instances=1)
        shift = Shift(rig)
        await shift.until_phase(Phase.DRAINING)
        journal: Any = shift.controller.journal
        journal.sign_head()
        assert journal.takes_records()
        _full(journal)
        assert not journal.takes_records()
        await shift.die()

    run_virtual(program)
