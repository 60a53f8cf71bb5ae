"""Who was hurt by what: users that failed, and whether Dayshift's own move did it."""

from __future__ import annotations

from dayshift.rehearsal.history import History, Traffic

KNOWN_MS = 10_000
"""A region that has been down for so long is known to be; before that it is weather."""


def ours(history: History) -> int:
    """Users who failed because a write of ours had sent them there.

    Ours is: more users for a region that had been down for a while, or that cannot take
    them. A region that dies under its users is weather, and so is a surge.
    """
    return sum(
        one.failed
        for one in history.traffic
        if one.failed and one.why in ("down", "overload") and _moved_there(history, one)
    )


def _moved_there(history: History, hurt: Traffic) -> bool:
    """Was the last change of this region's share, before, an accepted write of ours
    that gave it more, when it was down or too small already?"""
    last = None
    for write in history.writes:
        if write.at_ms > hurt.until_ms:
            break
        if write.refused or hurt.region not in write.served:
            continue
        if write.served[hurt.region] > write.before.get(hurt.region, 0):
            last = write
    if last is None:
        return False
    if hurt.why == "overload":
        return hurt.from_ms - last.at_ms < KNOWN_MS
    down = [e.at_ms for e in history.of("down") if e.what == hurt.region]
    before = [at for at in down if at <= last.at_ms - KNOWN_MS]
    ups = [e.at_ms for e in history.of("up") if e.what == hurt.region]
    return bool(before) and not any(before[-1] < at <= last.at_ms for at in ups)
