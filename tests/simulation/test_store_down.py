"""The store is full or gone while somebody asks: the cells of the table of overrides
that need a journal. What makes things safe goes on and is merged later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dayshift.core import overrides, planner, review
from dayshift.core.overrides import Down, Outcome
from dayshift.errors import JournalFull, Reason
from dayshift.journal.journal import Journal
from dayshift.journal.reader import JournalReader
from dayshift.model import records as r
from dayshift.model.estate import Policy
from dayshift.model.plan import Verb
from dayshift.model.records import Phase, RunResult
from dayshift.runtime.clock import SystemEntropy
from dayshift.runtime.orchestrator import Orchestrator
from dayshift.runtime.session import Session, Workspace
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.rig import Rig
from tests.simulation.witness import ESTATE, Shift


def full(journal: Any) -> None:
    def refuse(*_: Any) -> None:
        raise JournalFull(Reason("JOURNAL-FULL", "no room"))

    journal._store.append = refuse


def gone(journal: Any) -> None:
    """After an error of the disk the connection writes no more."""
    journal._store._lost = True


DOWN: dict[str, Callable[[Any], None]] = {"full": full, "gone": gone}


def in_a_world(tmp_path: Path, program: Callable[[Rig], Any]) -> None:
    async def go(clock: VirtualClock) -> None:
        rig = Rig(clock, tmp_path / "journal", ESTATE)
        await clock.sleep(5_000)
        await program(rig)

    run_virtual(go)


def merged_later(rig: Rig) -> list[r.AnyBody]:
    """What the journal holds once there is room again."""
    Journal.open(rig.folder, "demo", rig.clock, "later").close()
    with JournalReader.open(rig.folder) as view:
        bodies = [one.body for one in view.records()]
    assert sum(isinstance(one, r.Merged) for one in bodies) == 1
    return bodies


@pytest.mark.parametrize("how", DOWN)
@pytest.mark.parametrize("verb", ["abort", "return --now", "accept"])
def test_a_request_without_a_store(verb: str, how: str, tmp_path: Path) -> None:
    wanted = overrides.outcome("CAPACITY-EXCEEDED", verb, 2, Down.STORE, Policy())
    phase = Phase.RETURNING if verb == "return --now" else Phase.DRAINING

    async def program(rig: Rig) -> None:
        shift = Shift(rig)
        await shift.until_phase(phase)
        assert await shift.ask("pause")
        await shift.clock.sleep(1_000)
        DOWN[how](shift.controller.journal)
        if wanted is Outcome.STOPPED:
            with pytest.raises(JournalFull):
                await shift.ask(
                    verb, code="CAPACITY-EXCEEDED", reason="known", second="bob"
                )
            await shift.leave()
            return
        assert await shift.ask(verb.split()[0], region="fra")
        if verb == "abort":
            await shift.until(shift.closed)
            assert shift.run.result is RunResult.ABORTED
        assert shift.controller.journal.stranded
        await shift.leave()
        asked = [one for one in merged_later(rig) if isinstance(one, r.Requested)]
        assert asked[-1].verb == verb.split()[0]
        # Merging counts on: an entry's number is not the one that its claim has.
        others = [f for f in shift.faults() if not f.endswith("without an intent")]
        assert others == []

    in_a_world(tmp_path, program)


@pytest.mark.parametrize("how", DOWN)
@pytest.mark.parametrize("verb", [Verb.EVACUATE, Verb.DRAIN])
def test_a_run_begins_without_a_store_only_to_evacuate(
    verb: Verb, how: str, tmp_path: Path
) -> None:
    change = planner.simple_change(verb.value, ("fra",), "fire")

    async def program(rig: Rig) -> None:
        rig.plan = planner.make(rig.estate, change, verb)
        assert review.faults(rig.plan) == ()
        journal = Journal.open(rig.folder, "demo", rig.clock, "test")
        session = Session(Workspace(rig.folder.parent), journal)
        DOWN[how](journal)
        if verb is not Verb.EVACUATE:
            with pytest.raises(JournalFull):
                session.begin(rig.plan, "ada")
            return
        session.begin(rig.plan, "ada", break_glass=True)
        controller = Orchestrator(
            journal, session.state, rig.drivers(), rig.clock, SystemEntropy()
        )
        run = await controller.go()
        assert run.result is RunResult.EVACUATED
        assert rig.world.shares() == {"fra": 0, "ber": 10_000}
        journal.close()
        bodies = merged_later(rig)
        assert sum(isinstance(one, r.RunClosed) for one in bodies) == 1

    in_a_world(tmp_path, program)
