"""What a person is called for while a region is out, whatever the run itself waits for.

Why: a held or paused run moves nothing, and is just then the one that nobody looks at.
Holds: an alarm only calls; it never moves traffic and never changes the run.
"""

from __future__ import annotations

from collections.abc import Iterator

from dayshift.core import guards, proof, times
from dayshift.core.desk import Desk
from dayshift.core.transitions import OUT
from dayshift.model.records import Action, ActionKind


def sound(desk: Desk) -> None:
    """Call the first channel, once for each kind of trouble in each round."""
    if desk.here.phase not in OUT:
        return
    for channel in desk.plan.estate.notify[:1]:
        for code, text in _found(desk):
            key = f"alarm/{code}/{desk.region}/{desk.run.round}"
            if key not in desk.run.asked:
                desk.actions.append(
                    Action(ActionKind.NOTIFY, key, channel.name, desk.region, text=text)
                )


def _found(desk: Desk) -> Iterator[tuple[str, str]]:
    trouble = guards.survivors_reason(desk.plan, desk.sight, desk.region)
    if trouble is not None:
        yield trouble.code.lower(), trouble.what
    absent = times.absent_ms(desk.here, desk.now)
    limit = desk.policy.absence_ms
    if absent * 2 > limit:
        yield (
            "absence",
            f"{desk.region} has been away {absent // 1000} s of {limit // 1000} s",
        )
    if _blind(desk):
        yield "blind", f"no meter sees {desk.region}; its tripwire is blind"


def _blind(desk: Desk) -> bool:
    """True when not one meter of the region is fresh: nobody would see a user there."""
    meters = [
        meter
        for service in desk.plan.estate.moving()
        for meter in desk.sight.place(service.name, desk.region).meters
    ]
    return bool(meters) and not any(proof.is_fresh(one, desk.policy) for one in meters)
