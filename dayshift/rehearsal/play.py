"""One rehearsal: one plan, one seed, one result; the same for the same commit."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dayshift.core.state import Status
from dayshift.errors import DayshiftError
from dayshift.model.plan import Plan
from dayshift.rehearsal import stage as staging
from dayshift.rehearsal.checkers import Violation, check
from dayshift.rehearsal.clock import SeededEntropy, Stuck, VirtualClock, run_virtual
from dayshift.rehearsal.controllers import Controllers, Crew, raw_records
from dayshift.rehearsal.faults import CATALOGUE
from dayshift.rehearsal.faults.machines import TWIN
from dayshift.rehearsal.history import History
from dayshift.rehearsal.people import Operator
from dayshift.rehearsal.several import Several
from dayshift.rehearsal.stage import Stage
from dayshift.rehearsal.weather import Drawn, Sky, forecast
from dayshift.runtime.pace import unhurried

SETTLE_MS = 5_000
"""The estate runs for so long before anybody touches it."""
MEMORY = Path("/dev/shm")


class Hold(msgspec.Struct, frozen=True):
    """One hold on the way: which guard, where, and what it said."""

    code: str
    phase: str
    region: str
    what: str
    at_ms: int


class Weather(msgspec.Struct, frozen=True):
    """One fault as it happened; `until_ms` of 0 means that it lasted to the end."""

    name: str
    from_ms: int
    until_ms: int = 0


class Result(msgspec.Struct, frozen=True):
    """What became of one rehearsal. Times are milliseconds since the run opened."""

    seed: int
    ending: str
    duration_ms: int
    head: str
    faults: tuple[str, ...] = ()
    weather: tuple[Weather, ...] = ()
    holds: tuple[Hold, ...] = ()
    users: int = 0
    hurt: dict[str, int] = {}
    """Users who failed, by cause; `ours` are those whom Dayshift's own moves failed."""
    ours: int = 0
    absent_ms: int = 0
    lives: int = 1
    violations: tuple[Violation, ...] = ()
    refused: str = ""
    """Why the run was refused or left as it is."""


class Played(msgspec.Struct, frozen=True):
    """A result with everything that was seen, for the one who asks for it."""

    result: Result
    history: Any
    drawn: tuple[Any, ...]
    failure: str = ""


def play(
    plan: Plan,
    seed: int,
    only: Sequence[str] = (),
    folder: Path | None = None,
    drawn: Sequence[Drawn] | None = None,
) -> Played:
    """Rehearse `plan` once.

    Args:
        only: names of faults that all come; without them the seed draws its own.
        folder: where the journal lies; without one in memory, and gone afterwards.
        drawn: the weather itself, for a test that knows what it wants.
    """
    place = folder or Path(
        tempfile.mkdtemp(prefix="dayshift-", dir=MEMORY if MEMORY.is_dir() else None)
    )
    try:
        with _unswept():
            return run_virtual(
                lambda clock: _program(plan, seed, only, place, clock, drawn)
            )
    except Stuck as error:
        bug = Violation("bug", 0, str(error))
        result = Result(seed, "stopped", 0, "", violations=(bug,), refused=str(error))
        return Played(result, History(), (), str(error))
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _unswept() -> Iterator[None]:
    """No search for circles in memory: a rehearsal leaves few, and its history would
    be walked through again and again."""
    swept = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if swept:
            gc.enable()


async def _program(
    plan: Plan,
    seed: int,
    only: Sequence[str],
    folder: Path,
    clock: VirtualClock,
    given: Sequence[Drawn] | None,
) -> Played:
    draw = random.Random(f"{plan.digest}/{seed}")
    stage = staging.build(plan, clock, draw, folder)
    controllers = _crew(stage, clock, folder / "journal", seed)
    drawn = tuple(forecast(plan, CATALOGUE, draw, only) if given is None else given)
    sky, operator = Sky(stage, controllers, drawn), Operator(stage, controllers, draw)
    for agent in stage.agents.values():
        agent.start()
    await clock.sleep(SETTLE_MS)
    sky.begin()
    controllers.start()
    watching = asyncio.create_task(operator.watch())
    try:
        await _until_done(controllers, operator, clock, horizon_ms(plan))
        stage.world.advance()
        stage.history.final = {**stage.final(), "wave": controllers.wave()}
        happened = len(stage.history.events)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await sky.end()
        await controllers.leave()
        for agent in stage.agents.values():
            await agent.end()
    # What the weather mends on its way out, nobody lived through.
    del stage.history.events[happened:]
    return _played(plan, seed, stage.history, controllers, drawn, folder)


