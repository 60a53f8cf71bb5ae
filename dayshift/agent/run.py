"""Puts one agent together and lets it answer until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from functools import partial

from dayshift.agent.keeper import Keeper
from dayshift.agent.ledger import Ledger
from dayshift.agent.server import Server
from dayshift.agent.settings import Agent
from dayshift.drivers.agents import tls
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
    make_tls = partial(
        tls.context, agent.tls, agent.base_dir, secrets.resolve, server=True
    )
    make_tls()
    keepers = {one.name: one for one in _keepers(agent, ledger, secrets, clock)}
    server = Server(agent.estate, agent.controllers, keepers, make_tls, clock, say)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        listener = await server.listen(agent.host, agent.port)
    except OSError as error:
        raise DriverFault(_no_listener(agent, error)) from None
    tending = [asyncio.create_task(one.tend()) for one in keepers.values()]
    say(f"agent {agent.name} of {agent.estate} answers on {agent.host}:{agent.port}")
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, *tending}, return_when=asyncio.FIRST_COMPLETED)
    listener.close()
    for task in (stopping, *tending):
        if task.done() and task is not stopping:
            task.result()
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tending, return_exceptions=True)
    for keeper in keepers.values():
        await keeper.dial.close()
    ledger.close()
    say(f"agent {agent.name} stopped; nothing of its dials changed by that")


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


def _no_listener(agent: Agent, error: OSError) -> Reason:
    return Reason(
        "LISTEN-FAILED",
        f"nothing can listen on {agent.host}:{agent.port}",
        because=error.strerror or str(error),
        so="the agent did not start",
        next="mend `listen:`, or stop what listens there",
    )
