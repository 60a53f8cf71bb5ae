"""Agents of the simulated estate: the product's own server, keepers and ledgers.

Here is only what a machine and a wire do to them: an agent is killed, sleeps, and comes
back with what its state directory holds; a link loses a request, or an answer. What is
refused, kept and reverted is `dayshift.agent`'s.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine, Mapping, Sequence
from contextvars import copy_context
from pathlib import Path
from typing import Any

from dayshift.agent.guards import Rules
from dayshift.agent.keeper import Keeper
from dayshift.agent.ledger import Ledger
from dayshift.agent.server import Server
from dayshift.drivers.agents import messages as m
from dayshift.drivers.agents.dial import RemoteDial
from dayshift.drivers.agents.link import AgentLink
from dayshift.drivers.agents.tls import TlsFiles
from dayshift.drivers.agents.trust import Trust
from dayshift.drivers.base import Context
from dayshift.model.dial import Setting, Token
from dayshift.model.estate import AgentSpec, DialSpec, Estate
from dayshift.model.points import Point
from dayshift.rehearsal.clock import VirtualClock
from dayshift.rehearsal.devices import CALLER, FOREVER_MS, Caller, SimulatedDial
from dayshift.rehearsal.history import History
from dayshift.rehearsal.machine import Died, Machine, MachineClock, Network
from dayshift.rehearsal.world import Device

NO_TLS = TlsFiles("", "", "")
"""Nobody listens in a rehearsal."""


class Silent(Exception):
    """Nobody is there, or whoever was died over the answer."""


class Sockets:
    """The devices behind one agent; it may die before their answer comes back."""

    def __init__(self, dial: SimulatedDial, machine: Machine) -> None:
        self._dial = dial
        self._machine = machine
        self.name = dial.name
        self.describe = dial.describe
        self.read = dial.read
        self.close = dial.close

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        await self._dial.set(setting, token, revert_to, lease_ms)
        self._machine.at(Point.APPLIED)

    async def hold(self, token: Token) -> None:
        await self._dial.hold(token)
        self._machine.at(Point.APPLIED)


class SimulatedAgent:
    """One agent and the machine that it runs on."""

    def __init__(
        self,
        name: str,
        estate: Estate,
        clock: VirtualClock,
        folder: Path,
        dials: Mapping[str, tuple[SimulatedDial, Rules]],
        history: History,
    ) -> None:
        self.name = name
        self.folder = folder
        self._estate = estate.name
        self._clock = clock
        self._dials = dict(dials)
        self._history = history
        self._ledger = Ledger(folder)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: Server | None = None
        self.machine = Machine(clock, Network(), name)

    @property
    def up(self) -> bool:
        return self._server is not None and not self.machine.dead

    def start(self) -> None:
        """Begin with what the state directory holds; nothing if it runs."""
        if self.up:
            return
        self.machine = Machine(self._clock, Network(), self.name)
        self._ledger = Ledger(self.folder)
        self._ledger.open()
        clock = MachineClock(self.machine)
        keepers = {
            name: Keeper(Sockets(dial, self.machine), rules, self._ledger, clock, _say)
            for name, (dial, rules) in self._dials.items()
        }
        trust = Trust(NO_TLS, self.folder, _no_secret, server=True)
        self._server = Server(self.name, self._estate, (), keepers, trust, clock, _say)
        self._note("started")
        caller = Caller(self.name, self.machine, self.name)
        for one in keepers.values():
            self._spawn(self._tend(one), caller)

    async def _tend(self, keeper: Keeper) -> None:
        try:
            await keeper.tend()
        except Died:
            self.kill()

    def kill(self) -> None:
        """The process ends where it stands."""
        if not self.up and self._server is None:
            return
        self.machine.dead = True
        self._server = None
        for task in self._tasks:
            task.cancel()
        self._ledger.close()
        self._note("died")

    def freeze(self, ms: int) -> None:
        """Nothing on its machine runs for so long."""
        self.machine.freeze(ms)
        self._note("sleeps", str(ms))

    def remember(self) -> Path:
        """A copy of the state directory, as a backup has it."""
        copy = self.folder.with_name(f"{self.folder.name}.old")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.folder, copy)
        return copy

    def go_back_to(self, copy: Path) -> None:
        """The machine is restored from that backup."""
        self.kill()
        shutil.rmtree(self.folder)
        shutil.copytree(copy, self.folder)
        self._note("restored")
        self.start()

    async def take(self, controller: Machine, body: bytes) -> m.Reply:
        """One request, handled to its end even if whoever asked is gone by then.

        Raises:
            Silent: no answer, and none will come.
        """
        if not self.up:
            raise Silent
        request = m.REQUESTS.decode(body)
        assert not isinstance(request, m.Attest), "a rehearsal has one version"
        lease_ms = request.lease_ms if isinstance(request, m.Set) else 0
        now_ms = self._clock.now().mono_ms
        caller = Caller(controller.name, self.machine, self.name, now_ms, lease_ms)
        task = self._spawn(self._handle(request, body, caller, controller), caller)
        try:
            return await asyncio.shield(task)
        except Died:
            raise Silent from None
        except asyncio.CancelledError:
            if task.cancelled():
                raise Silent from None
            raise

    async def _handle(
        self, request: m.Deed, body: bytes, caller: Caller, controller: Machine
    ) -> m.Reply:
        await self.machine.awake()
        assert self._server is not None
        unwritten_ms = controller.unwritten_ms
        answer: m.Reply | None = None
        try:
            answer = await self._server.answer(body)
            await self.machine.awake()
        except Died:
            self.kill()
            raise
        finally:
            if not isinstance(request, m.Read | m.Describe):
                self._kept(request, caller, answer, unwritten_ms)
        return answer

    def _kept(
        self,
        request: m.Set | m.Hold | m.Prepare | m.Restore | m.Renew | m.Fence,
        caller: Caller,
        answer: m.Reply | None,
        unwritten_ms: int,
    ) -> None:
        """What came of it, for the checkers."""
        if isinstance(request, m.Renew | m.Fence):
            claim = request.claim
        else:
            claim = request.token.claim
        lease_ms = request.lease_ms if isinstance(request, m.Set | m.Renew) else 0
        result = "nothing"
        if answer is not None:
            result = answer.kind.value if isinstance(answer, m.Failed) else "done"
        self._history.note(
            self._clock.now().mono_ms,
            "kept",
            request.dial,
            caller.name,
            self.name,
            type(request).__name__.lower(),
            f"{claim.epoch}:{claim.seq}",
            str(caller.sent_ms),
            str(lease_ms),
            result,
            str(unwritten_ms),
        )

    def _spawn(
        self, work: Coroutine[Any, Any, Any], caller: Caller
    ) -> asyncio.Task[Any]:
        context = copy_context()
        context.run(CALLER.set, caller)
        task = asyncio.create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _note(self, what: str, *more: str) -> None:
        now_ms = self._clock.now().mono_ms
        self._history.note(now_ms, "agent", self.name, "", what, *more)

    async def end(self) -> None:
        """The end of the rehearsal."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._ledger.close()


