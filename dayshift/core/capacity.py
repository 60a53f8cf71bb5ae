"""How full every region will be after a move. Requests per second, basis points."""

from __future__ import annotations

from collections.abc import Mapping

from dayshift.limits import FULL_BP
from dayshift.model.estate import Service
from dayshift.model.evidence import Side
from dayshift.model.plan import Capacity
from dayshift.model.sight import Sight
from dayshift.model.units import Row


def load_mrps(sight: Sight, service: Service) -> int | None:
    """All users' requests of a service now, in thousandths per second.

    Each region is taken from its freshest users-side meter; None when one is unknown,
    for a load that was not measured is not zero.
    """
    total = 0
    for region in service.shares:
        meters = [
            one
            for one in sight.place(service.name, region).meters
            if one.side is Side.USERS and one.age_ms is not None
        ]
        if not meters:
            return None
        total += min(meters, key=lambda one: one.age_ms or 0).mrps
    return total


def after(service: Service, row: Row, total_mrps: int) -> tuple[Capacity, ...]:
    """Every region's fill when `row` divides `total_mrps`."""
    out = []
    for region, share in sorted(row.items()):
        load = -(-total_mrps * share // (FULL_BP * 1000))
        limit = service.capacity_rps[region]
        filled = load * FULL_BP // limit if limit else (FULL_BP * 10 if load else 0)
        out.append(Capacity(service.name, region, load, limit, filled))
    return tuple(out)


def worst(
    services: tuple[Service, ...],
    rows: Mapping[str, Row],
    loads_mrps: Mapping[str, int],
) -> Capacity | None:
    """The fullest region over all services, or None when nothing is moved."""
    every = [
        one
        for service in services
        if service.name in rows and service.name in loads_mrps
        for one in after(service, rows[service.name], loads_mrps[service.name])
    ]
    return max(every, key=lambda one: one.filled_bp, default=None)
