"""Devices lie, survivors die, controllers crash, people change their minds: users keep
being served, and every run ends where it said it would."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from dayshift.core import planner
from dayshift.core.decision import Decision
from dayshift.core.exits import abort_consequence
from dayshift.core.state import Status
from dayshift.model import records as r
from dayshift.model.dial import split
from dayshift.model.plan import Verb
from dayshift.model.records import Phase, RunResult
from dayshift.model.sight import Sight
from dayshift.runtime.orchestrator import Orchestrator
from tests.kit.memory import DialLie, MeterLie
from tests.kit.play import change
from tests.kit.rig import Rig
from tests.simulation.witness import Shift, moments, watch

GOOD_MS = 30_000
"""About as long as a good run takes."""
DIAL_PHASES = [Phase.DRAINING, Phase.EMPTYING, Phase.WORKING, Phase.RETURNING]
METER_CASES = [
    ("entry", Phase.RETURNING),
    ("entry", Phase.EMPTYING),
    ("edge", Phase.EMPTYING),
    ("both", Phase.PREFLIGHT),
    ("both", Phase.DRAINING),
    ("both", Phase.WORKING),
    ("both", Phase.SOAKING),
]
PHASES = [
    Phase.PREFLIGHT,
    Phase.DRAINING,
    Phase.EMPTYING,
    Phase.WORKING,
    Phase.VALIDATING,
    Phase.RETURNING,
    Phase.SOAKING,
]


def safe(shift: Shift) -> None:
    """Nothing bad was seen, and the run ended."""
    state = (shift.run.status, shift.run.result, shift.phase, shift.run.hold)
    assert not shift.faults(), (shift.faults(), state)
    assert shift.closed(), state


DIAL_LIES = [
    (DialLie.NO_APPLY, 0),
    (DialLie.ERROR_AFTER, 0),
    (DialLie.ERROR_BEFORE, 0),
    (DialLie.PARTIAL, 0),
    (DialLie.SILENT_PARTIAL, 0),
    (DialLie.SLOW, 2_000),
    (DialLie.LATE, 3_000),
    (DialLie.HANG, 0),
    (DialLie.HANG_AFTER, 0),
    (DialLie.SELF_REVERT, 1_500),
    (DialLie.READ_FAULT, 0),
    (DialLie.UNREACHABLE, 0),
]


@pytest.mark.parametrize("phase", DIAL_PHASES)
@pytest.mark.parametrize("how,ms", DIAL_LIES)
def test_a_lying_dial(how: DialLie, ms: int, phase: Phase, tmp_path: Path) -> None:
    async def deed(shift: Shift) -> None:
        await shift.until_phase(phase)
        shift.rig.dial.lie(how, ms=ms)
        await shift.clock.sleep(20_000)
        shift.rig.dial.be_honest()
        await shift.to_the_end()

    safe(watch(tmp_path, deed))


@pytest.mark.parametrize(("which", "phase"), METER_CASES)
@pytest.mark.parametrize("how", list(MeterLie))
def test_a_lying_meter(how: MeterLie, which: str, phase: Phase, tmp_path: Path) -> None:
    async def deed(shift: Shift) -> None:
        await shift.until_phase(phase)
        meters = [m for m in shift.rig.meters if which in (m.name, "both")]
        for meter in meters:
            meter.lie(how, "fra")
        await shift.clock.sleep(20_000)
        for meter in meters:
            meter.be_honest()
        await shift.to_the_end()

    safe(watch(tmp_path, deed))


@pytest.mark.parametrize(
    "how",
    [
        MeterLie.BLIND,
        MeterLie.FAULT,
        MeterLie.STALE,
        MeterLie.NEGATIVE,
        MeterLie.HANG,
    ],
)
@pytest.mark.parametrize("which", ["entry", "edge"])
def test_no_certificate_rests_on_a_meter_that_says_nothing(
    how: MeterLie, which: str, tmp_path: Path
) -> None:
    phases: list[Phase] = []

    async def deed(shift: Shift) -> None:
        await shift.until_phase(Phase.EMPTYING)
        meter = next(m for m in shift.rig.meters if m.name == which)
        meter.lie(how, "fra")
        await shift.clock.sleep(20_000)
        phases.append(shift.phase)

    watch(tmp_path, deed)
    assert phases == [Phase.EMPTYING]


@pytest.mark.parametrize("which", ["entry", "edge"])
def test_no_certificate_while_one_meter_still_sees_users(
    which: str, tmp_path: Path
) -> None:
    """Contradiction: one meter sees silence, the other sees users."""
    phases: list[Phase] = []

    async def deed(shift: Shift) -> None:
        await shift.until_phase(Phase.DRAINING)
        meter = next(m for m in shift.rig.meters if m.name == which)
        meter.lie(MeterLie.FROZEN, "fra")
        shift.rig.world["fra"].stray_rps = 3
        await shift.clock.sleep(30_000)
        phases.append(shift.phase)

    watch(tmp_path, deed)
    assert phases == [Phase.EMPTYING]


@pytest.mark.parametrize("phase", PHASES)
def test_the_survivor_dies(phase: Phase, tmp_path: Path) -> None:
    """Nothing is sent only to a dead region; what comes back is what can serve."""

    async def deed(shift: Shift) -> None:
        await shift.until_phase(phase)
        shift.rig.world["ber"].up = False
        shift.rig.dial.down_since["ber"] = shift.clock.now().mono_ms
        await shift.clock.sleep(20_000)
        shift.rig.world["ber"].up = True
        shift.rig.dial.down_since.clear()
        await shift.to_the_end()

    safe(watch(tmp_path, deed))


@pytest.mark.parametrize("phase", [Phase.DRAINING, Phase.EMPTYING])
def test_before_work_a_dead_survivor_brings_the_region_back(
    phase: Phase, tmp_path: Path
) -> None:
    shares: list[int] = []

    async def deed(shift: Shift) -> None:
        await shift.until_phase(phase)
        shift.rig.world["ber"].up = False
        await shift.clock.sleep(20_000)
        shares.append(shift.rig.world.shares()["fra"])
        assert shift.held()

    watch(tmp_path, deed)
    assert shares == [5_000]


def test_a_surge_stops_the_drain(tmp_path: Path) -> None:
    async def deed(shift: Shift) -> None:
        await shift.until_phase(Phase.DRAINING)
        shift.rig.world.rps = 1_200
        await shift.until(shift.held)
        assert shift.run.hold is not None
        assert shift.run.hold.reason.code == "CAPACITY-EXCEEDED"
        await shift.clock.sleep(5_000)
        assert shift.rig.world.shares() == {"fra": 5_000, "ber": 5_000}
        shift.rig.world.rps = 400
        await shift.to_the_end()

    shift = watch(tmp_path, deed)
    safe(shift)
    assert shift.run.result is RunResult.DONE


@pytest.mark.parametrize("phase", PHASES)
def test_a_jump_of_the_clock_holds(phase: Phase, tmp_path: Path) -> None:
    codes: list[str] = []

    async def deed(shift: Shift) -> None:
        await shift.until_phase(phase)
        shift.clock.jump_wall(3_600_000)
        await shift.until(shift.held, 3_000)
        assert shift.run.hold is not None
        codes.append(shift.run.hold.reason.code)
        await shift.to_the_end()

    shift = watch(tmp_path, deed)
    safe(shift)
    assert codes == ["CLOCK-JUMPED"]
    assert shift.run.result is RunResult.DONE


@pytest.mark.parametrize("phase", PHASES)
def test_somebody_else_moves_the_dial(phase: Phase, tmp_path: Path) -> None:
    async def deed(shift: Shift) -> None:
        await shift.until_phase(phase)
        shift.rig.dial.drift(split({"fra": 4_000, "ber": 6_000}))
        await shift.clock.sleep(5_000)
        shift.rig.dial.drift(
            shift.controller.state.confirmed.get(
                "entry", shift.controller.state.plan.baseline["entry"]
            )
        )
        await shift.to_the_end()

    shift = watch(tmp_path, deed)
    found = [one for one in shift.faults() if "users in fra" not in one]
    assert not found, found
    assert shift.closed()


@pytest.mark.parametrize("seed", range(30))
def test_a_crash_at_any_moment_changes_nothing(seed: int, tmp_path: Path) -> None:
    async def deed(shift: Shift) -> None:
        await shift.clock.sleep(moments(seed, 1, GOOD_MS)[0])
        await shift.crash()
        await shift.until(shift.closed)

    shift = watch(tmp_path, deed)
    safe(shift)
    assert shift.run.result is RunResult.DONE


@pytest.mark.parametrize("seed", range(12))
def test_many_crashes_one_after_another(seed: int, tmp_path: Path) -> None:
    async def deed(shift: Shift) -> None:
        for wait_ms in moments(1_000 + seed, 8, 12_000):
            await shift.clock.sleep(wait_ms // 2)
            if not shift.closed():
                await shift.crash()
        await shift.until(shift.closed)

    shift = watch(tmp_path, deed)
    safe(shift)
    assert shift.run.result is RunResult.DONE


@pytest.mark.parametrize("seed", range(24))
def test_an_abort_at_any_moment_does_what_it_said(seed: int, tmp_path: Path) -> None:
    """One word is enough: no second abort, no retry."""
    said: list[str] = []

    async def deed(shift: Shift) -> None:
        draw = random.Random(seed)
        shift.rig.dial.lie(DialLie.SLOW, ms=draw.randrange(1_500))
        await shift.clock.sleep(draw.randrange(GOOD_MS))
        said.append(abort_consequence(shift.run, shift.controller.state.plan))
        if seed % 3 == 0:
            await shift.crash()
        await shift.ask("abort")
        await shift.until(shift.closed)

    shift = watch(tmp_path, deed)
    safe(shift)
    assert shift.rig.world.shares() == {"fra": 5_000, "ber": 5_000}, said


@pytest.mark.parametrize("seed", range(12))
def test_abort_where_work_cannot_be_undone(seed: int, tmp_path: Path) -> None:
    said: list[str] = []

    def one_way(rig: Rig) -> None:
        rig.change = change(undo=False)
        rig.plan = planner.make(rig.estate, rig.change, Verb.MAINTAIN)

    async def deed(shift: Shift) -> None:
        await shift.until_phase(Phase.WORKING)
        await shift.clock.sleep(random.Random(seed).randrange(12_000))
        said.append(abort_consequence(shift.run, shift.controller.state.plan))
        await shift.ask("abort")
        await shift.until(shift.closed)

    shift = watch(tmp_path, deed, one_way)
    safe(shift)
    region = shift.run.now_at.region
    drained = "stays drained" in said[0]
    assert (shift.rig.world.shares()[region] == 0) is drained, (said, region)


@pytest.mark.parametrize("seed", range(20))
def test_people_ask_at_random(seed: int, tmp_path: Path) -> None:
    """Pauses, resumptions, retries, words out of turn, crashes: it still converges."""

    async def deed(shift: Shift) -> None:
        draw = random.Random(seed)
        for _ in range(10):
            await shift.clock.sleep(draw.randrange(4_000))
            if shift.closed():
                return
            verb = draw.choice(
                [
                    "pause",
                    "resume",
                    "resume",
                    "retry",
                    "adopt",
                    "close",
                    "crash",
                    "take",
                    "return",
                    "done-by-hand",
                    "abort" if seed % 2 else "pause",
                ]
            )
            if verb == "crash":
                await shift.crash()
            else:
                await shift.ask(verb, region="fra", step="upgrade", reason="because")
        await shift.ask("resume")
        await shift.to_the_end()

    safe(watch(tmp_path, deed))


@pytest.mark.parametrize(
    "verbs",
    [("close", "abort"), ("retry", "retry"), ("abort", "close"), ("abort", "abort")],
)
def test_two_people_ask_at_the_same_instant(
    verbs: tuple[str, str], tmp_path: Path
) -> None:
    async def deed(shift: Shift) -> None:
        shift.rig.world["fra"].stray_rps = 0
        await shift.until_phase(Phase.CATCHING_UP)
        await shift.until_phase(Phase.VALIDATING)
        shift.rig.world["fra"].stray_rps = 5
        await shift.until(shift.held, 10_000)
        shift.rig.world["fra"].stray_rps = 0
        await asyncio.gather(*(shift.ask(verb) for verb in verbs))
        await shift.to_the_end()

    safe(watch(tmp_path, deed))


@pytest.mark.parametrize("seed", range(10))
def test_a_bad_release_never_reaches_the_other_region(
    seed: int, tmp_path: Path
) -> None:
    def bad(rig: Rig) -> None:
        rig.bad_release = True

    async def deed(shift: Shift) -> None:
        await shift.until(shift.held)
        assert shift.run.hold is not None
        assert shift.run.hold.reason.code == "GATE-FAILED"
        await shift.clock.sleep(seed * 700)
        if seed % 2:
            await shift.crash()
        await shift.ask("abort")
        await shift.until(shift.closed)

    shift = watch(tmp_path, deed, bad)
    safe(shift)
    assert shift.run.result is RunResult.ABORTED
    assert shift.rig.world.shares() == {"fra": 5_000, "ber": 5_000}
    assert shift.rig.workers["ber"].began == {}


def test_an_undo_that_does_not_help_leaves_users_alone(tmp_path: Path) -> None:
    """The gate also judges the way back of an abort."""

    def bad(rig: Rig) -> None:
        rig.bad_release = True

    async def deed(shift: Shift) -> None:
        await shift.until(shift.held)
        await shift.clock.sleep(3_000)
        worker = shift.rig.workers["fra"]
        undo = worker.undo

        async def in_vain(order: object) -> None:
            await undo(order)  # type: ignore[arg-type]
            shift.rig.world["fra"].error_ppm = 200_000

        worker.undo = in_vain  # type: ignore[method-assign]
        await shift.ask("abort")
        await shift.until(shift.held)
        assert shift.run.hold is not None
        assert shift.run.hold.reason.code == "GATE-FAILED"
        await shift.clock.sleep(5_000)
        assert shift.rig.world.shares() == {"fra": 0, "ber": 10_000}
        assert await shift.ask("close")
        await shift.until(shift.closed)

    shift = watch(tmp_path, deed, bad)
    safe(shift)
    assert shift.controller.state.left_drained == ("fra",)


def test_a_hold_says_when_users_could_not_be_taken_away(tmp_path: Path) -> None:
    """The gate fails and the dial does nothing: the hold must not claim otherwise."""

    def bad(rig: Rig) -> None:
        rig.bad_release = True

    async def deed(shift: Shift) -> None:
        await shift.until_phase(Phase.RETURNING)
        await shift.until(lambda: shift.run.now_at.index >= 0)
        shift.rig.dial.lie(DialLie.NO_APPLY)
        await shift.until(shift.held)
        await shift.clock.sleep(30_000)
        assert shift.run.hold is not None
        assert shift.run.hold.reason.code != "GATE-FAILED"
        shift.rig.dial.be_honest()
        await shift.ask("retry")
        await shift.clock.sleep(3_000)
        assert shift.rig.world.shares()["fra"] == 0 or shift.held()
        await shift.to_the_end()

    safe(watch(tmp_path, deed, bad))


def test_a_paused_run_stays_paused(tmp_path: Path) -> None:
    async def deed(shift: Shift) -> None:
        await shift.until_phase(Phase.EMPTYING)
        assert await shift.ask("pause")
        await shift.ask("accept", code="CAPACITY-EXCEEDED", reason="r", second="bob")
        await shift.clock.sleep(30_000)
        assert shift.run.status is Status.PAUSED
        assert await shift.ask("resume")
        await shift.until(shift.closed)

    safe(watch(tmp_path, deed))


def test_an_action_before_its_record_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted bug: the shell acts first and writes it down afterwards."""

    async def act_first(
        self: Orchestrator, action: r.Action, record: r.Record, sight: Sight
    ) -> None:
        outcome = await self.actuator.perform(self.state, sight, action, record)
        self.append(r.Intent(action))
        self.append(outcome)

    def carry_out(self: Orchestrator, decision: Decision, sight: Sight) -> None:
        self.append(*decision.records)
        for action in decision.actions:
            number, now = self.state.seq + 1, self.clock.now()
            record = r.Record(
                number, "", now, self.journal.epoch, self.run.run, r.Intent(action)
            )
            task = asyncio.create_task(act_first(self, action, record, sight))
            self._acting.add(task)
            task.add_done_callback(self._acted)

    async def deed(shift: Shift) -> None:
        await shift.until(shift.closed, 20_000)

    monkeypatch.setattr(Orchestrator, "_carry_out", carry_out)
    monkeypatch.setattr(Orchestrator, "append", late(Orchestrator.append))
    shift = watch(tmp_path, deed)
    assert any("without an intent" in one for one in shift.faults())


def late(append):  # type: ignore[no-untyped-def]
    """Something else is always written in between, as it would be some day."""

    def bent(self: Orchestrator, *bodies: r.AnyBody) -> tuple[r.Record, ...]:
        written: tuple[r.Record, ...] = append(self, r.Observed({}), *bodies)
        return written

    return bent
