"""The controller dies at every named point, with every kind of action; another one ends
the run. What the recovery table says of the cell is what is found."""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dayshift.core import crash_matrix, interlock, recovery
from dayshift.core.exits import exits
from dayshift.core.recovery import CELLS, Cell, Next, World
from dayshift.errors import Reason
from dayshift.model import records as r
from dayshift.model.estate import Interrupt, NotifySpec
from dayshift.model.points import ACTING, Point
from dayshift.model.records import Action, ActionKind, OutcomeKind, RunResult
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.crash import DieAt
from tests.kit.play import REF, change, replace
from tests.kit.rig import Rig
from tests.simulation.witness import ESTATE, Shift

K = ActionKind
CALLED = replace(ESTATE, notify=(NotifySpec("duty", REF),))
SAFE_MS = 60_000


async def nothing_else(shift: Shift) -> None:
    """A good release and nobody near."""


async def users_at_work(shift: Shift) -> None:
    """Users reach the region while a long step runs: it is stopped."""
    shift.rig.workers["fra"].ms = 20_000
    await shift.until(lambda: bool(shift.run.now_at.started))
    shift.rig.world["fra"].stray_rps = 50
    await shift.clock.sleep(3_000)
    shift.rig.world["fra"].stray_rps = 0


async def abort_after_work(shift: Shift) -> None:
    await shift.until(lambda: bool(shift.run.now_at.started))
    await shift.ask("abort")


async def bad_release(shift: Shift) -> None:
    shift.rig.bad_release = True


SCENES: dict[ActionKind, Callable[[Shift], Awaitable[None]]] = {
    K.STOP_WORK: users_at_work,
    K.UNDO_WORK: abort_after_work,
    K.NOTIFY: bad_release,
}


def times_called(rig: Rig, action: Action, seqs: set[tuple[int, int]]) -> int:
    """How often the driver was called for the action, as the device counted."""
    match action.kind:
        case K.SET_DIAL | K.HOLD_DIAL:
            claims = [token.claim for _, token in rig.dial.writes]
            return sum((claim.epoch, claim.seq) in seqs for claim in claims)
        case K.NOTIFY:
            pages = rig.notify[action.target].pages
            return sum(page.key == action.key for page in pages)
        case K.ENTER_BRACKET | K.LEAVE_BRACKET:
            return rig.brackets[action.target].calls[action.kind, action.region]
        case K.RELEASE_DUTY | K.TAKE_DUTY:
            return rig.duties[action.target].calls[action.kind, action.region]
        case _:
            calls = rig.workers[action.region].calls
            mine = {n for (kind, key), n in calls.items() if kind is action.kind}
            return max(mine, default=0)


def about(rig: Rig, key: str) -> tuple[list[r.Record], list[r.Record]]:
    """Intents and outcomes of one action, as they stand in the journal."""
    with rig.read() as view:
        records = list(view.records())
    intents = [
        one
        for one in records
        if isinstance(one.body, r.Intent) and one.body.action.key == key
    ]
    outcomes = [
        one
        for one in records
        if isinstance(one.body, r.Outcome) and one.body.key == key
    ]
    return intents, outcomes


def world_of(rig: Rig, action: Action) -> World:
    """What the device shows of the action."""
    intents, _ = about(rig, action.key)
    seqs = {(one.epoch, one.seq) for one in intents}
    if action.kind in (K.SET_DIAL, K.HOLD_DIAL):
        rig.world.advance()
        have = [
            device.claim is not None
            and (device.claim.epoch, device.claim.seq) in seqs
            and device.setting == action.setting
            for device in rig.world.devices
        ]
        if any(have) and not all(have):
            return World.PART
        return World.AFTER if all(have) else World.BEFORE
    called = times_called(rig, action, seqs)
    return World.AFTER if called else World.BEFORE


def allowed(rig: Rig) -> list[object]:
    """Every setting that was approved."""
    stages = [
        s for one in rig.plan.passes for s in (*one.drain, *one.forwarded, *one.ramp)
    ]
    moves = [move.setting for stage in stages for move in stage.moves]
    return [*moves, *rig.plan.baseline.values()]


def is_safe(shift: Shift) -> bool:
    """Nothing of the dead controller is open, and the instances agree."""
    state = shift.controller.state
    open_still = [
        one
        for one in shift.run.asked.values()
        if one.result is None and one.epoch < state.epoch
    ]
    claims = {str(one.claim) for one in shift.rig.world.devices}
    return not open_still and len(claims) == 1


async def die_and_go_on(
    rig: Rig, hook: DieAt, cell: Cell | None, lease: bool = False
) -> list[str]:
    """One cell: the first controller dies at the point, a second one ends the run."""
    shift = Shift(rig, lease, hook)
    try:
        await SCENES.get(hook.kind or K.SET_DIAL, nothing_else)(shift)
        await shift.until(lambda: hook.died)
    except BaseException:
        if not hook.died:
            raise
    assert hook.died, f"{hook.point} was not passed by {hook.kind}"
    await shift.die()
    await rig.dial.settled()
    found = _left(rig, hook.action, cell) if cell and hook.action else []
    shift.succeed()
    begun = rig.clock.now().mono_ms
    await shift.clock.sleep(100)
    await shift.until(lambda: is_safe(shift), SAFE_MS + 1_000)
    if rig.clock.now().mono_ms - begun > SAFE_MS:
        found.append(f"not safe after {SAFE_MS} ms")
    await shift.until(lambda: shift.closed() or shift.held())
    if shift.held() and not exits(shift.controller.state, None):
        found.append("held without an exit")
    if hook.kind not in SCENES and shift.run.result is not RunResult.DONE:
        found.append(f"a crash stopped the run: {shift.run.hold}")
    await shift.to_the_end()
    if not shift.closed():
        found.append(f"the run never ended: {shift.run.hold}")
    await shift.leave()
    if cell and hook.action:
        found += _after(rig, hook.action, cell)
    unapproved = [one for one, _ in rig.dial.writes if one not in allowed(rig)]
    found += [f"{one} was written and not approved" for one in unapproved]
    return found + [one for one in shift.faults() if not is_meant(one, hook.kind)]


