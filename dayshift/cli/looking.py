"""A look at the world without a run: every driver read for a few seconds, none moved.

For `check` and `plan`. No journal is written and no lock is taken.
"""

from __future__ import annotations

import asyncio

from dayshift.core.state import JournalState
from dayshift.core.watch import Watch
from dayshift.drivers.base import Dial, WorkOrder
from dayshift.errors import Bug
from dayshift.model.dial import Abilities
from dayshift.model.estate import Change, Estate
from dayshift.model.sight import Sight
from dayshift.runtime import wiring
from dayshift.runtime.clock import RealClock
from dayshift.runtime.observer import Observer
from dayshift.runtime.session import Workspace, context

LOOK_MS = 3_000
EXTRA_MS = 12_000
"""How much longer commands that were started may take to answer."""


class Look:
    """What was seen, and what the dials say about themselves."""

    def __init__(self, sight: Sight, abilities: dict[str, Abilities]) -> None:
        self.sight = sight
        self.abilities = abilities


async def look(workspace: Workspace, estate: Estate, change: Change | None) -> Look:
    """Read everything for a few seconds."""
    clock = RealClock()
    workspace_context = context(workspace, estate, clock)
    drivers = wiring.wire(estate, change, workspace_context)
    watch = Watch(estate)
    empty = JournalState()
    observer = Observer(estate, drivers, watch, clock, lambda: empty, _no_work)
    reading = asyncio.create_task(observer.run())
    try:
        await clock.sleep(LOOK_MS)
        waited = 0
        while not _complete(watch, drivers) and waited < EXTRA_MS:
            await clock.sleep(100)
            waited += 100
        if reading.done():
            reading.result()
        return Look(watch.sight(empty, clock.now()), abilities(drivers.dials))
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await drivers.close()


def abilities(dials: dict[str, Dial]) -> dict[str, Abilities]:
    """What each dial can do, as its driver declares."""
    return {name: dial.describe() for name, dial in dials.items()}


async def abilities_of(workspace: Workspace, estate: Estate) -> dict[str, Abilities]:
    """The same, without reading anything."""
    drivers = wiring.wire(estate, None, context(workspace, estate, RealClock()))
    try:
        return abilities(drivers.dials)
    finally:
        await drivers.close()


def _complete(watch: Watch, drivers: wiring.Drivers) -> bool:
    """Has every duty and bracket said something?"""
    return set(watch.duties) >= set(drivers.duties) and set(watch.brackets) >= set(
        drivers.brackets
    )


def _no_work(region: str, step: str) -> WorkOrder:
    raise Bug(f"a look without a run asked about step {step} in {region}")
