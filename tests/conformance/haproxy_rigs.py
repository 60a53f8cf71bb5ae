"""The suites against real HAProxys: both ways, in process and behind agents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

from dayshift.drivers.agents.dial import RemoteDial
from dayshift.drivers.agents.link import AgentLink
from dayshift.drivers.base import Dial, Meter
from dayshift.drivers.dials.haproxy import HaproxyDial
from dayshift.drivers.meters.haproxy import HaproxyMeter
from dayshift.model.dial import ALL, DialKind, Setting
from dayshift.runtime.clock import RealClock
from tests.conformance.rigs import SplitRig, context, get
from tests.kit.agents import AgentProcess, Authority
from tests.kit.daemons import eventually
from tests.kit.haproxies import Haproxys

DIALS = 60
"""Each rig takes a dial of its own, that no journal has claimed at the agents yet."""


def drawn_options(haproxys: Haproxys) -> dict[str, Any]:
    instances = [
        {"name": one.place.name, "socket": str(one.socket), "file": str(one.map)}
        for one in haproxys.entries
    ]
    return {"instances": instances, "map": {"fra": "be_fra", "ber": "be_ber"}}


def weighed_options(haproxys: Haproxys) -> dict[str, Any]:
    instances = [
        {"name": one.place.name, "socket": str(one.socket), "file": str(one.state)}
        for one in haproxys.entries
    ]
    servers = {"fra": "fra", "ber": "ber"}
    return {"instances": instances, "backend": "pool", "servers": servers}


class HaproxyRig(SplitRig):
    """Entries as their operator left them, at 50 : 50."""

    def __init__(self, haproxys: Haproxys) -> None:
        self.haproxys = haproxys
        for one in haproxys.entries:
            one.restore()

    def options(self) -> dict[str, Any]:
        raise NotImplementedError

    def dial(self) -> Dial:
        return HaproxyDial("entry", self.options(), context(self.haproxys.place))

    def restart(self) -> None:
        for number, _ in enumerate(self.haproxys.entries):
            self.stop(number)
            self.start(number)

    def stop(self, instance: int) -> None:
        self.haproxys.entries[instance].stop()

    def start(self, instance: int) -> None:
        self.haproxys.entries[instance].start()


class DrawnRig(HaproxyRig):
    """The way `map`."""

    def options(self) -> dict[str, Any]:
        return drawn_options(self.haproxys)

    def tamper(self, instance: int, setting: Setting) -> None:
        """What an operator's own tool does: the running map, and its file."""
        entry = self.haproxys.entries[instance]
        claim = entry.map.read_text().splitlines()[-1]
        lines, start = [], 0
        for region, share in setting.rows[ALL].items():
            if share:
                lines.append(f"{start}:{start + share - 1} be_{region}")
                start += share
        version = entry.ask(f"prepare map {entry.map}").split()[-1]
        for line in (*lines, claim):
            entry.ask(f"add map @{version} {entry.map} {line}")
        entry.ask(f"commit map @{version} {entry.map}")
        entry.map.write_text("".join(f"{line}\n" for line in (*lines, claim)))


class WeighedRig(HaproxyRig):
    """The way `servers`."""

    granularity_bp = 50

    def options(self) -> dict[str, Any]:
        return weighed_options(self.haproxys)

    def tamper(self, instance: int, setting: Setting) -> None:
        for region, share in setting.rows[ALL].items():
            order = f"set server pool/{region} weight {share // 50}"
            self.haproxys.entries[instance].ask(order)


class HaproxyAgents:
    """Two agents, each beside one of the entries, in the way `map`."""

    def __init__(self, haproxys: Haproxys, place: Path) -> None:
        self.place = place
        self.fresh = count()
        authority = Authority(place / "ca")
        options = drawn_options(haproxys)
        self.processes = [
            AgentProcess(
                place / f"agent{number}",
                authority,
                "haproxy",
                {**options, "instances": [one]},
                name=f"edge{number}",
                dials=[f"entry{number}" for number in range(DIALS)],
            )
            for number, one in enumerate(options["instances"])
        ]
        self.specs = [one.spec() for one in self.processes]


@contextmanager
def agents_beside(haproxys: Haproxys, place: Path) -> Iterator[HaproxyAgents]:
    """Agents beside these HAProxys."""
    agents = HaproxyAgents(haproxys, place)
    try:
        for one in agents.processes:
            one.start()
        yield agents
    finally:
        for one in agents.processes:
            one.stop()


class RemoteHaproxyRig(DrawnRig):
    """Agents come and go with their HAProxys: what stops is the whole machine."""

    def __init__(self, haproxys: Haproxys, agents: HaproxyAgents) -> None:
        super().__init__(haproxys)
        self.agents = agents
        self.name = f"entry{next(agents.fresh)}"
        for one in agents.processes:
            one.start()

    def dial(self) -> Dial:
        where = context(self.agents.place)
        links = [AgentLink(one, where) for one in self.agents.specs]
        return RemoteDial(self.name, DialKind.SPLIT, links, RealClock())

    def stop(self, instance: int) -> None:
        super().stop(instance)
        self.agents.processes[instance].stop()

    def start(self, instance: int) -> None:
        super().start(instance)
        self.agents.processes[instance].start()


class HaproxyMeterRig:
    """The regions' own HAProxys, which time nothing that is a count."""

    timed = False

    def __init__(self, haproxys: Haproxys) -> None:
        self.haproxys = haproxys

    def meter(self) -> Meter:
        regions = {
            name: {
                "socket": str(one.socket),
                "users": "users",
                "ignored": {"probe": "probes"},
            }
            for name, one in self.haproxys.edges.items()
        }
        return HaproxyMeter("edge", {"regions": regions}, context(self.haproxys.place))

    def send(
        self, region: str, count: int, path: str = "/", probe: bool = False
    ) -> None:
        for _ in range(count):
            get(self.haproxys.edges[region].port, path, probe)

    @contextmanager
    def slow(self, region: str) -> Iterator[None]:
        edge = self.haproxys.edges[region]
        thread = Thread(target=get, args=(edge.port, "/slow"))
        thread.start()
        eventually(lambda: self._sessions(region) == 1, "the request is on its way")
        yield
        thread.join()
        eventually(lambda: self._sessions(region) == 0, "the request is counted")

    def _sessions(self, region: str) -> int:
        table = self.haproxys.edges[region].ask("show stat").splitlines()
        row = next(one for one in table if one.startswith("users,BACKEND,"))
        return int(row.split(",")[4])

    def restart(self, region: str) -> None:
        self.stop(region)
        self.start(region)

    def stop(self, region: str) -> None:
        self.haproxys.edges[region].stop()

    def start(self, region: str) -> None:
        self.haproxys.edges[region].start()
