"""Whether the dials of a plan can hold what it asks of them, before anything moves.

A dial refuses what it cannot hold exactly and never rounds, so that a return would stop
half-way. An on/off dial is part of the same ramp as the weighted ones: it flips where
its region goes from nothing to something. Not here: what a plan asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from dayshift.errors import Reason
from dayshift.model.dial import ALL, Abilities, DialKind, Setting
from dayshift.model.estate import Service
from dayshift.model.plan import PassPlan, Plan, Stage, Verb
from dayshift.model.units import percent

Misfit = Callable[[str, Setting], str | None]
"""Why a dial could not hold a setting exactly; None where it can, or cannot tell."""


class Fault(msgspec.Struct, frozen=True):
    """Why the plan cannot be carried out, and which key of the estate file says so."""

    reason: Reason
    key: str


def faults(plan: Plan, able: Mapping[str, Abilities], misfit: Misfit) -> list[Fault]:
    """Every dial of another kind than the estate says, and of each dial the first
    setting on each way, out and back, that it could not hold.

    Holds: an evacuation is never refused here. What a dial cannot hold it refuses.
    """
    if plan.verb is Verb.EVACUATE:
        return []
    found = list(_kinds(plan, able))
    spoiled = {one.key for one in found}
    for service in plan.estate.moving():
        for number, dial in enumerate(service.dials):
            if _kind_key(service, number) not in spoiled:
                found += _steps(plan, service, dial.name, misfit)
    return found


def flips(
    stage: Stage, before: Mapping[str, Setting]
) -> Iterator[tuple[str, str, bool]]:
    """Each on/off dial that the stage turns, its region, and whether that comes on."""
    for move in stage.moves:
        if move.setting.kind is not DialKind.SWITCH:
            continue
        former = before[move.dial].rows[ALL]
        for region, share in move.setting.rows[ALL].items():
            if bool(share) is not bool(former.get(region)):
                yield move.dial, region, bool(share)


def all_or_nothing(plan: Plan, one: PassPlan) -> tuple[str, ...]:
    """Services of a pass that have on/off dials alone: they know no share between."""
    return tuple(
        service.name
        for service in plan.estate.moving()
        if service.name in one.drain[-1].served
        and all(dial.kind is DialKind.SWITCH for dial in service.dials)
    )


def _kinds(plan: Plan, able: Mapping[str, Abilities]) -> Iterator[Fault]:
    for service in plan.estate.services:
        for number, dial in enumerate(service.dials):
            known = able.get(dial.name)
            if known is None or known.kind is dial.kind:
                continue
            what = f"dial {dial.name} is a {known.kind}, the estate says {dial.kind}"
            key = _kind_key(service, number)
            yield Fault(
                Reason(
                    "DIAL-KIND",
                    what,
                    because="guard `steps`: a dial takes settings of its own kind",
                    so="it would refuse every write; nothing moved",
                    next=f"write `kind: {known.kind}`, or steer with another driver",
                ),
                key,
            )


def _kind_key(service: Service, number: int) -> str:
    return f"services.{service.name}.dials.{number}.kind"


def _steps(plan: Plan, service: Service, dial: str, misfit: Misfit) -> list[Fault]:
    found: dict[str, Fault] = {}
    for one in plan.passes:
        for key, stages in _ways(plan, one):
            for stage in stages:
                why = _misfit(stage, dial, misfit)
                if why is None:
                    continue
                at = f"services.{service.name}.shares" if stage is one.ramp[-1] else key
                good = [s for s in stages if _misfit(s, dial, misfit) is None]
                reason = _too_fine(service, dial, one.region, stage, why, good)
                found.setdefault(at, Fault(reason, at))
                break
    return list(found.values())


def _ways(plan: Plan, one: PassPlan) -> Iterator[tuple[str, tuple[Stage, ...]]]:
    """The ways that a run of this plan goes, by the key that lists their stops."""
    if plan.verb is not Verb.RETURN:
        yield "policy.drain", one.drain
    if plan.verb is not Verb.DRAIN:
        yield "policy.ramp", one.ramp


def _misfit(stage: Stage, dial: str, misfit: Misfit) -> str | None:
    found = (misfit(dial, one.setting) for one in stage.moves if one.dial == dial)
    return next((why for why in found if why), None)


def _too_fine(
    service: Service,
    dial: str,
    region: str,
    stage: Stage,
    why: str,
    good: list[Stage],
) -> Reason:
    shown = next(one.setting for one in stage.moves if one.dial == dial)
    rows = "; ".join(
        ", ".join(f"{name} {percent(share)}" for name, share in row.items())
        for row in shown.rows.values()
    )
    held = ", ".join(percent(one.share_bp) for one in good) or "none of its stops"
    return Reason(
        "STEP-TOO-FINE",
        f"{region} at {percent(stage.share_bp)} of {service.name} asks dial {dial} for "
        f"{rows}; of this way it can hold {held}",
        because=f"guard `steps`: that setting {why}",
        so="the run would stop there; nothing moved",
        next="keep to stops that it can hold, or let the dial move in finer steps "
        "(docs/dials says how)",
    )
