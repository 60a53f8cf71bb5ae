"""What the suites need from each kind of dial and meter: to build and to hurt it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, Protocol, TypeVar

from dayshift.drivers.base import Context, Dial, Meter
from dayshift.drivers.dials.envoy import EnvoyDial
from dayshift.drivers.meters.envoy import EnvoyMeter
from dayshift.model.dial import ALL, Claim, Setting, Token, split
from dayshift.runtime.clock import RealClock
from tests.kit.envoys import Envoy, Envoys, routes
from tests.kit.memory import DialLie, MemoryDial, MemoryMeter, MeterLie, World

T = TypeVar("T")
REGIONS = ("fra", "ber")


def context(place: Path) -> Context:
    return Context(
        "demo", place, place, RealClock(), lambda ref: ref, lambda text: text
    )


def row(fra: int) -> Setting:
    return split({"fra": fra, "ber": 10_000 - fra})


def claim(seq: int, epoch: int = 1, journal: str = "j1", estate: str = "demo") -> Claim:
    return Claim(estate, journal, epoch, seq)


def token(mine: Claim, expected: Claim | None = None, *serving: str) -> Token:
    return Token(mine, serving or REGIONS, expected)


class DialRig(Protocol):
    """A dial over fra and ber with two instances, at 50 : 50, never claimed."""

    granularity_bp: int
    lease_ms: int

    def dial(self) -> Dial: ...

    def row(self, fra: int) -> Setting:
        """The setting of this kind of dial that comes closest to fra's share; exact for
        none, half and all."""
        ...

    def restart(self) -> None: ...

    def stop(self, instance: int) -> None: ...

    def start(self, instance: int) -> None: ...

    def tamper(self, instance: int, setting: Setting) -> None:
        """Somebody else changes one instance and leaves the claim."""
        ...


class MeterRig(Protocol):
    """A meter of fra and ber with a class `probe` that is no user; `timed` if it counts
    by latency."""

    timed: bool

    def meter(self) -> Meter: ...

    def send(
        self, region: str, count: int, path: str = "/", probe: bool = False
    ) -> None:
        """Requests one after the other; `/error` is answered with an error."""
        ...

    @contextmanager
    def slow(self, region: str) -> Iterator[None]:
        """Inside, one user request is on its way."""
        ...

    def restart(self, region: str) -> None: ...

    def stop(self, region: str) -> None: ...

    def start(self, region: str) -> None: ...


def with_dial(rig: DialRig, program: Callable[[Dial], Awaitable[T]]) -> T:
    """Run `program` with a dial of its own, as a fresh process would have."""

    async def run() -> T:
        dial = rig.dial()
        try:
            return await program(dial)
        finally:
            await dial.close()

    return asyncio.run(run())


def with_meter(rig: MeterRig, program: Callable[[Meter], Awaitable[T]]) -> T:
    async def run() -> T:
        meter = rig.meter()
        try:
            return await program(meter)
        finally:
            await meter.close()

    return asyncio.run(run())


class SplitRig:
    """Rows of a split in steps of `granularity_bp`."""

    granularity_bp = 1
    lease_ms = 1_000

    def row(self, fra: int) -> Setting:
        return row(fra // self.granularity_bp * self.granularity_bp)


class MemoryDialRig(SplitRig):
    def __init__(self, lease: bool) -> None:
        self._lease = lease
        self._world = World(RealClock(), {"fra": 5000, "ber": 5000}, 0, instances=2)

    def dial(self) -> Dial:
        dial = MemoryDial("entry", self._world, self._lease)
        if not any(one.up for one in self._world.devices):
            dial.lie(DialLie.UNREACHABLE)
        return dial

    def restart(self) -> None:
        """What a device in memory knows is what a real one keeps on disk."""

    def stop(self, instance: int) -> None:
        self._world.devices[instance].up = False

    def start(self, instance: int) -> None:
        self._world.devices[instance].up = True

    def tamper(self, instance: int, setting: Setting) -> None:
        self._world.devices[instance].setting = setting


class EnvoyDialRig(SplitRig):
    """Two entries; a rig starts from the operator's own file."""

    def __init__(self, envoys: Envoys) -> None:
        self.envoys = envoys
        for entry, one in enumerate(envoys.entries):
            self.put(entry, routes(REGIONS))
            one.start()
            self.wait_for(entry, "by-hand")

    def dial(self) -> Dial:
        place = self.envoys.place
        return EnvoyDial("entry", self.envoys.dial_options(), context(place))

    def restart(self) -> None:
        for one in self.envoys.entries:
            one.restart()

    def stop(self, instance: int) -> None:
        self.envoys.entries[instance].stop()

    def start(self, instance: int) -> None:
        self.envoys.entries[instance].start()

    def tamper(self, instance: int, setting: Setting) -> None:
        document = json.loads(self.envoys.rds_file(instance).read_text())
        reloads = self._reloads(instance)
        for one in document["resources"][0]["virtual_hosts"][0]["routes"]:
            for cluster in (
                one.get("route", {}).get("weighted_clusters", {}).get("clusters", [])
            ):
                region = cluster["name"].removeprefix("region_")
                cluster["weight"] = setting.rows[ALL][region]
        self.put(instance, document)
        _until(lambda: self._reloads(instance) > reloads)

    def put(self, entry: int, document: dict[str, Any]) -> None:
        """What an operator's own tool does: a new file in the place of the old one."""
        path = self.envoys.rds_file(entry)
        temp = path.with_suffix(".tmp")
        temp.write_text(json.dumps(document))
        temp.rename(path)

    def wait_for(self, entry: int, version: str) -> None:
        page = "/stats?filter=rds.entry.version_text"
        _until(lambda: f'"{version}"' in self.envoys.entries[entry].get(page))

    def _reloads(self, entry: int) -> int:
        text = self.envoys.entries[entry].get("/stats?filter=rds.entry.config_reload$")
        return int(text.split(":")[1])


