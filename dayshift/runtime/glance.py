"""One look at the dials, and at nothing else, where no controller looks.

A journal cannot tell that it is an old copy: only the dials know what was written
after it. Reads; a dial that does not answer in time is not told of.
"""

from __future__ import annotations

import asyncio

from dayshift.core import guards
from dayshift.core.state import JournalState
from dayshift.drivers.base import Dial
from dayshift.errors import DayshiftError, Reason
from dayshift.model.dial import DialReading
from dayshift.model.estate import Estate
from dayshift.model.sight import Sight
from dayshift.model.units import Clock
from dayshift.runtime import wiring
from dayshift.runtime.session import Workspace, context

GLANCE_MS = 1_500


async def claims_reason(
    workspace: Workspace, estate: Estate, state: JournalState, clock: Clock
) -> Reason | None:
    """Why the dials show that this journal must not lead, or None.

    A journal without a record claims nothing and is refused by `check` and by a run.
    """
    if not state.journal:
        return None
    drivers = wiring.wire(estate, None, context(workspace, estate, clock))
    try:
        dials = drivers.dials.values()
        seen = await asyncio.gather(*(_read(one, clock) for one in dials))
    finally:
        await drivers.close()
    readings = {one.dial: one for one in seen if one is not None}
    return guards.claims_reason(state, Sight(at=clock.now(), dials=readings))


async def _read(dial: Dial, clock: Clock) -> DialReading | None:
    try:
        return await clock.within(GLANCE_MS, dial.read())
    except (DayshiftError, OSError, TimeoutError):
        return None
