"""Everything that can go wrong in a rehearsal, by family; `CATALOGUE` is all of it.

A fault is a name, a sentence for the operator, and a function that begins it and
returns how it ends. It bends the estate, never Dayshift.
"""

from __future__ import annotations

from dayshift.errors import Reason, Refused
from dayshift.rehearsal.faults import (
    agents,
    dials,
    machines,
    meters,
    networks,
    persons,
    places,
    regions,
    work,
)
from dayshift.rehearsal.weather import Fault

CATALOGUE: tuple[Fault, ...] = (
    *dials.FAULTS,
    *meters.FAULTS,
    *work.FAULTS,
    *machines.FAULTS,
    *networks.FAULTS,
    *regions.FAULTS,
    *persons.FAULTS,
    *agents.FAULTS,
    *places.FAULTS,
)


def find(name: str) -> Fault:
    """The fault of that name.

    Raises:
        Refused: there is none; the reason lists those that begin alike, or all.
    """
    for one in CATALOGUE:
        if one.name == name:
            return one
    names = [one.name for one in CATALOGUE]
    alike = [one for one in names if one.startswith(name[:3])] or names
    raise Refused(
        Reason(
            "NO-SUCH-FAULT",
            f"no fault is called {name}",
            so="nothing was rehearsed",
            next=f"one of: {', '.join(alike)}",
        )
    )


assert len({one.name for one in CATALOGUE}) == len(CATALOGUE)
