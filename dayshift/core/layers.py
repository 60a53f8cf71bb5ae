"""The layers of a way out and back: what serves the users, what leads them there.

A region is left from the inside out and entered from the outside in
(`steering.forwarded_stages`), with a wait after each layer: for arrivals that still go
the old way, and, once new users arrive elsewhere, for the connections of those who are
there. Which layer a region stands in follows from what its dials may show.
"""

from __future__ import annotations

from collections.abc import Iterator

from dayshift.core import proof
from dayshift.core.desk import Desk, Settings
from dayshift.model.dial import Caching
from dayshift.model.plan import Move, Stage
from dayshift.model.records import Action, ActionKind, OutcomeKind
from dayshift.model.units import Instant


def left(desk: Desk, key: str, revert: Settings | None = None) -> bool:
    """Bring the region to zero, layer by layer; True once all of it is read back.

    Why: whoever still arrives by a late answer or a late route is served, and what a
    moved route resets had its time to end.
    Holds: an evacuation waits for none of it.
    """
    stages = desk.route.leaving
    last = len(stages) - 1
    behind = (n for n in range(last, 0, -1) if _begun(desk, stages[n], stages[n - 1]))
    at = last if desk.evacuating else next(behind, 0)
    if at == last:
        return desk.take(stages[last], key, revert)
    layer = f"{key}/layer/{at}"
    if not desk.take(stages[at], layer, revert):
        return False
    if revert and not desk.rearm(stages[at], revert):
        return False
    before = stages[at - 1] if at else desk.route.ramp[-1]
    if _settles(desk, layer, stages[at], before) or (at and _connected(desk, layer)):
        return False
    if at + 1 == last:
        return desk.take(stages[last], key, revert)
    desk.take(stages[at + 1], f"{key}/layer/{at + 1}", revert)
    return False


def entered(desk: Desk, key: str) -> bool:
    """Lead users to the region again, who are still served elsewhere; True once they
    may be served there."""
    stages = desk.route.leaving
    last = len(stages) - 1
    if not last:
        return True
    ahead = (n for n in range(last) if _begun(desk, stages[n], stages[n + 1]))
    at = next(ahead, last - 1)
    layer = f"{key}/layer/{at}"
    if not desk.take(stages[at], layer):
        return False
    if _settles(desk, layer, stages[at], stages[at + 1]):
        return False
    if at:
        desk.take(stages[at - 1], f"{key}/layer/{at - 1}")
    return not at


def prepared(desk: Desk) -> bool:
    """Caches keep the answers that lead users to the region for a short time only, and
    the older ones are dead by the time that a new one would be; True once that is so.

    Source: RFC 1035 section 3.2.1, RFC 8767 (some caches serve longer; traffic tells).
    """
    ready = True
    for dial, caching in _cached(desk):
        shorter_ms = caching.usual_ms - caching.low_ms
        key = f"{desk.region}/prepare/{dial}/{desk.run.round}"
        lowered = _lived_since(desk, dial, caching.low_ms)
        if lowered is None:
            ready = _live(desk, dial, key, caching.low_ms) and ready
            continue
        left_ms = shorter_ms - desk.since(lowered)
        if left_ms > 0:
            what = f"answers of {dial} that caches may keep for {shorter_ms // 1000} s"
            desk.wait("CACHED", f"{what} longer", "the last of them is dead", left_ms)
            ready = False
    return ready


def restored(desk: Desk) -> bool:
    """Caches keep answers as long as usual again; True once all dials say so."""
    ready = True
    for dial, caching in sorted(desk.sight.caching.items()):
        reading = desk.sight.dials.get(dial)
        usual = reading is not None and not reading.fault
        if usual and reading and reading.lifetime_ms == caching.usual_ms:
            continue
        key = f"{desk.region}/restore/{dial}/{desk.run.round}"
        ready = _live(desk, dial, key, caching.usual_ms) and ready
    return ready


def _cached(desk: Desk) -> Iterator[tuple[str, Caching]]:
    """Dials of the services that move whose answers caches keep."""
    for service in desk.plan.estate.moving():
        for dial in service.dials if service.shares[desk.region] else ():
            caching = desk.sight.caching.get(dial.name)
            if caching is not None and caching.low_ms < caching.usual_ms:
                yield dial.name, caching


def _lived_since(desk: Desk, dial: str, lifetime_ms: int) -> Instant | None:
    """Since when this run has had answers live so long; None where they do not."""
    asked = [
        one
        for one in desk.run.asked.values()
        if one.action.target == dial and one.action.lifetime_ms
    ]
    newest = max(asked, key=lambda one: one.seq, default=None)
    if newest is None or newest.action.lifetime_ms != lifetime_ms:
        return None
    return newest.ended if newest.result is OutcomeKind.DONE else None


def _live(desk: Desk, dial: str, key: str, lifetime_ms: int) -> bool:
    kept = desk.standing[dial]
    kind, region = ActionKind.HOLD_DIAL, desk.region
    action = Action(
        kind, key, dial, region=region, setting=kept, lifetime_ms=lifetime_ms
    )
    return desk.want(action)


def _begun(desk: Desk, stage: Stage, before: Stage) -> bool:
    """True when a dial may show what `stage` asks of it and the one before does not."""
    return any(
        move.setting in desk.state.expected(move.dial) for move in _new(stage, before)
    )


def _new(stage: Stage, before: Stage) -> list[Move]:
    known = {move.dial: move.setting for move in before.moves}
    return [move for move in stage.moves if known.get(move.dial) != move.setting]


def _settles(desk: Desk, key: str, stage: Stage, before: Stage) -> bool:
    """Some users still go the old way after the newest write: wait for them."""
    moved = [desk.sight.settles_ms.get(one.dial, 0) for one in _new(stage, before)]
    wait_ms = max(desk.policy.drain_dwell_ms, *moved)
    left_ms = wait_ms - desk.since_asked(key)
    if left_ms <= 0:
        return False
    desk.wait("SETTLING", "users who still go the old way", "they came over", left_ms)
    return True


def _connected(desk: Desk, key: str) -> bool:
    """Users are still connected there, and have time to end."""
    waited_ms = desk.since_asked(key)
    limit_ms = desk.policy.connections_limit_ms
    count = proof.connected(desk.sight, desk.plan.estate, desk.region, waited_ms)
    if count == 0 or waited_ms >= limit_ms:
        return False
    what = "how many users are connected" if count is None else f"{count} connections"
    until = "they end, or policy.connections_limit is over"
    desk.wait("CONNECTED", f"{what} in {desk.region}", until, limit_ms - waited_ms)
    desk.wake_ms = min(desk.wake_ms, 200)
    return True
