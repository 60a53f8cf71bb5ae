"""Watches a simulated estate from outside, and the people and crashes around it.

Here: what really happened to users, duties, brackets and work, counted by the world
itself. Nothing of `dayshift.core` is asked, so that a mistake there cannot hide itself;
the journal is read only to compare it with what the devices saw.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dayshift.core.state import RunState, Status
from dayshift.drivers.base import WorkOrder
from dayshift.model import records as r
from dayshift.model.dial import Setting, Token
from dayshift.model.points import NOWHERE, Points
from dayshift.model.records import Phase, RunResult
from dayshift.rehearsal.world import served_parts
from dayshift.runtime.frame import Frame
from dayshift.runtime.orchestrator import Orchestrator
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.crash import DieAt, abandon
from tests.kit.memory import MemoryDial
from tests.kit.play import estate
from tests.kit.rig import POLICY, MemoryDuty, MemoryWorker, Rig
from tests.kit.world import World

GRACE_MS = 8_000
"""How long after a region died a write may still count on it: nobody knows sooner."""
USUAL = {"fra": 5_000, "ber": 5_000}
ESTATE = estate(gate=POLICY, fresh_ms=3_000, drain_dwell_ms=1_000)
Deed = Callable[["Shift"], Awaitable[None]]


class WatchedWorker(MemoryWorker):
    """Counts users who reached the region while its step, or its undoing, ran."""

    def __init__(self, rig: Rig, region: str, seen: list[str]) -> None:
        super().__init__(rig, region)
        self.seen = seen
        self.open: dict[str, tuple[int, int]] = {}

    async def start(self, order: WorkOrder) -> None:
        if order.key not in self.began:
            if self._running():
                self.seen.append(f"two steps at once in {self.region}")
            place = self.rig.world[self.region]
            self.open[order.key] = (place.requests, place.life)
        await super().start(order)

    async def poll(self, order: WorkOrder) -> Any:
        seen = await super().poll(order)
        if order.key in self.open and seen.status.value in ("done", "failed"):
            self._compare(*self.open.pop(order.key))
        return seen

    async def revert(self) -> None:
        if self._running():
            self.seen.append(f"undone while it runs in {self.region}")
        place = self.rig.world[self.region]
        before = (place.requests, place.life)
        await self.rig.clock.sleep(500)
        await super().revert()
        self.rig.world[self.region].error_ppm = 0
        self._compare(*before)

    def _running(self) -> bool:
        now = self.rig.clock.now().mono_ms
        return any(now - began < self.ms for began in self.began.values())

    def _compare(self, before: int, life: int) -> None:
        place = self.rig.world[self.region]
        if place.life == life and place.requests != before and not place.stray_rps:
            users = place.requests - before
            self.seen.append(f"{users} users in {self.region} while its work ran")


class WatchedDuty(MemoryDuty):
    def __init__(self, name: str, regions: tuple[str, ...], seen: list[str]) -> None:
        super().__init__(name, regions)
        self.seen = seen

    async def take(self, region: str) -> None:
        if self.held - {region}:
            self.seen.append(f"{self.name} taken by {region}, held by {self.held}")
        await super().take(region)


class WatchedDial(MemoryDial):
    """Asks the world at every write whether users are still served after it."""

    def __init__(self, name: str, world: World, lease: bool, seen: list[str]) -> None:
        super().__init__(name, world, lease)
        self.seen = seen
        self.down_since: dict[str, int] = {}

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        self.judge(setting)
        await super().set(setting, token, revert_to, lease_ms)

    def judge(self, setting: Setting) -> None:
        now = self.world.clock.now().mono_ms
        fed = self._fed(setting)
        dead = [n for n in fed if now - self.down_since.get(n, now) > GRACE_MS]
        if not fed or len(dead) == len(fed):
            self.seen.append(f"a write feeds only {fed}, dead: {dead}")

    async def settled(self) -> None:
        """Return once what the world has is what the devices do."""

    def _fed(self, setting: Setting) -> list[str]:
        """Who would get users if every instance obeyed, by the world's own sums."""
        after = {
            self.name: [replace(one, setting=setting) for one in self.world.devices]
        }
        parts = served_parts(self.world.service, after)
        return [name for name, part in parts.items() if part]


