"""The agent's own guards: what this machine never does, whoever asks.

Separate from the controller's on purpose, and from files that the controller does not
have. Each returns why not, or None.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from dayshift.agent.ledger import Entry
from dayshift.drivers.base import fresh_claim_reason
from dayshift.model.dial import ALL, Claim, Setting, Token
from dayshift.model.units import Row, percent


class Rules(msgspec.Struct, frozen=True):
    """What one dial may be told.

    `serving`: how many fed regions the token must prove. `never_zero_together`: groups
    of which one region at least keeps a share. `allowed`: the only rows there are, if
    given; `bounds`: the least and the most share of a region.
    """

    regions: tuple[str, ...]
    serving: int = 1
    never_zero_together: tuple[tuple[str, ...], ...] = ()
    allowed: tuple[Row, ...] = ()
    bounds: dict[str, tuple[int, int]] = {}


def setting_reason(rules: Rules, setting: Setting, token: Token) -> str | None:
    """Why the dial must not show `setting`."""
    fault = setting.fault()
    if fault:
        return fault
    for key, row in sorted(setting.rows.items()):
        if not row or "" in row or ALL in row:
            return "names no region, or all of them"
        unknown = sorted(set(row) - set(rules.regions))
        if unknown:
            known = ", ".join(rules.regions)
            return f"names {', '.join(unknown)}; this agent knows {known}"
        why = _row_reason(rules, row)
        if why:
            return why if key == ALL else f"row {key}: {why}"
    fed = {
        name for row in setting.rows.values() for name, share in row.items() if share
    }
    proven = fed & set(token.serving)
    if len(proven) < rules.serving:
        return (
            f"feeds {len(proven)} regions that are proven to serve "
            f"(this agent asks for {rules.serving})"
        )
    return None


def _row_reason(rules: Rules, row: Row) -> str | None:
    for group in rules.never_zero_together:
        if not any(row.get(name) for name in group):
            return f"has {' and '.join(group)} at zero together"
    if rules.allowed and row not in rules.allowed:
        return "is not among the settings that this agent was given"
    for region, (least, most) in sorted(rules.bounds.items()):
        share = row.get(region, 0)
        if not least <= share <= most:
            return (
                f"has {region} at {percent(share)}, "
                f"outside {percent(least)} to {percent(most)}"
            )
    return None


def fence_reason(entry: Entry, claim: Claim) -> str | None:
    """Why this claim may not even come near: a foreign one, or of an epoch before."""
    for stands in _standing(entry):
        if (stands.estate, stands.journal) != (claim.estate, claim.journal):
            return f"claimed by estate {stands.estate}, journal {stands.journal}"
        if claim.epoch < stands.epoch:
            who = f" of {stands.holder}" if stands.holder else ""
            return f"epoch {claim.epoch} is over: epoch {stands.epoch}{who} leads"
    return None


def claim_reason(entry: Entry, token: Token) -> str | None:
    """Why a write with this token must not replace what the agent let in last.

    Why: also a device that lost its claim must not be written by whoever lost the race.
    """
    why = fence_reason(entry, token.claim)
    if why:
        return why
    pending, mine = entry.pending, token.claim
    if pending and (pending.epoch, pending.seq) > (mine.epoch, mine.seq):
        return f"a newer claim was let in: {pending}"
    return fresh_claim_reason(entry.claim, token) if entry.claim else None


def _standing(entry: Entry) -> Iterable[Claim]:
    return (one for one in (entry.fence, entry.pending, entry.claim) if one)
