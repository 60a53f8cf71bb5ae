"""Workers, duties, brackets and messages of the simulated estate.

Each writes into the history what really happened to it, whatever it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dayshift.drivers.base import Page, WorkOrder
from dayshift.errors import DriverFault, DriverRetry, Reason, Refused
from dayshift.model.estate import Interrupt, WorkStep
from dayshift.model.sight import WorkSight, WorkStatus
from dayshift.rehearsal.world import World

NEVER_MS = 1 << 60


class Noted:
    """Something that writes into the world's history."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world

    @property
    def now_ms(self) -> int:
        return self.world.clock.now().mono_ms

    def note(self, kind: str, who: str = "", *more: str) -> None:
        self.world.history.note(self.now_ms, kind, self.name, who, *more)


@dataclass
class Job:
    """One attempt at a step: when it began and ends, and how."""

    began_ms: int
    ends_ms: int
    exit_code: int = 0
    lost: bool = False
    ended: bool = False
    """Its end was written down."""


class SimulatedWorker(Noted):
    """Work that takes `ms` and happens once per key; what it does to its region."""

    def __init__(
        self,
        step: WorkStep,
        region: str,
        world: World,
        ms: int = 2_000,
        last: bool = True,
        version: str = "2",
        restarts: bool = False,
    ) -> None:
        super().__init__(step.name, world)
        self.step = step
        self.region = region
        self.ms = ms
        self.last = last
        self.version = version
        self.restarts = restarts
        self.release_ppm = 0
        """What the new version does to users, in errors per million."""
        self.exit_code = 0
        self.hangs = False
        self.vanishes = False
        self.person = step.ref.driver == "person"
        self.waiting = ""
        self.jobs: dict[str, Job] = {}
        self._former: dict[str, str] = {}

    async def start(self, order: WorkOrder) -> None:
        if order.key in self.jobs:
            return
        began = self.now_ms
        length = NEVER_MS if self.hangs or self.person else self.ms
        self.jobs[order.key] = Job(began, began + length, self.exit_code)
        self.waiting = order.key if self.person else ""
        self.note("start", self.region, order.key)
        if self.restarts:
            self._power(False)

    async def poll(self, order: WorkOrder) -> WorkSight:
        job = self.jobs.get(order.key)
        if job is None:
            return WorkSight(order.key, WorkStatus.ABSENT)
        if self.vanishes and not job.ended:
            job.lost = job.ended = True
            self._power(True)
            self.note("end", self.region, order.key, "lost")
        if job.lost:
            return WorkSight(order.key, WorkStatus.LOST, detail="its machine is gone")
        if self.now_ms < job.ends_ms:
            asks = "somebody must do it by hand" if self.waiting == order.key else ""
            return WorkSight(order.key, WorkStatus.RUNNING, waiting_for=asks)
        if not job.ended:
            self._end(order.key, job)
        if job.exit_code:
            return WorkSight(order.key, WorkStatus.FAILED, job.exit_code)
        return WorkSight(order.key, WorkStatus.DONE)

    def _end(self, key: str, job: Job) -> None:
        job.ended = True
        self._power(True)
        self.world.history.note(
            min(self.now_ms, job.ends_ms),
            "end",
            self.name,
            self.region,
            key,
            "failed" if job.exit_code else "done",
        )
        if not job.exit_code and self.last:
            self._install(self.version, self.release_ppm)

    def _install(self, version: str, error_ppm: int) -> None:
        for place in self.world.every(self.region):
            self._former.setdefault(place.service, place.version)
            place.version = version
            place.error_ppm, place.why = error_ppm, "release" if error_ppm else ""

    def _power(self, up: bool) -> None:
        """A region that is being worked on restarts; it serves again afterwards."""
        if not self.restarts:
            return
        for place in self.world.every(self.region):
            if place.up is not up and not place.why.startswith("weather"):
                place.up = up
                place.restart()

    async def check(self, order: WorkOrder) -> bool | None:
        return None

    async def stop(self, order: WorkOrder) -> None:
        job = self.jobs.get(order.key)
        if self.step.interrupt is not Interrupt.SIGNAL:
            raise Refused(Reason("NOT-INTERRUPTIBLE", f"{self.name} ends by itself"))
        if job is not None and not job.ended:
            job.ends_ms, job.exit_code = self.now_ms, 143
            self._end(order.key, job)

    async def undo(self, order: WorkOrder) -> None:
        running = [one for one in self.jobs.values() if self.now_ms < one.ends_ms]
        if any(not one.ended for one in running):
            self.note("undo", self.region, order.key, "running")
            raise Refused(Reason("STILL-RUNNING", f"{self.name} still runs"))
        if not self.step.undo:
            raise Refused(Reason("NO-UNDO", f"{self.name} cannot be undone"))
        self.note("undo", self.region, order.key)
        await self.world.clock.sleep(max(500, min(self.ms // 2, 600_000)))
        for place in self.world.every(self.region):
            place.version = self._former.get(place.service, place.version)
            if place.why == "release":
                place.error_ppm, place.why = 0, ""
        self.note("undone", self.region, order.key)

    async def confirm(
        self, order: WorkOrder, person: str, args: Mapping[str, str]
    ) -> None:
        job = self.jobs.get(order.key)
        if job is None or self.waiting != order.key:
            raise Refused(Reason("NOTHING-WAITS", f"{self.name} waits for nobody"))
        self.waiting, job.ends_ms = "", self.now_ms


class SimulatedDuty(Noted):
    """Work that one region holds. It can be held by two, by none, or say nothing."""

    def __init__(self, name: str, regions: tuple[str, ...], world: World) -> None:
        super().__init__(name, world)
        self.regions = regions
        self.held = [regions[0]]
        self.mute = False

    async def holders(self) -> tuple[str, ...]:
        self._answer()
        return tuple(sorted(self.held))

    async def release(self, region: str) -> None:
        self._answer()
        self.held = [name for name in self.held if name != region]
        self.note("duty", region, "release", *self.held)

    async def take(self, region: str) -> None:
        self._answer()
        self.held = sorted({*self.held, region})
        self.note("duty", region, "take", *self.held)

    def _answer(self) -> None:
        if self.mute:
            what = f"nobody says who holds {self.name}"
            raise DriverRetry(Reason("DUTY-AWAY", what), 1_000)


class SimulatedBracket(Noted):
    """Opened and closed; it may fail to."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, world)
        self.open = False
        self.broken = False

    async def enter(self, run: str, region: str) -> None:
        self._answer()
        self.open = True
        self.note("bracket", region, "open")

    async def is_open(self) -> bool:
        self._answer()
        return self.open

    async def leave(self, run: str, region: str) -> None:
        self._answer()
        self.open = False
        self.note("bracket", region, "closed")

    def _answer(self) -> None:
        if self.broken:
            raise DriverFault(Reason("BRACKET-AWAY", f"{self.name} does not answer"))


class SimulatedNotify(Noted):
    """Messages that somebody will read."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, world)
        self.pages: list[Page] = []
        self.broken = False

    async def send(self, page: Page) -> None:
        if self.broken:
            raise DriverRetry(Reason("CHANNEL-AWAY", f"{self.name} is down"), 1_000)
        self.pages.append(page)
        self.note("page", "", page.key, page.text)

    async def acknowledged(self, key: str) -> str | None:
        return None