class Shift:
    """One rig under watch, its controller, its person, and its clock."""

    def __init__(self, rig: Rig, lease: bool = False, points: Points = NOWHERE) -> None:
        self.rig = rig
        self.clock = rig.clock
        self.seen: list[str] = []
        rig.dial = self.make_dial(rig, lease or rig.lease)
        rig.workers = {
            one.region: WatchedWorker(rig, one.region, self.seen)
            for one in rig.change.regions
        }
        rig.duties = {
            one.name: WatchedDuty(one.name, one.regions, self.seen)
            for one in rig.estate.duties
        }
        self.controller: Orchestrator = rig.controller(points)
        if isinstance(points, DieAt):
            points.victim = self.controller
        self.task: asyncio.Task[RunState] = asyncio.create_task(self.controller.go())

    def make_dial(self, rig: Rig, lease: bool) -> WatchedDial:
        """The dial, which is told of everything that must not happen."""
        make = rig.steered_by or WatchedDial
        return make("entry", rig.world, lease, self.seen)

    @property
    def run(self) -> RunState:
        return self.controller.run

    @property
    def phase(self) -> Phase:
        return self.run.now_at.phase

    async def crash(self) -> None:
        """The controller dies where it stands; another opens the same journal."""
        await self.die()
        self.succeed()

    async def die(self) -> None:
        """No word is written any more, nothing is tidied up."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        abandon(self.controller.journal)

    def succeed(self, points: Points = NOWHERE) -> None:
        """Another controller opens the same journal."""
        self.controller = self.rig.controller(points)
        if isinstance(points, DieAt):
            points.victim = self.controller
        self.task = asyncio.create_task(self.controller.go())

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.controller.journal.close()

    async def until(self, test: Callable[[], bool], limit_ms: int = 240_000) -> bool:
        """Let time pass until `test`; False when it never came or the run ended."""
        for _ in range(limit_ms // 50):
            if test():
                return True
            if self.task.done():
                self.task.result()
                return test()
            await self.clock.sleep(50)
        return False

    async def until_phase(self, phase: Phase, region: str = "fra") -> bool:
        return await self.until(
            lambda: self.run.now_at.region == region and self.phase is phase
        )

    async def pass_by(self, phase: Phase) -> None:
        """Be there the moment that the run is, however soon it goes on."""
        there = asyncio.Event()

        def look(_: Frame) -> None:
            if self.phase is phase:
                there.set()

        self.controller.on_frame = look
        await there.wait()
        assert self.phase is phase

    async def ask(self, verb: str, person: str = "eve", **args: str) -> bool:
        """Ask as a person does; False when refused or too late."""
        asking = asyncio.create_task(self.controller.ask(verb, person, args))
        await self.until(asking.done, 5_000)
        if not asking.done():
            asking.cancel()
            return False
        return asking.result().accepted

    def closed(self) -> bool:
        return self.run.status is Status.CLOSED

    def held(self) -> bool:
        return self.run.status is Status.HELD

    async def to_the_end(self, tries: int = 6) -> None:
        """A patient person: retry what is held, then abort, then leave it drained."""
        for attempt in range(tries):
            await self.until(lambda: self.closed() or self.held())
            if self.closed():
                return
            await self.clock.sleep(4_000)
            code = self.run.hold.reason.code if self.run.hold else ""
            if code == "DRIFT" and await self.ask("adopt"):
                continue
            await self.ask("retry" if attempt < tries // 2 else "abort")
        if not await self.until(self.closed, 60_000) and self.held():
            await self.ask("close")
            await self.until(self.closed, 60_000)

    def faults(self) -> list[str]:
        """Everything that must not have happened, and what a closed run must be."""
        found = list(self.seen)
        if self.closed():
            found.extend(self._ending())
        found.extend(written_down(self.rig))
        return found

    def _ending(self) -> list[str]:
        found = []
        for duty in self.rig.duties.values():
            if len(duty.held) != 1:
                found.append(f"{duty.name} is held by {sorted(duty.held)}")
        for bracket in self.rig.brackets.values():
            if bracket.open:
                found.append(f"bracket {bracket.name} was left open")
        shares = self.rig.world.shares()
        wanted = dict(USUAL)
        for region in self.controller.state.left_drained:
            wanted = dict.fromkeys(USUAL, 10_000) | {region: 0}
        if shares != wanted:
            found.append(f"shares are {shares}, not {wanted}")
        if self.run.result is RunResult.DONE:
            for name, worker in self.rig.workers.items():
                if self.rig.world[name].version != "2":
                    found.append(f"{name} is done and has version 1")
                if len(worker.began) != 1:
                    found.append(f"{name} was worked on {sorted(worker.began)}")
        return found


def written_down(rig: Rig) -> list[str]:
    """Every write at the device has its intent in the journal, of the same setting:
    entries of the emergency journal keep their numbers when they are merged."""
    intents = {}
    with rig.read() as view:
        for one in view.records():
            if isinstance(one.body, r.Intent):
                intents[one.epoch, one.seq] = one.body.action
    found = []
    for setting, token in rig.dial.writes:
        action = intents.get((token.claim.epoch, token.claim.seq))
        if action is None:
            found.append(f"write {token.claim} without an intent")
        elif action.setting is not None and action.setting != setting:
            found.append(f"write {token.claim} is not what was intended")
    return found


def watch(
    folder: Path, deed: Deed, prepare: Callable[[Rig], None] = lambda rig: None
) -> Shift:
    """Play `deed` in virtual time; the shift that is left when it ends."""

    async def program(clock: VirtualClock) -> Shift:
        rig = Rig(clock, folder / "journal", ESTATE)
        prepare(rig)
        await clock.sleep(5_000)
        shift = Shift(rig)
        try:
            await deed(shift)
        finally:
            await shift.leave()
        return shift

    return run_virtual(program)


def moments(seed: int, count: int, within_ms: int) -> list[int]:
    """Sorted instants, the same for the same seed."""
    draw = random.Random(seed)
    return sorted(draw.randrange(within_ms) for _ in range(count))
