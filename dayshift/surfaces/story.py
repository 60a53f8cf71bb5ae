"""Tells the story: state, sight, decision and events in, one `Story` out.

Pure: the instant is given. Which figures mean what stands in `nouns`; how they look, in
the renderings. The journey of one region is told by `journey`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dayshift.core import guards
from dayshift.core.decision import Decision
from dayshift.core.exits import exits
from dayshift.core.state import JournalState, RunState
from dayshift.core.steering import baseline, served
from dayshift.core.times import times
from dayshift.errors import Reason
from dayshift.model.dial import DialReading, Setting
from dayshift.model.estate import Estate, Service
from dayshift.model.evidence import Side
from dayshift.model.plan import Plan
from dayshift.model.sight import MeterSight, Sight
from dayshift.model.units import Instant, Row, elapsed_ms
from dayshift.surfaces import journey
from dayshift.surfaces.events import event_of
from dayshift.surfaces.nouns import (
    STORY_FORMAT,
    ControllerStory,
    DialStory,
    DutyStory,
    Event,
    HoldStory,
    InstanceStory,
    ProbeStory,
    RegionStory,
    ServiceStory,
    Story,
)

__all__ = ["Event", "Story", "event_of", "from_json", "tell", "to_json"]

TIMELINE_MAX = 500
"""A story is a page, not the journal."""


def tell(
    state: JournalState,
    sight: Sight | None,
    decision: Decision | None,
    events: Sequence[Event],
    now: Instant,
    watched: bool = True,
) -> Story:
    """What a person should know now.

    Without a sight (nobody looks) the figures of the world are unknown and the shares
    are the last confirmed ones; without a decision there is nothing that is waited for.

    Args:
        events: the whole run's, in order, so that past rungs keep their verdicts.
        watched: whether a controller looks at the run and will go on with it.
    """
    run = state.run
    if run is None:
        return Story(
            format=STORY_FORMAT,
            wall_ms=now.wall_ms,
            estate=state.estate,
            journal=state.journal,
            watched=watched,
            epoch=state.epoch,
            holder=state.holder,
            controllers=_controllers(state),
            seq=state.seq,
            left_drained=state.left_drained,
            timeline=tuple(events[-TIMELINE_MAX:]),
        )
    plan = state.plans[run.digest]
    return msgspec.structs.replace(
        _head(state, run, plan, now, watched),
        regions=_regions(state, run, plan, sight, events, now),
        waiting=decision.waiting if decision else (),
        hold=_hold(run, now),
        exits=exits(state, sight),
        times=decision.times if decision else times(run.now_at, plan, now),
        dials=_dials(state, plan, sight, now),
        duties=_duties(plan.estate, sight),
        timeline=tuple(events[-TIMELINE_MAX:]),
        warnings=_warnings(state, sight),
    )


def _warnings(state: JournalState, sight: Sight | None) -> tuple[Reason, ...]:
    reason = guards.claims_reason(state, sight) if sight else None
    return () if reason is None else (reason,)


def _controllers(state: JournalState) -> tuple[ControllerStory, ...]:
    """Who leads, who stands by, who is silent; empty where controllers have no name."""
    if not state.controller or state.led is None:
        return ()
    leads = ControllerStory(state.controller, "leads", state.led.wall_ms)
    others = (
        ControllerStory(
            name, "follows" if one.alive else "is silent", one.since.wall_ms
        )
        for name, one in sorted(state.standby.items())
    )
    return (leads, *others)


def _head(
    state: JournalState, run: RunState, plan: Plan, now: Instant, watched: bool
) -> Story:
    given = state.approvals.get(run.digest, ())
    return Story(
        format=STORY_FORMAT,
        wall_ms=now.wall_ms,
        estate=plan.estate.name,
        journal=state.journal,
        run=run.run,
        digest=run.digest[:12],
        verb=plan.verb.value,
        change=plan.change.name,
        reason=plan.change.reason,
        ticket=plan.change.ticket,
        author=plan.change.author,
        status=run.status.value,
        result=run.result.value if run.result else "",
        why=run.why,
        watched=watched,
        aborting=run.aborting,
        hurry=run.hurry,
        paused_by=run.paused_by,
        opened_by=run.person,
        opened_wall_ms=run.opened.wall_ms,
        closed_wall_ms=run.closed.wall_ms if run.closed else 0,
        on_duty=run.on_duty,
        epoch=state.epoch,
        holder=state.holder,
        controllers=_controllers(state),
        seq=state.seq,
        approved_by=tuple(sorted({one.person for one in given})),
        approvals_needed=plan.estate.policy.approvals,
        region=run.now_at.region,
        order=tuple(one.region for one in run.passes),
        left_drained=state.left_drained,
        absence_limit_ms=plan.estate.policy.absence_ms,
        brackets=run.brackets,
        accepted=run.accepted,
    )


def _hold(run: RunState, now: Instant) -> HoldStory | None:
    if run.hold is None:
        return None
    hold = run.hold
    return HoldStory(
        hold.reason, hold.region, hold.at.wall_ms, elapsed_ms(hold.at, now)
    )


def _regions(
    state: JournalState,
    run: RunState,
    plan: Plan,
    sight: Sight | None,
    events: Sequence[Event],
    now: Instant,
) -> tuple[RegionStory, ...]:
    rows = {
        service.name: _served(state, service, sight) for service in plan.estate.services
    }
    out = []
    for region in plan.estate.regions:
        here = next((one for one in run.passes if one.region == region.name), None)
        services = tuple(
            _service(plan, service, region.name, rows[service.name], sight)
            for service in plan.estate.services
            if region.name in service.shares
        )
        told = journey.tell_pass(run, here, plan, sight, events, now) if here else None
        probes = _probes(plan.estate, region.name, sight)
        out.append(RegionStory(region.name, region.title, services, probes, told))
    return tuple(out)


def _served(state: JournalState, service: Service, sight: Sight | None) -> Row | None:
    """The shares that users get: as read, or as last confirmed where nobody reads."""
    settings: dict[str, Setting] = {}
    for dial in service.dials:
        if sight is None:
            known = state.confirmed.get(dial.name, baseline(dial, service))
            settings[dial.name] = known
            continue
        reading = sight.dials.get(dial.name)
        if reading is not None and reading.setting is not None:
            settings[dial.name] = reading.setting
    return served(service, settings)


def _service(
    plan: Plan, service: Service, region: str, row: Row | None, sight: Sight | None
) -> ServiceStory:
    told = ServiceStory(
        service=service.name,
        share_bp=None if row is None else row.get(region, 0),
        baseline_bp=service.shares[region],
        capacity_rps=service.capacity_rps.get(region, 0),
    )
    meter = _users_meter(sight, service.name, region)
    if meter is None:
        return told
    age, fresh_ms = meter.age_ms, plan.estate.policy.fresh_ms
    return msgspec.structs.replace(
        told,
        seen=age is not None and age <= fresh_ms and not meter.fault,
        age_ms=age,
        mrps=meter.mrps,
        error_ppm=meter.error_ppm,
        p50_us=meter.p50_us,
        p99_us=meter.p99_us,
        fault=meter.fault,
    )


def _users_meter(sight: Sight | None, service: str, region: str) -> MeterSight | None:
    """The freshest meter on the users' side."""
    if sight is None:
        return None
    meters = [
        one for one in sight.place(service, region).meters if one.side is Side.USERS
    ]
    return min(
        meters, key=lambda m: (m.age_ms is None, m.age_ms or 0, m.meter), default=None
    )


