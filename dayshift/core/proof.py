"""What the sight proves about a region: that it serves, that it is empty, that it is in
trouble. Every proof rests on fresh observations; nothing is proven by silence."""

from __future__ import annotations

from collections.abc import Iterator

from dayshift.model.estate import Disposition, Estate, Policy, Service
from dayshift.model.evidence import Side
from dayshift.model.plan import Plan
from dayshift.model.sight import (
    ERRORS_MIN,
    PROBE_FAILURES,
    MeterSight,
    PlaceSight,
    Sight,
)
from dayshift.model.units import elapsed_ms

RESIDUE = "residue "
"""How a gap begins that is only about who still comes, not about users or blindness."""


def serving(sight: Sight, service: str, region: str, policy: Policy) -> bool:
    """True when fresh observations show that `region` serves `service` (invariant 1).

    Probes that keep failing speak against it whatever the meters say; otherwise a fresh
    good probe, or fresh users' requests that mostly succeed, prove it. One failed probe
    is a blip and proves nothing. A region whose fence point is lost may be steered by a
    controller that nobody can stop, and is not counted on (invariant 3).
    """
    if region in sight.unfenced:
        return False
    place = sight.place(service, region)
    fresh = [
        one
        for one in place.probes
        if one.age_ms is not None and one.age_ms <= policy.fresh_ms
    ]
    if any(one.failures >= PROBE_FAILURES for one in fresh):
        return False
    if fresh and all(one.streak for one in fresh):
        return True
    return any(
        one.mrps > 0 and one.error_ppm < 500_000
        for one in place.meters
        if one.side is Side.USERS and is_fresh(one, policy)
    )


def away(plan: Plan, service: Service, region: str) -> tuple[str, ...]:
    """Regions on which the service cannot count while `region` is out."""
    return (region,) if service.stays else (region, *plan.out)


def enough_serve(
    sight: Sight, service: Service, away: tuple[str, ...], policy: Policy
) -> tuple[bool, int]:
    """Whether enough regions beside those `away` are proven to serve, and how many are;
    counting ends as soon as they are enough."""
    count = 0
    for name in service.shares:
        if name not in away and serving(sight, service.name, name, policy):
            count += 1
            if count >= policy.serving:
                break
    return count >= policy.serving, count


def troubles(
    sight: Sight, service: Service, away: tuple[str, ...], policy: Policy
) -> Iterator[str]:
    """What is wrong with the regions beside those `away` that have a share."""
    suspects = sight.service(service.name).suspects
    if not suspects:
        return
    for name, share in service.shares.items():
        if name not in away and share and name in suspects:
            text = trouble(sight, service, name, policy)
            if text:
                yield text


def serving_regions(sight: Sight, estate: Estate, service: str) -> tuple[str, ...]:
    """Every region that is proven to serve `service` now."""
    return tuple(
        name
        for name in estate.region_names()
        if serving(sight, service, name, estate.policy)
    )


def is_fresh(meter: MeterSight, policy: Policy) -> bool:
    return meter.age_ms is not None and meter.age_ms <= policy.fresh_ms


def duty_gap(sight: Sight, duty: str, policy: Policy) -> str:
    """Why nobody knows who holds `duty` now, or nothing when it is known."""
    seen = sight.duties.get(duty)
    if seen is None or seen.at is None:
        return "not read yet"
    if seen.fault:
        return seen.fault
    age_ms = elapsed_ms(seen.at, sight.at)
    if age_ms <= policy.fresh_ms:
        return ""
    return f"read {age_ms / 1000:.1f} s ago (policy.fresh {policy.fresh_ms / 1000} s)"


def trouble(sight: Sight, service: Service, region: str, policy: Policy) -> str | None:
    """What is wrong with `region` as users see it, or None.

    Errors at the users' entry above the absolute limit, with enough of them to mean
    something; or probes that fail while nobody can see users being served.
    """
    place = sight.place(service.name, region)
    limit_ppm = policy.gate.absolute_error_bp * 100
    for meter in place.meters:
        if meter.side is not Side.USERS or not is_fresh(meter, policy):
            continue
        bad = meter.errors >= ERRORS_MIN and meter.error_ppm > limit_ppm
        if bad:
            return (
                f"{region} answers {meter.error_ppm / 10_000:.2f} % errors to users of "
                f"{service.name} (limit {limit_ppm / 10_000:.2f} %)"
            )
    for one in place.probes:
        if one.failures >= PROBE_FAILURES:
            said = one.detail or "no answer"
            return f"{region} does not answer probes of {service.name}: {said}"
    return None


