"""Durations, shares and names as people write them, into what the model has.

Every quantity carries its unit: a bare `30` could be seconds or minutes, and a wrong
guess here moves traffic. Faults are `ValueError`s in words for who wrote the file.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from dayshift.limits import FULL_BP, NAME_LENGTH_MAX

UNITS_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION_MS_MAX = 3_650 * 86_400_000
YEAR_MIN, YEAR_MAX = 2020, 2200
NAME = rf"[a-z][a-z0-9-]{{0,{NAME_LENGTH_MAX - 1}}}"
WILDCARD = "*"

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([a-zA-Z]{1,9})")
_PERCENT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?%")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def duration_ms(value: Any) -> int:
    """`30 s`, `5 min`, `500 ms`, `24 h`, `2 d` → milliseconds."""
    text = _short(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"`{text}` has no unit: write `{text} s` or `{text} min`")
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(
            f"`{text}` is not a duration: write a number and ms, s, min, h or d"
        )
    if found[2] not in UNITS_MS:
        raise ValueError(f"`{found[2]}` is no unit of time: use ms, s, min, h or d")
    exact = Decimal(found[1]) * UNITS_MS[found[2]]
    if exact != int(exact):
        raise ValueError(f"`{text}` is finer than a millisecond")
    if exact > DURATION_MS_MAX:
        raise ValueError(f"`{text}` is longer than ten years")
    return int(exact)


def share_bp(value: Any) -> int:
    """`50 %`, `0.01 %` → basis points."""
    text = _short(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"`{text}` has no unit: write `{text} %`")
    found = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(
            f"`{text}` is not a share: write per cent with at most two decimals, such "
            "as `50 %` or `0.01 %`"
        )
    exact = Decimal(found[1]) * 100
    if exact != int(exact):
        raise ValueError(f"`{text}` is finer than 0.01 %, the smallest share")
    if exact > FULL_BP:
        raise ValueError(f"`{text}` is more than 100 %")
    return int(exact)


def wall_ms(value: Any) -> int:
    """`2027-01-31` or `2027-01-31T18:00+01:00` → milliseconds since the epoch.

    A day alone lasts to its end in UTC; a time of day needs its zone.
    """
    text = _short(value)
    try:
        moment = datetime.fromisoformat(value.strip())
    except (AttributeError, ValueError):
        raise ValueError(f"`{text}` is not a day such as 2027-01-31") from None
    if not YEAR_MIN <= moment.year <= YEAR_MAX:
        raise ValueError(f"`{text}` is not between {YEAR_MIN} and {YEAR_MAX}")
    if _DAY.fullmatch(value.strip()):
        moment = moment.replace(hour=23, minute=59, second=59, tzinfo=UTC)
    if moment.tzinfo is None:
        raise ValueError(f"`{text}` has no zone: write 2027-01-31T18:00:00+01:00")
    return int(moment.timestamp()) * 1_000


def name_fault(name: str) -> str | None:
    """Say why `name` cannot be a name, or return None."""
    if re.fullmatch(NAME, name, re.ASCII):
        return None
    if name == WILDCARD or not name.strip():
        return f"`{_short(name)}` names nothing: every name is written out"
    if len(name) > NAME_LENGTH_MAX:
        return f"is a name of {len(name)} characters (limit {NAME_LENGTH_MAX})"
    return (
        f"`{_short(name)}` is no name: lowercase letters, digits and dashes, a letter "
        "first"
    )


def duration_text(ms: int) -> str:
    """Milliseconds as a file has them, in the largest unit that keeps them whole."""
    for unit, size in reversed(UNITS_MS.items()):
        if ms and ms % size == 0:
            return f"{ms // size} {unit}"
    return "0 s"


def share_text(bp: int) -> str:
    """Basis points as a file has them: `50 %`, `0.25 %`."""
    return f"{Decimal(bp) / 100:f} %"


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else text[:40] + "…"


def _schema(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "pattern": pattern, "examples": list(examples)}
    )


Duration = Annotated[
    int,
    BeforeValidator(duration_ms),
    _schema(r"^[0-9]{1,9}(\.[0-9]{1,3})? ?(ms|s|min|h|d)$", "30 s", "5 min"),
]
Percent = Annotated[
    int,
    BeforeValidator(share_bp),
    _schema(r"^[0-9]{1,3}(\.[0-9]{1,2})? ?%$", "50 %", "0.01 %"),
]
Moment = Annotated[
    int,
    BeforeValidator(wall_ms),
    _schema(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}", "2027-01-31", "2027-01-31T18:00:00+01:00"),
]
Name = Annotated[str, _schema(f"^{NAME}$", "shop")]
