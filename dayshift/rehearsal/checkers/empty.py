"""Invariant 7: work begins in a region that is really empty, and nobody is sent there.

Users are counted by the world. Those who come in the last moments, faster than any
meter tells, do not count against the proof; those who were there all along do.
"""

from __future__ import annotations

from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "proven-empty"


def check(case: Case) -> list[Violation]:
    return [*_users(case), *_sent(case), *_certificates(case)]


def _moving(case: Case) -> set[str]:
    return {one["name"] for one in case.services() if not one["stays"]}


def _users(case: Case) -> list[Violation]:
    """At each start, and each undoing, the quiet time before it was quiet."""
    found = []
    quiet_ms, moving = int(case.policy["quiet_ms"]), _moving(case)
    late_ms = min(quiet_ms // 2, case.fresh_ms)
    for start in case.history.of("start"):
        from_ms, until_ms = start.at_ms - quiet_ms, start.at_ms - late_ms
        users = sum(
            one.users + one.strays
            for one in case.history.traffic
            if one.region == start.who
            and one.service in moving
            and one.from_ms < until_ms
            and one.until_ms > from_ms
            and (one.urps or one.strays)
        )
        if users:
            what = f"{start.what} began in {start.who}, which had users"
            found.append(Violation(NAME, start.at_ms, what, (f"{users} in the quiet",)))
    return found


def _sent(case: Case) -> list[Violation]:
    """While a step runs there, no write of ours gives the region users."""
    found = []
    ends = {one.more[0]: one.at_ms for one in case.history.of("end")}
    for start in case.history.of("start"):
        until = ends.get(start.more[0], case.history.ended_ms)
        for write, action in case.obeyed():
            inside = start.at_ms < write.at_ms < until
            more = write.served.get(start.who, 0) > write.before.get(start.who, 0)
            if inside and more:
                what = f"users were sent to {start.who} while {start.what} ran there"
                found.append(
                    Violation(NAME, write.at_ms, what, (str(action.get("key")),))
                )
    return found


def _certificates(case: Case) -> list[Violation]:
    """Two meters on different sides said so, for every service that moves."""
    found = []
    for one in case.kinds("certified"):
        body = one["body"]
        for service in case.services():
            if service["stays"] or not service["shares"].get(body["region"]):
                continue
            sides = {
                meter["side"]
                for meter in service["meters"]
                if f"{service['name']}/{meter['name']}" in body["meters"]
            }
            if len(sides) < 2:
                what = f"{service['name']} in {body['region']} was proven empty by "
                what += f"{len(sides)} side"
                found.append(Violation(NAME, one["at"]["mono_ms"], what))
        if body["quiet_ms"] < case.policy["quiet_ms"]:
            what = f"{body['region']} was quiet for {body['quiet_ms']} ms only"
            found.append(Violation(NAME, one["at"]["mono_ms"], what))
    return found
