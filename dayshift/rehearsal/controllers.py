"""Controllers that come, die, freeze and are cut off, over one journal in memory.

The orchestrator inside is the product's own. Here is only what a machine and a network
do to it: every call to a driver goes through a `Reach`, every sleep through a
`MachineClock`, every append through a `DiskStore`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import msgspec

from dayshift.core.fold import fold
from dayshift.core.state import JournalState, RunState, Status
from dayshift.errors import (
    Bug,
    DayshiftError,
    DriverRetry,
    JournalFull,
    Reason,
    Refused,
)
from dayshift.journal.base import Store
from dayshift.journal.journal import Journal
from dayshift.journal.reader import JournalReader
from dayshift.journal.stores import Access
from dayshift.model import records as r
from dayshift.model.plan import Verb
from dayshift.model.units import Entropy
from dayshift.rehearsal.clock import VirtualClock
from dayshift.rehearsal.devices import CALLER, Caller, SimulatedDial
from dayshift.rehearsal.machine import Died, Disk, Machine, MachineClock, Network
from dayshift.rehearsal.stage import Stage
from dayshift.runtime.frame import Frame
from dayshift.runtime.orchestrator import Orchestrator
from dayshift.runtime.pace import Pace
from dayshift.runtime.wiring import Drivers

T = TypeVar("T")
_encoder = msgspec.json.Encoder(order="sorted")
Raw = dict[str, Any]
FOREVER_MS = 10**9


class Reach:
    """A driver at the other end of the network: same calls, but they may not arrive."""

    def __init__(self, part: str, driver: Any, machine: Machine) -> None:
        self._part = part
        self._driver = driver
        self._machine = machine
        self._calls: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if name in ("name", "describe", "output_path"):
            return found
        call = self._calls[name] = self._through(found)
        self.__dict__[name] = call
        return call

    def _through(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        written = isinstance(self._driver, SimulatedDial)

        async def far(*args: Any) -> Any:
            machine, network = self._machine, self._machine.network
            if machine.dead or machine.thaw_ms:
                await machine.awake()
            if network.cut or network.slow:
                await self._arrive()
            if written:
                CALLER.set(Caller(machine.name, machine))
            result = await call(*args)
            if machine.dead or machine.thaw_ms:
                await machine.awake()
            if network.cut and network.is_cut(self._part):
                await self._lost()
            return result

        return far

    async def _arrive(self) -> None:
        network = self._machine.network
        if network.is_cut(self._part):
            await self._lost()
        late = network.delay_ms(self._part)
        if late:
            await self._machine.clock.sleep(late)

    async def _lost(self) -> None:
        if self._machine.network.hangs:
            await self._machine.clock.sleep(FOREVER_MS)
        raise DriverRetry(Reason("UNREACHABLE", f"{self._part} is cut off"), 500)


def through(drivers: Drivers, machine: Machine) -> Drivers:
    """Every driver as that machine reaches it."""

    def all_of(kind: str, named: dict[Any, Any]) -> dict[Any, Any]:
        return {
            key: Reach(_part(kind, key), one, machine) for key, one in named.items()
        }

    return Drivers(
        dials=all_of("dial", drivers.dials),
        meters=all_of("meter", drivers.meters),
        probes=all_of("probe", drivers.probes),
        workers=all_of("worker", drivers.workers),
        duties=all_of("duty", drivers.duties),
        brackets=all_of("bracket", drivers.brackets),
        notify=all_of("notify", drivers.notify),
    )


def _part(kind: str, key: Any) -> str:
    return "/".join((kind, *([key] if isinstance(key, str) else key)))


class DiskStore:
    """A store on that disk; everything else is the real store's."""

    def __init__(self, store: Any, disk: Disk) -> None:
        self._store = store
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, *args: Any) -> Any:
        self._fail()
        return self._store.append(*args)

    def put_head(self, *args: Any) -> Any:
        self._fail()
        return self._store.put_head(*args)

    def room_bytes(self) -> int:
        return self._disk.room_bytes

    def _fail(self) -> None:
        if self._disk.broken:
            what = f"the journal's disk is {self._disk.broken}"
            raise JournalFull(Reason("JOURNAL-FULL", what))


class Crew(Protocol):
    """Who conducts the run, as faults and people meet them: one controller after the
    other, or several side by side."""

    stage: Stage
    clock: VirtualClock
    folder: Path
    pace: Pace
    on_frame: Callable[[Frame], None]
    state: JournalState
    failure: BaseException | None
    bug: BaseException | None

    @property
    def machine(self) -> Machine: ...
    @property
    def network(self) -> Network: ...
    @property
    def disk(self) -> Disk: ...
    @property
    def run(self) -> RunState | None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def leading(self) -> bool: ...
    @property
    def lives(self) -> int: ...
    @property
    def head(self) -> str: ...
    def start(self) -> None: ...
    async def stop(self, where: str) -> None: ...
    async def until_ended(self) -> None: ...
    async def leave(self) -> None: ...
    async def ask(self, verb: str, person: str, **args: str) -> bool: ...
    def records(self) -> list[Raw]: ...
    def wave(self) -> str: ...
    def strayed(self) -> list[Raw]: ...


