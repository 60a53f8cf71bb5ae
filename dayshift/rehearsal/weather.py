"""What can go wrong, drawn from a seed: which faults, when, for how long, how hard.

Here: the frame. The faults themselves are in `faults`, by family. Every fault has a
name, a sentence for the operator, and a window; several may be under way at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dayshift.model.plan import Plan
from dayshift.model.records import Phase
from dayshift.rehearsal.controllers import Crew
from dayshift.rehearsal.stage import Stage
from dayshift.runtime.frame import Frame

FAULTS_WEIGHTS = (15, 30, 25, 18, 12)
"""Of a hundred rehearsals so many have none, one, two, three, four faults."""
PHASES = (
    Phase.PREFLIGHT,
    Phase.DRAINING,
    Phase.HANDING_OVER,
    Phase.EMPTYING,
    Phase.WORKING,
    Phase.CATCHING_UP,
    Phase.VALIDATING,
    Phase.RETURNING,
    Phase.RETURNING,
    Phase.SOAKING,
)
"""When a fault begins; a return is twice as likely, for it lasts and matters most."""


@dataclass
class Scene:
    """Where a fault plays: the estate, its controllers, and the fault's own dice."""

    stage: Stage
    controllers: Crew
    draw: random.Random
    strength: int = 1
    """1 (mild) to 3 (hard)."""
    target: str = ""
    """The region in flight when the fault began."""
    spawned: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def plan(self) -> Plan:
        return self.stage.plan

    def survivor(self) -> str:
        """A region that is not the one in flight."""
        others = [name for name in self.stage.regions() if name != self.target]
        return self.draw.choice(others or list(self.stage.regions()))

    def one_of(self, named: Sequence[str]) -> str:
        return self.draw.choice(sorted(named))

    async def sleep(self, ms: int) -> None:
        await self.controllers.clock.sleep(ms)

    def spawn(self, work: Awaitable[None]) -> None:
        self.spawned.append(asyncio.ensure_future(work))


End = Callable[[], None]
Start = Callable[[Scene], End]


class Fault(NamedTuple):
    """One kind of trouble. `start` begins it and returns how it ends; `needs` says
    whether a plan has what it bends."""

    name: str
    says: str
    start: Start
    ms: tuple[int, int] = (2_000, 120_000)
    needs: Callable[[Plan], bool] = lambda plan: True


class Drawn(NamedTuple):
    """A fault as it was drawn for one rehearsal."""

    fault: Fault
    number: int
    region: int
    phase: Phase | None
    """None: from before the first controller."""
    after_ms: int
    for_ms: int
    strength: int
    seed: int


def forecast(
    plan: Plan, catalogue: Sequence[Fault], draw: random.Random, only: Sequence[str]
) -> list[Drawn]:
    """The weather of one rehearsal; with `only`, each of those faults exactly once."""
    able = [one for one in catalogue if one.needs(plan)]
    if only:
        chosen = [one for name in only for one in able if one.name == name]
    else:
        count = draw.choices(range(len(FAULTS_WEIGHTS)), FAULTS_WEIGHTS)[0]
        chosen = draw.sample(able, min(count, len(able)))
    return [_drawn(plan, one, number, draw) for number, one in enumerate(chosen)]


def _drawn(plan: Plan, fault: Fault, number: int, draw: random.Random) -> Drawn:
    """Mostly soon after a phase began, sometimes deep inside it; mostly short."""
    low, high = fault.ms
    reach = draw.choice((200, 2_000, 20_000, 300_000))
    return Drawn(
        fault,
        number,
        draw.randrange(max(1, len(plan.passes))),
        draw.choice(PHASES),
        draw.randrange(reach),
        min(high, int(low * (high / max(1, low)) ** draw.random())),
        draw.randint(1, 3),
        draw.getrandbits(32),
    )


class Sky:
    """Lets the drawn weather happen, each fault at its own moment."""

    def __init__(self, stage: Stage, controllers: Crew, drawn: Sequence[Drawn]) -> None:
        self.stage = stage
        self.controllers = controllers
        self.drawn = drawn
        self.region = ""
        self.phase = Phase.SERVING
        self._turned = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._ends: dict[int, End] = {}
        self._scenes: list[Scene] = []

    def begin(self) -> None:
        self.controllers.on_frame = self._frame
        for one in self.drawn:
            if one.phase is None:
                self._start(one, self.stage.plan.passes[one.region].region)
            else:
                self._tasks.append(asyncio.create_task(self._play(one)))

    async def end(self) -> None:
        """Whatever still lasts, ends."""
        tasks = [*self._tasks, *(t for one in self._scenes for t in one.spawned)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for number in sorted(self._ends):
            self._ends[number]()
        self._ends.clear()

    def _frame(self, frame: Frame) -> None:
        run = frame.state.run
        if run is None:
            return
        here = run.now_at
        if (here.region, here.phase) != (self.region, self.phase):
            self.region, self.phase = here.region, here.phase
            self._turned.set()
            self._turned = asyncio.Event()

    async def _play(self, one: Drawn) -> None:
        region = self.stage.plan.passes[one.region].region
        while (self.region, self.phase) != (region, one.phase):
            await self._turned.wait()
        await self.controllers.clock.sleep(one.after_ms)
        self._start(one, self.region)

    def _start(self, one: Drawn, region: str) -> None:
        scene = Scene(
            self.stage,
            self.controllers,
            random.Random(one.seed),
            one.strength,
            region,
        )
        self._scenes.append(scene)
        self._ends[one.number] = one.fault.start(scene)
        self.stage.history.note(self.stage.now_ms(), "fault", one.fault.name)
        self._tasks.append(asyncio.create_task(self._pass(one)))

    async def _pass(self, one: Drawn) -> None:
        await self.controllers.clock.sleep(one.for_ms)
        self._ends.pop(one.number)()
        self.stage.history.note(self.stage.now_ms(), "over", one.fault.name)
