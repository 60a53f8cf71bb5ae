"""A plan as lines to read. What is shown was decided elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap

from dayshift.cli.plan_gate import GateSight, gate_lines
from dayshift.core import review, steering, times
from dayshift.core import steps as steps_of
from dayshift.model.dial import Abilities, Caching, DialKind, Setting
from dayshift.model.estate import Interrupt, WorkStep
from dayshift.model.plan import PassPlan, Plan, Stage
from dayshift.model.units import Row, percent
from dayshift.surfaces import words

WIDTH = 88


def lines(
    plan: Plan, able: Mapping[str, Abilities], sights: Sequence[GateSight]
) -> Iterator[str]:
    """The whole plan."""
    change, policy = plan.change, plan.estate.policy
    ticket = f" ({change.ticket})" if change.ticket else ""
    yield f"{plan.estate.name} · {change.name}{ticket}: {change.reason}"
    for number, one in enumerate(plan.passes, 1):
        yield ""
        yield f"{number}. {one.region}"
        yield from _pass(plan, one)
    yield ""
    yield from _capacity(plan)
    yield from _dials(able)
    yield from _policy(plan)
    yield from gate_lines(sights, policy.gate)
    doors = review.one_way_doors(plan)
    if doors:
        yield f"one-way    {', '.join(doors)}: cannot be undone; from there on abort"
        yield "           leaves the region drained instead of returning it"
    yield "exits      at any time: dayshift pause, dayshift abort. On a hold: retry,"
    yield "           done-by-hand STEP, adopt, abort, close --leave-drained"
    if policy.approvals:
        yield f"approvals  {policy.approvals} needed: `dayshift approve {plan.digest}`"
    yield f"digest     {plan.digest}"


def _pass(plan: Plan, one: PassPlan) -> Iterator[str]:
    steps = times.steps(plan, one.region)
    policy = plan.estate.policy
    standing = dict(plan.baseline)
    for stage in one.drain:
        yield f"   out    {_stage(stage)}{_flips(stage, standing)}"
    yield from _layers(plan, one)
    for duty, to in sorted(one.duties_to.items()):
        yield f"   duty   {duty} goes to {to}"
    yield f"   empty  both sides quiet for {words.span(policy.quiet_ms)}"
    for step in steps:
        yield f"   work   {_step(step)}"
    if not steps:
        yield "   work   none"
    expect = next(
        w.expect_version for w in plan.change.regions if w.region == one.region
    )
    version = f" of version {expect}" if expect else ""
    yield f"   probe  {policy.probe_streak} good answers in a row{version}"
    for stage in one.ramp:
        yield f"   back   {_stage(stage)}, under the gate{_flips(stage, standing)}"
    for service in steps_of.all_or_nothing(plan, one):
        yield f"   steps  {service} has on/off dials alone: all or nothing, so this"
        yield "          pass makes no stop in between (policy.drain, policy.ramp)"
    yield f"   soak   {words.span(policy.soak_ms)}"
    yield f"   times  {_limits(plan, steps)}"


def _layers(plan: Plan, one: PassPlan) -> Iterator[str]:
    """In which order a service's dials leave the region, and what is waited for."""
    limit = words.span(plan.estate.policy.connections_limit_ms)
    for service in plan.estate.moving():
        outer = [dial.name for dial in steering.outer(service)]
        if not outer or not service.shares.get(one.region):
            continue
        inner, last = service.dials[len(outer)].name, outer[-1]
        seen = plan.measured.connected if plan.measured else {}
        count = seen.get(service.name, {}).get(one.region)
        users = "users' connections" + ("" if count is None else f" ({count} now)")
        counted = any(meter.connections for meter in service.meters)
        then = (
            f"before {last} goes, {users} have {limit} to end"
            if counted and len(outer) > 1
            else f"{users} that are open when {last} goes are not waited for: a route "
            "that moves resets them"
        )
        yield from wrap(
            f"{service.name}: {inner} serves its users elsewhere, then "
            f"{', then '.join(outer)} {_lead(outer)} there; back the other way; {then}",
            WIDTH,
            initial_indent="   order  ",
            subsequent_indent=" " * 10,
        )


def _lead(outer: Sequence[str]) -> str:
    return "leads nobody" if len(outer) == 1 else "lead nobody"


