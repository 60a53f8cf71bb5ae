"""Builds the simulated estate of a plan: any services, dials, meters, duties and work.

What the plan does not say (the load, how long work takes, how many instances a dial
has) is drawn from the seed, within what the plan allows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from dayshift.core import fences
from dayshift.drivers.base import Dial
from dayshift.limits import FULL_BP
from dayshift.model.estate import Disposition, RegionWork, Service
from dayshift.model.plan import Plan
from dayshift.model.units import Clock
from dayshift.rehearsal import agents
from dayshift.rehearsal.agents import SimulatedAgent
from dayshift.rehearsal.clock import VirtualClock
from dayshift.rehearsal.devices import SimulatedDial
from dayshift.rehearsal.history import History
from dayshift.rehearsal.machine import Machine
from dayshift.rehearsal.meters import SimulatedMeter, SimulatedProbe
from dayshift.rehearsal.parts import (
    SimulatedBracket,
    SimulatedDuty,
    SimulatedNotify,
    SimulatedWorker,
)
from dayshift.rehearsal.world import Device, World
from dayshift.runtime.wiring import Drivers

FULLNESS_PERMILLE = 800
"""Without measured values: so full of what the policy allows is the fullest region."""
WORK_PERMILLE = (100, 700)
"""Work takes so much of its limit."""
COLD_MS_MAX = 60_000


@dataclass
class Stage:
    """Everything of one simulated estate, by name."""

    plan: Plan
    clock: Clock
    world: World
    history: History
    dials: dict[str, SimulatedDial]
    meters: dict[tuple[str, str], SimulatedMeter]
    probes: dict[tuple[str, str], SimulatedProbe]
    workers: dict[tuple[str, str], SimulatedWorker]
    duties: dict[str, SimulatedDuty]
    brackets: dict[str, SimulatedBracket]
    notify: dict[str, SimulatedNotify]
    agents: dict[str, SimulatedAgent]

    def drivers(self, machine: Machine) -> Drivers:
        """Everything, straight, for the controller on `machine`; dials behind agents
        as it reaches them."""
        dials: dict[str, Dial] = dict(self.dials)
        estate = self.plan.estate
        for spec in fences.dials(estate):
            if spec.agents:
                dials[spec.name] = agents.remote(spec, estate, self.agents, machine)
        return Drivers(
            dials=dials,
            meters=dict(self.meters),
            probes=dict(self.probes),
            workers=dict(self.workers),
            duties=dict(self.duties),
            brackets=dict(self.brackets),
            notify=dict(self.notify),
        )

    def regions(self) -> tuple[str, ...]:
        return self.plan.estate.region_names()

    def now_ms(self) -> int:
        return self.clock.now().mono_ms

    def set_up(self, region: str, up: bool, why: str = "weather") -> None:
        """A region stops serving, or serves again."""
        for place in self.world.every(region):
            place.up, place.why = up, "" if up else why
            if up:
                place.restart()
        self.history.note(self.now_ms(), "up" if up else "down", region)

    def final(self) -> dict[str, Any]:
        """How everything stands now, in plain values."""
        return {
            "dials": {
                name: [msgspec.to_builtins(one.setting) for one in dial.devices]
                for name, dial in self.dials.items()
            },
            "versions": {
                region: sorted({one.version for one in self.world.every(region)})
                for region in self.regions()
            },
            "duties": {name: list(one.held) for name, one in self.duties.items()},
            "cached": sorted(
                name
                for name, dial in self.dials.items()
                if any(one.lifetime_ms < one.usual_ms for one in dial.devices)
            ),
            "brackets": {name: one.open for name, one in self.brackets.items()},
        }


def build(plan: Plan, clock: VirtualClock, draw: random.Random, folder: Path) -> Stage:
    """The estate of `plan` as it stands before the run.

    Args:
        folder: where agents keep what must survive them.
    """
    estate, history = plan.estate, History()
    devices = _devices(plan)
    noise = random.Random(draw.getrandbits(32))
    load = {one.name: load_rps(plan, one) for one in estate.services}
    world = World(clock, estate.services, load, devices, history, noise)
    world.cold_ms = min(COLD_MS_MAX, estate.policy.gate.warmup_ms * 2 // 3)
    for service in estate.services:
        _furnish(service, plan, world)
    dials = {
        spec.name: SimulatedDial(spec.name, world, spec.kind)
        for spec in fences.dials(estate)
    }
    return Stage(
        plan,
        clock,
        world,
        history,
        dials,
        {
            (one.name, m.name): SimulatedMeter(
                m.name, world, one.name, m.side, m.every_ms, m.connections
            )
            for one in estate.services
            for m in one.meters
        },
        {
            (one.name, p.name): SimulatedProbe(p.name, world, one.name)
            for one in estate.services
            for p in one.probes
        },
        dict(_workers(plan, world, draw)),
        {
            one.name: SimulatedDuty(one.name, one.regions, world)
            for one in estate.duties
        },
        {one.name: SimulatedBracket(one.name, world) for one in estate.brackets},
        {one.name: SimulatedNotify(one.name, world) for one in estate.notify},
        agents.build(estate, clock, folder / "agents", dials, history),
    )


def _devices(plan: Plan) -> dict[str, list[Device]]:
    """The instances of every dial, as they stand before the run."""
    return {
        spec.name: [
            Device(
                spec.name,
                name,
                plan.baseline[spec.name],
                lifetime_ms=int(spec.ref.options.get("lifetime_ms", 0)),
            )
            for name in _instances(spec.ref.options)
        ]
        for spec in fences.dials(plan.estate)
    }


def _instances(options: dict[str, object]) -> list[str]:
    """Their names where the driver lists them, else two: one never shows a half."""
    listed = options.get("instances")
    if isinstance(listed, list) and listed:
        return [f"{number + 1}" for number in range(len(listed))]
    return ["1", "2"]


def load_rps(plan: Plan, service: Service) -> int:
    """The users of a service: as measured, or what its fullest region can just take."""
    measured = plan.measured.load_rps.get(service.name) if plan.measured else None
    if measured and sum(measured.values()):
        return sum(measured.values())
    fits = []
    for region, rps in service.capacity_rps.items():
        most = max([service.shares.get(region, 0), *_shares(plan, service, region)])
        if rps and most:
            fits.append(rps * plan.estate.policy.headroom_bp // most)
    return max(1, min(fits, default=1_000) * FULLNESS_PERMILLE // 1000)


def _shares(plan: Plan, service: Service, region: str) -> Iterator[int]:
    for one in plan.passes:
        for stage in (*one.drain, *one.forwarded, *one.ramp):
            if service.name in stage.served:
                yield stage.served[service.name].get(region, 0)


def _furnish(service: Service, plan: Plan, world: World) -> None:
    """Versions, our own probes and what else is declared to reach a region."""
    for region in service.shares:
        place = world.place(service.name, region)
        place.version = "before"
        place.slow_ms = max(
            [400, *(us // 500 for us in plan.estate.policy.gate.slow_us)]
        )
        for rule in service.residue:
            steady = rule.disposition in (Disposition.EXPECTED, Disposition.ACCEPTED)
            if rule.kind == "probe":
                place.probe_rps = 0
            elif steady and rule.ceiling_rpm:
                place.residue_rpm[rule.kind] = max(1, rule.ceiling_rpm // 2)
        for gauge in plan.estate.policy.gate.gauges:
            place.gauges[gauge.name] = gauge.most_milli // 3


def _workers(
    plan: Plan, world: World, draw: random.Random
) -> Iterator[tuple[tuple[str, str], SimulatedWorker]]:
    for work in plan.change.regions:
        restarts = draw.random() < 0.5
        for number, step in enumerate(work.steps):
            ms = step.limit_ms * draw.randint(*WORK_PERMILLE) // 1000
            yield (
                (work.region, step.name),
                SimulatedWorker(
                    step,
                    work.region,
                    world,
                    max(1_000, ms),
                    number == len(work.steps) - 1,
                    _version(work),
                    restarts,
                ),
            )


def _version(work: RegionWork) -> str:
    return work.expect_version or "after"


def spare_bp(plan: Plan) -> int:
    """How much more traffic the fullest moment of the plan could take, basis points."""
    room = []
    for service in plan.estate.moving():
        load = load_rps(plan, service)
        for region, rps in service.capacity_rps.items():
            most = max([0, *_shares(plan, service, region)])
            if rps and most and load:
                room.append(rps * FULL_BP // max(1, load * most // FULL_BP))
    return min(room, default=FULL_BP) - FULL_BP
