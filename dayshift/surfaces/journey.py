"""Tells one region's pass: stops, gate, emptiness and work. Pure, like `story`."""

from __future__ import annotations

from collections.abc import Sequence

from dayshift.core.state import PassState, RunState
from dayshift.core.times import steps
from dayshift.core.transitions import BEFORE_WORK
from dayshift.core.working import work_key
from dayshift.model.estate import Estate, WorkStep
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.plan import Plan, Stage
from dayshift.model.records import Phase
from dayshift.model.sight import Sight, WorkSight, WorkStatus
from dayshift.model.units import Instant, elapsed_ms
from dayshift.surfaces import words
from dayshift.surfaces.nouns import (
    Event,
    GateStory,
    PassStory,
    QuietStory,
    RungStory,
    StepStory,
)


def tell_pass(
    run: RunState,
    here: PassState,
    plan: Plan,
    sight: Sight | None,
    events: Sequence[Event],
    now: Instant,
) -> PassStory:
    """Where this region's pass is, and what it has proven so far."""
    route = plan.pass_of(here.region)
    current = here is run.now_at
    works = [one for one in plan.change.regions if one.region == here.region]
    return PassStory(
        phase=here.phase.value,
        current=current,
        since_wall_ms=here.since.wall_ms,
        phase_ms=elapsed_ms(here.since, now),
        visited=tuple(one.value for one in Phase if one.value in here.entered),
        drain=_drain(here, route.drain),
        ramp=_ramp(here, route.ramp, events),
        gate=_gate(here, sight) if current else (),
        quiet=_quiet(here.region, plan.estate, sight),
        steps=tuple(_step(here, one, sight) for one in steps(plan, here.region)),
        expect_version=works[0].expect_version if works else "",
        certified=here.certified,
        tripped=here.tripped,
        attempt=here.attempt,
        retreating_to=here.retreat.to if here.retreat else "",
    )


def _drain(here: PassState, stages: tuple[Stage, ...]) -> tuple[RungStory, ...]:
    """Stops on the way out; all are behind once the region was at zero."""
    if here.phase in (Phase.SERVING, Phase.PREFLIGHT):
        reached = -1
    elif here.phase is Phase.DRAINING:
        reached = here.index
    else:
        reached = len(stages)
    return tuple(
        RungStory(n, stage.share_bp, _stop(n, reached))
        for n, stage in enumerate(stages)
    )


def _stop(number: int, reached: int) -> str:
    if number > reached:
        return "ahead"
    return "here" if number == reached else "passed"


def _ramp(
    here: PassState, stages: tuple[Stage, ...], events: Sequence[Event]
) -> tuple[RungStory, ...]:
    """Rungs on the way back, each with the verdicts of the present attempt."""
    if here.phase in (Phase.DONE, Phase.DONE_PARTIAL):
        reached = len(stages)
    elif here.phase in (Phase.RETURNING, Phase.SOAKING):
        reached = here.index
    else:
        reached = -1
    judged = _judged(here.region, events)
    out = []
    for number, stage in enumerate(stages):
        verdicts = judged.get(number, ())
        failed = any(one.kind == VerdictKind.FAIL.value for one in verdicts)
        status = "failed" if failed else _stop(number, reached)
        out.append(RungStory(number, stage.share_bp, status, verdicts))
    return tuple(out)


def _judged(region: str, events: Sequence[Event]) -> dict[int, tuple[GateStory, ...]]:
    """Recorded verdicts by rung; a new attempt at returning begins a new list."""
    judged: dict[int, dict[str, GateStory]] = {}
    for event in events:
        if event.region != region:
            continue
        if event.phase == Phase.RETURNING.value:
            judged.clear()
        if event.verdict is not None:
            told = gate_story(event.service, event.verdict)
            judged.setdefault(event.rung, {})[event.service] = told
    return {rung: tuple(by.values()) for rung, by in judged.items()}


def _gate(here: PassState, sight: Sight | None) -> tuple[GateStory, ...]:
    """The gate's latest word on each service: as seen now, else as recorded."""
    found: dict[str, Verdict] = dict(here.verdicts)
    if sight is not None and here.phase in (Phase.RETURNING, Phase.SOAKING):
        for place in sight.places:
            if place.region == here.region and place.verdict is not None:
                found[place.service] = place.verdict
    return tuple(gate_story(service, one) for service, one in sorted(found.items()))


def gate_story(service: str, verdict: Verdict) -> GateStory:
    """A verdict with its evidence as odds."""
    return GateStory(
        service=service,
        kind=verdict.kind.value,
        why=verdict.why,
        promote_mlog10=verdict.promote_mlog10,
        promote_need=verdict.promote_need,
        rollback_mlog10=verdict.rollback_mlog10,
        rollback_need=verdict.rollback_need,
        promote_odds=words.odds(verdict.promote_mlog10),
        rollback_odds=words.odds(verdict.rollback_mlog10),
        requests=verdict.requests,
        errors=verdict.errors,
        slow=verdict.slow,
        smallest_bp=verdict.smallest_bp,
        promised_bp=verdict.promised_bp,
        decides=verdict.decides,
        needs=verdict.needs,
        wait_ms=verdict.wait_ms,
        incident=verdict.incident,
        signals=verdict.signals,
    )


def _quiet(region: str, estate: Estate, sight: Sight | None) -> tuple[QuietStory, ...]:
    if sight is None:
        return ()
    return tuple(
        QuietStory(
            service=service.name,
            meter=one.meter,
            side=one.side.value,
            in_flight=one.in_flight,
            quiet_ms=one.quiet_ms,
            wanted_ms=estate.policy.quiet_ms,
            fault=one.fault,
        )
        for service in estate.moving()
        if service.shares.get(region)
        for one in sight.place(service.name, region).meters
    )


def _step(here: PassState, step: WorkStep, sight: Sight | None) -> StepStory:
    seen = sight.works.get(work_key(here, step.name)) if sight else None
    return StepStory(
        name=step.name,
        status=_step_status(here, step.name, seen),
        exit_code=seen.exit_code if seen else 0,
        line=_last_line(seen.progress) if seen else "",
        asks=seen.waiting_for if seen else "",
        undo=step.undo,
    )


def _step_status(here: PassState, step: str, seen: WorkSight | None) -> str:
    if step in here.undone:
        return "undone"
    if step in here.done:
        return "done"
    if seen is not None and seen.status is WorkStatus.RUNNING:
        return "running"
    if here.failed.get(step):
        return "failed"
    begun = step in here.started and here.phase not in BEFORE_WORK
    return "running" if begun else "waiting"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