def _crew(stage: Stage, clock: VirtualClock, folder: Path, seed: int) -> Crew:
    """One controller after the other, or as many as the estate declares."""
    estate = stage.plan.estate
    pace = unhurried(estate)
    if len(estate.controllers) > 1:
        return Several(stage, clock, folder, seed, pace)
    return Controllers(stage, clock, folder, SeededEntropy(seed), pace)


def horizon_ms(plan: Plan) -> int:
    """Longer than any good run, with all the waiting that people and faults cause."""
    policy, total = plan.estate.policy, 0
    for work in plan.change.regions:
        total += sum(step.limit_ms for step in work.steps)
    ramps = sum(len(one.ramp) for one in plan.passes)
    total += ramps * (policy.gate.horizon_ms + policy.gate.dwell_ms_min)
    total += len(plan.passes) * (policy.soak_ms + policy.empty_limit_ms)
    return 2 * total + 7_200_000


async def _until_done(
    controllers: Crew, operator: Operator, clock: VirtualClock, most_ms: int
) -> None:
    begun = clock.now().mono_ms
    while clock.now().mono_ms - begun < most_ms and not operator.gave_up:
        await controllers.until_ended()
        if controllers.closed:
            return
        await clock.sleep(1_000)
        if controllers.bug is not None:
            return


def _played(
    plan: Plan,
    seed: int,
    history: History,
    controllers: Crew,
    drawn: Sequence[Drawn],
    folder: Path,
) -> Played:
    history.ended_ms = controllers.clock.now().mono_ms
    history.plan = msgspec.to_builtins(plan)
    history.records = controllers.records()
    history.strayed = controllers.strayed()
    history.others = raw_records(folder / TWIN)
    run = controllers.state.run
    history.status = run.status.value if run else "absent"
    ending, why = _ending(controllers)
    opened = run.opened.mono_ms if run else 0
    closed = run.closed.mono_ms if run and run.closed else history.ended_ms
    violations = check(history)
    if controllers.bug is not None:
        violations = (
            *violations,
            Violation("bug", history.ended_ms, repr(controllers.bug), ()),
        )
    from dayshift.rehearsal.hurt import ours

    result = Result(
        seed,
        ending,
        closed - opened,
        controllers.head,
        tuple(one.fault.name for one in drawn),
        _weather(history, opened),
        _holds(history, opened),
        sum(one.users for one in history.traffic),
        dict(history.failed()),
        ours(history),
        _absent_ms(history),
        controllers.lives,
        violations,
        why,
    )
    return Played(result, history, tuple(drawn), str(controllers.failure or ""))


def _ending(controllers: Crew) -> tuple[str, str]:
    run = controllers.state.run
    if run is None:
        return "refused", str(controllers.failure or "the run was never opened")
    if run.status is Status.CLOSED and run.result is not None:
        return run.result.value, run.why
    hold = run.hold.reason if run.hold else None
    if controllers.failure is not None and hold is None:
        text = controllers.failure
        why = text.reason.what if isinstance(text, DayshiftError) else str(text)
        return "stopped", why
    return "held", f"{hold.code}: {hold.what}" if hold else run.status.value


def _weather(history: History, opened: int) -> tuple[Weather, ...]:
    out = []
    overs = {one.what: one.at_ms for one in history.of("over")}
    for one in history.of("fault"):
        until = overs.get(one.what, 0)
        out.append(Weather(one.what, one.at_ms - opened, until and until - opened))
    return tuple(out)


def _holds(history: History, opened: int) -> tuple[Hold, ...]:
    out, phase = [], "serving"
    for one in history.records:
        body = one["body"]
        if body["kind"] == "phased":
            phase = body["new"]
        if body["kind"] == "held":
            reason = body["reason"]
            out.append(
                Hold(
                    reason["code"],
                    phase,
                    body.get("region", ""),
                    reason["what"],
                    one["at"]["mono_ms"] - opened,
                )
            )
    return tuple(out)


def _absent_ms(history: History) -> int:
    """The longest time that one region had no users, by the records."""
    since: dict[str, int] = {}
    longest = 0
    for one in history.bodies("phased"):
        region, new = one["body"]["region"], one["body"]["new"]
        at = one["at"]["mono_ms"]
        if new == "handing-over":
            since[region] = at
        elif new in ("returning", "serving", "left-drained") and region in since:
            longest = max(longest, at - since.pop(region))
    return longest
