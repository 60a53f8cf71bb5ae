"""Puts one agent together and lets it answer until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence

from dayshift.agent.keeper import Keeper
from dayshift.agent.ledger import Ledger
from dayshift.agent.metrics import Metrics
from dayshift.agent.server import Server
from dayshift.agent.settings import Address, Agent
from dayshift.drivers.agents.trust import Trust
from dayshift.drivers.base import Context
from dayshift.errors import DriverFault, Reason
from dayshift.model.units import Clock
from dayshift.runtime import supervisor
from dayshift.runtime.clock import RealClock
from dayshift.runtime.secrets import Secrets
from dayshift.runtime.wiring import driver_class

RETRY_MS = 1_000
Listening = tuple[Callable[[str, int], Awaitable[asyncio.Server]], Address]


def say(text: str) -> None:
    """One line for the system's log."""
    print(text, file=sys.stderr, flush=True)


async def serve(agent: Agent) -> None:
    """Answer until SIGTERM or SIGINT. What is armed then still stands in the ledger.

    Raises:
        Refused: another agent runs on this state directory.
        DriverFault: TLS, a driver or the listener cannot be used.
    """
    clock: Clock = RealClock()
    ledger = Ledger(agent.state_dir)
    ledger.open()
    secrets = Secrets(agent.base_dir, (agent.estate,))
    trust = Trust(agent.tls, agent.base_dir, secrets.resolve, server=True)
    keepers = {one.name: one for one in _keepers(agent, ledger, secrets, clock)}
    server = Server(
        agent.name, agent.estate, agent.controllers, keepers, trust, clock, say
    )
    metrics = Metrics(agent.name, server.counts, [*keepers.values()], trust, clock)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tending = [asyncio.create_task(one.tend()) for one in keepers.values()]

    async def listen() -> list[asyncio.Server]:
        trust.require()
        where = [(server.listen, agent.listen)]
        if agent.metrics:
            where.append((metrics.listen, agent.metrics))
        return await _listening(where)

    listeners = await _opened(listen, keepers.values(), stop, clock)
    say(f"agent {agent.name} of {agent.estate} answers on {agent.listen}")
    server.attested()
    stopping = asyncio.create_task(stop.wait())
    beating = asyncio.create_task(beat(clock))
    await asyncio.wait({stopping, *tending}, return_when=asyncio.FIRST_COMPLETED)
    for one in listeners:
        one.close()
    for task in (stopping, beating, *tending):
        if task.done() and task is not stopping:
            task.result()
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(beating, *tending, return_exceptions=True)
    for keeper in keepers.values():
        await keeper.dial.close()
    ledger.close()
    say(f"agent {agent.name} stopped; nothing of its dials changed by that")


async def _opened(
    listen: Callable[[], Awaitable[list[asyncio.Server]]],
    keepers: Iterable[Keeper],
    stop: asyncio.Event,
    clock: Clock,
) -> list[asyncio.Server]:
    """Begin to answer; while that cannot be, what is armed is carried out all the same.

    Why: an agent that comes back with unusable certificates, or finds its address
    taken, would otherwise leave a region drained that nobody watches.
    """
    said = ""
    while True:
        try:
            return await listen()
        except DriverFault as error:
            armed = [one.name for one in keepers if one.lease_left_ms() is not None]
            if not armed or stop.is_set():
                raise
            if error.reason.what != said:
                said = error.reason.what
                names = ", ".join(armed)
                say(f"{said}: {error.reason.because}")
                say(f"nobody is answered yet; what is armed runs on: {names}")
            supervisor.notify("READY=1", "WATCHDOG=1")
            await clock.sleep(RETRY_MS)


async def beat(clock: Clock) -> None:
    """Tell systemd that the agent is up and, for ever, that its loop runs.

    Why: a lease goes back only while it does. An agent that hangs is killed and started
    again, and counts on from its ledger.
    """
    supervisor.notify("READY=1")
    every_ms = supervisor.watchdog_ms()
    while every_ms is not None:
        supervisor.notify("WATCHDOG=1")
        await clock.sleep(every_ms)


async def _listening(where: Sequence[Listening]) -> list[asyncio.Server]:
    """Every listener, or none."""
    begun: list[asyncio.Server] = []
    for listen, at in where:
        try:
            begun.append(await listen(at.host, at.port))
        except OSError as error:
            for one in begun:
                one.close()
            raise DriverFault(_no_listener(at, error)) from None
    return begun


def _keepers(
    agent: Agent, ledger: Ledger, secrets: Secrets, clock: Clock
) -> list[Keeper]:
    context = Context(
        estate=agent.estate,
        base_dir=agent.base_dir,
        state_dir=agent.state_dir,
        clock=clock,
        secret=secrets.resolve,
        redact=secrets.redactor.redact,
    )
    made = []
    for dial in agent.dials:
        known = driver_class("dials", dial.ref.driver)
        options = known.Options.model_validate(dial.ref.options)
        driver = known(dial.name, options, context)
        made.append(Keeper(driver, dial.rules, ledger, clock, say))
    return made


def _no_listener(where: Address, error: OSError) -> Reason:
    return Reason(
        "LISTEN-FAILED",
        f"nothing can listen on {where}",
        because=error.strerror or str(error),
        so="the agent did not start",
        next="mend `listen:` or `metrics:`, or stop what listens there",
    )
