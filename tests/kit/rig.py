"""The real orchestrator over a world in memory, in virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dayshift.core import planner
from dayshift.core.fold import fold
from dayshift.core.state import JournalState
from dayshift.drivers.base import Page, WorkOrder
from dayshift.journal import stores
from dayshift.journal.journal import Journal
from dayshift.journal.reader import JournalReader
from dayshift.model import records as r
from dayshift.model.estate import Change, Estate, GatePolicy
from dayshift.model.plan import Plan, Verb
from dayshift.model.points import NOWHERE, Point, Points
from dayshift.model.records import ActionKind
from dayshift.model.sight import WorkSight, WorkStatus
from dayshift.runtime.clock import SystemEntropy
from dayshift.runtime.orchestrator import Orchestrator
from dayshift.runtime.wiring import Drivers
from tests.kit.clock import VirtualClock
from tests.kit.memory import MemoryDial, MemoryMeter, MemoryProbe
from tests.kit.play import change, estate
from tests.kit.world import World

POLICY = GatePolicy(
    trusted=True,
    blast_bp=100,
    dwell_ms_min=0,
    absolute_error_bp=200,
    slow_us=(100_000,),
    warmup_ms=0,
)


class MemoryWorker:
    """Work that takes `ms` of the clock and happens once per key."""

    def __init__(self, rig: Rig, region: str, ms: int = 2_000) -> None:
        self.name = "upgrade"
        self.rig = rig
        self.region = region
        self.ms = ms
        self.began: dict[str, int] = {}
        self.undone: set[str] = set()
        self.exit_code = 0
        self.hidden = False
        self.calls: Counter[tuple[ActionKind, str]] = Counter()

    async def start(self, order: WorkOrder) -> None:
        self.calls[ActionKind.START_WORK, order.key] += 1
        self.began.setdefault(order.key, self.rig.clock.now().mono_ms)

    async def poll(self, order: WorkOrder) -> WorkSight:
        began = self.began.get(order.key)
        if began is None or self.hidden:
            return WorkSight(order.key, WorkStatus.ABSENT)
        if self.rig.clock.now().mono_ms - began < self.ms:
            return WorkSight(order.key, WorkStatus.RUNNING)
        if self.exit_code:
            return WorkSight(order.key, WorkStatus.FAILED, self.exit_code)
        self.rig.world[self.region].version = "2"
        self.rig.release(self.region)
        return WorkSight(order.key, WorkStatus.DONE)

    async def check(self, order: WorkOrder) -> bool | None:
        return None

    async def stop(self, order: WorkOrder) -> None:
        self.calls[ActionKind.STOP_WORK, order.key] += 1

    async def undo(self, order: WorkOrder) -> None:
        self.calls[ActionKind.UNDO_WORK, order.key] += 1
        if order.key not in self.undone:
            await self.revert()
            self.undone.add(order.key)

    async def revert(self) -> None:
        self.rig.world[self.region].version = "1"

    async def confirm(
        self, order: WorkOrder, person: str, args: Mapping[str, str]
    ) -> None:
        return None


class MemoryDuty:
    def __init__(self, name: str, regions: tuple[str, ...]) -> None:
        self.name = name
        self.held = {regions[0]}
        self.calls: Counter[tuple[ActionKind, str]] = Counter()

    async def holders(self) -> tuple[str, ...]:
        return tuple(sorted(self.held))

    async def release(self, region: str) -> None:
        self.calls[ActionKind.RELEASE_DUTY, region] += 1
        self.held.discard(region)

    async def take(self, region: str) -> None:
        self.calls[ActionKind.TAKE_DUTY, region] += 1
        self.held.add(region)


class MemoryBracket:
    def __init__(self, name: str) -> None:
        self.name = name
        self.open = False
        self.calls: Counter[tuple[ActionKind, str]] = Counter()

    async def enter(self, run: str, region: str) -> None:
        self.calls[ActionKind.ENTER_BRACKET, region] += 1
        self.open = True

    async def is_open(self) -> bool:
        return self.open

    async def leave(self, run: str, region: str) -> None:
        self.calls[ActionKind.LEAVE_BRACKET, region] += 1
        self.open = False


class MemoryNotify:
    def __init__(self, name: str) -> None:
        self.name = name
        self.pages: list[Page] = []

    async def send(self, page: Page) -> None:
        self.pages.append(page)

    async def acknowledged(self, key: str) -> str | None:
        return None


class Rig:
    """One estate, its world, and controllers that come and go over one journal."""

    def __init__(
        self,
        clock: VirtualClock,
        folder: Path,
        the_estate: Estate | None = None,
        the_change: Change | None = None,
        rps: int = 400,
        instances: int = 1,
        access: stores.Access = stores.HERE,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self.clock = clock
        self.folder = folder
        self.access = access
        self.before = before
        """What happens between the end of one controller and the next."""
        self.lease = False
        """Whether what is written at the dial expires."""
        self.steered_by: Callable[..., Any] | None = None
        """Makes the dial that a shift watches; None: one in memory."""
        self.estate = the_estate or estate(gate=POLICY, fresh_ms=3_000)
        self.change = the_change or change()
        self.plan: Plan = planner.make(self.estate, self.change, Verb.MAINTAIN)
        service = self.estate.services[0]
        kind = service.dials[0].kind
        self.world = World(clock, service.shares, rps, instances, kind)
        for place in self.world.places.values():
            place.probe_rps = 1
        self.dial = MemoryDial("entry", self.world)
        self.meters = [MemoryMeter(one.name, self.world) for one in service.meters]
        self.workers = {
            work.region: MemoryWorker(self, work.region) for work in self.change.regions
        }
        self.duties = {
            d.name: MemoryDuty(d.name, d.regions) for d in self.estate.duties
        }
        self.brackets = {b.name: MemoryBracket(b.name) for b in self.estate.brackets}
        self.notify = {n.name: MemoryNotify(n.name) for n in self.estate.notify}
        self.agents: dict[str, Any] = {}
        self.bad_release = False
        self.journal: Journal | None = None

    def release(self, region: str) -> None:
        """What the new version does to users."""
        if self.bad_release:
            self.world[region].error_ppm = 200_000

    def drivers(self) -> Drivers:
        service = self.estate.services[0]
        return Drivers(
            dials={"entry": self.dial},
            meters={(service.name, one.name): one for one in self.meters},
            probes={(service.name, "shop"): MemoryProbe("shop", self.world)},
            workers={(region, "upgrade"): one for region, one in self.workers.items()},
            duties=dict(self.duties),
            brackets=dict(self.brackets),
            notify=dict(self.notify),
            agents=self.agents,
        )

    def read(self) -> JournalReader:
        """The journal, as anybody may read it."""
        return JournalReader.open(self.folder, self.access)

    def controller(self, points: Points = NOWHERE) -> Orchestrator:
        """A new controller over the journal: the first opens the run."""
        self.before()
        journal = Journal.open(
            self.folder,
            self.estate.name,
            self.clock,
            "test",
            points=points,
            access=self.access,
        )
        self.journal = journal
        self.dial.points = points
        state = JournalState()
        for record in journal.records():
            state = fold(state, record)
        if state.run is None:
            bodies = (r.Planned(self.plan), r.RunOpened(self.plan.digest, "ada"))
            points.at(Point.OPENING)
            for record in journal.append(*bodies, run="run-1"):
                state = fold(state, record)
            points.at(Point.OPENED)
        return Orchestrator(
            journal,
            state,
            self.drivers(),
            self.clock,
            SystemEntropy(),
            points=points,
        )
