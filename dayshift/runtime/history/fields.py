"""One cell of a recorded file → an integer of the model, or why it is none.

Cells are text (CSV) or JSON values; both are read by the same rules. Nothing is
guessed: what could mean two things is refused with the way to write it.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from decimal import Decimal, InvalidOperation

from dayshift.limits import FULL_BP
from dayshift.model.evidence import BEYOND_US

Cell = str | int | float | bool | None | dict[str, object] | list[object]
COUNT_MAX = 10**18
TIME_S_MAX = 10**11
"""Seconds from here on (the year 5138) are milliseconds by mistake."""
US = 1_000_000
MILLI_MAX = 10**15
_SHARE = re.compile(r"([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?) ?(%|bp)?")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")


class Unfit(ValueError):
    """A cell that cannot be read: what is wrong with it, and the way out."""

    def __init__(self, what: str, way_out: str) -> None:
        super().__init__(what)
        self.way_out = way_out


def empty(cell: Cell) -> bool:
    """An empty cell was not seen; it is never zero."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def when_ms(cell: Cell) -> int:
    """`1700000000.5` or `2026-11-24T14:02:07Z` → milliseconds since the epoch."""
    way_out = "write seconds since the epoch, or RFC 3339 such as 2026-11-24T14:02:07Z"
    if isinstance(cell, str) and not _NUMBER.fullmatch(cell.strip()):
        try:
            moment = datetime.fromisoformat(cell.strip())
        except ValueError:
            raise Unfit(f"{_shown(cell)} is no time", way_out) from None
        if moment.tzinfo is None:
            raise Unfit(f"{_shown(cell)} has no zone", "add `Z` or `+01:00` to it")
        return round(moment.timestamp() * 1_000)
    seconds = _number(cell, "a time", way_out)
    if seconds < 0:
        raise Unfit(f"{_shown(cell)} is before the epoch", way_out)
    if seconds >= TIME_S_MAX:
        raise Unfit(
            f"{_shown(cell)} is not within {TIME_S_MAX:.0e} seconds",
            "milliseconds? divide by 1000: times are seconds since the epoch",
        )
    return round(seconds * 1_000)


def share_bp(cell: Cell) -> int:
    """`5 %`, `0.05`, `500bp` → basis points; a bare number is a fraction of 1.

    What is above zero stays so: a share below one basis point counts as one.
    """
    way_out = "write `5 %`, `0.05` or `500bp`; a bare number is a fraction from 0 to 1"
    text = str(cell).strip() if not isinstance(cell, bool | dict | list) else ""
    found = _SHARE.fullmatch(text)
    if not found:
        raise Unfit(f"{_shown(cell)} is no share", way_out)
    scale = {"%": FULL_BP // 100, "bp": 1}.get(found[2], FULL_BP)
    exact = Decimal(found[1]) * scale
    if exact > FULL_BP:
        what = f"{_shown(cell)} is more than all of it (100 %)"
        bare = "" if found[2] else f" (or did you mean `{text} %`?)"
        raise Unfit(what, way_out + bare)
    return max(1, round(exact)) if exact else 0


def count(cell: Cell) -> int:
    """A whole number from 0 on: `120`, `1e+03`, `12.0`."""
    way_out = "write a whole number from 0 on; leave it empty where nothing was seen"
    value = _number(cell, "a count", way_out)
    if value < 0:
        raise Unfit(f"{_shown(cell)} is below 0, and a count never is", way_out)
    if value != value.to_integral_value():
        raise Unfit(
            f"{_shown(cell)} is not whole",
            "rates and `increase()` are no counts: record the counters themselves and "
            "give `--cumulative`",
        )
    if value > COUNT_MAX:
        raise Unfit(f"{_shown(cell)} is above {COUNT_MAX:.0e}", way_out)
    return int(value)


def milli(cell: Cell) -> int:
    """A level, in thousandths."""
    way_out = "write a number; leave it empty where nothing was seen"
    value = _number(cell, "a level", way_out) * 1_000
    if abs(value) > MILLI_MAX:
        raise Unfit(f"{_shown(cell)} is beyond {MILLI_MAX // 1000:.0e}", way_out)
    return round(value)


def bound_us(text: str) -> int:
    """The bound of a bucket, in seconds as Prometheus writes it: `0.25`, `+Inf`."""
    if text.strip().lower() in ("+inf", "inf"):
        return BEYOND_US
    way_out = "name it in seconds: `le_0.25`, and `le_+Inf` for the last one"
    value = _number(text, "a bound", way_out)
    us = round(value * US)
    if not 0 < us < BEYOND_US:
        raise Unfit(f"{_shown(text)} is no bound from 1 µs to 11 days", way_out)
    return us


def _number(cell: Cell, kind: str, way_out: str) -> Decimal:
    """The cell as an exact number; NaN and infinity are none."""
    wrong = Unfit(f"{_shown(cell)} is not {kind}", way_out)
    if isinstance(cell, bool | dict | list) or cell is None:
        raise wrong
    if isinstance(cell, float) and not math.isfinite(cell):
        raise wrong
    text = cell.strip() if isinstance(cell, str) else repr(cell)
    if not _NUMBER.fullmatch(text):
        raise wrong
    try:
        return Decimal(text)
    except InvalidOperation:
        raise wrong from None


def _shown(cell: Cell) -> str:
    text = " ".join(str(cell).split())
    return f"`{text if len(text) <= 40 else text[:40] + '…'}`"
