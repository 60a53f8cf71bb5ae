"""Invariant 9: whoever gets more users could take them, by the load as it was."""

from __future__ import annotations

from dayshift.limits import FULL_BP
from dayshift.rehearsal.checkers.seeing import PARTS, Case, Violation

NAME = "receiver-ready"
ROUNDING = PARTS // 10_000
"""One basis point."""
MARGIN_PPM = 30_000
"""Rates are measured over a window: so much is not seen."""


def check(case: Case) -> list[Violation]:
    found = []
    for write, action in case.obeyed():
        if not action or action.get("override") or "/retreat/" in action["key"]:
            continue
        if case.accepted("CAPACITY-EXCEEDED", write.at_ms):
            continue
        unmeasured = ("meter", "counters", "cut-meters", "cut-every", "network")
        if case.weather(*unmeasured, at_ms=write.at_ms):
            continue
        service = case.service_of(write.dial)
        load = min(
            load_urps(case, service["name"], write.at_ms),
            load_urps(case, service["name"], write.at_ms - case.slack_ms),
        )
        for region, parts in sorted(write.served.items()):
            limit = service["capacity_rps"].get(region, 0) * case.policy["headroom_bp"]
            rises = parts > write.before.get(region, 0) + ROUNDING
            users = load * parts // PARTS * (1_000_000 - MARGIN_PPM) // 1_000_000
            if rises and limit and users > limit * 1_000_000 // FULL_BP:
                what = f"{region} would get {users // 1_000_000} users/s of "
                what += f"{service['name']}; {limit // FULL_BP} fit"
                found.append(Violation(NAME, write.at_ms, what, (action["key"],)))
    return found


def load_urps(case: Case, service: str, at_ms: int) -> int:
    """All users of a service at that moment, in millionths per second."""
    return sum(
        one.urps
        for one in case.history.traffic
        if one.service == service and one.from_ms <= at_ms < one.until_ms
    )
