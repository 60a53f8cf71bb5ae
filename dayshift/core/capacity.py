"""How full every region will be after a move. Requests per second, basis points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dayshift.limits import FULL_BP
from dayshift.model.estate import Service
from dayshift.model.evidence import Side
from dayshift.model.plan import Capacity
from dayshift.model.sight import PlaceSight, Sight
from dayshift.model.units import Row


def load_mrps(sight: Sight, service: Service, fresh_ms: int) -> int | None:
    """All users' requests of a service now, in thousandths per second.

    Each region is taken from its freshest users-side meter; None when one is unknown or
    older than `fresh_ms`, for what was measured once is no measure of the load now.
    """
    seen = sight.service(service.name)
    if seen.places.keys() == service.shares.keys():
        whole = seen.measured == len(seen.places) and seen.age_ms <= fresh_ms
        return seen.mrps if whole else None
    total = 0
    for region in service.shares:
        mrps = _place_mrps(sight.place(service.name, region), fresh_ms)
        if mrps is None:
            return None
        total += mrps
    return total


def unseen_ms(sight: Sight, service: Service) -> int | None:
    """For how long the load has not been seen whole; None where it never was."""
    seen = sight.service(service.name)
    return seen.age_ms if seen.measured == len(service.shares) else None


def _place_mrps(place: PlaceSight, fresh_ms: int) -> int | None:
    meters = [
        one
        for one in place.meters
        if one.side is Side.USERS and one.age_ms is not None and one.age_ms <= fresh_ms
    ]
    if not meters:
        return None
    return min(meters, key=lambda one: one.age_ms or 0).mrps


def after(service: Service, row: Row, total_mrps: int) -> Iterator[Capacity]:
    """Every region's fill when `row` divides `total_mrps`."""
    for region, share in sorted(row.items()):
        limit = service.capacity_rps[region]
        load, filled = _filled(share, limit, total_mrps)
        yield Capacity(service.name, region, load, limit, filled)


def worst(
    services: tuple[Service, ...],
    rows: Mapping[str, Row],
    loads_mrps: Mapping[str, int],
) -> Capacity | None:
    """The fullest region over all services, or None when nothing is moved."""
    found: tuple[int, Service] | None = None
    for service in services:
        row, load_mrps = rows.get(service.name), loads_mrps.get(service.name)
        if not row or load_mrps is None:
            continue
        if found and _stays_within(found[0], service, row, load_mrps):
            continue
        filled = _fullest_bp(service, row, load_mrps)
        if found is None or filled > found[0]:
            found = filled, service
    if found is None:
        return None
    filled, service = found
    every = after(service, rows[service.name], loads_mrps[service.name])
    return next(one for one in every if one.filled_bp == filled)


def _stays_within(filled_bp: int, service: Service, row: Row, total_mrps: int) -> bool:
    """True when not even the greatest share, met by the least limit, fills more: of
    many services alike only the first is looked at region by region."""
    if not service.least_rps:
        return False
    return _filled(max(row.values()), service.least_rps, total_mrps)[1] <= filled_bp


def _fullest_bp(service: Service, row: Row, total_mrps: int) -> int:
    """How full the fullest region is. Many regions have the same share and the same
    limit: each such pair is asked once."""
    limits = map(service.capacity_rps.__getitem__, row)
    pairs = dict.fromkeys(zip(row.values(), limits, strict=True))
    return max(_filled(share, limit, total_mrps)[1] for share, limit in pairs)


def _filled(share: int, limit_rps: int, total_mrps: int) -> tuple[int, int]:
    """A region's load in requests per second, and how full that makes it."""
    load = -(-total_mrps * share // (FULL_BP * 1000))
    if not limit_rps:
        return load, FULL_BP * 10 if load else 0
    return load, load * FULL_BP // limit_rps
