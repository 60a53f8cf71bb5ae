"""Chooses drivers by name, from entry points, and builds them. Nothing else does.

Others add drivers by declaring entry points in the groups `dayshift.dials`, `.meters`,
`.probes`, `.workers`, `.duties`, `.brackets` and `.notify`. Stores (`dayshift.stores`)
are only checked here: `journal.stores` builds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel

from dayshift.drivers import base
from dayshift.drivers.agents.dial import RemoteDial
from dayshift.drivers.agents.link import AgentLink
from dayshift.errors import Bug
from dayshift.model.estate import Change, DialSpec, DriverRef, Estate

KINDS = (
    "dials",
    "meters",
    "probes",
    "workers",
    "duties",
    "brackets",
    "notify",
    "stores",
)


@dataclass
class Drivers:
    """Every driver of one estate (and of one change), ready to use.

    Meters and probes are keyed by (service, name), workers by (region, step). `agents`
    are asked who they are; dials have links of their own.
    """

    dials: dict[str, base.Dial] = field(default_factory=dict)
    meters: dict[tuple[str, str], base.Meter] = field(default_factory=dict)
    probes: dict[tuple[str, str], base.Probe] = field(default_factory=dict)
    workers: dict[tuple[str, str], base.Worker] = field(default_factory=dict)
    duties: dict[str, base.DutyDriver] = field(default_factory=dict)
    brackets: dict[str, base.BracketDriver] = field(default_factory=dict)
    notify: dict[str, base.Notify] = field(default_factory=dict)
    agents: dict[str, AgentLink] = field(default_factory=dict)

    async def close(self) -> None:
        """Let go of connections."""
        for dial in self.dials.values():
            await dial.close()
        for meter in self.meters.values():
            await meter.close()
        for probe in self.probes.values():
            await probe.close()
        for agent in self.agents.values():
            await agent.close()


@cache
def available(kind: str) -> Mapping[str, EntryPoint]:
    """The drivers of one kind that are installed, by name."""
    return {one.name: one for one in entry_points(group=f"dayshift.{kind}")}


@cache
def driver_class(kind: str, driver: str) -> Any:
    """The class behind a driver's name.

    Raises:
        Bug: the loader let an unknown driver through.
    """
    try:
        return available(kind)[driver].load()
    except KeyError:
        raise Bug(f"no driver {driver} of kind {kind}") from None


def options_of(kind: str, driver: str) -> type[BaseModel] | None:
    """The model of a driver's options, or None when there is no such driver."""
    if driver not in available(kind):
        return None
    options: type[BaseModel] = driver_class(kind, driver).Options
    return options


def _remote(dial: DialSpec, estate: Estate, context: base.Context) -> base.Dial:
    """A dial behind agents: which driver steers it stands in their own files."""
    links = [
        AgentLink(one, context) for one in estate.agents if one.name in dial.agents
    ]
    return RemoteDial(dial.name, dial.kind, links, context.clock)


def wire(estate: Estate, change: Change | None, context: base.Context) -> Drivers:
    """Build every driver that the estate and the change name."""

    def build(kind: str, name: str, ref: DriverRef, **more: object) -> Any:
        known = driver_class(kind, ref.driver)
        options = known.Options.model_validate({**ref.options, **more})
        return known(name, options, context)

    drivers = Drivers()
    for agent in estate.agents:
        drivers.agents[agent.name] = AgentLink(agent, context)
    for service in estate.services:
        for dial in service.dials:
            drivers.dials[dial.name] = (
                _remote(dial, estate, context)
                if dial.agents
                else build("dials", dial.name, dial.ref)
            )
        for meter in service.meters:
            key = (service.name, meter.name)
            drivers.meters[key] = build("meters", meter.name, meter.ref)
        for probe in service.probes:
            key = (service.name, probe.name)
            drivers.probes[key] = build("probes", probe.name, probe.ref)
    for duty in estate.duties:
        drivers.duties[duty.name] = build(
            "duties", duty.name, duty.ref, regions=list(duty.regions)
        )
    for bracket in estate.brackets:
        drivers.brackets[bracket.name] = build("brackets", bracket.name, bracket.ref)
    for channel in estate.notify:
        drivers.notify[channel.name] = build("notify", channel.name, channel.ref)
    for work in change.regions if change else ():
        for step in work.steps:
            built = build("workers", step.name, step.ref)
            drivers.workers[work.region, step.name] = built
    return drivers
