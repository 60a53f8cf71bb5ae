"""Broken glass at every phase of a regular run: what users get, and what is merged.

The store is gone; the regular controller is dead, or alive and cut off. The same
orchestrator acts from the bundle, and the next regular controller merges.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dayshift.core.state import JournalState, RunState, Status
from dayshift.journal.audit import audit
from dayshift.model.glass import is_glass
from dayshift.model.plan import Verb
from dayshift.model.records import Phase
from dayshift.runtime.frame import Frame
from tests.kit.broken import Vault, reopened
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.rig import Rig
from tests.simulation.witness import ESTATE, USUAL, Shift

BEFORE = (Phase.PREFLIGHT, Phase.DRAINING, Phase.EMPTYING, Phase.EMPTY)
AT_WORK = (Phase.WORKING,)
COMING = (Phase.VALIDATING, Phase.RETURNING, Phase.SOAKING)
PHASES = (*BEFORE, *AT_WORK, *COMING)
OUT = {"fra": {"fra": 0, "ber": 10_000}, "ber": {"fra": 10_000, "ber": 0}}


class Night:
    """One regular run that was overtaken, and what came of it."""

    def __init__(self, shift: Shift) -> None:
        self.shift = shift
        self.ended = ""
        self.shares: dict[str, int] = {}
        self.state = JournalState()
        self.later: dict[str, int] = {}
        self.idle_writes = 0

    @property
    def parked(self) -> RunState:
        """The regular run, as the next regular controller finds it."""
        assert self.state.run is not None
        return self.state.run


def shares(rig: Rig) -> dict[str, int]:
    return rig.world.shares()


async def reached(shift: Shift, phase: Phase) -> bool:
    """Stop in `phase` of fra, however short it is."""

    def stop(frame: Frame) -> None:
        if shift.phase is phase:
            shift.task.cancel()

    shift.controller.on_frame = stop
    await asyncio.gather(shift.task, return_exceptions=True)
    return shift.phase is phase


def night(folder: Path, phase: Phase, verb: Verb, region: str) -> Night:
    """Regular run to `phase`, the controller dies with its store, somebody acts, the
    store is back, and nobody does anything for a minute."""

    async def program(clock: VirtualClock) -> Night:
        rig = Rig(clock, folder / "journal", ESTATE)
        await clock.sleep(5_000)
        shift = Shift(rig)
        found = Night(shift)
        assert await reached(shift, phase)
        await shift.die()
        found.ended = await Vault(rig, rig.folder, "here").act(verb, region)
        found.shares = shares(rig)
        journal, found.state = reopened(rig)
        journal.close()
        shift.succeed()
        before = len(rig.dial.writes)
        await shift.until(lambda: False, 60_000)
        found.idle_writes = len(rig.dial.writes) - before
        found.later = shares(rig)
        await shift.leave()
        return found

    return run_virtual(program)


def intact(folder: Path, found: Night) -> None:
    """What must hold after every merge."""
    assert audit(folder / "journal").ok
    state, rig = found.state, found.shift.rig
    for device in rig.world.devices:
        assert device.claim is not None
    assert state.glass is None
    assert not state.parked
    assert state.epoch > max(state.glasses)
    assert not is_glass(state.epoch)
    assert found.later == found.shares
    assert not found.shift.seen


@pytest.mark.parametrize("phase", PHASES)
def test_the_region_of_a_run_is_evacuated_and_stays_out(
    tmp_path: Path, phase: Phase
) -> None:
    found = night(tmp_path, phase, Verb.EVACUATE, "fra")
    assert found.ended == "evacuated"
    assert found.shares == OUT["fra"]
    assert found.state.left_drained == ("fra",)
    run = found.parked
    assert run.run == "run-1"
    assert run.status is Status.HELD
    assert run.hold is not None
    assert run.hold.reason.code == "BREAK-GLASS"
    assert run.now_at.kept_out
    ends = Phase.WORKING if run.now_at.started and phase in AT_WORK else None
    assert run.now_at.phase is (ends or Phase.LEFT_DRAINED)
    intact(tmp_path, found)


@pytest.mark.parametrize("phase", (*BEFORE, Phase.RETURNING, Phase.SOAKING))
def test_the_other_region_is_evacuated_into_the_one_of_the_run(
    tmp_path: Path, phase: Phase
) -> None:
    found = night(tmp_path, phase, Verb.EVACUATE, "ber")
    assert found.ended == "evacuated"
    assert found.shares == OUT["ber"]
    assert found.state.left_drained == ("ber",)
    begun = phase in (Phase.RETURNING, Phase.SOAKING)
    wanted = Phase.SOAKING if begun else Phase.SERVING
    if phase is Phase.PREFLIGHT:
        wanted = Phase.PREFLIGHT
    assert found.parked.now_at.phase is wanted
    intact(tmp_path, found)


@pytest.mark.parametrize("phase", (Phase.WORKING, Phase.VALIDATING))
def test_no_users_are_sent_to_a_region_at_work(tmp_path: Path, phase: Phase) -> None:
    found = night(tmp_path, phase, Verb.EVACUATE, "ber")
    assert found.ended == "REGION-AT-WORK"
    assert found.shares == OUT["fra"]
    assert found.parked.now_at.phase is phase
    intact(tmp_path, found)


@pytest.mark.parametrize("phase", (Phase.EMPTY, *COMING))
def test_the_region_of_a_run_returns_in_a_hurry(tmp_path: Path, phase: Phase) -> None:
    found = night(tmp_path, phase, Verb.RETURN, "fra")
    assert found.ended == "done"
    assert found.shares == USUAL
    assert found.state.left_drained == ()
    wanted = Phase.SERVING if phase is Phase.EMPTY else Phase.SOAKING
    assert found.parked.now_at.phase is wanted
    intact(tmp_path, found)


def test_a_region_whose_step_was_begun_does_not_return(tmp_path: Path) -> None:
    async def program(clock: VirtualClock) -> str:
        rig = Rig(clock, tmp_path / "journal", ESTATE)
        await clock.sleep(5_000)
        shift = Shift(rig)
        await shift.until(lambda: bool(shift.run.now_at.started))
        await shift.until(lambda: False, 500)
        shift.controller._seals.seal(shift.controller.state)
        await shift.die()
        return await Vault(rig, rig.folder, "here").act(Verb.RETURN, "fra")

    assert run_virtual(program) == "REGION-AT-WORK"
