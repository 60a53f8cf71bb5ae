"""What a well-formed change must also mean, for the estate that it is made for."""

from __future__ import annotations

from collections.abc import Iterator

from dayshift.limits import STEPS_MAX
from dayshift.model.estate import Estate
from dayshift.runtime.settings.change_file import ChangeFile, StepFile
from dayshift.runtime.settings.rules import EXPLICIT, names, unique, unknown_region
from dayshift.runtime.settings.yaml_source import Path_, Source


def change_rules(file: ChangeFile, estate: Estate, source: Source) -> None:
    """Note every fault of meaning in a change."""
    regions = list(estate.region_names())
    names([(file.change, ("change",))], source)
    if not file.reason.strip():
        because = "the report and the approvers ask for it"
        source.fault("REASON-EMPTY", ("reason",), "is empty", "say why", because)
    if not file.regions:
        next_step = f"list {' or '.join(regions)}, in the order of the work"
        source.fault("TARGETS-EMPTY", ("regions",), "names none", next_step, EXPLICIT)
    seen: dict[str, Path_] = {}
    for number, one in enumerate(file.regions):
        path: Path_ = ("regions", number, "region")
        if one.region not in regions:
            unknown_region(one.region, regions, path, source)
        elif one.region in seen:
            what = (
                f"{one.region} stands in line {source.line(seen[one.region])} already"
            )
            because = "each region is taken out once in a run"
            source.fault("REGION-TWICE", path, what, "name it once", because)
        seen.setdefault(one.region, path)
        if not one.steps and ("steps" in one.model_fields_set or not file.steps):
            what = f"lists no step, so there is nothing to do in {one.region}"
            next_step = "list its steps, or common ones under `steps:`"
            source.fault("STEPS-EMPTY", ("regions", number), what, next_step, EXPLICIT)
    for where, steps in step_lists(file):
        named = [(step.name, (*where, i, "name")) for i, step in enumerate(steps)]
        names(named, source)
        unique(named, source, "a step runs once, and its record is found by its name")
        if len(steps) > STEPS_MAX:
            what = f"has {len(steps)} steps (limit {STEPS_MAX})"
            source.fault("CHANGE-TOO-LARGE", where, what, "join some in one command")


def step_lists(file: ChangeFile) -> Iterator[tuple[Path_, list[StepFile]]]:
    """Every list of steps with the place where it stands."""
    yield ("steps",), file.steps
    for number, one in enumerate(file.regions):
        yield ("regions", number, "steps"), one.steps
