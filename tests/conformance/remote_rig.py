"""The dial suite against real agents: two processes, each beside one real Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from dayshift.drivers.agents.dial import RemoteDial
from dayshift.drivers.agents.link import AgentLink
from dayshift.drivers.base import Dial
from dayshift.model.dial import DialKind
from dayshift.runtime.clock import RealClock
from tests.conformance.rigs import EnvoyDialRig, context
from tests.kit.agents import AgentProcess, Authority
from tests.kit.envoys import Envoys

DIALS = 100
"""Each rig takes a dial of its own, that no journal has claimed at the agents yet."""


class Agents:
    """Two agents that live as long as the suite."""

    def __init__(self, envoys: Envoys, place: Path) -> None:
        self.place = place
        self.fresh = count()
        authority = Authority(place / "ca")
        options = envoys.dial_options()
        self.processes = [
            AgentProcess(
                place / f"agent{i}",
                authority,
                "envoy",
                {**options, "instances": [one]},
                name=f"edge{i}",
                dials=[f"entry{number}" for number in range(DIALS)],
            )
            for i, one in enumerate(options["instances"])
        ]
        self.specs = [one.spec() for one in self.processes]


@contextmanager
def running(envoys: Envoys, place: Path) -> Iterator[Agents]:
    """Agents beside these Envoys."""
    agents = Agents(envoys, place)
    try:
        for one in agents.processes:
            one.start()
        yield agents
    finally:
        for one in agents.processes:
            one.stop()


class RemoteDialRig(EnvoyDialRig):
    """Agents come and go with their Envoys: what stops is the whole machine."""

    def __init__(self, envoys: Envoys, agents: Agents) -> None:
        super().__init__(envoys)
        self.agents = agents
        self.name = f"entry{next(agents.fresh)}"
        for one in agents.processes:
            one.start()

    def dial(self) -> Dial:
        where = context(self.agents.place)
        links = [AgentLink(one, where) for one in self.agents.specs]
        return RemoteDial(self.name, DialKind.SPLIT, links, RealClock())

    def restart(self) -> None:
        super().restart()
        for one in self.agents.processes:
            one.stop()
            one.start()

    def stop(self, instance: int) -> None:
        super().stop(instance)
        self.agents.processes[instance].stop()

    def start(self, instance: int) -> None:
        super().start(instance)
        self.agents.processes[instance].start()
