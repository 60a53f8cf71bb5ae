"""How many rows to ask for at once, so that memory stays bounded."""

from __future__ import annotations

ROWS_FIRST = 64
ROWS_MAX = 512
PAGE_BYTES = 4_194_304
"""About so much of a journal is in memory at once while it is read."""


def rows_next(rows: int, page_bytes: int) -> int:
    """The size of the next page, after one of `rows` rows weighed `page_bytes`."""
    fits = rows * PAGE_BYTES // max(page_bytes, 1)
    return max(1, min(fits, 2 * rows, ROWS_MAX))