def empty_gaps(sight: Sight, estate: Estate, region: str) -> tuple[str, ...]:
    """What is still missing before `region` is proven empty; empty when it is.

    Holds: invariant 7. Two meters on different sides, fresh for the whole quiet time,
    with nothing in flight, no user request growing, and every residue class disposed.
    """
    gaps: list[str] = []
    for service in estate.moving():
        if not service.shares[region]:
            continue
        place = sight.place(service.name, region)
        for side in Side:
            gaps.extend(_side_gaps(service, place, side, estate.policy))
        gaps.extend(_residue_gaps(service, place, sight))
    return tuple(gaps)


def _side_gaps(
    service: Service, place: PlaceSight, side: Side, policy: Policy
) -> list[str]:
    meters = [one for one in place.meters if one.side is side]
    if not meters:
        return [f"{service.name} has no meter on the {side.value} side"]
    gaps = []
    for one in meters:
        name = f"meter {one.meter} ({service.name})"
        if not is_fresh(one, policy):
            gaps.append(f"{name} is blind: {one.fault or 'no fresh reading'}")
        elif one.in_flight:
            gaps.append(f"{name} sees {one.in_flight} requests in flight")
        elif one.quiet_ms < policy.quiet_ms:
            left = (policy.quiet_ms - one.quiet_ms + 999) // 1000
            gaps.append(f"{name} has been quiet for less than asked: {left} s left")
    return gaps


def _residue_gaps(service: Service, place: PlaceSight, sight: Sight) -> list[str]:
    declared = {one.kind: one for one in service.residue}
    gaps = []
    for meter in place.meters:
        for kind, rpm in sorted(meter.ignored_rpm.items()):
            if not rpm:
                continue
            rule = declared.get(kind)
            if rule is None:
                gaps.append(f"{RESIDUE}{kind}: {rpm}/min without a disposition")
            elif _expired(rule.expires_wall_ms, sight.at.wall_ms):
                gaps.append(f"{RESIDUE}{kind}: its acceptance expired")
            elif rule.disposition in (Disposition.EXPECTED, Disposition.ACCEPTED) and (
                rpm > rule.ceiling_rpm
            ):
                gaps.append(f"{RESIDUE}{kind}: {rpm}/min (ceiling {rule.ceiling_rpm})")
    return gaps


def _expired(expires_wall_ms: int, wall_ms: int) -> bool:
    return 0 < expires_wall_ms < wall_ms


def residue_lines(sight: Sight, estate: Estate, region: str) -> tuple[str, ...]:
    """What still reaches the region and why that is accepted, for the certificate."""
    lines = []
    for service in estate.moving():
        rules = {one.kind: one for one in service.residue}
        for meter in sight.place(service.name, region).meters:
            for kind, rpm in sorted(meter.ignored_rpm.items()):
                rule = rules.get(kind)
                if rpm and rule:
                    lines.append(
                        f"{service.name}/{meter.meter}: {kind} {rpm}/min, "
                        f"{rule.disposition.value} ({rule.source or rule.accepted_by})"
                    )
    return tuple(lines)


def connected(sight: Sight, estate: Estate, region: str, within_ms: int) -> int | None:
    """Users' connections in the region, as counted within that time: the most that a
    meter tells of each service. 0 where no meter counts them; None where none that does
    tells it now.
    """
    total = 0
    for service in estate.moving():
        told = told_connected(sight, service, region, estate.policy, within_ms)
        counted = any(one.connections for one in service.meters)
        if counted and service.shares[region] and told is None:
            return None
        total += told or 0
    return total


def told_connected(
    sight: Sight, service: Service, region: str, policy: Policy, within_ms: int
) -> int | None:
    """The same of one service; None where no meter that counts them tells it now."""
    counts = {one.name for one in service.meters if one.connections}
    told = [
        one.connections
        for one in sight.place(service.name, region).meters
        if one.meter in counts
        and is_fresh(one, policy)
        and (one.age_ms or 0) <= within_ms
    ]
    return max(told, default=None)


def meter_counts(sight: Sight, estate: Estate, region: str) -> dict[str, int]:
    """The cumulative user requests of every meter of the region, for the tripwire."""
    return {
        f"{service.name}/{meter.meter}": meter.requests
        for service in estate.moving()
        for meter in sight.place(service.name, region).meters
        if meter.age_ms is not None
    }


def tripped(
    sight: Sight, estate: Estate, region: str, base: dict[str, int]
) -> tuple[str, int] | None:
    """The meter that saw users in a region proven empty, and how many; or None.

    A count below the base is a restarted source: everything it counted is new.
    """
    for name, count in sorted(meter_counts(sight, estate, region).items()):
        known = base.get(name)
        if known is None:
            continue
        grown = count - known if count >= known else count
        if grown > 0:
            return name, grown
    return None
