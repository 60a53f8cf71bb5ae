"""Which Dayshift speaks, on each side of a wire; and why two of them do not."""

from __future__ import annotations

import msgspec

from dayshift.errors import Reason


class Speech(msgspec.Struct, frozen=True):
    """A version of Dayshift (empty: it does not say) and the protocol it speaks."""

    version: str
    protocol: int


def foreign_reason(agent: str, theirs: Speech, ours: Speech) -> Reason | None:
    """Why this controller and an agent must not speak with one another, or None."""
    if theirs.protocol == ours.protocol:
        return None
    said = f"is Dayshift {theirs.version}" if theirs.version else "says no version"
    behind = theirs.protocol < ours.protocol
    return Reason(
        "AGENT-VERSION",
        f"agent {agent} {said} and speaks protocol {theirs.protocol}; this controller "
        f"is Dayshift {ours.version} and speaks protocol {ours.protocol}",
        because="guard `agents`: the same words would mean different things",
        so="nothing was asked of it and nothing moved; what it has armed runs on",
        next=f"install Dayshift {ours.version} beside the agent and restart it, its "
        "leases survive that; then `dayshift check`"
        if behind
        else f"install Dayshift {theirs.version} on the controllers, while no run is "
        "open or it is paused; then `dayshift check`",
    )
