"""Meters `ss` and `conntrack`: who is connected, against the real kernel."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dayshift.drivers.base import Meter
from dayshift.drivers.meters import flows
from dayshift.drivers.meters.connections import (
    ConnectionsMeter,
    ConntrackMeter,
    SsMeter,
    age_class,
)
from dayshift.errors import DriverFault, DriverRetry
from dayshift.model.evidence import MeterReading, Residue
from tests.conformance.rigs import context, with_meter
from tests.kit.daemons import eventually, need

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs namespaces")


class Made:
    """A rig around one meter."""

    def __init__(self, meter: Meter) -> None:
        self.meter = lambda: meter


def made(kind: type[ConnectionsMeter], place: Path, **options: Any) -> Made:
    return Made(kind("edge", options, context(place)))


def read(rig: Any, region: str = "fra") -> MeterReading:
    return with_meter(rig, lambda meter: meter.read(region))


class Edge:
    """One listening socket and who is connected to it."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.way = f"127.0.0.1:{self.server.getsockname()[1]}"
        self.held: list[socket.socket] = []

    def connect(self, source: str) -> socket.socket:
        client = socket.create_connection(
            self.server.getsockname(), timeout=10, source_address=(source, 0)
        )
        self.held += [client, self.server.accept()[0]]
        return client

    def close(self) -> None:
        for one in (*self.held, self.server):
            one.close()


@pytest.fixture
def edge() -> Iterator[Edge]:
    need("ss", "iproute2")
    found = Edge()
    yield found
    found.close()


def test_who_is_connected_and_what_they_are(tmp_path: Path, edge: Edge) -> None:
    place = {"ways": [edge.way], "classes": {"survivor": ["127.0.0.8/29"]}}
    rig = made(SsMeter, tmp_path, regions={"fra": place})
    assert (read(rig).in_flight, read(rig).connections) == (0, 0)
    user = edge.connect("127.0.0.2")
    edge.connect("127.0.0.9")
    first = read(rig)
    assert (first.in_flight, first.connections, first.requests) == (1, 1, 1)
    assert first.ignored == {"survivor": 1}
    assert set(first.residue) == {
        Residue("127.0.0.2", f"user, under 1 min, by {edge.way}", 1),
        Residue("127.0.0.9", f"survivor, under 1 min, by {edge.way}", 1),
    }
    assert read(rig).requests == 1  # an idle connection is not a new user …
    user.sendall(b"still here")
    eventually(lambda: read(rig).requests == 2, "who speaks again is counted again")
    user.close()
    edge.held[1].close()
    eventually(lambda: read(rig).in_flight == 0, "who left is not in flight")


def test_other_ways_in_are_nobody(tmp_path: Path, edge: Edge) -> None:
    edge.connect("127.0.0.2")
    port = edge.way.rpartition(":")[2]
    for way, seen in ((edge.way, 1), (f"*:{port}", 1), (f"127.0.0.7:{port}", 0)):
        rig = made(SsMeter, tmp_path, regions={"fra": {"ways": [way]}})
        assert read(rig).in_flight == seen


@ROOT
def test_what_the_kernel_tracks(tmp_path: Path) -> None:
    """In a network of its own, with one flow put into its table."""
    need("conntrack", "conntrack", "/usr/sbin")
    inside = subprocess.Popen(["unshare", "-n", "sleep", "600"])
    try:
        mine = Path("/proc/self/ns/net").readlink()
        theirs = Path(f"/proc/{inside.pid}/ns/net")
        eventually(lambda: theirs.readlink() != mine, "a network of its own")
        enter = ["nsenter", "-t", str(inside.pid), "-n"]
        rig = made(
            ConntrackMeter,
            tmp_path,
            regions={"fra": {"ways": ["10.0.0.1:443"]}},
            command=[*enter, *flows.CONNTRACK],
        )
        assert read(rig).connections == 0
        flow = "-s 192.0.2.7 -d 10.0.0.1 --sport 5000 --dport 443 --state ESTABLISHED"
        added = [*enter, "conntrack", "-I", "-p", "tcp", *flow.split(), "-t", "600"]
        subprocess.run(added, check=True, capture_output=True)
        found = read(rig)
        assert (found.in_flight, found.residue[0].client) == (1, "192.0.2.7")
        assert found.residue[0].kind == "user, under 1 min, by 10.0.0.1:443"
    finally:
        inside.kill()
        inside.wait()


def test_a_listing_that_fails_is_blind_and_not_empty(tmp_path: Path) -> None:
    place = {"fra": {"ways": ["*:1"]}}
    for command, error in (
        ([shutil.which("false")], DriverRetry),
        (["/nowhere/ss"], DriverFault),
        ([shutil.which("sleep"), "60"], DriverRetry),
    ):
        with pytest.raises(error):
            read(made(SsMeter, tmp_path, regions=place, command=command))
    with pytest.raises(DriverFault, match="does not see"):
        read(made(SsMeter, tmp_path, regions=place), "ber")


def test_lines_of_ss_and_conntrack() -> None:
    lines = [
        "0 0 [::ffff:10.0.0.1]:443 [::ffff:192.0.2.1]:5000 timer:(keepalive,9sec,0)",
        "\t ts sack bytes_received:77 lastrcv:9",
        "0 0 [2001:db8::1]:443 [2001:db8::2]:6000",
        "0 0 10.0.0.1%eth0:80 192.0.2.3:7000",
    ]
    assert [(one.client, one.way, one.moved) for one in flows.of_ss(lines)] == [
        ("192.0.2.1", "10.0.0.1:443", 77),
        ("2001:db8::2", "2001:db8::1:443", 0),
        ("192.0.2.3", "10.0.0.1:80", 0),
    ]
    tracked = [
        "ipv4 2 tcp 6 431999 ESTABLISHED src=192.0.2.1 dst=10.0.0.1 sport=5000 "
        "dport=443 packets=9 bytes=900 src=10.0.0.1 dst=192.0.2.1 sport=443 "
        "dport=5000 packets=7 bytes=700 [ASSURED] mark=0 use=1",
        "conntrack v1.4.7 (conntrack-tools): 1 flow entries have been shown.",
    ]
    (one,) = flows.of_conntrack(tracked)
    assert (one.client, one.client_port, one.way, one.moved) == (
        "192.0.2.1",
        5000,
        "10.0.0.1:443",
        9,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"ways": []},
        {"ways": ["10.0.0.1"]},
        {"ways": ["host:443"]},
        {"ways": ["*:1"], "classes": {"probe": []}},
        {"ways": ["*:1"], "classes": {"probe": ["here"]}},
        {"ways": ["*:1"], "more": 1},
    ],
)
def test_options_are_strict(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SsMeter.Options.model_validate({"regions": {"fra": wrong}})
    with pytest.raises(ValidationError):
        SsMeter.Options.model_validate(
            {"regions": {"fra": {"ways": ["*:1"]}}, "command": "ss -t"}
        )


def test_ages() -> None:
    assert [age_class(one) for one in (0, 59_999, 60_000, 600_000)] == [
        "under 1 min",
        "under 1 min",
        "under 10 min",
        "older",
    ]
