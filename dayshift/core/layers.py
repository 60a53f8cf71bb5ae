"""The layers of a way out and back: what serves the users, what leads them there.

A region is left from the inside out and entered from the outside in
(`steering.forwarded_stages`), with a wait after each layer: for arrivals that still go
the old way, and, once new users arrive elsewhere, for the connections of those who are
there. Which layer a region stands in follows from what its dials may show.
"""

from __future__ import annotations

from dayshift.core import proof
from dayshift.core.desk import Desk, Settings
from dayshift.model.plan import Move, Stage


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
