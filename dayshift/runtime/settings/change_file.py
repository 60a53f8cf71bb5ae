"""The form of `change.yaml`: what to do in each region, for which reason.

As in `estate_file`: one key by itself. Relations are in `change_rules`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from dayshift.runtime.settings.estate_file import Form, duration
from dayshift.runtime.settings.units import DurationMs

LIMIT_MS_DEFAULT = 3_600_000


class StepForm(Form):
    """One step of the maintenance."""

    name: str = Field(description="Name, unique among the steps of a region.")
    worker: str = Field(description="Name of an installed worker driver.")
    interrupt: Literal["between", "signal", "never"] = Field(
        "between",
        description=(
            "When the step may be stopped. between: not once it runs. signal: by a "
            "signal. never: not even by an abort."
        ),
    )
    limit: DurationMs = duration(LIMIT_MS_DEFAULT, "How long the step may take.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="What the worker needs. With `undo` the step can be taken back; "
        "without, it is a one-way door.",
    )


class RegionWorkForm(Form):
    """One region, in the order of the passes."""

    region: str = Field(description="A region of the estate.")
    expect_version: str = Field(
        "", description="The version that its probes must report afterwards, in quotes."
    )
    steps: list[StepForm] | None = Field(
        None, description="Steps of this region alone, instead of the common ones."
    )


class ChangeForm(Form):
    """A change: what to do in each region, one region after the other."""

    change: str = Field(description="Name of the change.")
    reason: str = Field(description="Why it is done; stands in the report.")
    ticket: str = Field("", description="Where it was asked for.")
    author: str = Field("", description="Who wrote it.")
    regions: list[RegionWorkForm] = Field(
        description="The regions, each named, in the order in which they are taken out."
    )
    steps: list[StepForm] | None = Field(
        None, description="Steps for every region that lists none of its own."
    )
