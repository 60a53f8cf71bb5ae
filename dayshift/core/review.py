"""Finds faults in plans, apart from what made them.

Why: a planner with a mistake would approve its own mistake. This module reads a plan
as a stranger would and names every fault; a plan with one is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from fractions import Fraction

import msgspec
from msgspec.structs import replace

from dayshift.errors import Reason
from dayshift.limits import FULL_BP
from dayshift.model.dial import ALL, DialKind, Setting
from dayshift.model.estate import Service
from dayshift.model.plan import PassPlan, Plan, Stage, Verb
from dayshift.model.units import apportion


def faults(plan: Plan) -> tuple[Reason, ...]:
    """Every fault of the plan; empty when it may be approved and run."""
    found = [*_estate(plan)]
    for one in plan.passes:
        found.extend(_pass(plan, one))
    if plan.digest != _digest(plan):
        found.append(_fault("DIGEST", "the digest does not match the plan"))
    return tuple(found)


def one_way_doors(plan: Plan) -> tuple[str, ...]:
    """Steps that cannot be undone, as `region/step`."""
    return tuple(
        f"{work.region}/{step.name}"
        for work in plan.change.regions
        for step in work.steps
        if not step.undo
    )


def _estate(plan: Plan) -> Iterator[Reason]:
    regions = [one.region for one in plan.passes]
    if plan.verb is not Verb.MAINTAIN and len(regions) > 1:
        yield _fault("TWO-REGIONS", f"`{plan.verb.value}` is for one region at a time")
    for service in _moving(plan):
        for dial in service.dials:
            if plan.baseline.get(dial.name) != _usual(dial.kind, service, plan.out):
                yield _fault("BASELINE", f"dial {dial.name} does not begin as usual")
    yield from _out(plan, regions)
    if not regions:
        yield _fault("EMPTY-PLAN", "the plan names no region")
    if len(set(regions)) != len(regions):
        yield _fault("REGION-TWICE", f"a region twice: {', '.join(regions)}")
    known = set(plan.estate.region_names())
    for name in regions:
        if name not in known:
            yield _fault("UNKNOWN-REGION", f"{name} is not in the estate")
    dials = {d.name for s in plan.estate.services for d in s.dials}
    if set(plan.baseline) != dials:
        yield _fault("BASELINE", "the baseline does not cover every dial exactly")
    for name, setting in sorted(plan.baseline.items()):
        text = setting.fault()
        if text:
            yield _fault("BASELINE", f"baseline of dial {name} {text}")


def _out(plan: Plan, regions: list[str]) -> Iterator[Reason]:
    """Only an emergency, and the way back from it, may know a second region out."""
    if plan.out and plan.verb not in (Verb.EVACUATE, Verb.RETURN):
        yield _fault("TWO-REGIONS", f"{', '.join(plan.out)} would be out as well")
    for name in plan.out:
        if name in regions or name not in plan.estate.region_names():
            yield _fault("UNKNOWN-REGION", f"{name} cannot be the other one out")


def _moving(plan: Plan) -> tuple[Service, ...]:
    """The moved services, with what is usual while `plan.out` stays drained."""
    found = []
    for service in plan.estate.moving():
        left = {n: s for n, s in service.shares.items() if n not in plan.out}
        if left != service.shares and any(left.values()):
            shares = {**dict.fromkeys(service.shares, 0), **apportion(FULL_BP, left)}
            service = replace(service, shares=shares)
        found.append(service)
    return tuple(found)


def _usual(kind: DialKind, service: Service, out: tuple[str, ...]) -> Setting:
    """What a dial of this kind shows when every region has its usual share."""
    shares = service.shares
    if kind is DialKind.FORWARD:
        rows = {name: {name: FULL_BP} for name in shares}
        return Setting(kind, {**rows, **{name: dict(shares) for name in out}})
    if kind is DialKind.SWITCH:
        on = {name: FULL_BP if share else 0 for name, share in shares.items()}
        return Setting(kind, {ALL: on})
    return Setting(kind, {ALL: dict(shares)})


def _pass(plan: Plan, one: PassPlan) -> Iterator[Reason]:
    if not one.drain or not one.ramp:
        yield _fault("NO-STAGE", f"the pass of {one.region} has no stage")
        return
    for stage in (*one.drain, *one.forwarded, *one.ramp):
        yield from _stage(plan, one.region, stage)
    for service, row in sorted(one.drain[-1].served.items()):
        if row.get(one.region, FULL_BP) != 0:
            yield _fault("NOT-DRAINED", f"{service} keeps {one.region} above zero")
    shares = [stage.share_bp for stage in one.ramp]
    if shares != sorted(set(shares)):
        yield _fault("RAMP", f"the ramp of {one.region} does not rise: {shares}")
    for moved in _moving(plan):
        last = one.ramp[-1].served.get(moved.name)
        if last is not None and last != moved.shares:
            yield _fault("RAMP", f"the ramp of {one.region} ends off the usual shares")
    yield from _moves(plan, one)
    yield from _layers(plan, one)
    if plan.verb is Verb.MAINTAIN:
        for duty, to in sorted(one.duties_to.items()):
            if to == one.region:
                yield _fault("DUTY", f"{duty} would stay in {one.region}")


def _stage(plan: Plan, region: str, stage: Stage) -> Iterator[Reason]:
    where = f"the stage of {region} at {stage.share_bp} bp"
    for move in stage.moves:
        text = move.setting.fault()
        if text:
            yield _fault("BAD-SETTING", f"{where}: dial {move.dial} {text}")
        if move.dial not in plan.baseline:
            yield _fault(
                "UNKNOWN-DIAL", f"{where} moves {move.dial}, not in the estate"
            )
    usual_of = {one.name: one.shares for one in _moving(plan)}
    for service, row in sorted(stage.served.items()):
        if sum(row.values()) != FULL_BP:
            yield _fault(
                "BAD-SHARES", f"{where}: {service} sums to {sum(row.values())}"
            )
        usual = usual_of[service]
        for other, share in sorted(row.items()):
            if other != region and share < usual.get(other, 0):
                yield _fault(
                    "TWO-REGIONS", f"{where} takes {other} below its usual share"
                )
        serving = [name for name, share in row.items() if share and name != region]
        if len(serving) < plan.estate.policy.serving:
            yield _fault(
                "LAST-SERVER",
                f"{where}: {service} is left with {len(serving)} serving regions, "
                f"policy.serving is {plan.estate.policy.serving}",
            )


def _moves(plan: Plan, one: PassPlan) -> Iterator[Reason]:
    """The moves do what the rows say: followed dial by dial, stage by stage."""
    settings = dict(plan.baseline)
    *out, zero = one.drain
    opening = one.forwarded[::-1]
    for stage in (*out, *one.forwarded, zero, *opening, *one.ramp):
        settings.update({move.dial: move.setting for move in stage.moves})
        for service in _moving(plan):
            row = stage.served.get(service.name)
            if row is None:
                continue
            reached = _reached(service, settings)
            if any(_is_off(reached, name, share) for name, share in row.items()):
                yield _fault(
                    "MOVES",
                    f"the stage of {one.region} at {stage.share_bp} bp gives "
                    f"{service.name} other shares than it says",
                )


def _layers(plan: Plan, one: PassPlan) -> Iterator[Reason]:
    """What leads users to the region leaves it after what serves them there."""
    deepest = 0
    for service in _moving(plan):
        kinds = [dial.kind for dial in service.dials]
        while kinds and kinds[-1] is DialKind.SWITCH:
            kinds.pop()
        if not service.shares.get(one.region) or len(kinds) < 2:
            continue
        deepest = max(deepest, len(kinds) - 1)
        leads = {dial.name for dial in service.dials[: len(kinds) - 1]}
        for stage in (*one.drain[:-1], *one.forwarded[:1], *one.ramp):
            for move in stage.moves:
                if move.dial in leads and move.setting != plan.baseline[move.dial]:
                    yield _fault("ORDER", f"{move.dial} leaves {one.region} too early")
    if len(one.forwarded) != deepest:
        yield _fault(
            "ORDER",
            f"{one.region} leaves in {len(one.forwarded)} layers, it has {deepest}",
        )


Exact = int | Fraction


def _is_off(reached: Mapping[str, Exact], region: str, share: int) -> bool:
    gap: Exact = reached.get(region, 0) - share
    return not -2 < gap < 2


def _reached(service: Service, settings: dict[str, Setting]) -> Mapping[str, Exact]:
    """The exact shares that users get, in basis points, from the user inwards."""
    shares: Mapping[str, Exact] = service.shares
    for dial in service.dials:
        rows = settings[dial.name].rows
        if dial.kind is DialKind.SPLIT:
            shares = rows[ALL]
        elif dial.kind is DialKind.SWITCH:
            on = {n: share if rows[ALL].get(n) else 0 for n, share in shares.items()}
            whole = sum(on.values()) or 1
            shares = {n: Fraction(share * FULL_BP, whole) for n, share in on.items()}
        else:
            to: dict[str, Exact] = dict.fromkeys(shares, 0)
            for arrival, share in shares.items():
                for name, part in rows.get(arrival, {arrival: FULL_BP}).items():
                    to[name] = to.get(name, 0) + Fraction(share * part, FULL_BP)
            shares = to
    return shares


def _fault(code: str, what: str) -> Reason:
    return Reason(code, what, because="review of the plan", so="nothing moved")


def _digest(plan: Plan) -> str:
    fields = msgspec.to_builtins(plan)
    fields["digest"], fields["measured"] = "", None
    encoded = msgspec.json.encode(fields, order="sorted")
    return hashlib.sha256(b"dayshift:plan:v1\0" + encoded).hexdigest()
