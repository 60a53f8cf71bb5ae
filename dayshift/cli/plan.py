"""`dayshift plan`: the whole run, region by region, before anything moves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from dayshift.cli import files, fitting, looking, placing, say
from dayshift.cli.everywhere import Cli
from dayshift.cli.plan_gate import GateSight, gate_sights
from dayshift.cli.plan_page import lines
from dayshift.core import capacity, proof, review
from dayshift.errors import EXIT_DONE, EXIT_REFUSED, Reason
from dayshift.model.dial import Abilities
from dayshift.model.estate import Estate
from dayshift.model.plan import Capacity, Measured, Plan, Verb
from dayshift.model.sight import Sight
from dayshift.model.units import percent
from dayshift.rehearsal import rehearsed
from dayshift.runtime.naming import controller_name
from dayshift.runtime.session import Workspace, make_plan
from dayshift.surfaces import words


def plan(
    cli: Cli,
    change: Annotated[Path, typer.Argument(help="What to do: a change file.")],
    offline: Annotated[
        bool, typer.Option("--offline", help="Read no meter; no capacity is shown.")
    ] = False,
) -> int:
    """Show what `run` would do: stages, capacity, limits, ways out, and the digest.

    Reads the meters for three seconds, moves nothing, writes nothing. Exit code 5 if
    the plan has a fault or a region that stays could not carry the load.

    Example: `dayshift plan change.yaml`, then have the digest approved.
    """
    workspace = Workspace(cli.base)
    estate = files.load_estate(cli)
    wanted = files.load_change(cli, change, estate)
    made = make_plan(estate, wanted, Verb.MAINTAIN)
    if offline:
        able = asyncio.run(looking.abilities_of(workspace, estate))
    else:
        seen = asyncio.run(looking.look(workspace, estate, wanted))
        able = seen.abilities
        made = replace(made, measured=measure(made, seen.sight))
    sights = gate_sights(made)
    found = (
        *review.faults(made),
        *absence_faults(made),
        *capacity_faults(made, offline),
        *placing.plan_faults(made, able, controller_name(estate)),
        *asyncio.run(fitting.faults(workspace, made, able)),
    )
    if cli.as_json:
        say.document(_document(made, able, sights, found))
    else:
        for line in lines(made, able, sights):
            say.out(line)
        for line in placing.later(made, controller_name(estate)):
            say.out(line)
        say.out(_rehearsed(workspace, made, change))
        for reason in found:
            say.reason(reason, False)
    return EXIT_REFUSED if found else EXIT_DONE


def _rehearsed(workspace: Workspace, made: Plan, change: Path) -> str:
    """When exactly this plan was rehearsed, or how to."""
    last = rehearsed.last(workspace.state_dir, made.digest)
    if last is None:
        return f"rehearsed  never; `dayshift rehearse {change}` does it 200 times"
    broken = f"{last.violations} broke a promise" if last.violations else "none broken"
    return (
        f"rehearsed  {words.dated(last.wall_ms)}: {last.done} of {last.runs} done, "
        f"promises: {broken}"
    )


def _document(
    made: Plan,
    able: dict[str, Abilities],
    sights: tuple[GateSight, ...],
    found: tuple[Reason, ...],
) -> dict[str, object]:
    out: dict[str, object] = {
        "ok": not found,
        "digest": made.digest,
        "plan": made,
        "abilities": able,
        "gate": sights,
        "one_way_doors": review.one_way_doors(made),
    }
    if found:
        out |= {"error": found[0], "errors": found}
    return out


def measure(made: Plan, sight: Sight) -> Measured:
    """How full every region will be at the worst stage of each pass."""
    loads, load_rps = _loads(made.estate, sight)
    worst: dict[tuple[str, str], Capacity] = {}
    for one in made.passes:
        for stage in one.drain:
            for service in made.estate.moving():
                if service.name not in loads or service.name not in stage.served:
                    continue
                row = stage.served[service.name]
                for place in capacity.after(service, row, loads[service.name]):
                    key = (place.service, place.region)
                    known = worst.get(key)
                    if known is None or place.filled_bp > known.filled_bp:
                        worst[key] = place
    connected = _connected(made.estate, sight)
    return Measured(sight.at, load_rps, tuple(worst.values()), connected)


def _connected(estate: Estate, sight: Sight) -> dict[str, dict[str, int]]:
    """Users' connections of each service by region, where a meter counts them."""
    found: dict[str, dict[str, int]] = {}
    policy = estate.policy
    for service in estate.moving():
        for region in service.shares:
            told = proof.told_connected(sight, service, region, policy, policy.fresh_ms)
            if told is not None:
                found.setdefault(service.name, {})[region] = told
    return found


def _loads(
    estate: Estate, sight: Sight
) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """The load of each service, and of each of its regions, as measured."""
    loads: dict[str, int] = {}
    load_rps: dict[str, dict[str, int]] = {}
    for service in estate.moving():
        total = capacity.load_mrps(sight, service, estate.policy.fresh_ms)
        if total is None:
            continue
        loads[service.name] = total
        load_rps[service.name] = {
            region: max(
                (m.mrps for m in sight.place(service.name, region).meters), default=0
            )
            // 1000
            for region in service.shares
        }
    return loads, load_rps


def absence_faults(made: Plan) -> tuple[Reason, ...]:
    """Steps that would be refused once their region is empty: said before it is."""
    limit = made.estate.policy.absence_ms
    return tuple(
        Reason(
            "ABSENCE-LIMIT",
            f"step {step.name} in {work.region} may take {words.span(step.limit_ms)} "
            f"(policy.absence_limit {words.span(limit)})",
            because="invariant: work that would exceed the absence limit is refused",
            so="the region would be drained in vain; nothing moved",
            next="give the step a shorter `limit`, or the policy a longer "
            "`absence_limit`",
        )
        for work in made.change.regions
        for step in work.steps
        if step.limit_ms > limit
    )


def capacity_faults(made: Plan, offline: bool = False) -> tuple[Reason, ...]:
    """Why the regions that stay could not carry the load."""
    if offline:
        return ()
    limit = made.estate.policy.headroom_bp
    seen = made.measured.load_rps if made.measured else {}
    blind = [one.name for one in made.estate.moving() if one.name not in seen]
    out = [_blind(name) for name in blind]
    places = made.measured.capacity if made.measured else ()
    out += [_full(one, limit) for one in places if one.filled_bp > limit]
    return tuple(out)


def _full(one: Capacity, limit_bp: int) -> Reason:
    return Reason(
        "CAPACITY-EXCEEDED",
        f"{one.region} would be at {percent(one.filled_bp)} with {one.service} "
        f"({one.load_rps} of {one.capacity_rps} requests/s; limit {percent(limit_bp)})",
        because="guard `capacity`, policy.headroom",
        so="this plan would be refused now; nothing moved",
        next="shed load or add capacity, or wait for a quieter hour; then plan again",
    )


def _blind(service: str) -> Reason:
    return Reason(
        "BLIND",
        f"the load of {service} is not measured",
        because="guard `meters`: a load that was not measured is not zero",
        so="nobody knows whether the others could carry it; nothing moved",
        next="`dayshift check` says which meter is silent; `--offline` plans without",
    )
