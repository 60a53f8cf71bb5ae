"""Fence points: where a new epoch must stand before it may write anywhere.

Every dial is one; it belongs to a region when all agents that reach it stand there.
Here: which points there are, which are lost, and which dials cannot fence at all. What
follows from that is for guards, the desk and the interlock.
"""

from __future__ import annotations

from collections.abc import Mapping

from dayshift.core.state import JournalState
from dayshift.errors import Reason
from dayshift.model.dial import DialReading, Fence
from dayshift.model.estate import DialSpec, Estate


def dials(estate: Estate) -> tuple[DialSpec, ...]:
    """Every dial of the estate: each is a fence point, also where a service stays."""
    return tuple(dial for service in estate.services for dial in service.dials)


def region_of(estate: Estate, dial: DialSpec) -> str:
    """The region at which every agent of `dial` stands; empty where there is none."""
    place_of = {one.name: one.place for one in estate.agents}
    places = {place_of.get(name, "") for name in dial.agents}
    only = places.pop() if len(places) == 1 else ""
    return only if only in estate.region_names() else ""


def lost(
    estate: Estate, state: JournalState, readings: Mapping[str, DialReading]
) -> dict[str, str]:
    """Fence points of regions that do not answer and that this epoch never claimed, as
    dial → region.

    Why: a controller of an earlier epoch may still reach what this one cannot. Nobody
    may count on that region, and nobody need wait for it either.
    Holds: a dial that belongs to no region is never lost; it stays required.
    """
    return {
        dial: region
        for dial, region in silent(estate, readings).items()
        if not claimed(state, dial)
    }


def silent(estate: Estate, readings: Mapping[str, DialReading]) -> dict[str, str]:
    """Fence points of regions that do not answer, as dial → region."""
    found: dict[str, str] = {}
    for dial in dials(estate):
        reading = readings.get(dial.name)
        if reading is not None and reading.fault:
            region = region_of(estate, dial)
            if region:
                found[dial.name] = region
    return found


def claimed(state: JournalState, dial: str) -> bool:
    """True once a write of this epoch was read back at the dial."""
    claim = state.claims.get(dial)
    ours = claim is not None and claim.journal == state.journal
    return ours and claim is not None and claim.epoch == state.epoch


def unfenced_reason(estate: Estate, fences: Mapping[str, Fence]) -> Reason | None:
    """Why the estate may not have several controllers with these dials, or None."""
    controllers = estate.controllers
    if len(controllers) < 2:
        return None
    places = sorted({one.place for one in controllers})
    for dial in dials(estate):
        reach = fences.get(dial.name, Fence.NONE)
        if dial.agents or reach is Fence.DEVICE:
            continue
        if reach is Fence.MACHINE and len(places) == 1:
            continue
        return _unfenced(dial.name, reach, len(controllers), places)
    return None


def _unfenced(dial: str, reach: Fence, controllers: int, places: list[str]) -> Reason:
    found = (
        "compares claims behind a lock of one machine"
        if reach is Fence.MACHINE
        else "does not compare claims"
    )
    return Reason(
        "UNFENCED",
        f"dial {dial} {found}, and the estate has {controllers} controllers in "
        f"{', '.join(places)}",
        because="invariant: a stopped controller that wakes up must be refused by the "
        "device itself",
        so="nothing moved",
        next=f"name the agents that reach {dial} under its `agents:`, or declare one "
        "controller",
    )