def _stage(stage: Stage) -> str:
    many = len(stage.served) > 1
    rows = [
        f"{service} {_row(row)}" if many else _row(row)
        for service, row in sorted(stage.served.items())
    ]
    return f"{words.short_share(stage.share_bp):>5}  {'; '.join(rows)}"


def _flips(stage: Stage, standing: dict[str, Setting]) -> str:
    """Which on/off dials the stage turns; what stands is brought up to it."""
    turned = [
        f"{dial} {'on' if on else 'off'} for {region}"
        for dial, region, on in steps_of.flips(stage, standing)
    ]
    standing |= {move.dial: move.setting for move in stage.moves}
    return f"; {', '.join(turned)}" if turned else ""


def _row(row: Row) -> str:
    return ", ".join(f"{region} {percent(share)}" for region, share in row.items())


def _step(step: WorkStep) -> str:
    undo = "can be undone" if step.undo else "ONE-WAY: cannot be undone"
    stop = {
        Interrupt.BETWEEN: "not stopped once it runs",
        Interrupt.SIGNAL: "may be stopped",
        Interrupt.NEVER: "never stopped",
    }[step.interrupt]
    limit = words.span(step.limit_ms)
    return f"{step.name} ({step.ref.driver}, at most {limit}, {stop}, {undo})"


def _limits(plan: Plan, steps: tuple[WorkStep, ...]) -> str:
    policy = plan.estate.policy
    work = sum(step.limit_ms for step in steps)
    back = words.span(
        policy.return_time_ms + max((s.limit_ms for s in steps), default=0)
    )
    return (
        f"out for at most {words.span(policy.absence_ms)} (work at most "
        f"{words.span(work)}); could serve again within {back}"
    )


def _capacity(plan: Plan) -> Iterator[str]:
    limit = plan.estate.policy.headroom_bp
    if plan.measured is None:
        yield f"capacity   not read (offline); limit {percent(limit)}"
        return
    for one in sorted(plan.measured.capacity, key=lambda c: (c.service, c.region)):
        full = "  TOO FULL" if one.filled_bp > limit else ""
        yield (
            f"capacity   {one.region} {one.service}: {one.load_rps} of "
            f"{one.capacity_rps} requests/s, {percent(one.filled_bp)} at its "
            f"fullest (limit {percent(limit)}){full}"
        )


def _dials(able: Mapping[str, Abilities]) -> Iterator[str]:
    for name, one in sorted(able.items()):
        dead = (
            "its writes expire by themselves"
            if one.lease
            else "no lease: with every controller dead it stays as it is (fails static)"
        )
        fence = words.fence(one.fence)
        steps = f"{one.kind.value} in steps of {percent(one.granularity_bp)}"
        if one.kind is DialKind.SWITCH:
            steps = f"{one.kind.value}, on or off"
        settles = f"settles within {one.propagation_ms} ms"
        yield f"dial       {name}: {steps}, {settles}, {fence}"
        yield f"           {dead}"
        if one.caching is not None:
            yield from _cached(one.caching)


def _cached(one: Caching) -> Iterator[str]:
    """When the last cached answer can die."""
    usual, low = words.span(one.usual_ms), words.span(one.low_ms)
    if one.low_ms >= one.usual_ms:
        yield f"           the last cached answer dies {usual} after it moved"
        return
    ahead = words.span(one.usual_ms - one.low_ms)
    yield (
        f"           caches keep its answers for {usual}; that is lowered to {low}, "
        f"{ahead} before"
    )
    yield (
        f"           a drain, and restored after the return: the last cached answer "
        f"dies {low}"
    )
    yield "           after it moved; what ignores lifetimes shows in the meters"


def _policy(plan: Plan) -> Iterator[str]:
    policy, gate = plan.estate.policy, plan.estate.policy.gate
    yield (
        f"guards     {policy.serving} serving besides it, blind for at most "
        f"{words.span(policy.blind_limit_ms)}"
    )
    yield (
        f"gate       at most {percent(gate.blast_bp)} of all traffic harmed, errors "
        f"under {percent(gate.absolute_error_bp)}, promote at {gate.promote_odds}:1, "
        f"back at {gate.rollback_odds}:1"
    )
