"""Invariant 14: no step begins that could outlast the absence limit, and somebody is
called at half of it."""

from __future__ import annotations

from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "reversible-first"


def check(case: Case) -> list[Violation]:
    found = []
    limits = {
        (work["region"], step["name"]): int(step["limit_ms"])
        for work in case.plan["change"]["regions"]
        for step in work["steps"]
    }
    absence_ms = int(case.policy["absence_ms"])
    for start in case.history.of("start"):
        absent = start.at_ms - _left_at(case, start.who, start.at_ms)
        most = absent + limits.get((start.who, start.what), 0)
        if most > absence_ms + case.slack_ms and not case.accepted(
            "ABSENCE-LIMIT", start.at_ms
        ):
            what = f"{start.what} in {start.who} may end {most // 1000} s after it left"
            limit = f"the limit is {absence_ms // 1000} s"
            found.append(Violation(NAME, start.at_ms, what, (limit,)))
    return [*found, *_called(case, absence_ms)]


def _left_at(case: Case, region: str, at_ms: int) -> int:
    """When the region lost its users for this pass."""
    left = at_ms
    for one in case.kinds("phased"):
        body = one["body"]
        if body["region"] != region or one["at"]["mono_ms"] > at_ms:
            continue
        if body["new"] == "handing-over":
            left = one["at"]["mono_ms"]
    return left


def _called(case: Case, absence_ms: int) -> list[Violation]:
    """At half of the limit somebody was called, if there is anybody to call."""
    if not case.plan["estate"]["notify"]:
        return []
    found = []
    out: dict[str, int] = {}
    called = [
        one["body"]["action"]["key"]
        for one in case.intents.values()
        if one["body"]["action"]["kind"] == "notify"
    ]
    for one in case.kinds("phased"):
        body, at_ms = one["body"], one["at"]["mono_ms"]
        if body["new"] == "handing-over":
            out[body["region"]] = at_ms
        back = body["new"] in ("returning", "serving", "left-drained")
        if back and body["region"] in out:
            gone = at_ms - out.pop(body["region"])
            alarm = any(f"alarm/absence/{body['region']}" in key for key in called)
            if gone > absence_ms // 2 + 2 * case.slack_ms and not alarm:
                what = f"{body['region']} was away {gone // 1000} s; nobody was called"
                found.append(Violation(NAME, at_ms, what))
    return found
