"""Whether this estate's dials can hold what a plan asks, told with file and line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from dayshift.cli import looking
from dayshift.cli.checking import Finding
from dayshift.cli.everywhere import ESTATE_FILE
from dayshift.core import planner, steps
from dayshift.drivers.base import KnowsItsSteps
from dayshift.errors import Reason, Refused
from dayshift.model.dial import Abilities, Setting
from dayshift.model.estate import Estate
from dayshift.model.plan import Plan, Verb
from dayshift.runtime import wiring
from dayshift.runtime.clock import RealClock
from dayshift.runtime.session import Workspace, context
from dayshift.runtime.settings import load


async def faults(
    workspace: Workspace, plan: Plan, able: Mapping[str, Abilities] | None = None
) -> tuple[Reason, ...]:
    """Why the dials could not carry the plan out; asks no device.

    Args:
        able: what a look has found; dials behind agents say it only when asked.
    """
    estate = plan.estate
    drivers = wiring.wire(estate, None, context(workspace, estate, RealClock()))
    try:
        known = able or looking.abilities(drivers.dials)

        def misfit(dial: str, setting: Setting) -> str | None:
            one = drivers.dials[dial]
            return one.misfit(setting) if isinstance(one, KnowsItsSteps) else None

        found = steps.faults(plan, known, misfit)
    finally:
        await drivers.close()
    return tuple(_located(workspace.base / ESTATE_FILE, one) for one in found)


async def findings(
    workspace: Workspace, estate: Estate, able: Mapping[str, Abilities]
) -> list[Finding]:
    """What `check` says of it: as if every region were maintained."""
    change = planner.simple_change("check", estate.region_names(), "")
    try:
        plan = planner.make(estate, change, Verb.MAINTAIN)
    except Refused:
        return []  # `check` says of each region why nobody could take it over.
    found = await faults(workspace, plan, able)
    if not found:
        return [Finding("steps", "dials", "can hold every stop of drain and ramp")]
    return [Finding("steps", "dials", one.what, one) for one in found]


def _located(path: Path, fault: steps.Fault) -> Reason:
    where = load.where(path, fault.key)
    because = f"{fault.reason.because} ({fault.key}, {where})"
    return replace(fault.reason, because=because)
