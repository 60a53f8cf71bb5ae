"""What `check` and `plan` say about places: fences that do not reach, shared fate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dayshift.cli.checking import Finding
from dayshift.core import fate
from dayshift.core.fences import dials, region_of, unfenced_reason
from dayshift.errors import Reason
from dayshift.model.dial import Abilities
from dayshift.model.estate import Estate
from dayshift.model.plan import Plan


def findings(
    estate: Estate, able: Mapping[str, Abilities], controller: str
) -> Iterator[Finding]:
    """Where things stand, and what would go down with each region."""
    yield _controllers(estate, able, controller)
    for region in estate.region_names():
        at = [d.name for d in dials(estate) if region_of(estate, d) == region]
        points = f"; fence points there: {', '.join(at)}" if at else ""
        found = fate.reasons(estate, region, controller)
        known = estate.controllers or estate.journal.members or estate.voting
        says = "what steers and sees stays up" if known else "nothing is declared"
        says = "; ".join(one.what for one in found) or says
        yield Finding(
            "fate", f"without {region}", says + points, next(iter(found), None)
        )


def _controllers(
    estate: Estate, able: Mapping[str, Abilities], controller: str
) -> Finding:
    names = ", ".join(f"{one.name} in {one.place}" for one in estate.controllers)
    me = f"; this is {controller}" if controller else ""
    says = f"{names}{me}" if names else "none declared: one, wherever a command runs"
    reason = unfenced_reason(estate, {n: one.fence for n, one in able.items()})
    return Finding("controllers", estate.journal.driver, says, reason)


def plan_faults(
    made: Plan, able: Mapping[str, Abilities], controller: str
) -> tuple[Reason, ...]:
    """Why the run would be refused before its first region."""
    estate = made.estate
    unfenced = unfenced_reason(estate, {n: one.fence for n, one in able.items()})
    first = fate.reasons(estate, made.passes[0].region, controller)
    return (*([unfenced] if unfenced else []), *first)


def later(made: Plan, controller: str) -> Iterator[str]:
    """What must be put right before the run comes to a later region."""
    for one in made.passes[1:]:
        for reason in fate.reasons(made.estate, one.region, controller):
            yield f"later      {one.region} would hold: {reason.what}; {reason.next}"
