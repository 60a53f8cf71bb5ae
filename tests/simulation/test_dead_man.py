"""Each thing is lost in each phase, with dials that expire and dials that fail static:
what users get is what the table says, and the run ends well once it is back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dayshift.core import deadman, planner
from dayshift.core.deadman import EVACUATED, HELD, PAUSED, STANDS, TABLE, Lost, Then
from dayshift.errors import DriverRetry, JournalFull, Reason
from dayshift.model.estate import NotifySpec
from dayshift.model.plan import Verb
from dayshift.model.records import Phase
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.memory import DialLie, MeterLie
from tests.kit.play import REF, estate, replace
from tests.kit.rig import POLICY, Rig
from tests.simulation.witness import Shift

LEASE_MS = 6_000
BLIND_MS = 6_000
WAIT_MS = 4 * LEASE_MS
ESTATE = replace(
    estate(
        gate=replace(POLICY, dwell_ms_min=25_000),
        fresh_ms=3_000,
        drain_dwell_ms=60_000,
        soak_ms=60_000,
        lease_ms=LEASE_MS,
        blind_limit_ms=BLIND_MS,
        ramp_bp=(100, 2_500),
        approvals=0,
    ),
    notify=(NotifySpec("duty", REF),),
)


class Away:
    """A duty or a probe that does not answer until it is let."""

    def __init__(self) -> None:
        self.on = False

    def check(self) -> None:
        if self.on:
            raise DriverRetry(Reason("AWAY", "no answer"), 500)


class Stand:
    """One run that was brought to stand somewhere, and what was lost there."""

    def __init__(self, rig: Rig, leased: bool) -> None:
        self.rig = rig
        self.away = Away()
        self.leased = leased
        self.shift: Shift

    def begin(self, verb: Verb = Verb.MAINTAIN) -> None:
        if verb is not Verb.MAINTAIN:
            change = planner.simple_change("x", ("fra",), "fire")
            self.rig.plan = planner.make(self.rig.estate, change, verb)
        self.shift = Shift(self.rig, self.leased)
        duty: Any = self.rig.duties["nightly"]
        holders = duty.holders

        async def asked() -> tuple[str, ...]:
            self.away.check()
            return await holders()  # type: ignore[no-any-return]

        duty.holders = asked

    async def reach(self, stand: str) -> None:
        """Bring the run there; what keeps it there goes away with `back`."""
        shift = self.shift
        if stand == EVACUATED:
            await shift.until(lambda: shift.phase is Phase.LEFT_DRAINED)
            return
        if stand in (HELD, PAUSED):
            await shift.until(lambda: shift.run.now_at.index == 0)
            if stand == HELD:
                shift.clock.jump_wall(5_000)
                await shift.until(shift.held)
            else:
                await shift.ask("pause")
            await shift.clock.sleep(1_000)
            return
        phase = Phase(stand)
        if phase is Phase.PREFLIGHT:
            self.away.on = True
        if phase is Phase.DRAINING:
            await shift.until(lambda: shift.run.now_at.index == 0)
            return
        if phase is Phase.HANDING_OVER:
            await shift.until_phase(Phase.DRAINING)
            self.away.on = True
            await shift.until_phase(phase)
            return
        await self._towards(phase)

    async def _towards(self, phase: Phase) -> None:
        shift, place = self.shift, self.rig.world.places["fra"]
        if phase is Phase.EMPTY:
            await shift.pass_by(phase)
            return
        if phase is Phase.EMPTYING:
            place.stuck = 3
        if phase is Phase.WORKING:
            self.rig.workers["fra"].ms = 60_000
        if phase is Phase.CATCHING_UP:
            await shift.until(lambda: bool(shift.run.now_at.started))
            self.away.on = True
        if phase is Phase.WARMING:
            await shift.until(lambda: bool(shift.run.now_at.started))
            place.up = False
        if phase is Phase.RETURNING:
            await shift.until(
                lambda: shift.phase is phase and shift.run.now_at.index == 1
            )
            return
        await shift.until_phase(phase)
        assert shift.phase is phase, (shift.phase, shift.run.hold)
        place.up = phase not in (Phase.WARMING, Phase.VALIDATING)

    def back(self) -> None:
        place = self.rig.world.places["fra"]
        self.away.on, place.stuck, place.up = False, 0, True
        self.rig.workers["fra"].ms = 2_000


class Loss:
    """Takes something away and gives it back."""

    def __init__(self, stand: Stand, lost: Lost) -> None:
        self.stand, self.lost = stand, lost
        self.left_ms: list[int] = []

    async def take(self) -> None:
        rig, shift = self.stand.rig, self.stand.shift
        match self.lost:
            case Lost.CONTROLLER:
                await shift.die()
            case Lost.STORE:
                journal: Any = shift.controller.journal
                journal._store.append = journal._store.put_head = _full
            case Lost.LINK:
                rig.dial.lie(DialLie.UNREACHABLE)
            case Lost.AGENT:
                rig.dial.lie(DialLie.UNREACHABLE)
                self._stop_leases()
            case Lost.DEVICE:
                rig.world.devices[1].up = False
            case Lost.METERS:
                for meter in rig.meters:
                    for region in rig.world.places:
                        meter.lie(MeterLie.BLIND, region)

    async def give_back(self) -> None:
        rig, shift = self.stand.rig, self.stand.shift
        rig.dial.be_honest()
        rig.world.devices[1].up = True
        for meter in rig.meters:
            meter.be_honest()
        if self.left_ms:
            self._run_leases_again()
        self.stand.back()
        if self.lost is Lost.STORE:
            await shift.die()
        if self.lost in (Lost.CONTROLLER, Lost.STORE):
            shift.succeed()

    def _stop_leases(self) -> None:
        """The agent counts them; while it is dead nobody does."""
        now = self.stand.rig.clock.now().mono_ms
        self.left_ms = [one.expires_ms - now for one in self.stand.rig.world.devices]
        for one in self.stand.rig.world.devices:
            one.expires_ms = one.expires_ms + 10**9 if one.leased else one.expires_ms

    def _run_leases_again(self) -> None:
        for one in self.stand.rig.world.devices:
            one.expires_ms = one.expires_ms - 10**9 if one.leased else one.expires_ms


def _full(*_: Any) -> None:
    raise JournalFull(Reason("JOURNAL-FULL", "no room"))


def share(rig: Rig) -> int:
    """What fra gets of all users, in basis points."""
    return rig.world.shares()["fra"]


def wanted(rig: Rig, then: Then, before: int) -> int:
    ramp = rig.plan.pass_of("fra").ramp
    return {
        Then.AS_IT_WAS: before,
        Then.DRAINED: 0,
        Then.USUAL: ramp[-1].share_bp,
        Then.PROVEN: ramp[0].share_bp,
    }[then]


@pytest.mark.parametrize("leased", [True, False], ids=["leased", "static"])
@pytest.mark.parametrize("lost", Lost, ids=str)
@pytest.mark.parametrize("stand", STANDS)
def test_every_cell_of_the_dead_man(
    stand: str, lost: Lost, leased: bool, tmp_path: Path
) -> None:
    cell = TABLE[stand, lost]

    async def program(clock: VirtualClock) -> None:
        early = stand in (Phase.PREFLIGHT, Phase.DRAINING, HELD, PAUSED)
        # Blind must not take the next stage; all else is to find it waiting there.
        long_ms = 10_000 if lost is Lost.METERS and stand == Phase.DRAINING else 60_000
        dwell_ms = long_ms if early else 500
        policy = replace(ESTATE.policy, drain_dwell_ms=dwell_ms)
        the_estate = replace(ESTATE, policy=policy)
        rig = Rig(clock, tmp_path / "journal", the_estate, instances=2)
        await clock.sleep(5_000)
        one = Stand(rig, leased)
        one.begin(Verb.EVACUATE if stand == EVACUATED else Verb.MAINTAIN)
        if stand == Phase.PREFLIGHT:
            one.away.on = True
        await one.reach(stand)
        before, loss = share(rig), Loss(one, lost)
        await loss.take()
        await clock.sleep(WAIT_MS)
        then = cell.leased if leased else cell.static
        assert share(rig) == wanted(rig, then, before), one.shift.run.hold
        await loss.give_back()
        await one.shift.to_the_end()
        assert one.shift.closed(), one.shift.run.hold
        await one.shift.leave()
        if stand == EVACUATED:
            assert share(rig) == 0
        assert one.shift.faults() == []

    run_virtual(program)


def test_the_page_of_the_dead_man_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "dead-man.md"
    assert page.read_text("utf-8") == deadman.page()
