"""What the forms of both files share: strictness, and values with defaults in words."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from dayshift.runtime.settings.units import duration_text, share_text

Options = dict[str, Any]


class Strict(BaseModel):
    """Unknown keys are errors, and so are values of another type."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False
    )


def duration(default_ms: int, description: str) -> Any:
    """A duration whose default an editor shows as people write it."""
    shown: JsonDict = {"default": duration_text(default_ms)}
    return Field(default_ms, description=description, json_schema_extra=shown)


def share(default_bp: int, description: str) -> Any:
    """A share whose default an editor shows as people write it."""
    shown: JsonDict = {"default": share_text(default_bp)}
    return Field(default_bp, description=description, json_schema_extra=shown)


def shares(default_bp: tuple[int, ...], description: str) -> Any:
    return Field(
        default_factory=lambda: list(default_bp),
        description=description,
        json_schema_extra={"default": [share_text(bp) for bp in default_bp]},
    )


class Driven(Strict):
    """Something with a driver."""

    driver: str = Field(description="Name of an installed driver.")
    options: Options = Field(
        default_factory=dict,
        description="What the driver asks for; each driver documents its own keys.",
    )
