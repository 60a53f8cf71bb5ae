"""Who keeps bundles fresh, and what they hold."""

from __future__ import annotations

from pathlib import Path

from dayshift.core.state import JournalState
from dayshift.journal.base import Head
from dayshift.journal.reader import JournalReader
from dayshift.journal.sealed import read_bundle
from dayshift.limits import SEAL_MS
from dayshift.model.records import Phase
from dayshift.runtime.sealing import Copies, unpack
from dayshift.runtime.session import load
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.rig import Rig
from tests.simulation.witness import ESTATE, Shift


def test_the_leader_seals_at_every_change_of_phase(tmp_path: Path) -> None:
    async def program(clock: VirtualClock) -> list[tuple[Phase, Phase]]:
        shift = Shift(Rig(clock, tmp_path / "journal", ESTATE))
        seen = []
        for phase in (Phase.DRAINING, Phase.WORKING, Phase.VALIDATING, Phase.SOAKING):
            await shift.until_phase(phase)
            run = unpack(read_bundle(shift.rig.folder)).state.run
            assert run is not None
            seen.append((run.now_at.phase, shift.phase))
        await shift.leave()
        return seen

    assert all(sealed is now for sealed, now in run_virtual(program))


def test_a_follower_seals_what_it_folded_and_not_what_came_since(
    tmp_path: Path,
) -> None:
    async def program(clock: VirtualClock) -> None:
        shift = Shift(Rig(clock, tmp_path / "journal", ESTATE))
        await shift.until_phase(Phase.DRAINING)
        with JournalReader.open(shift.rig.folder) as view:
            state, head = load(view), view.head
            copies = Copies(view, clock, "fra-2")
            await shift.until_phase(Phase.WORKING)
            assert copies.follow(head, state, ESTATE)
            check(shift.rig.folder, head, state)
            assert not copies.follow(head, state, ESTATE)
            await clock.sleep(SEAL_MS)
            assert copies.follow(head, state, ESTATE)
            copies.close()
        await shift.leave()

    run_virtual(program)


def check(folder: Path, head: Head, state: JournalState) -> None:
    sealed = read_bundle(folder, ESTATE.name)
    assert sealed.note.head == head
    assert sealed.note.holder == "fra-2"
    contents = unpack(sealed)
    assert contents.state == state
    assert contents.estate == ESTATE