class MemoryMeterRig:
    timed = True

    def __init__(self) -> None:
        self._world = World(RealClock(), {"fra": 5000, "ber": 5000}, 0)
        self._meter = MemoryMeter("edge", self._world)

    def meter(self) -> Meter:
        return self._meter

    def send(
        self, region: str, count: int, path: str = "/", probe: bool = False
    ) -> None:
        place = self._world[region]
        place.error_ppm = 1_000_000 if path == "/error" else 0
        self._world.send(region, count, probe)

    @contextmanager
    def slow(self, region: str) -> Iterator[None]:
        self._world[region].stuck += 1
        yield
        self._world[region].stuck -= 1
        self._world.send(region, 1)

    def restart(self, region: str) -> None:
        self._world[region].restart()

    def stop(self, region: str) -> None:
        self._meter.lie(MeterLie.BLIND, region)

    def start(self, region: str) -> None:
        self._meter.be_honest()


class EnvoyMeterRig:
    timed = True

    def __init__(self, envoys: Envoys) -> None:
        self.envoys = envoys

    def meter(self) -> Meter:
        return EnvoyMeter(
            "edge", self.envoys.edge_options(), context(self.envoys.place)
        )

    def send(
        self, region: str, count: int, path: str = "/", probe: bool = False
    ) -> None:
        for _ in range(count):
            get(self.envoys.edge_ports[region], path, probe)

    @contextmanager
    def slow(self, region: str) -> Iterator[None]:
        port = self.envoys.edge_ports[region]
        late = {"x-envoy-fault-delay-request": "600"}
        thread = Thread(target=get, args=(port, "/", False, late))
        thread.start()
        time.sleep(0.2)
        yield
        thread.join()

    def restart(self, region: str) -> None:
        self.edge(region).restart()

    def stop(self, region: str) -> None:
        self.edge(region).stop()

    def start(self, region: str) -> None:
        self.edge(region).start()

    def edge(self, region: str) -> Envoy:
        return self.envoys.edges[region]


def get(
    port: int,
    path: str = "/",
    probe: bool = False,
    headers: dict[str, str] | None = None,
) -> int:
    """One request on a connection of its own; its status."""
    marked = {"x-dayshift-probe": "1"} if probe else {}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers={**marked, **(headers or {})}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code


def _until(holds: Callable[[], bool], limit_s: float = 5) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
