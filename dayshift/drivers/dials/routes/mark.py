"""The mark: one line that a speaker keeps, saying who wrote it and what is on.

    ds1:shop:j1:4:17:ada fra=on ber=off

Every speaker of the dial keeps the whole row, so that each says what the others should
do, also where an agent sees those of its own region alone. Before the first write the
operator's own line begins with `unclaimed`.
"""

from __future__ import annotations

import msgspec

from dayshift.limits import FULL_BP
from dayshift.model.dial import ALL, Claim, DialKind, Setting, parse_claim
from dayshift.model.units import Row

UNCLAIMED = "unclaimed"


class Mark(msgspec.Struct, frozen=True):
    """Who wrote last, and what each region should do."""

    claim: Claim | None
    row: Row

    def __str__(self) -> str:
        words = [f"{name}={_word(share)}" for name, share in self.row.items()]
        return " ".join([str(self.claim or UNCLAIMED), *words])


def parse_mark(text: str) -> Mark | None:
    """Read a mark back; None where the line is no mark."""
    who, *words = text.split() or [""]
    claim = parse_claim(who)
    if claim is None and who != UNCLAIMED:
        return None
    row: Row = {}
    for word in words:
        region, _, state = word.partition("=")
        if not region or state not in ("on", "off") or region in row:
            return None
        row[region] = FULL_BP if state == "on" else 0
    return Mark(claim, row) if row else None


def switch(row: Row) -> Setting:
    """A switch setting from its one row."""
    return Setting(DialKind.SWITCH, {ALL: dict(row)})


def _word(share: int) -> str:
    return "on" if share else "off"
