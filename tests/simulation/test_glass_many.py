"""Several machines and broken glass: who overrules whom, and how entries come home.

One machine broke the glass; a regular controller still lives, a second person does the
same elsewhere, the entries are carried, or lost for good. Then bugs, planted on
purpose: each must be found.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from dayshift.core import glass, guards, interlock, interlock_glass
from dayshift.core.state import JournalState, Status
from dayshift.errors import Bug, JournalFull, Reason
from dayshift.journal import glass as journal_glass
from dayshift.journal.audit import audit
from dayshift.model import records as r
from dayshift.model.dial import ALL
from dayshift.model.glass import is_glass
from dayshift.model.plan import Verb
from dayshift.model.records import Phase
from dayshift.runtime.frame import Frame
from dayshift.runtime.glass import give_up, lost_epochs
from dayshift.runtime.orchestrator import Orchestrator
from dayshift.runtime.session import Session, Workspace
from tests.kit.broken import Vault, ending, reopened
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.memory import DialLie
from tests.kit.rig import Rig
from tests.simulation.test_glass import OUT, reached, shares
from tests.simulation.witness import ESTATE, USUAL, Shift

Patch = pytest.MonkeyPatch
T = TypeVar("T")


def tonight(place: Path, deed: Callable[[Rig, Shift], Awaitable[T]], phase: Phase) -> T:
    """A regular run stopped in `phase`, its controller dead, then `deed`."""

    async def program(clock: VirtualClock) -> T:
        rig = Rig(clock, place / "journal", ESTATE)
        await clock.sleep(5_000)
        shift = Shift(rig)
        assert await reached(shift, phase)
        await shift.die()
        return await deed(rig, shift)

    return run_virtual(program)


async def killed_in(controller: Orchestrator, phase: Phase) -> None:
    """Let it act until its region is in `phase`, then no further."""
    going = asyncio.create_task(controller.go())

    def stop(frame: Frame) -> None:
        if controller.run.now_at.phase is phase:
            going.cancel()

    controller.on_frame = stop
    await asyncio.gather(going, return_exceptions=True)
    assert controller.run.now_at.phase is phase
    controller.journal.close()


def gone(*_: Any, **__: Any) -> None:
    raise JournalFull(Reason("STORE-GONE", "cut off"))


async def left_alone(shift: Shift) -> str:
    """What the next regular controller does by itself, in a minute."""
    shift.succeed()
    await shift.until(lambda: False, 60_000)
    state = shift.controller.state
    await shift.leave()
    return ending(state)


def test_a_second_who_breaks_the_glass_is_told_of_the_first(tmp_path: Path) -> None:
    async def deed(rig: Rig, _: Shift) -> tuple[str, str, dict[str, int]]:
        one = Vault.carried(rig, tmp_path / "one", "laptop-1")
        two = Vault.carried(rig, tmp_path / "two", "laptop-2")
        first = await one.act(Verb.EVACUATE, "fra")
        second = await two.act(Verb.EVACUATE, "ber")
        return first, second, shares(rig)

    first, second, after = tonight(tmp_path, deed, Phase.DRAINING)
    assert first == "evacuated"
    assert second == "BREAK-GLASS-ELSEWHERE"
    assert after == OUT["fra"]


def test_the_same_machine_breaks_it_again_and_brings_the_region_back(
    tmp_path: Path,
) -> None:
    async def deed(rig: Rig, shift: Shift) -> tuple[str, str, str, JournalState]:
        vault = Vault(rig, rig.folder, "here")
        out = await vault.act(Verb.EVACUATE, "fra")
        back = await vault.act(Verb.RETURN, "fra")
        assert shares(rig) == USUAL
        journal, state = reopened(rig)
        journal.close()
        return out, back, await left_alone(shift), state

    out, back, later, state = tonight(tmp_path, deed, Phase.DRAINING)
    assert (out, back, later) == ("evacuated", "done", "held BREAK-GLASS")
    assert state.left_drained == ()
    assert state.run is not None
    assert state.run.now_at.phase is Phase.SERVING


def test_killed_in_the_middle_it_goes_on_at_the_next_command(tmp_path: Path) -> None:
    async def deed(rig: Rig, shift: Shift) -> tuple[str, str]:
        vault = Vault(rig, rig.folder, "here")
        controller = vault.open(Verb.EVACUATE, "fra")
        await killed_in(controller, Phase.DRAINING)
        return await vault.act(Verb.EVACUATE, "fra"), await left_alone(shift)

    assert tonight(tmp_path, deed, Phase.DRAINING) == ("evacuated", "held BREAK-GLASS")


def test_a_regular_controller_finishes_what_was_begun(tmp_path: Path) -> None:
    async def deed(rig: Rig, shift: Shift) -> tuple[str, dict[str, int]]:
        controller = Vault(rig, rig.folder, "here").open(Verb.EVACUATE, "fra")
        await killed_in(controller, Phase.DRAINING)
        shift.succeed()
        await asyncio.gather(shift.task)
        assert shift.run.run == "run-1"
        ended = ending(shift.controller.state)
        await shift.leave()
        return ended, shares(rig)

    ended, after = tonight(tmp_path, deed, Phase.EMPTYING)
    assert ended == "held BREAK-GLASS"
    assert after == OUT["fra"]


def test_a_leader_that_lives_without_its_store_is_outranked(tmp_path: Path) -> None:
    """It aborts in its own emergency journal: its writes would bring users back into
    the burning region."""

    async def program(clock: VirtualClock) -> tuple[str, dict[str, int], JournalState]:
        rig = Rig(clock, tmp_path / "journal", ESTATE)
        await clock.sleep(5_000)
        shift = Shift(rig)
        await shift.until_phase(Phase.EMPTYING)
        laptop = Vault.carried(rig, tmp_path / "laptop", "laptop")
        journal: Any = shift.controller.journal
        journal._store.append = gone
        rig.dial.lie(DialLie.HANG, 1)  # the abort's first write, longer than a person
        asking = asyncio.create_task(shift.ask("abort"))
        await shift.until(lambda: journal.stranded)
        await clock.sleep(500)
        ended = await laptop.act(Verb.EVACUATE, "fra")
        with contextlib.suppress(JournalFull):
            # It ends by itself where it sees that it was outranked.
            await shift.until(lambda: False, 30_000)
        asking.cancel()
        after = shares(rig)
        stored, kept = journal._stored.seq, list(journal.records())
        await shift.die()
        opened, state = reopened(rig)  # its own entries are merged first
        own = [one for one in kept if one.seq > stored]
        assert any(isinstance(o.body, r.Requested) for o in own), own
        records = list(opened.records())
        merged = [o.body for o in records if isinstance(o.body, r.Merged)]
        assert [one.entries for one in merged] == [len(own)]
        assert [one for one in records if one in own] == own
        opened.close()
        assert await left_alone(shift) == "held BREAK-GLASS-UNMERGED"
        assert shares(rig) == after
        assert laptop.bring_to(rig.folder)
        opened, state = reopened(rig)
        opened.close()
        assert audit(rig.folder).ok
        assert await left_alone(shift) == "held BREAK-GLASS"
        assert shares(rig) == after
        return ended, after, state

    ended, after, state = run_virtual(program)
    assert ended == "evacuated"
    assert after == OUT["fra"]
    assert state.left_drained == ("fra",)


def test_without_the_entries_nobody_acts_and_the_machine_is_named(
    tmp_path: Path,
) -> None:
    async def deed(rig: Rig, shift: Shift) -> tuple[str, str]:
        laptop = Vault.carried(rig, tmp_path / "laptop", "laptop")
        await laptop.act(Verb.EVACUATE, "fra")
        held = await left_alone(shift)
        hold = shift.run.hold
        assert hold is not None
        return held, hold.reason.what + hold.reason.next

    held, text = tonight(tmp_path, deed, Phase.DRAINING)
    assert held == "held BREAK-GLASS-UNMERGED"
    assert "mark" in text
    assert "seal merge" in text
    assert "seal adopt" in text


def test_of_a_lost_machine_the_dials_are_believed_and_it_is_recorded(
    tmp_path: Path,
) -> None:
    async def deed(rig: Rig, shift: Shift) -> tuple[str, JournalState]:
        laptop = Vault.carried(rig, tmp_path / "laptop", "laptop")
        await laptop.act(Verb.EVACUATE, "fra")
        shift.succeed()
        await shift.until(shift.held)
        sight = shift.controller.watch.sight(shift.controller.state, rig.clock.now())
        await shift.leave()
        journal, _ = reopened(rig)
        session = Session(Workspace(tmp_path), journal)
        assert lost_epochs(session.state, sight)
        drained = give_up(session, rig.estate, sight, "eve", "it burned")
        assert drained == ("fra",)
        session.close()
        journal, state = reopened(rig)
        journal.close()
        return await left_alone(shift), state

    held, state = tonight(tmp_path, deed, Phase.DRAINING)
    assert held == "held BREAK-GLASS"
    assert state.left_drained == ("fra",)
    assert state.epoch > max(state.glasses)
    assert state.run is not None
    assert state.run.now_at.phase is Phase.LEFT_DRAINED


def test_an_old_bundle_does_not_overrule_what_was_merged_since(tmp_path: Path) -> None:
    async def deed(rig: Rig, shift: Shift) -> str:
        old = Vault.carried(rig, tmp_path / "old", "laptop")
        await Vault(rig, rig.folder, "here").act(Verb.EVACUATE, "fra")
        shift.succeed()
        await shift.until(shift.held)
        assert await shift.ask("close")
        await shift.until(shift.closed)
        await shift.leave()
        return await old.act(Verb.EVACUATE, "ber")

    ended = tonight(tmp_path, deed, Phase.DRAINING)
    assert ended in ("FENCED-OFF", "BREAK-GLASS-ELSEWHERE")


# Planted bugs. Each is found by the interlock, by the device, or by what users get.


def second_person(place: Path) -> tuple[str, dict[str, int]]:
    async def deed(rig: Rig, _: Shift) -> tuple[str, dict[str, int]]:
        one = Vault.carried(rig, place / "one", "laptop-1")
        two = Vault.carried(rig, place / "two", "laptop-2")
        await one.act(Verb.EVACUATE, "fra")
        return await two.act(Verb.EVACUATE, "ber", 20_000), shares(rig)

    return tonight(place, deed, Phase.DRAINING)


def test_planted_a_newer_claim_is_accepted_and_it_is_found(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(guards, "claims_reason", lambda state, sight: None)
    ended, after = second_person(tmp_path)
    assert ended in ("DRIFT", "held FENCED-OFF")
    assert after == OUT["fra"]


def test_planted_no_guard_knows_claims_and_the_device_finds_it(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(guards, "claims_reason", lambda state, sight: None)
    for kind, checks in interlock._CHECKS.items():
        kept = tuple(one for one in checks if one is not interlock_glass.newest)
        monkeypatch.setitem(interlock._CHECKS, kind, kept)
    monkeypatch.setattr(glass, "is_glass", lambda epoch: False)
    ended, after = second_person(tmp_path)
    assert ended != "evacuated"
    assert after == OUT["fra"]


def test_planted_a_token_that_does_not_outrank_stops_before_it_acts(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(journal_glass, "break_epoch", lambda known, machine: known)

    async def deed(rig: Rig, _: Shift) -> None:
        before = shares(rig)
        with pytest.raises(Bug, match="does not outrank"):
            await Vault(rig, rig.folder, "here").act(Verb.EVACUATE, "ber")
        assert shares(rig) == before

    tonight(tmp_path, deed, Phase.EMPTYING)


def test_planted_a_merge_that_forgets_the_evacuation_is_found(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(glass, "overtaken", glass.unparked)

    async def deed(rig: Rig, shift: Shift) -> tuple[list[str], dict[str, int]]:
        await Vault(rig, rig.folder, "here").act(Verb.EVACUATE, "fra")
        shift.succeed()
        await shift.until(shift.held)
        await shift.ask("abort")
        await shift.until(lambda: False, 60_000)
        found = forgotten(shift)
        await shift.leave()
        return found, shares(rig)

    found, after = tonight(tmp_path, deed, Phase.DRAINING)
    assert found or after != OUT["fra"]


def test_the_same_abort_without_the_bug_leaves_it_out(tmp_path: Path) -> None:
    async def deed(rig: Rig, shift: Shift) -> tuple[list[str], dict[str, int]]:
        await Vault(rig, rig.folder, "here").act(Verb.EVACUATE, "fra")
        shift.succeed()
        await shift.until(shift.held)
        await shift.ask("abort")
        await shift.until(shift.closed)
        assert shift.run.status is Status.CLOSED
        found = forgotten(shift)
        await shift.leave()
        return found, shares(rig)

    assert tonight(tmp_path, deed, Phase.DRAINING) == ([], OUT["fra"])


def forgotten(shift: Shift) -> list[str]:
    """A checker of its own: an evacuated region got users, or is said to have them,
    though nobody returned it. Asks the dial's writes alone."""
    found = []
    out = False
    for setting, token in shift.rig.dial.writes:
        has = setting.rows[ALL].get("fra", 0)
        if is_glass(token.claim.epoch) and not has:
            out = True
        elif out and has:
            found.append(f"{token.claim} gives fra {has}, which was evacuated")
    return found
