"""Where a write that expires by itself has no place: the interlock's own questions.

Here: invariant 6 as refusals, asked of the action and the phase alone. Not here: when a
lease is armed, renewed or has run out (`leases`).
"""

from __future__ import annotations

from dayshift.core.state import JournalState
from dayshift.errors import Reason
from dayshift.model.dial import DialKind, Setting
from dayshift.model.plan import Verb
from dayshift.model.records import Action, Phase
from dayshift.model.sight import Sight

LEASED = (Phase.DRAINING, Phase.RETURNING)
"""Phases whose writes may go back by themselves."""


def misplaced_reason(
    state: JournalState, sight: Sight, action: Action
) -> Reason | None:
    """Why the lease of `action` must not be armed, or None.

    Holds: only a region that leaves or comes back may move by itself, an evacuated one
    never, and on the way back never to more users than were asked for.
    """
    run, back = state.run, action.revert_to
    if run is None or (back is None and not action.lease_ms):
        return None
    if back is None or action.lease_ms <= 0 or back.fault():
        return _no(f"{action.target} would expire to nothing")
    phase, verb, here = run.now_at.phase, state.plan.verb, run.now_at.region
    if phase not in LEASED or verb is Verb.EVACUATE or run.evacuating:
        return _no(
            f"{action.target} would go back by itself while {here} is {phase.value} "
            f"({verb.value})"
        )
    if phase is Phase.RETURNING and _more(action.setting, back, here):
        return _no(f"{action.target} would go back to more users in {here}")
    return None


def _more(now: Setting | None, then: Setting, region: str) -> bool:
    if now is None or now.kind is DialKind.FORWARD:
        return False
    return any(
        row.get(region, 0) > now.rows.get(key, {}).get(region, 0)
        for key, row in then.rows.items()
    )


def _no(what: str) -> Reason:
    return Reason(
        "LEASE-MISPLACED",
        what,
        because="invariant: dead-man by phase",
        so="nothing moved",
        next="see `dayshift explain`",
    )