def is_meant(fault: str, kind: ActionKind | None) -> bool:
    """Users past the dial are what the tripwire's scene is made of."""
    return kind is K.STOP_WORK and fault.endswith("while its work ran")


def _left(rig: Rig, action: Action, cell: Cell) -> list[str]:
    """What differs from the table when the controller has died."""
    intents, outcomes = about(rig, action.key)
    found = []
    if (len(intents), len(outcomes)) != (cell.intents, cell.outcomes):
        found.append(f"the journal has {len(intents)} and {len(outcomes)}")
    shown = world_of(rig, action)
    if shown is not cell.world:
        found.append(f"the world is {shown}, not {cell.world}")
    return found


NEXT = {
    Next.DONE: OutcomeKind.DONE,
    Next.AGAIN: OutcomeKind.RETRY,
    Next.REPEAT: OutcomeKind.RETRY,
    Next.REFUSED: OutcomeKind.RETRY,
}


def _after(rig: Rig, action: Action, cell: Cell) -> list[str]:
    """What the next controllers made of it, against the table."""
    intents, outcomes = about(rig, action.key)
    found = []
    wanted = NEXT.get(cell.next)
    if wanted is not None and outcomes:
        first = outcomes[0].body
        assert isinstance(first, r.Outcome)
        if first.result is not wanted or "after a restart" not in first.detail:
            found.append(f"the outcome was {first}")
    if cell.next in (Next.ON, Next.DONE) and len(intents) != 1:
        found.append(f"asked {len(intents)} times")
    seqs = {(one.epoch, one.seq) for one in intents}
    called = times_called(rig, action, seqs)
    if called > cell.calls:
        found.append(f"called {called} times (at most {cell.calls})")
    return found


def play(
    tmp_path: Path, hook: DieAt, cell: Cell | None, instances: int, lease: bool = False
) -> list[str]:
    async def program(clock: VirtualClock) -> list[str]:
        the_change = change(interrupt=Interrupt.SIGNAL)
        rig = Rig(clock, tmp_path / "j", CALLED, the_change, instances=instances)
        await clock.sleep(5_000)
        return await die_and_go_on(rig, hook, cell, lease)

    return run_virtual(program)


def refuse_once(monkeypatch: pytest.MonkeyPatch, kind: ActionKind) -> None:
    """The interlock refuses the first actions of a kind, as it does a planted bug."""
    real, left = interlock.reason, itertools.count()

    def bent(state: object, sight: object, action: Action) -> Reason | None:
        if action.kind is kind and next(left) < 2:
            return Reason("PLANTED", "refused", "a test", "nothing moved", "retry")
        return real(state, sight, action)  # type: ignore[arg-type]

    monkeypatch.setattr(interlock, "reason", bent)


@pytest.mark.parametrize(("point", "kind"), CELLS, ids=[f"{p}-{k}" for p, k in CELLS])
def test_every_cell_of_the_recovery_table(
    point: Point, kind: ActionKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = CELLS[point, kind]
    if point is Point.REFUSING:
        refuse_once(monkeypatch, kind)
    found = play(tmp_path, DieAt(point, kind), cell, instances=2)
    if point is Point.REFUSING:
        found = [one for one in found if not one.startswith(("called", "a crash"))]
    assert found == []


SWEEP = int(os.environ.get("DAYSHIFT_CRASH_SWEEP", "2"))
"""So many passages of every point; `script/soak` asks for all of them."""


@pytest.mark.parametrize("lease", [False, True])
@pytest.mark.parametrize("point", [*ACTING, Point.WRITTEN], ids=str)
def test_every_passage_of_every_point(
    point: Point, lease: bool, tmp_path: Path
) -> None:
    """Not only the first passage: each one of a whole run, whatever the action."""
    for nth in range(1, SWEEP + 1):
        hook = DieAt(point, nth=nth)
        try:
            found = play(tmp_path / str(nth), hook, None, 2, lease)
        except AssertionError:
            assert not hook.died
            return
        assert found == [], f"at passage {nth}"


PLANTED = {
    "blind repeat": ("_found", lambda asked, sight: False, "the outcome was"),
    "blind belief": ("_found", lambda asked, sight: True, "the outcome was"),
    "never looked": ("_found", lambda asked, sight: None, "not safe after"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_controller_that_does_not_look_is_found(
    bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, put, expected = PLANTED[bug]
    monkeypatch.setattr(recovery, name, put)
    point = Point.CLEARED if bug == "blind belief" else Point.APPLIED
    cell = CELLS[point, K.SET_DIAL]
    found = play(tmp_path, DieAt(point, K.SET_DIAL), cell, instances=2)
    assert any(one.startswith(expected) for one in found), found


def test_the_page_of_the_table_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "recovery.md"
    assert page.read_text("utf-8") == f"{recovery.page()}\n{crash_matrix.page()}"
