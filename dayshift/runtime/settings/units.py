"""Durations and shares as people write them, into integers."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from dayshift.limits import NAME_LENGTH_MAX

UNITS_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION_MS_MAX = 3_650 * 86_400_000
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(ms|s|min|h|d)")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) ?%")


def duration_ms(value: Any) -> int:
    """`30 s`, `5 min`, `500 ms`, `24 h`, `2 d` → milliseconds."""
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(
            f"`{_short(value)}` is not a duration: write a number and ms, s, min, h "
            "or d"
        )
    ms = int(Decimal(found[1]) * UNITS_MS[found[2]])
    if ms > DURATION_MS_MAX:
        raise ValueError(f"`{_short(value)}` is longer than ten years")
    return ms


def share_bp(value: Any) -> int:
    """`50 %`, `0.01 %` → basis points."""
    found = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(
            f"`{_short(value)}` is not a share: write per cent with at most two "
            "decimals, such as `50 %` or `0.01 %`"
        )
    bp = int(Decimal(found[1]) * 100)
    if bp > 10_000:
        raise ValueError(f"`{_short(value)}` is more than 100 %")
    return bp


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:40] + "…"


def _schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


Duration = Annotated[
    int,
    BeforeValidator(duration_ms),
    _schema(f"^{_DURATION.pattern}$", "30 s"),
]
Percent = Annotated[
    int, BeforeValidator(share_bp), _schema(f"^{_PERCENT.pattern}$", "50 %")
]
Name = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9-]*$", min_length=1, max_length=NAME_LENGTH_MAX)
]
