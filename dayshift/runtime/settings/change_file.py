"""The shape of `change.yaml`: what to do in each region, in which order, and why.

As in `estate_file`, one key by itself; relations are in `rules`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from dayshift.runtime.settings.forms import Options, Strict, duration
from dayshift.runtime.settings.units import Duration, Name

LIMIT_MS_DEFAULT = 3_600_000


class StepFile(Strict):
    """One step of the maintenance."""

    name: Name = Field(description="Unique among the steps of a region.")
    worker: str = Field(description="Name of an installed worker driver.")
    interrupt: Literal["between", "signal", "never"] = Field(
        default="between",
        description="When the work may be stopped. between: before or after this step. "
        "signal: within it, by a signal. never: not until the steps are through.",
    )
    limit: Duration = duration(LIMIT_MS_DEFAULT, "The longest that it may take.")
    options: Options = Field(
        default_factory=dict,
        description="What the worker asks for. With `undo` the step can be taken back; "
        "without it is a one-way door.",
    )


class RegionWorkFile(Strict):
    """One region of the change."""

    region: str = Field(description="A region of the estate.")
    expect_version: str = Field(
        default="",
        description="The version that its probes must report afterwards, in quotes.",
    )
    steps: list[StepFile] = Field(
        default_factory=list,
        description="Steps of this region alone. Absent: the common ones.",
    )


def _named(value: Any) -> Any:
    """`- fra` is short for `- region: fra`."""
    return {"region": value} if isinstance(value, str) else value


class ChangeFile(Strict):
    """A change: what to do in each region, one region after the other."""

    change: Name = Field(description="The change's name.")
    reason: str = Field(description="Why it is done; stands in the report.")
    ticket: str = Field(default="", description="Where it was asked for.")
    author: str = Field(
        default="", description="Who wrote it, and so cannot approve it."
    )
    regions: list[Annotated[RegionWorkFile, BeforeValidator(_named)]] = Field(
        description="Every region that is maintained, in the order of the work."
    )
    steps: list[StepFile] = Field(
        default_factory=list,
        description="The steps of every region that lists none of its own.",
    )