def _probes(estate: Estate, region: str, sight: Sight | None) -> tuple[ProbeStory, ...]:
    if sight is None:
        return ()
    return tuple(
        ProbeStory(
            probe=one.probe,
            service=service.name,
            streak=one.streak,
            wanted=estate.policy.probe_streak,
            failures=one.failures,
            version=one.version,
            detail=one.detail,
            age_ms=one.age_ms,
        )
        for service in estate.services
        for one in sight.place(service.name, region).probes
    )


def _dials(
    state: JournalState, plan: Plan, sight: Sight | None, now: Instant
) -> tuple[DialStory, ...]:
    out: dict[str, DialStory] = {}
    for service in plan.estate.services:
        for dial in service.dials:
            known = out.get(dial.name)
            names = (*(known.services if known else ()), service.name)
            usual = plan.baseline.get(dial.name, baseline(dial, service))
            told = DialStory(
                dial=dial.name,
                services=names,
                kind=dial.kind.value,
                rows=None,
                expected=state.confirmed.get(dial.name, usual).rows,
                claim=str(state.claims.get(dial.name, "")),
                moving=bool(state.tried.get(dial.name)),
            )
            reading = sight.dials.get(dial.name) if sight else None
            out[dial.name] = _read_back(told, reading, now) if reading else told
    return tuple(out.values())


def _read_back(told: DialStory, reading: DialReading, now: Instant) -> DialStory:
    settings = [one.setting for one in reading.instances if one.setting is not None]
    first = settings[0] if settings else None
    claims = {str(one.claim) for one in reading.instances if one.claim is not None}
    return msgspec.structs.replace(
        told,
        rows=reading.setting.rows if reading.setting else None,
        claim=claims.pop() if len(claims) == 1 else "",
        mixed=reading.mixed,
        fault=reading.fault,
        age_ms=elapsed_ms(reading.at, now),
        instances=tuple(
            InstanceStory(
                one.instance,
                str(one.claim or ""),
                one.setting is not None and one.setting != first,
                one.fault,
            )
            for one in reading.instances
        ),
    )


def _duties(estate: Estate, sight: Sight | None) -> tuple[DutyStory, ...]:
    if sight is None:
        return ()
    return tuple(
        DutyStory(duty.name, seen.holders, seen.fault)
        for duty in estate.duties
        if (seen := sight.duties.get(duty.name)) is not None
    )


def to_json(story: Story) -> str:
    """The story on one line; the fields and their units stand in `nouns`.

    Fields come in the order in which they are declared, so two tellings of the same
    moment are the same text.
    """
    return msgspec.json.encode(story).decode()


def from_json(text: str | bytes) -> Story:
    """A story that another process told."""
    return msgspec.json.decode(text, type=Story)
