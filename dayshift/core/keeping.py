"""What the journal keeps of a sight: what the decision used, without personal data.

A small estate is kept whole. Of a large one the region in flight is; the others are
summed up to what the survivors were asked, and a dial that shows what the journal
confirmed is kept by its claims alone. No decision is taken here.
"""

from __future__ import annotations

from msgspec.structs import replace

from dayshift.core import proof
from dayshift.core.state import JournalState
from dayshift.limits import WHOLE_PLACES_MAX
from dayshift.model.dial import DialReading, Setting
from dayshift.model.plan import Plan
from dayshift.model.records import Phase
from dayshift.model.sight import Kept, PlaceSight, Sight, SurvivorsSight


def kept(state: JournalState, sight: Sight) -> Sight:
    """`sight` as the journal keeps it.

    Why: a decision in an estate of 1,000 regions sees 100,000 places; written whole
    they would fill no record, and a disk within the hour.
    Holds: whatever a guard asked of the sight can be read from what is kept; which
    version the agents are is asked in preflight alone.
    """
    if state.run is None or state.run.now_at.phase is not Phase.PREFLIGHT:
        sight = replace(sight, agents={})
    if state.run is None or len(sight.places) <= WHOLE_PLACES_MAX:
        return replace(sight, places=tuple(map(_impersonal, sight.places)))
    region = state.run.now_at.region
    steady = {
        name: {one.instance: str(one.claim or "") for one in reading.instances}
        for name, reading in sight.dials.items()
        if _is_steady(reading, state.confirmed.get(name))
    }
    whole = {name: getattr(sight, name) for name in sight.__struct_fields__}
    whole["dials"] = {n: one for n, one in sight.dials.items() if n not in steady}
    whole["places"] = tuple(
        _impersonal(place)
        for service in sight.services.values()
        if (place := service.places.get(region))
    )
    survivors = _survivors(state.plan, sight, region)
    return Kept(**whole, survivors=survivors, steady=steady)


def _impersonal(place: PlaceSight) -> PlaceSight:
    if not any(one.residue for one in place.meters):
        return place
    return replace(
        place, meters=tuple(replace(one, residue=()) for one in place.meters)
    )


def _is_steady(reading: DialReading, confirmed: Setting | None) -> bool:
    return reading.shows(confirmed) and not reading.fault


def _survivors(plan: Plan, sight: Sight, region: str) -> tuple[SurvivorsSight, ...]:
    policy = plan.estate.policy
    found = []
    for service in plan.estate.services:
        seen = sight.service(service.name)
        away = proof.away(plan, service, region)
        found.append(
            SurvivorsSight(
                service=service.name,
                serving=proof.enough_serve(sight, service, away, policy)[1],
                places=len(seen.places),
                measured=seen.measured,
                mrps=seen.mrps,
                trouble=tuple(proof.troubles(sight, service, away, policy)),
                age_ms=seen.age_ms,
            )
        )
    return tuple(found)
