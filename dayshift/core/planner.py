"""Makes plans: everything that will be done, with no choice left for later.

`core.review` checks what this module makes, and neither imports the other.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec.structs import replace

from dayshift.core import steering
from dayshift.errors import Reason, Refused
from dayshift.model.dial import Setting
from dayshift.model.estate import Change, Estate, RegionWork
from dayshift.model.plan import PLAN_FORMAT, Measured, PassPlan, Plan, Verb


def make(
    estate: Estate, change: Change, verb: Verb, measured: Measured | None = None
) -> Plan:
    """The plan for `change`, with its digest.

    Raises:
        Refused: a region whose traffic nobody else could take.
    """
    passes = tuple(_pass(estate, work.region) for work in change.regions)
    baseline: dict[str, Setting] = {
        dial.name: steering.baseline(dial, service)
        for service in estate.services
        for dial in service.dials
    }
    plan = Plan(PLAN_FORMAT, verb, estate, change, baseline, passes)
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


def _pass(estate: Estate, region: str) -> PassPlan:
    moving = tuple(one for one in estate.moving() if one.shares[region])
    for service in moving:
        if service.shares[region] == sum(service.shares.values()):
            raise Refused(_alone(service.name, region))
    drain = steering.drain_stages(moving, region, estate.policy.drain_bp)
    ramp = steering.ramp_stages(moving, region, estate.policy.ramp_bp)
    return PassPlan(region, drain, ramp, _duties_to(estate, region))


def _alone(service: str, region: str) -> Reason:
    return Reason(
        "LAST-SERVER",
        f"{region} carries 100.00 % of {service}; nobody else could serve it",
        because="invariant: a region is drained only where another one serves",
        so="nothing was planned",
        next="give another region a share, or mark the service `stays: reason`",
    )


def _duties_to(estate: Estate, region: str) -> dict[str, str]:
    """Who takes each duty: the region with the largest capacity left, first by name."""
    room: dict[str, int] = dict.fromkeys(estate.region_names(), 0)
    for service in estate.services:
        for name, rps in service.capacity_rps.items():
            room[name] = room.get(name, 0) + rps
    out = {}
    for duty in estate.duties:
        others = [name for name in duty.regions if name != region]
        if others:
            out[duty.name] = max(sorted(others), key=lambda name: room[name])
    return out
