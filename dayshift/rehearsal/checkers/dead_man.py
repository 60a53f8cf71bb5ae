"""Invariant 6: only drains and rungs expire by themselves; an emergency never does.

Before work starts, every dial was held: no expiring write is left in a region at work.
"""

from __future__ import annotations

from dayshift.rehearsal.checkers import leases
from dayshift.rehearsal.checkers.seeing import Case, Json, Violation

NAME = "dead-man"
EXPIRING = ("drain", "rung", "arm")
"""Writes that a lease may stand behind, and the one that arms it again."""


def check(case: Case) -> list[Violation]:
    found = []
    for write, action in case.obeyed():
        may = action and any(f"/{word}/" in action["key"] for word in EXPIRING)
        if action and write.revert_ms and not may:
            what = f"a write at {write.dial} expires that is neither drain nor rung"
            found.append(Violation(NAME, write.at_ms, what, (action["key"],)))
        forever = case.plan["verb"] == "evacuate" or action.get("override")
        if action and case.plan["verb"] == "evacuate" and write.revert_ms:
            what = f"an emergency's write at {write.dial} goes back by itself"
            found.append(Violation(NAME, write.at_ms, what, (action["key"],)))
        if action and "/rung/" in action["key"] and _more(action):
            what = f"a rung at {write.dial} would go back to more users"
            found.append(Violation(NAME, write.at_ms, what, (action["key"],)))
        drains = action and "/drain/" in action["key"]
        if drains and not forever and not write.revert_ms:
            what = f"a drain at {write.dial} would not expire by itself"
            found.append(Violation(NAME, write.at_ms, what, (action["key"],)))
    for start in case.history.of("start"):
        last = {
            write.dial: write
            for write in case.history.writes
            if not write.refused and write.at_ms <= start.at_ms
        }
        for dial, write in sorted(last.items()):
            if write.revert_ms:
                what = f"{start.what} began in {start.who}; a write at {dial} expires"
                found.append(Violation(NAME, start.at_ms, what))
    return [*found, *leases.check(case)]


def _more(action: Json) -> bool:
    """Would it go back to more users in its region than it gives now?"""
    region, now = action.get("region", ""), action["setting"]["rows"]
    back = action.get("revert_to", {}).get("rows", {})
    return action["setting"]["kind"] != "forward" and any(
        row.get(region, 0) > now.get(key, {}).get(region, 0)
        for key, row in back.items()
    )
