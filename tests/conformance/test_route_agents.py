"""Speakers behind agents: each agent knows those of its own region alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dayshift.drivers.agents.dial import RemoteDial
from dayshift.drivers.agents.link import AgentLink
from dayshift.errors import DriverRetry, Refused
from dayshift.model.dial import DialKind, Fence
from dayshift.runtime.clock import RealClock
from tests.conformance.rigs import claim, context, token
from tests.conformance.route_rigs import BER, BOTH, FRA, RouteRig
from tests.kit.agents import AgentProcess, Authority

pytestmark = pytest.mark.journey
LEASE_MS = 2_000


class Remote:
    """The dial through two agents."""

    def __init__(self, driver: str, rig: RouteRig, place: Path) -> None:
        self.rig, self.place = rig, place
        authority = Authority(place / "ca")
        self.agents = [
            AgentProcess(
                place / speaker["region"],
                authority,
                driver,
                {**rig.options, "speakers": [speaker]},
                name=f"edge-{speaker['region']}",
                dials=["anycast"],
            )
            for speaker in rig.options["speakers"]
        ]

    def dial(self) -> RemoteDial:
        where = context(self.place)
        links = [AgentLink(one.spec(), where) for one in self.agents]
        return RemoteDial("anycast", DialKind.SWITCH, links, RealClock())


@pytest.fixture(params=["bird", "exabgp"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    rig: RouteRig = request.getfixturevalue(f"{request.param}s")
    rig.reset()
    found = Remote(request.param, rig, tmp_path)
    with ExitStack() as stack:
        for one in found.agents:
            stack.callback(one.stop)
            one.start()
        yield found


def test_a_region_goes_and_comes_through_the_agents_of_each(remote: Remote) -> None:
    async def check() -> None:
        dial = remote.dial()
        reading = await dial.read()
        assert (reading.setting, reading.fault) == (BOTH, "")
        said = dial.describe()
        assert (said.kind, said.lease, said.fence) == (
            DialKind.SWITCH, True, Fence.DEVICE,
        )  # fmt: skip
        await dial.set(BER, token(claim(1)))
        assert remote.rig.frame.rests("ber")
        reading = await dial.read()
        assert (reading.setting, reading.fault) == (BER, "")
        assert {one.claim for one in reading.instances} == {claim(1)}
        with pytest.raises(Refused):
            await dial.set(FRA, token(claim(2, journal="j2"), claim(1)))
        await dial.set(BOTH, token(claim(2), claim(1)))
        assert remote.rig.frame.rests("fra", "ber")
        await dial.close()

    asyncio.run(check())


def test_a_lease_of_the_agents_brings_the_routes_back(remote: Remote) -> None:
    async def check() -> None:
        dial = remote.dial()
        await dial.set(BER, token(claim(1)), BOTH, LEASE_MS)
        assert (await dial.read()).expires_ms
        remote.rig.frame.until("fra", "ber")
        reading = await dial.read()
        while reading.setting != BOTH or reading.fault:
            reading = await dial.read()
        assert all(one.claim and one.claim.reverted for one in reading.instances)
        await dial.close()

    asyncio.run(check())


def test_an_agent_that_is_away_is_a_fault_and_the_rest_is_completed(
    remote: Remote,
) -> None:
    remote.agents[0].stop()

    async def check() -> None:
        dial = remote.dial()
        with pytest.raises(DriverRetry):
            await dial.set(BER, token(claim(1)))
        reading = await dial.read()
        assert reading.setting is None and reading.fault
        remote.agents[0].start()
        assert (await dial.read()).mixed
        await dial.set(BER, token(claim(1)))
        assert (await dial.read()).setting == BER
        assert remote.rig.frame.rests("ber")
        await dial.close()

    asyncio.run(check())
