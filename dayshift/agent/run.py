"""Puts one agent together and lets it answer until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable

from dayshift.agent import watchdog
from dayshift.agent.keeper import Keeper
from dayshift.agent.ledger import Ledger
from dayshift.agent.metrics import Metrics
from dayshift.agent.server import Server
from dayshift.agent.settings import Address, Agent
from dayshift.drivers.agents.trust import Trust
from dayshift.drivers.base import Context
from dayshift.errors import DriverFault, Reason
from dayshift.model.units import Clock
from dayshift.runtime.clock import RealClock
from dayshift.runtime.secrets import Secrets
from dayshift.runtime.wiring import driver_class


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
    secrets = Secrets(agent.base_dir)
    trust = Trust(agent.tls, agent.base_dir, secrets.resolve, server=True)
    trust.require()
    keepers = {one.name: one for one in _keepers(agent, ledger, secrets, clock)}
    server = Server(
        agent.name, agent.estate, agent.controllers, keepers, trust, clock, say
    )
    metrics = Metrics(agent.name, server.counts, [*keepers.values()], trust, clock)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listeners = [await _listening(server.listen, agent.listen)]
    if agent.metrics:
        listeners.append(await _listening(metrics.listen, agent.metrics))
    tending = [asyncio.create_task(one.tend()) for one in keepers.values()]
    say(f"agent {agent.name} of {agent.estate} answers on {agent.listen}")
    server.attested()
    stopping = asyncio.create_task(stop.wait())
    beating = asyncio.create_task(watchdog.beat(clock))
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


async def _listening(
    listen: Callable[[str, int], Awaitable[asyncio.Server]], where: Address
) -> asyncio.Server:
    try:
        return await listen(where.host, where.port)
    except OSError as error:
        raise DriverFault(_no_listener(where, error)) from None


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
