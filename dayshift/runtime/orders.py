"""What a worker is told about one attempt at a step, from state and plan."""

from __future__ import annotations

from dayshift.core.state import JournalState
from dayshift.core.working import work_key
from dayshift.drivers.base import WorkOrder


def work_order(state: JournalState, region: str, step: str) -> WorkOrder:
    """The order for the present attempt at `step` in `region`; a run is there."""
    run, change = state.run, state.plan.change
    assert run is not None
    here = next(one for one in run.passes if one.region == region)
    found = next(
        one
        for work in change.regions
        if work.region == region
        for one in work.steps
        if one.name == step
    )
    return WorkOrder(
        key=f"{run.run}-{work_key(here, step)}",
        run=run.run,
        region=region,
        change=change.name,
        step=step,
        limit_ms=found.limit_ms,
        interrupt=found.interrupt,
    )
