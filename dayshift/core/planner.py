"""Makes plans: everything that will be done, with no choice left for later.

`core.review` checks what this module makes, and neither imports the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from dayshift.core import steering
from dayshift.errors import Reason, Refused
from dayshift.model.dial import Setting
from dayshift.model.estate import Change, Estate, RegionWork, Service
from dayshift.model.plan import PLAN_FORMAT, Measured, PassPlan, Plan, Stage, Verb


def make(
    estate: Estate,
    change: Change,
    verb: Verb,
    measured: Measured | None = None,
    out: tuple[str, ...] = (),
) -> Plan:
    """The plan for `change`, with its digest.

    Args:
        out: regions that are left drained now; they stay so.

    Raises:
        Refused: a region whose traffic nobody else could take.
    """
    services = {
        one.name: one if one.stays else steering.without(one, out)
        for one in estate.services
    }
    passes = tuple(_pass(estate, services, work.region, out) for work in change.regions)
    baseline: dict[str, Setting] = {
        dial.name: steering.sent_on(
            steering.baseline(dial, services[service.name]),
            services[service.name].shares,
            () if service.stays else out,
        )
        for service in estate.services
        for dial in service.dials
    }
    plan = Plan(PLAN_FORMAT, verb, estate, change, baseline, passes, out=out)
    return replace(plan, digest=digest(plan), measured=measured)


def digest(plan: Plan) -> str:
    """SHA-256 over the canonical plan without its digest and measured values."""
    bare = replace(plan, digest="", measured=None)
    encoded = msgspec.json.encode(bare, order="sorted")
    return hashlib.sha256(b"dayshift:plan:v1\0" + encoded).hexdigest()


def simple_change(name: str, regions: tuple[str, ...], reason: str) -> Change:
    """The change of an everyday verb: regions and no work."""
    works = tuple(RegionWork(region, ()) for region in regions)
    return Change(name=name, reason=reason, regions=works)


def _pass(
    estate: Estate, services: Mapping[str, Service], region: str, out: tuple[str, ...]
) -> PassPlan:
    every = tuple(services[one.name] for one in estate.moving())
    moving = tuple(one for one in every if one.shares[region])
    for service in moving:
        if service.shares[region] == sum(service.shares.values()):
            raise Refused(_alone(service.name, region))
    policy = estate.policy
    drain = steering.drain_stages(moving, region, policy.drain_bp)
    ramp = steering.ramp_stages(moving, region, policy.ramp_bp)
    forwarded = steering.forwarded_stages(moving, region)
    return PassPlan(
        region,
        tuple(_kept_out(stage, moving, out) for stage in drain),
        tuple(_kept_out(stage, moving, out) for stage in ramp),
        _duties_to(estate, region, out),
        tuple(_kept_out(stage, moving, out) for stage in forwarded),
    )


def _kept_out(
    stage: Stage, services: tuple[Service, ...], out: tuple[str, ...]
) -> Stage:
    """The stage, with nobody sent to a region that is drained already."""
    if not out:
        return stage
    row_of = {d.name: stage.served[s.name] for s in services for d in s.dials}
    moves = tuple(
        replace(one, setting=steering.sent_on(one.setting, row_of[one.dial], out))
        for one in stage.moves
    )
    return replace(stage, moves=moves)


def _alone(service: str, region: str) -> Reason:
    return Reason(
        "LAST-SERVER",
        f"{region} carries 100.00 % of {service}; nobody else could serve it",
        because="invariant: a region is drained only where another one serves",
        so="nothing was planned",
        next="give another region a share, or mark the service `stays: reason`",
    )


def _duties_to(estate: Estate, region: str, out: tuple[str, ...]) -> dict[str, str]:
    """Who takes each duty: the region with the largest capacity left, first by name."""
    room: dict[str, int] = dict.fromkeys(estate.region_names(), 0)
    for service in estate.services:
        for name, rps in service.capacity_rps.items():
            room[name] = room.get(name, 0) + rps
    to = {}
    for duty in estate.duties:
        others = [n for n in duty.regions if n != region and n not in out]
        if others:
            to[duty.name] = max(sorted(others), key=lambda name: room[name])
    return to
