"""Meter `haproxy`: what it counts and what not, against the real one."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from dayshift.drivers.base import Meter
from dayshift.drivers.meters.haproxy import HaproxyMeter
from dayshift.errors import DriverFault
from dayshift.model.evidence import MeterReading, since
from tests.conformance.haproxy_rigs import DrawnRig, HaproxyMeterRig
from tests.conformance.rigs import context, get, with_meter
from tests.kit.daemons import eventually
from tests.kit.envoys import free_ports
from tests.kit.haproxies import Haproxy, Haproxys

pytestmark = pytest.mark.journey


class Made:
    """A rig around meters of these options."""

    def __init__(self, place: Path, regions: dict[str, Any]) -> None:
        self._place, self._regions = place, regions

    def meter(self) -> Meter:
        return HaproxyMeter("edge", {"regions": self._regions}, context(self._place))


def read(rig: Any, region: str = "fra") -> MeterReading:
    return with_meter(rig, lambda meter: meter.read(region))


def at_entries(haproxys: Haproxys) -> Made:
    """The users' side: one server for each region, at both entries."""
    sockets = [str(one.socket) for one in haproxys.entries]
    regions = {
        name: {"socket": sockets, "users": f"pool/{name}"} for name in ("fra", "ber")
    }
    return Made(haproxys.place, regions)


def test_every_entry_is_counted(haproxys: Haproxys) -> None:
    DrawnRig(haproxys)
    rig = at_entries(haproxys)
    before = {name: read(rig, name) for name in ("fra", "ber")}
    for entry in haproxys.entries:
        for _ in range(10):
            get(entry.weighed)
        get(entry.weighed, "/error")
    grown = [since(one, read(rig, name)) for name, one in before.items()]
    assert all(grown)
    assert sum(one.requests for one in grown if one) == 22
    assert sum(one.errors for one in grown if one) == 2


def test_a_reload_is_a_new_series(haproxys: Haproxys) -> None:
    DrawnRig(haproxys)
    rig = at_entries(haproxys)
    get(haproxys.entries[0].weighed)
    before = read(rig)
    haproxys.entries[0].reload()
    assert since(before, read(rig)) is None


def test_a_backend_that_is_not_there_is_named(haproxys: Haproxys) -> None:
    DrawnRig(haproxys)
    edge = str(haproxys.edges["fra"].socket)
    rig = Made(haproxys.place, {"fra": {"socket": edge, "users": "nix"}})
    with pytest.raises(DriverFault, match="has no 'nix'"):
        read(rig)


class Upgrading:
    """A server that says yes to every upgrade and then keeps silent; `count` is how
    many came for something else, as a check does."""

    def __init__(self) -> None:
        self.count = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._kept: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Upgrading:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.drop()

    def drop(self) -> None:
        """Close what was upgraded, as a region that is leaving does."""
        for one in self._kept:
            one.close()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self._server.accept()
            except OSError:
                return
            if b"Upgrade" not in one.recv(65_536):
                self.count += 1
                with one:
                    one.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                continue
            self._kept.append(one)
            one.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\n"
                b"Connection: Upgrade\r\nUpgrade: chat\r\n\r\n"
            )


def upgraded(port: int) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), timeout=10)
    one.sendall(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n"
    )
    assert b" 101 " in one.recv(4096)
    return one


def test_a_websocket_is_in_flight_and_own_checks_are_nobody(tmp_path: Path) -> None:
    with Upgrading() as checks:
        port = free_ports(1)[0]
        one = Haproxy(
            tmp_path / "h",
            f"frontend edge\n  bind 127.0.0.1:{port}\n  default_backend users\n"
            f"backend users\n  timeout tunnel 1h\n  option httpchk\n"
            f"  server app 127.0.0.1:{checks.port} check inter 50ms fastinter 50ms\n",
        )
        rig = Made(tmp_path, {"fra": {"socket": str(one.socket), "users": "users"}})
        one.start()
        try:
            before = read(rig)
            sockets = [upgraded(port) for _ in range(3)]
            eventually(lambda: read(rig).in_flight == 3, "three are in flight")
            seen = checks.count
            eventually(lambda: checks.count > seen + 2, "HAProxy's checks go on")
            grown = since(before, read(rig))
            assert grown is not None and grown.requests <= 3
            assert read(rig).connections == 3
            for each in sockets:
                each.close()
            checks.drop()
            eventually(lambda: read(rig).in_flight == 0, "they have left")
            ended = since(before, read(rig))
            assert ended is not None and ended.requests == 3
        finally:
            one.stop()


def test_what_nobody_answers_is_an_error_on_either_side(tmp_path: Path) -> None:
    port, dead = free_ports(2)
    one = Haproxy(
        tmp_path / "h",
        f"frontend edge\n  bind 127.0.0.1:{port}\n  default_backend users\n"
        f"backend users\n  server app 127.0.0.1:{dead}\n",
    )
    one.start()
    try:
        for users in ("users", "users/app"):
            place = {"fra": {"socket": str(one.socket), "users": users}}
            rig = Made(tmp_path, place)
            before = read(rig)
            assert get(port) == 503
            grown = since(before, read(rig))
            assert grown is not None and grown.errors == grown.requests >= 1
    finally:
        one.stop()


def test_retries_and_queue_are_levels(haproxys: Haproxys) -> None:
    DrawnRig(haproxys)
    rig = HaproxyMeterRig(haproxys)

    async def check(meter: Meter) -> None:
        first = (await meter.read("fra")).gauges
        assert first["queue"] == 0 and "retries" not in first
        await asyncio.sleep(0.005)  # A rate takes time between two readings.
        assert (await meter.read("fra")).gauges["retries"] == 0

    with_meter(rig, check)
    assert HaproxyMeter.Options.model_validate(
        {"regions": {"fra": {"socket": "s", "users": "u"}}}
    ).gauge_names() == ("queue", "retries", "slots")
