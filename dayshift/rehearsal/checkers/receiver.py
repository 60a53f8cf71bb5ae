"""Invariant 9: whoever gets more users could take them, by the load as it was, and the
load was measured."""

from __future__ import annotations

from collections.abc import Iterator

from dayshift.limits import FULL_BP
from dayshift.rehearsal.checkers.seeing import PARTS, Case, Json, Violation
from dayshift.rehearsal.history import Write

NAME = "receiver-ready"
ROUNDING = PARTS // 10_000
"""One basis point."""
MARGIN_PPM = 30_000
"""Rates are measured over a window: so much is not seen."""
SAMPLES = 3
"""A rate spans so many samples of a meter."""
UNSEEN_USERS = 40
"""So many uncounted users are noticed; fewer may be nobody at all."""
CODES = ("CAPACITY-EXCEEDED", "BLIND")


def check(case: Case) -> list[Violation]:
    found: list[Violation] = []
    for write, action in case.obeyed():
        if action and not action.get("override") and _rising(write):
            found.extend(_overfull(case, write, action))
            found.extend(_unmeasured(case, write, action))
    return found


def _rising(write: Write) -> list[str]:
    return [
        region
        for region, parts in sorted(write.served.items())
        if parts > write.before.get(region, 0) + ROUNDING
    ]


def _retreats(action: Json) -> bool:
    """To where users were carried before: a retreat, or a lost write put back."""
    return "/retreat/" in action["key"] or "/fence/" in action["key"]


def _overfull(case: Case, write: Write, action: Json) -> Iterator[Violation]:
    if case.accepted("CAPACITY-EXCEEDED", write.at_ms):
        return
    service = case.service_of(write.dial)
    load = _least_urps(case, service, write, _retreats(action))
    for region in _rising(write):
        limit = service["capacity_rps"].get(region, 0) * case.policy["headroom_bp"]
        parts = write.served[region]
        users = load * parts // PARTS * (1_000_000 - MARGIN_PPM) // 1_000_000
        if limit and users > limit * 1_000_000 // FULL_BP:
            what = f"{region} would get {users // 1_000_000} users/s of "
            what += f"{service['name']}; {limit // FULL_BP} fit"
            yield Violation(NAME, write.at_ms, what, (action["key"],))


def _least_urps(case: Case, service: Json, write: Write, retreats: bool) -> int:
    """The smallest load that a meter could still show at this write.

    A retreat goes where users were carried before: only a load that has grown since
    the run began excuses it. A meter that sees one of two requests shows half.
    """
    window_ms = case.slack_ms + SAMPLES * scraped_ms(service)
    from_ms = 0 if retreats else write.at_ms - window_ms
    changes = {
        one.from_ms
        for one in case.history.traffic
        if one.service == service["name"] and from_ms < one.from_ms <= write.at_ms
    }
    moments = {max(0, from_ms), write.at_ms, *changes}
    least = min(load_urps(case, service["name"], at_ms) for at_ms in moments)
    half = case.weather("meter-half", at_ms=write.at_ms, for_ms=window_ms)
    return least // 2 if half else least


def _unmeasured(case: Case, write: Write, action: Json) -> Iterator[Violation]:
    """Nobody gets more while users are served whom no meter has told of."""
    if _retreats(action) or any(case.accepted(c, write.at_ms) for c in CODES):
        return
    service = case.service_of(write.dial)
    for region, unseen_ms in sorted(write.unseen_ms.items()):
        if unseen_ms <= case.slack_ms + SAMPLES * scraped_ms(service):
            continue
        if not write.before.get(region):
            continue  # Nobody is served there now.
        from_ms = write.at_ms - unseen_ms + case.slack_ms
        users = users_since(case, service["name"], region, from_ms, write.at_ms)
        if users >= UNSEEN_USERS:
            more = ", ".join(_rising(write))
            what = f"{more} got more at {write.dial}; {users} users of {region} were "
            what += f"not seen for {unseen_ms // 1000} s"
            yield Violation(NAME, write.at_ms, what, (action["key"],))


def scraped_ms(service: Json) -> int:
    return max(int(meter["every_ms"]) for meter in service["meters"])


def users_since(
    case: Case, service: str, region: str, from_ms: int, until_ms: int
) -> int:
    """How many users were served there in that time."""
    return sum(
        one.urps
        * (min(one.until_ms, until_ms) - max(one.from_ms, from_ms))
        // 1_000_000_000
        for one in case.history.traffic
        if (one.service, one.region) == (service, region)
        and one.from_ms < until_ms
        and one.until_ms > from_ms
    )


def load_urps(case: Case, service: str, at_ms: int) -> int:
    """All users of a service at that moment, in millionths per second."""
    return sum(
        one.urps
        for one in case.history.traffic
        if one.service == service and one.from_ms <= at_ms < one.until_ms
    )
