"""What the options of every driver and every store share: strictness and durations.

No driver, and nothing of the files that people write.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema


class StrictOptions(BaseModel):
    """Base of every driver's options: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


_UNIT_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000}


def _to_ms(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d{1,9})\s*(ms|s|min|h)\s*", value)
    if match is None:
        raise ValueError(f"{value!r} is not a duration such as `500 ms` or `2 s`")
    return int(match[1]) * _UNIT_MS[match[2]]


Millis = Annotated[
    int,
    BeforeValidator(_to_ms),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer"},
                {"type": "string", "pattern": r"^\s*\d{1,9}\s*(ms|s|min|h)\s*$"},
            ]
        }
    ),
]
"""A duration in a driver's options: `2 s`, `500 ms`, or an integer of milliseconds."""
