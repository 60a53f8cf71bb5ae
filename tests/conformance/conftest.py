"""One set of real Envoys for the whole suite; every rig brings it back to its start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module

import pytest

from tests.conformance.exec_rig import ExecRig
from tests.conformance.haproxy_rigs import (
    DrawnRig,
    HaproxyAgents,
    HaproxyMeterRig,
    RemoteHaproxyRig,
    WeighedRig,
    agents_beside,
)
from tests.conformance.name_rigs import GdnsdRig, LuaRig, PowerdnsRig, Rfc2136Rig
from tests.conformance.remote_rig import Agents, RemoteDialRig, running
from tests.conformance.rigs import (
    DialRig,
    EnvoyDialRig,
    EnvoyMeterRig,
    MemoryDialRig,
    MemoryMeterRig,
    MeterRig,
)
from tests.conformance.route_rigs import (
    BirdDialRig,
    ExabgpDialRig,
    FrrDialRig,
    GobgpDialRig,
    RouteRig,
)
from tests.kit.anycast import bird_transit, frr_transit
from tests.kit.envoys import Envoys
from tests.kit.haproxies import Haproxys
from tests.kit.names import Bind, Gdnsd, Knot, NameServer, PowerDns, name_servers

JOURNEY = pytest.mark.journey
OTHERS_RIG = os.environ.get("DAYSHIFT_DIAL_RIG", "")
"""`module:Class` of a rig around somebody else's dial: docs/write-your-own-dial.md."""


ALL_DIALS = bool(os.environ.get("DAYSHIFT_ALL_DIALS"))
SLOW = () if ALL_DIALS else ("exabgp", "frr", "gobgp", "powerdns-lua")
"""Their whole suite is for `script/soak`; CI runs what is theirs alone."""


@pytest.fixture(scope="session")
def envoys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoys]:
    """Two entries before two regions."""
    with Envoys(tmp_path_factory.mktemp("envoys"), entries=2) as running:
        yield running


@pytest.fixture(scope="session")
def agents(
    envoys: Envoys, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Agents]:
    """Two agents, each beside one of the entries."""
    with running(envoys, tmp_path_factory.mktemp("agents")) as found:
        yield found


@pytest.fixture(scope="session")
def haproxys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Haproxys]:
    """Two entries before two regions."""
    with Haproxys(tmp_path_factory.mktemp("haproxys")) as running:
        yield running


@pytest.fixture(scope="session")
def haproxy_agents(
    haproxys: Haproxys, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HaproxyAgents]:
    """Two agents, each beside one of the HAProxys."""
    with agents_beside(haproxys, tmp_path_factory.mktemp("h-agents")) as found:
        yield found


@pytest.fixture(scope="session")
def updated() -> Iterator[list[NameServer]]:
    """BIND and Knot, two primaries of one name."""
    with name_servers({"bind": Bind, "knot": Knot}) as found:
        yield found


@pytest.fixture(scope="session")
def powerdnses() -> Iterator[list[NameServer]]:
    """Two PowerDNS with databases of their own."""
    with name_servers({"ns1": PowerDns, "ns2": PowerDns}) as found:
        yield found


@pytest.fixture(scope="session")
def gdnsds() -> Iterator[list[NameServer]]:
    """Two gdnsd."""
    with name_servers({"ns1": Gdnsd, "ns2": Gdnsd}) as found:
        yield found


@pytest.fixture(scope="session")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BirdDialRig]:
    """Two BIRDs before a transit router that is a BIRD."""
    with bird_transit(tmp_path_factory.mktemp("birds")) as frame:
        rig = BirdDialRig(frame)
        yield rig
        rig.close()


@pytest.fixture(scope="session")
def frrs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrrDialRig]:
    """Two FRRs before a transit router that is an FRR."""
    with frr_transit(tmp_path_factory.mktemp("frrs")) as frame:
        rig = FrrDialRig(frame)
        yield rig
        rig.close()


@pytest.fixture(scope="session")
def gobgps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GobgpDialRig]:
    """Two GoBGPs before a transit router that is a BIRD."""
    with bird_transit(tmp_path_factory.mktemp("gobgps")) as frame:
        rig = GobgpDialRig(frame)
        yield rig
        rig.close()


@pytest.fixture(scope="session")
def exabgps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExabgpDialRig]:
    """Two ExaBGPs before a transit router that is a BIRD."""
    with bird_transit(tmp_path_factory.mktemp("exabgps")) as frame:
        rig = ExabgpDialRig(frame)
        yield rig
        rig.close()


ROUTES = {"bird": "birds", "frr": "frrs", "gobgp": "gobgps", "exabgp": "exabgps"}


@pytest.fixture(
    params=[
        "memory",
        "leased",
        "exec",
        *(pytest.param(one, marks=JOURNEY) for one in ROUTES if one not in SLOW),
        pytest.param("envoy", marks=JOURNEY),
        pytest.param("agents", marks=JOURNEY),
        pytest.param("haproxy-map", marks=JOURNEY),
        pytest.param("haproxy-servers", marks=JOURNEY),
        pytest.param("haproxy-agents", marks=JOURNEY),
        pytest.param("rfc2136", marks=JOURNEY),
        pytest.param("powerdns", marks=JOURNEY),
        *([] if SLOW else [pytest.param("powerdns-lua", marks=JOURNEY)]),
        pytest.param("gdnsd", marks=JOURNEY),
        *(["others"] if OTHERS_RIG else []),
    ]
)
def dial_rig(request: pytest.FixtureRequest) -> DialRig:
    if request.param == "envoy":
        return EnvoyDialRig(request.getfixturevalue("envoys"))
    if request.param == "agents":
        return RemoteDialRig(
            request.getfixturevalue("envoys"), request.getfixturevalue("agents")
        )
    if request.param == "haproxy-map":
        return DrawnRig(request.getfixturevalue("haproxys"))
    if request.param == "haproxy-servers":
        return WeighedRig(request.getfixturevalue("haproxys"))
    if request.param == "haproxy-agents":
        return RemoteHaproxyRig(
            request.getfixturevalue("haproxys"),
            request.getfixturevalue("haproxy_agents"),
        )
    if request.param == "others":
        module, _, name = OTHERS_RIG.partition(":")
        made: DialRig = getattr(import_module(module), name)(
            request.getfixturevalue("tmp_path")
        )
        return made
    if request.param == "exec":
        return ExecRig(request.getfixturevalue("tmp_path"))
    if request.param == "rfc2136":
        return Rfc2136Rig(request.getfixturevalue("updated"))
    if request.param == "powerdns":
        return PowerdnsRig(request.getfixturevalue("powerdnses"))
    if request.param == "powerdns-lua":
        return LuaRig(request.getfixturevalue("powerdnses"))
    if request.param == "gdnsd":
        return GdnsdRig(request.getfixturevalue("gdnsds"))
    if request.param in ROUTES:
        rig: RouteRig = request.getfixturevalue(ROUTES[request.param])
        rig.reset()
        return rig
    return MemoryDialRig(lease=request.param == "leased")


@pytest.fixture(
    params=[
        "memory",
        pytest.param("envoy", marks=JOURNEY),
        pytest.param("haproxy", marks=JOURNEY),
    ]
)
def meter_rig(request: pytest.FixtureRequest) -> MeterRig:
    if request.param == "haproxy":
        return HaproxyMeterRig(request.getfixturevalue("haproxys"))
    if request.param == "envoy":
        return EnvoyMeterRig(request.getfixturevalue("envoys"))
    return MemoryMeterRig()
