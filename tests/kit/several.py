"""Several controllers over one journal and one world, in virtual time.

Each has its own folder, its own connection to the store and its own freezer: a frozen
one stands where it is, as a process does under SIGSTOP, and goes on when it is thawed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from dayshift.core import guards
from dayshift.core.state import JournalState
from dayshift.errors import JournalError, Reason
from dayshift.journal.codec import decode_record
from dayshift.journal.journal import Journal
from dayshift.journal.reader import JournalReader
from dayshift.model import records as r
from dayshift.model.dial import DialReading, Setting, Token
from dayshift.model.estate import ControllerSpec, Estate, StoreSpec
from dayshift.model.plan import Plan
from dayshift.model.points import Point
from dayshift.model.records import Action, Answered
from dayshift.model.sight import Sight
from dayshift.model.units import Instant
from dayshift.rehearsal.shared import Shared
from dayshift.runtime import messages
from dayshift.runtime.serving import Role, Serving
from dayshift.runtime.session import Session, Workspace
from dayshift.runtime.wiring import Drivers
from tests.kit.clock import SeededEntropy, VirtualClock
from tests.kit.play import estate
from tests.kit.rig import POLICY, Rig

T = TypeVar("T")
PLACES = {"c-fra": "fra", "c-ber": "ber", "c-oslo": "oslo"}


def placed_estate(places: Mapping[str, str] = PLACES, **policy: Any) -> Estate:
    """The estate of the simulations with controllers and a shared store."""
    chosen = {"gate": POLICY, "fresh_ms": 3_000, "drain_dwell_ms": 1_000, **policy}
    specs = tuple(ControllerSpec(name, place) for name, place in places.items())
    return replace(
        estate(**chosen), controllers=specs, journal=StoreSpec("shared", {}, {})
    )


class Freezer:
    """Stops one controller at its next await, or at the `nth` point it reaches."""

    def __init__(self) -> None:
        self._running = asyncio.Event()
        self._running.set()
        self.reached: list[Point] = []
        self.stop_at = 0

    @property
    def frozen(self) -> bool:
        return not self._running.is_set()

    def freeze(self) -> None:
        self._running.clear()

    def thaw(self) -> None:
        self._running.set()

    async def passing(self) -> None:
        await self._running.wait()

    def at(self, point: Point, action: Action | None = None) -> None:
        return None

    async def reach(self, point: Point, action: Action | None = None) -> None:
        self.reached.append(point)
        if len(self.reached) == self.stop_at:
            self.freeze()
        await self.passing()


class FreezingClock:
    """The clock as one controller has it."""

    def __init__(self, clock: VirtualClock, freezer: Freezer) -> None:
        self._clock = clock
        self._freezer = freezer

    def now(self) -> Instant:
        return self._clock.now()

    async def sleep(self, ms: int) -> None:
        await self._clock.sleep(ms)
        await self._freezer.passing()

    async def within(self, ms: int, work: Awaitable[T]) -> T:
        try:
            return await self._clock.within(ms, work)
        finally:
            await self._freezer.passing()


class FreezingDial:
    """The one dial of the world, as one controller reaches it."""

    def __init__(self, dial: Any, freezer: Freezer) -> None:
        self._dial = dial
        self._freezer = freezer
        self.name = dial.name
        self.describe = dial.describe
        self.close = dial.close

    async def read(self) -> DialReading:
        await self._freezer.passing()
        reading: DialReading = await self._dial.read()
        return reading

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        await self._freezer.passing()
        await self._dial.set(setting, token, revert_to, lease_ms)

    async def hold(self, token: Token) -> None:
        await self._freezer.passing()
        await self._dial.hold(token)


class RigSession(Session):
    """A session whose world is the rig's."""

    rig: Rig
    freezer: Freezer

    def drivers(self, estate: Estate, change: Any) -> Drivers:
        drivers = self.rig.drivers()
        dials = {n: FreezingDial(d, self.freezer) for n, d in drivers.dials.items()}
        drivers.dials = dials  # type: ignore[assignment]
        return drivers


