"""The nouns of recorded counts: one row for each moment, stream and region."""

from __future__ import annotations

import msgspec

from dayshift.model.evidence import Counts

ENTRY = "*"
"""The region of rows that count all regions together, at the users' entry."""


class Row(msgspec.Struct, frozen=True):
    """What one region added in one stream since its row before.

    `counts` is None where it was not seen, which is never zero. `share_bp` is the
    returning region's share of all arrivals, whichever region the row is of; None:
    the row does not say. `returning` names that region, if the row does. `line` is
    where it stands in its file, 0 elsewhere.
    """

    at_ms: int
    region: str
    stream: str = ""
    counts: Counts | None = None
    share_bp: int | None = None
    gauges: dict[str, int] = {}
    returning: str = ""
    line: int = 0

    def same(self, other: Row) -> bool:
        """Do both rows say the same of the same moment?"""
        return msgspec.structs.replace(other, line=self.line) == self


class Recording(msgspec.Struct, frozen=True):
    """Rows in order of time, from one source.

    `notes` are sentences about what was left out or mended on the way, for the person
    who asked: nothing is dropped in silence.
    """

    name: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def regions(self) -> tuple[str, ...]:
        """Every region with a row, in the order of the alphabet."""
        return tuple(sorted({row.region for row in self.rows} - {ENTRY}))
