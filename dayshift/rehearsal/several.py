"""Several controllers of one journal, side by side, over a store that they share.

The product's own `runtime.serving` leads, follows and takes over. Here is only what
happens to the places that they stand in: each has its own machine, network, folder and
connection to the store, and is started again when it died.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import msgspec

from dayshift.core.state import JournalState, RunState, Status
from dayshift.errors import Bug, DayshiftError, JournalFull, Reason
from dayshift.journal.base import Store
from dayshift.journal.codec import canonical, decode_record
from dayshift.journal.emergency import EMERGENCY, read_emergency
from dayshift.journal.journal import Journal
from dayshift.journal.reader import JournalReader
from dayshift.journal.stores import Access
from dayshift.model.estate import Change, Estate
from dayshift.model.plan import Plan
from dayshift.model.units import Clock, Entropy
from dayshift.rehearsal.clock import SeededEntropy, VirtualClock
from dayshift.rehearsal.controllers import DiskStore, Raw, through
from dayshift.rehearsal.machine import Died, Disk, Machine, MachineClock, Network
from dayshift.rehearsal.shared import Shared
from dayshift.rehearsal.stage import Stage
from dayshift.runtime import messages
from dayshift.runtime.frame import Frame
from dayshift.runtime.orchestrator import Orchestrator
from dayshift.runtime.pace import Pace
from dayshift.runtime.serving import Serving
from dayshift.runtime.session import Session, Workspace
from dayshift.runtime.wiring import Drivers

AGAIN_MS = (500, 30_000)
"""A supervisor starts a dead controller again after so long."""
LIVES_MAX = 60
VACANT_MS = 300_000
"""Nobody waits longer than that for a leader."""
ASK_MS = 500


class PlacedSession(Session):
    """A session of a controller in its place."""

    watched = False
    sampling = False
    place: Place

    def drivers(self, estate: Estate, change: Change | None) -> Drivers:
        machine = self.place.machine
        return through(self.place.crew.stage.drivers(machine), machine)

    @asynccontextmanager
    async def conducting(
        self, on_frame: Callable[[Frame], None]
    ) -> AsyncIterator[Orchestrator]:
        place = self.place

        def seen(frame: Frame) -> None:
            place.crew.seen(place, frame)
            on_frame(frame)

        async with super().conducting(seen) as orchestrator:
            place.machine.victim = orchestrator
            try:
                yield orchestrator
            finally:
                place.crew.left(place, orchestrator.state)

    def close(self) -> None:
        """A dead process says goodbye to nobody: its lease has to run out."""
        self.place.session = None
        if self.place.machine.dead:
            self.place.crew.shared.hang_up(self.place.name)
            self.journal.let_go(clean=False)
        else:
            super().close()


class Place:
    """One controller: where it stands, and what it stands on. It is its `Ground`."""

    def __init__(self, crew: Several, name: str, number: int) -> None:
        self.crew = crew
        self.name = name
        self.folder = crew.folder / name
        self.network = Network()
        self.disk = Disk(crew.clock)
        self.entropy: Entropy = SeededEntropy(crew.draw.getrandbits(32) + number)
        self.lives = 0
        self.session: PlacedSession | None = None
        self.serving: Serving | None = None
        self.task: asyncio.Task[None] | None = None
        self.machine = Machine(crew.clock, self.network, f"{name}.0", self.disk)
        self.clock: Clock = MachineClock(self.machine)

    @property
    def alive(self) -> bool:
        return self.task is not None and not self.task.done() and not self.machine.dead

    def start(self) -> None:
        self.lives += 1
        name = f"{self.name}.{self.lives}"
        self.machine = Machine(self.crew.clock, self.network, name, self.disk)
        self.clock = MachineClock(self.machine)
        self.crew.stage.history.note(self.crew.stage.now_ms(), "born", name)
        self.serving = Serving(self, self.name)
        self.task = asyncio.create_task(self.serving.run())

    async def kill(self, where: str) -> None:
        """The process ends where it stands."""
        self.machine.die(self.machine.died_at or where)
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    def lead(self) -> Session:
        crew = self.crew
        journal = Journal.open(
            self.folder,
            crew.stage.plan.estate.name,
            self.clock,
            self.machine.name,
            journal_id="c" * 32,
            points=self.machine,
            access=self._access(),
            controller=self.name,
            jobs="rehearsed",
        )
        session = PlacedSession(Workspace(self.folder), journal, self.machine)
        session.place, session.pace = self, crew.pace
        session.clock, session.entropy = self.clock, self.entropy
        session.seal(crew.stage.plan.estate)
        self.session = session
        return session

    def read(self) -> JournalReader:
        return JournalReader.open(self.folder, self._access())

    def plan_reason(self, plan: Plan) -> Reason | None:
        return None

    async def claims_reason(self, state: JournalState) -> Reason | None:
        """Nothing is decided on it, and nobody reads the log here."""
        return None

    def _access(self) -> Access:
        estate = self.crew.stage.plan.estate.name
        return self.crew.shared.access(estate, self._on_disk)

    def _on_disk(self, store: Store) -> Store:
        on_disk: Any = DiskStore(store, self.disk)
        return cast(Store, on_disk)


class Several:
    """All controllers of the estate; the same questions as one `Controllers`."""

    def __init__(
        self,
        stage: Stage,
        clock: VirtualClock,
        folder: Path,
        seed: int,
        pace: Pace,
    ) -> None:
        self.stage, self.clock, self.folder, self.pace = stage, clock, folder, pace
        self.draw = random.Random(seed)
        self.shared = Shared(clock, self._led)
        self.on_frame: Callable[[Frame], None] = lambda frame: None
        self.state = JournalState()
        self.failure: BaseException | None = None
        self.bug: BaseException | None = None
        self.places = {
            one.name: Place(self, one.name, number)
            for number, one in enumerate(stage.plan.estate.controllers)
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = False
        self._vacant_ms = -1
        """Since when nobody leads; -1 while somebody does."""

    def _led(self, what: str, who: str, epoch: int, at_ms: int) -> None:
        self._vacant_ms = -1 if what == "lead" else at_ms
        self.stage.history.note(at_ms, what, who, "", str(epoch))

    @property
    def leader(self) -> Place:
        """Who leads by the highest epoch, or any that lives, or the first."""
        leads = [one for one in self.places.values() if one.session and one.alive]
        leads.sort(key=lambda one: one.session.journal.epoch if one.session else 0)
        alive = [one for one in self.places.values() if one.alive]
        return (leads[-1:] or alive or list(self.places.values()))[0]

    @property
    def machine(self) -> Machine:
        return self.leader.machine

    @property
    def network(self) -> Network:
        return self.leader.network

    @property
    def disk(self) -> Disk:
        return self.leader.disk

    @property
    def run(self) -> RunState | None:
        return self.state.run

    @property
    def closed(self) -> bool:
        return self.run is not None and self.run.status is Status.CLOSED

    @property
    def lives(self) -> int:
        return sum(one.lives for one in self.places.values())

    @property
    def leading(self) -> bool:
        """Dead ones are started again here; somebody sees to it when it never ends."""
        now_ms = self.clock.now().mono_ms
        vacant = self._vacant_ms >= 0 and now_ms - self._vacant_ms > VACANT_MS
        return self.lives < LIVES_MAX and not vacant

    @property
    def head(self) -> str:
        rows = self.shared.rows
        return rows[-1].hash if rows else ""

    def seen(self, place: Place, frame: Frame) -> None:
        """What a leader shows; one that was overtaken meanwhile shows nothing new."""
        if frame.state.epoch >= self.state.epoch:
            self.state = frame.state
            self.on_frame(frame)

    def left(self, place: Place, state: JournalState) -> None:
        if (state.epoch, state.seq) >= (self.state.epoch, self.state.seq):
            self.state = state

    def start(self) -> None:
        """Start whoever does not run, and ask for the run to be opened."""
        if not self.leading:
            self.failure = JournalFull(Reason("NO-LEADER", "nobody leads"))
        for place in self.places.values():
            if not place.alive:
                place.start()
                self._spawn(self._mind(place))
        if self.run is None:
            self._spawn(self._open())

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _mind(self, place: Place) -> None:
        """As a supervisor does: note how it ended, and start it again."""
        while not self._ended and self.bug is None:
            assert place.task is not None
            await asyncio.wait({place.task})
            if self._ended:
                return
            self._stopped(place, place.task)
            await self.clock.sleep(self.draw.randint(*AGAIN_MS))
            if self.lives < LIVES_MAX:
                place.start()

    def _stopped(self, place: Place, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        machine = place.machine
        if error is not None and not isinstance(error, Died):
            self.failure = error
            if isinstance(error, Bug) or not isinstance(error, DayshiftError):
                self.bug = error
        machine.die(machine.died_at or "ended")
        now_ms = self.stage.now_ms()
        self.stage.history.note(now_ms, "crash", machine.name, "", machine.died_at)

    async def _open(self) -> None:
        """Ask until some leader has it; a refusal is final."""
        args = {"plan": messages.plan_text(self.stage.plan)}
        while self.run is None:
            await self.clock.sleep(ASK_MS)
            answered = await self._asked(messages.OPEN, "ada", args)
            if answered is not None and answered.accepted:
                return

    async def stop(self, where: str) -> None:
        """Kill whoever leads."""
        if self.leader.alive:
            await self.leader.kill(where)

    async def until_ended(self) -> None:
        """For a while, or until the run is closed."""
        for _ in range(30):
            if self.closed or self.bug is not None:
                return
            await self.clock.sleep(1_000)

    async def leave(self) -> None:
        """The end of the rehearsal."""
        self._ended = True
        for task in self._tasks:
            task.cancel()
        for place in self.places.values():
            place.disk.mend()
        self.shared.cut.clear()
        for place in self.places.values():
            if place.task is not None:
                place.task.cancel()
                with suppress(DayshiftError, Died):
                    await asyncio.gather(place.task, return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ask(self, verb: str, person: str, **args: str) -> bool:
        """Ask at any of them, as a person does."""
        self.stage.history.note(
            self.stage.now_ms(), "asked", verb, person, *sorted(args.values())
        )
        answered = await self._asked(verb, person, args)
        return answered is not None and answered.accepted

    async def _asked(self, verb: str, person: str, args: dict[str, str]) -> Any:
        able = [
            one for one in self.places.values() if one.alive and not one.machine.frozen
        ]
        if not able:
            return None
        serving = self.draw.choice(able).serving
        assert serving is not None
        try:
            return await self.clock.within(120_000, serving.ask(verb, person, args))
        except (DayshiftError, TimeoutError, Died):
            return None

    def wave(self) -> str:
        """Who has the estate's wave token, or nothing."""
        return str(self.shared.token) if self.shared.token else ""

    def records(self) -> list[Raw]:
        """Everything in the store, as plain JSON."""
        return [
            msgspec.json.decode(canonical(decode_record(row.data)))
            for row in self.shared.rows
        ]

    def strayed(self) -> list[Raw]:
        """What lies in emergency files and was merged by nobody yet."""
        found: list[Raw] = []
        for place in self.places.values():
            log = read_emergency(place.folder / EMERGENCY)
            if log is not None:
                found.extend(msgspec.json.decode(canonical(o)) for o in log.records)
        return found
