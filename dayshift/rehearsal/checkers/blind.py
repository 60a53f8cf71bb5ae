"""Invariant 8: nobody goes up a rung that was not seen and did not pass."""

from __future__ import annotations

from dayshift.rehearsal.checkers.seeing import Case, Json, Violation
from dayshift.rehearsal.history import Write

NAME = "blind-is-not-green"


def check(case: Case) -> list[Violation]:
    found = []
    for write, action in case.obeyed():
        if not action or action.get("override"):
            continue
        if "/soak/" in action["key"]:
            found.extend(_skipped(case, write, action))
        if "/rung/" not in action["key"]:
            continue
        found.extend(_unseen(case, write, action))
        found.extend(_unjudged(case, write, action))
    return found


def _unseen(case: Case, write: Write, action: Json) -> list[Violation]:
    """A region with users goes higher only while a users' meter tells of it."""
    region = str(action["region"])
    unseen = write.unseen_ms.get(region, 0)
    rising = write.served.get(region, 0) > write.before.get(region, 0) > 0
    scraped = max(meter["every_ms"] for meter in case.service_of(write.dial)["meters"])
    if not rising or unseen <= case.slack_ms + 2 * scraped:
        return []
    what = f"{region} rose at {write.dial}, unseen for {unseen / 1000:.0f} s"
    return [Violation(NAME, write.at_ms, what, (action["key"],))]


def _unjudged(case: Case, write: Write, action: Json) -> list[Violation]:
    """The rung before has its pass in the journal, of this very attempt."""
    region, (attempt, rung) = str(action["region"]), _rung(action["key"])
    if rung <= 0:
        return []
    begun, passed = 0, False
    for one in case.records:
        body = one["body"]
        if one["seq"] > write.token.claim.seq:
            break
        if (body["kind"], body.get("new")) == ("phased", "returning"):
            begun, passed = one["seq"], False
        judged = body["kind"] == "judged" and body["region"] == region
        if judged and body["rung"] == rung - 1 and one["seq"] > begun:
            passed = body["verdict"]["kind"] == "pass"
    if passed:
        return []
    what = f"{region} took rung {rung + 1} of try {attempt}; rung {rung} has no pass"
    return [Violation(NAME, write.at_ms, what, (action["key"],))]


def _skipped(case: Case, write: Write, action: Json) -> list[Violation]:
    """What a soak puts back was climbed to before, rung after rung."""
    region = str(action["region"])
    last = next(
        len(one["ramp"]) - 1 for one in case.plan["passes"] if one["region"] == region
    )
    climbed = False
    for one in case.records:
        body = one["body"]
        if one["seq"] > write.token.claim.seq:
            break
        if body.get("region") == region and body.get("new") == "returning":
            climbed = False
        if (body["kind"], body.get("region")) == ("staged", region):
            climbed = body["index"] == last
    if climbed or write.served.get(region, 0) <= write.before.get(region, 0):
        return []
    what = f"{region} has its full share back and never climbed to it"
    return [Violation(NAME, write.at_ms, what, (action["key"],))]


def _rung(key: str) -> tuple[int, int]:
    parts = key.split("/rung/")[1].split("/")
    return int(parts[0]), int(parts[1])