class RigGround:
    """What one controller of the tests stands on."""

    def __init__(self, several: Several, name: str) -> None:
        self.freezer = Freezer()
        self.clock = FreezingClock(several.clock, self.freezer)
        self.entropy = SeededEntropy(len(several.grounds) + 1)
        self._several = several
        self._name = name
        self._folder = several.folder / name

    def lead(self) -> Session:
        rig, access = self._several.rig, self._several.access
        journal = Journal.open(
            self._folder,
            rig.estate.name,
            self.clock,
            f"test {self._name}",
            points=self.freezer,
            access=access,
            controller=self._name,
            jobs=self._several.jobs[self._name],
        )
        session = RigSession(Workspace(self._folder), journal, self.freezer)
        session.rig, session.freezer = rig, self.freezer
        session.clock, session.entropy = self.clock, self.entropy
        self._several.led.append((self._name, self.clock.now().mono_ms))
        return session

    def read(self) -> JournalReader:
        return JournalReader.open(self._folder, self._several.access)

    def plan_reason(self, plan: Plan) -> Reason | None:
        return None

    async def claims_reason(self, state: JournalState) -> Reason | None:
        reading = await self._several.rig.dial.read()
        sight = Sight(at=self.clock.now(), dials={reading.dial: reading})
        return guards.claims_reason(state, sight)


class Several:
    """Controllers that start together; `led` is who led from which instant on."""

    def __init__(
        self, clock: VirtualClock, folder: Path, places: Mapping[str, str] = PLACES
    ) -> None:
        self.clock = clock
        self.folder = folder
        self.rig = Rig(clock, folder / "unused", placed_estate(places))
        self.shared = Shared(clock)
        self.access = self.shared.access(self.rig.estate.name)
        self.led: list[tuple[str, int]] = []
        self.said: list[str] = []
        self._read, self._closed = 0, False
        self.jobs = dict.fromkeys(places, "one machine")
        self.grounds: dict[str, RigGround] = {}
        self.serving: dict[str, Serving] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        for name in places:
            (folder / name).mkdir(parents=True)
            self.start(name)

    def start(self, name: str) -> None:
        ground = RigGround(self, name)
        self.grounds[name] = ground
        self.serving[name] = Serving(ground, name, self.said.append)
        self.tasks[name] = asyncio.create_task(self.serving[name].run())

    @property
    def leader(self) -> str:
        """Who the store says leads."""
        holder = self.shared.holder()
        return holder.name.split()[-1] if holder else ""

    async def until(self, test: Any, limit_ms: int = 120_000) -> None:
        for _ in range(limit_ms // 20):
            for task in self.tasks.values():
                if task.done():
                    task.result()
            if test():
                return
            await self.clock.sleep(20)
        raise AssertionError(f"it never came: {self.said} {self.tail()}")

    async def until_led(self, by: str = "") -> str:
        await self.until(lambda: self.leader and by in ("", self.leader))
        return self.leader

    async def open(self, at: str) -> Answered:
        args = {"plan": messages.plan_text(self.rig.plan)}
        return await self.serving[at].ask(messages.OPEN, "ada", args)

    def followers(self) -> list[str]:
        return [n for n, one in self.serving.items() if one.role is Role.FOLLOWS]

    def records(self) -> list[r.Record]:
        with JournalReader.open(self.folder / "c-oslo", self.access) as journal:
            return list(journal.records())

    def ended(self) -> bool:
        """Has a run been closed? Asked often, so only what is new is read."""
        new = self.shared.rows[self._read :]
        self._read += len(new)
        self._closed |= any(
            isinstance(decode_record(one.data).body, r.RunClosed) for one in new
        )
        return self._closed

    def held(self, code: str) -> bool:
        """Is this what the run was held for last?"""
        holds = [o.body for o in self.records() if isinstance(o.body, r.Held)]
        return bool(holds) and holds[-1].reason.code == code

    def tail(self) -> list[Any]:
        try:
            skip = r.Observed | r.StoodBy
            bodies = [one.body for one in self.records()]
            return [one for one in bodies if not isinstance(one, skip)][-8:]
        except JournalError:
            return []

    async def close(self) -> None:
        for ground in self.grounds.values():
            ground.freezer.thaw()
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


def stale_writes(several: Several) -> list[str]:
    """Accepted writes of an epoch after the device saw a newer one."""
    found, newest = [], 0
    for setting, token in several.rig.dial.writes:
        if token.claim.epoch < newest:
            found.append(f"{token.claim} after epoch {newest}: {setting}")
        newest = max(newest, token.claim.epoch)
    return found
