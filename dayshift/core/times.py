"""Return time and absence limit: how soon a region could serve, by when it must."""

from __future__ import annotations

from dayshift.core.decision import Times
from dayshift.core.state import PassState
from dayshift.core.transitions import BEFORE_WORK
from dayshift.model.estate import Interrupt, WorkStep
from dayshift.model.plan import Plan
from dayshift.model.records import Phase
from dayshift.model.units import Instant, elapsed_ms


def times(here: PassState, plan: Plan, now: Instant) -> Times:
    """Both figures for the region in flight, milliseconds."""
    policy = plan.estate.policy
    absent = absent_ms(here, now)
    return Times(
        region=here.region,
        return_ms=_return_ms(here, plan, now),
        absent_ms=absent,
        absence_left_ms=policy.absence_ms - absent,
    )


def absent_ms(here: PassState, now: Instant) -> int:
    """How long the region has had no users; 0 while it has some."""
    out_since = here.entered.get(Phase.HANDING_OVER.value)
    if out_since is None or here.phase in (Phase.SERVING, Phase.DRAINING, Phase.DONE):
        return 0
    if here.phase in (Phase.RETURNING, Phase.SOAKING):
        return 0
    return elapsed_ms(out_since, now)


def _return_ms(here: PassState, plan: Plan, now: Instant) -> int:
    """Before work a dial brings it back at once; during work the step must end (or be
    undone) and the region must validate first."""
    if here.phase in BEFORE_WORK or here.phase in (Phase.RETURNING, Phase.SOAKING):
        return 0
    if here.phase is not Phase.WORKING:
        return plan.estate.policy.return_time_ms
    left = sum(
        step.limit_ms
        for step in steps(plan, here.region)
        if step.name in here.started
        and step.name not in here.done
        and step.interrupt is not Interrupt.SIGNAL
    )
    return plan.estate.policy.return_time_ms + left


def steps(plan: Plan, region: str) -> tuple[WorkStep, ...]:
    """The work of one region."""
    for work in plan.change.regions:
        if work.region == region:
            return work.steps
    return ()