class SimulatedLink(AgentLink):
    """The wire from one controller to one agent; words and waiting are the real one's.

    A `deaf` network loses answers: what was asked happens, and nobody is told.
    """

    def __init__(
        self, spec: AgentSpec, estate: Estate, agent: SimulatedAgent, machine: Machine
    ) -> None:
        super().__init__(spec, _context(estate, agent, machine))
        self._agent = agent
        self._machine = machine

    async def _call(self, request: m.Request) -> m.Reply:
        network, part = self._machine.network, f"agent/{self.name}"
        if network.is_cut(part):
            await self._lost()
        try:
            answer: m.Reply = await self._agent.take(
                self._machine, m.framed(request)[m.LENGTH_BYTES :]
            )
        except Silent:
            raise self._away("connection refused") from None
        if network.deaf.get(part):
            await self._clock.sleep(FOREVER_MS)
        if network.is_cut(part):
            await self._lost()
        answer = m.REPLIES.decode(m.framed(answer)[m.LENGTH_BYTES :])
        return answer

    async def _lost(self) -> None:
        if self._machine.network.hangs:
            await self._clock.sleep(FOREVER_MS)
        raise self._away("it is cut off")


def build(
    estate: Estate,
    clock: VirtualClock,
    folder: Path,
    dials: Mapping[str, SimulatedDial],
    history: History,
) -> dict[str, SimulatedAgent]:
    """The agents that dials of the estate stand behind; they share its instances."""
    behind: dict[str, dict[str, tuple[SimulatedDial, Rules]]] = {}
    for service in estate.services:
        rules = Rules(
            tuple(service.shares), estate.policy.serving, (tuple(service.shares),)
        )
        for spec in service.dials:
            dial = dials[spec.name]
            for name, devices in _dealt(spec, dial.devices).items():
                part = dial.part(devices)
                behind.setdefault(name, {})[spec.name] = part, rules
    return {
        name: SimulatedAgent(name, estate, clock, folder / name, mine, history)
        for name, mine in sorted(behind.items())
    }


def _dealt(spec: DialSpec, devices: Sequence[Device]) -> dict[str, list[Device]]:
    """Each agent's instances: in turn, and at least one."""
    count = len(spec.agents)
    return {
        name: [*devices[number::count]] or [devices[-1]]
        for number, name in enumerate(spec.agents)
    }


def remote(
    spec: DialSpec,
    estate: Estate,
    agents: Mapping[str, SimulatedAgent],
    machine: Machine,
) -> RemoteDial:
    """The dial as the controller on `machine` reaches it."""
    specs = {one.name: one for one in estate.agents}
    links = [
        SimulatedLink(specs[name], estate, agents[name], machine)
        for name in spec.agents
    ]
    return RemoteDial(spec.name, spec.kind, links, MachineClock(machine))


def _context(estate: Estate, agent: SimulatedAgent, machine: Machine) -> Context:
    return Context(
        estate=estate.name,
        base_dir=agent.folder,
        state_dir=agent.folder,
        clock=MachineClock(machine),
        secret=_no_secret,
        redact=str,
    )


def _no_secret(reference: str) -> str:
    return reference


def _say(text: str) -> None:
    """Its log; nobody reads it here."""
