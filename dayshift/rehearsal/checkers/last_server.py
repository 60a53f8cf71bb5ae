"""Invariant 1: no write leaves a service without regions that are known to serve it.

What counts is what the regions really are: one that has been down for longer than
anybody could overlook does not serve, whatever a meter says.
"""

from __future__ import annotations

from dayshift.rehearsal.checkers.seeing import Case, Violation

NAME = "last-server"


def check(case: Case) -> list[Violation]:
    found = []
    need = int(case.policy["serving"])
    for write, action in case.obeyed():
        fed = sorted(name for name, parts in write.served.items() if parts)
        alive = [r for r in fed if case.down_ms(r, write.at_ms) <= case.slack_ms]
        if len(alive) < need:
            what = (
                f"dial {write.dial} feeds {fed or 'nobody'}; alive: {alive or 'none'}"
            )
            found.append(Violation(NAME, write.at_ms, what, (str(write.token.claim),)))
        if not set(write.token.serving) & set(fed):
            what = f"dial {write.dial}: the proof names none of {fed}"
            found.append(Violation(NAME, write.at_ms, what, write.token.serving))
        found.extend(_stale(case, write.at_ms, write.dial, write.token.claim, action))
    return found


def _stale(
    case: Case, at_ms: int, dial: str, claim: object, action: dict[str, object]
) -> list[Violation]:
    """The proof is as old as the sight that the intent was written for."""
    if not action:
        return []
    key = (getattr(claim, "epoch", 0), getattr(claim, "seq", 0))
    age = at_ms - int(case.intents[key]["at"]["mono_ms"])
    if age <= case.slack_ms:
        return []
    what = f"dial {dial} was written on a proof {age / 1000:.1f} s old"
    return [Violation(NAME, at_ms, what, (f"fresh is {case.fresh_ms / 1000:.1f} s",))]