class Controllers:
    """The controllers of one journal, one after the other."""

    def __init__(
        self,
        stage: Stage,
        clock: VirtualClock,
        folder: Path,
        entropy: Entropy,
        pace: Pace,
        name: str = "c",
    ) -> None:
        self.stage = stage
        self.clock = clock
        self.folder = folder
        self.entropy = entropy
        self.pace = pace
        self.name = name
        self.on_frame: Callable[[Frame], None] = lambda frame: None
        self.network = Network()
        self.disk = Disk(clock)
        self.lives = 0
        self.machine = Machine(clock, self.network, f"{name}0", self.disk)
        self.orchestrator: Orchestrator | None = None
        self.task: asyncio.Task[RunState] | None = None
        self.failure: BaseException | None = None
        """What stopped a controller that nobody killed."""
        self.bug: BaseException | None = None
        """Our own mistake: nobody starts that again and again."""
        self.state = JournalState()
        self.head = ""

    @property
    def run(self) -> RunState | None:
        return self.state.run if not self.orchestrator else self.orchestrator.state.run

    @property
    def closed(self) -> bool:
        return self.run is not None and self.run.status is Status.CLOSED

    @property
    def leading(self) -> bool:
        return self.task is not None and not self.task.done()

    def lead(self) -> None:
        """Open the journal and go on, as `dayshift run` does.

        Raises:
            DayshiftError: the journal could not be opened, or the run not begun.
        """
        self.lives += 1
        name = f"{self.name}{self.lives}"
        self.machine = Machine(self.clock, self.network, name, self.disk)
        journal = Journal.open(
            self.folder,
            self.stage.plan.estate.name,
            MachineClock(self.machine),
            "rehearsal",
            journal_id=self.name * 32,
            points=self.machine,
            access=Access(around=self._on_disk),
        )
        try:
            self.state = self._begin(journal)
        except BaseException:
            journal.let_go(clean=False)
            raise
        self.orchestrator = Orchestrator(
            journal,
            self.state,
            through(self.stage.drivers(self.machine), self.machine),
            MachineClock(self.machine),
            self.entropy,
            self.on_frame,
            points=self.machine,
            pace=self.pace,
            sampling=False,
        )
        self.machine.victim = self.orchestrator
        self.stage.history.note(self.stage.now_ms(), "lead", self.machine.name)
        self.task = asyncio.create_task(self._go(self.orchestrator))

    def _on_disk(self, store: Store) -> Store:
        on_disk: Any = DiskStore(store, self.disk)
        return cast(Store, on_disk)

    def start(self) -> None:
        """Lead, or note why that was not possible."""
        self.failure = None
        try:
            self.lead()
        except (Exception, Died) as error:
            self._stopped(error)

    def _stopped(self, error: BaseException) -> None:
        """A controller ended by itself; what nobody foresaw is a bug."""
        self.failure = error
        foreseen = isinstance(error, (DayshiftError, Died))
        if isinstance(error, Bug) or not foreseen:
            self.bug = error

    def _begin(self, journal: Journal) -> JournalState:
        state = JournalState()
        for record in journal.records():
            state = fold(state, record)
        if state.run is None:
            plan = self.stage.plan
            bodies = (r.Planned(plan), r.RunOpened(plan.digest, "ada"))
            try:
                written = journal.append(*bodies, run="run-1")
            except JournalFull:
                if plan.verb is not Verb.EVACUATE:
                    raise
                written = journal.append_emergency(*bodies, run="run-1")
            for record in written:
                state = fold(state, record)
        return state

    async def _go(self, orchestrator: Orchestrator) -> RunState:
        try:
            return await orchestrator.go()
        except Died:
            raise asyncio.CancelledError from None
        except Exception as error:
            self._stopped(error)
            raise

    async def stop(self, where: str) -> None:
        """The process ends where it stands; nothing is said goodbye to."""
        if self.orchestrator is None or self.task is None:
            return
        self.machine.die(self.machine.died_at or where)
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        journal = self.orchestrator.journal
        self.state = self.orchestrator.state
        self.head = journal.head.hash
        journal.let_go(clean=False)
        self.orchestrator, self.task = None, None
        self.stage.history.note(
            self.stage.now_ms(), "crash", self.machine.name, "", self.machine.died_at
        )

    async def until_ended(self) -> None:
        """For a while, or until the one that runs ends."""
        if self.task is not None:
            await asyncio.wait([self.task], timeout=30)

    def records(self) -> list[Raw]:
        return raw_records(self.folder)

    def strayed(self) -> list[Raw]:
        return []

    def wave(self) -> str:
        """Who has the estate's wave token; nobody shares this store."""
        return ""

    async def leave(self) -> None:
        """The end of the rehearsal: the journal is closed as it should be."""
        if self.orchestrator is None or self.task is None:
            return
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.state = self.orchestrator.state
        self.head = self.orchestrator.journal.head.hash
        self.disk.mend()
        with contextlib.suppress(DayshiftError, Died):
            self.orchestrator.journal.close()

    async def ask(self, verb: str, person: str, **args: str) -> bool:
        """Ask as a person does; False when nobody leads, it is refused, or too late."""
        if self.orchestrator is None or not self.leading or self.machine.frozen:
            return False
        self.stage.history.note(
            self.stage.now_ms(), "asked", verb, person, *sorted(args.values())
        )
        try:
            work = self.orchestrator.ask(verb, person, args)
            answered = await self.clock.within(120_000, work)
        except (DayshiftError, TimeoutError, Died):
            return False
        return answered.accepted


def raw_records(folder: Path) -> list[Raw]:
    """The journal's entries as plain JSON, the emergency file included."""
    try:
        with JournalReader.open(folder) as view:
            return [msgspec.json.decode(_encoder.encode(one)) for one in view.records()]
    except Refused:
        return []  # The disk had no room even for the first record.
