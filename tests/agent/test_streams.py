"""A stream between controller and agent lives no longer than a certificate, however
busy it is. Real TLS on loopback; only the clock is moved."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from dayshift.agent.server import Server
from dayshift.drivers.agents import messages as m
from dayshift.drivers.agents import tls
from dayshift.drivers.agents.link import AgentLink
from dayshift.drivers.agents.names import Role
from dayshift.drivers.agents.trust import Trust
from dayshift.drivers.base import Context
from dayshift.errors import DriverRetry, Refused
from dayshift.model.estate import AgentSpec
from dayshift.model.units import Instant
from dayshift.runtime.clock import RealClock
from tests.kit.agents import ESTATE, Authority

DAY_MS = 86_400_000
ME = m.Attest("0", m.PROTOCOL)


class Shifted(RealClock):
    """Real time; the wall is so much ahead."""

    ahead_ms = 0

    def now(self) -> Instant:
        now = super().now()
        return replace(now, wall_ms=now.wall_ms + self.ahead_ms)


class Counting(Trust):
    """Knows how many streams were begun with it."""

    made = 0

    def context(self) -> ssl.SSLContext:
        self.made += 1
        return super().context()


class Pair:
    """An agent without dials, and a controller that asks it for one."""

    def __init__(self, place: Path) -> None:
        authority = Authority(place)
        self.theirs = authority.issue(Role.AGENT, "edge", days=2)
        self.mine = authority.issue(Role.CONTROLLER, "a", days=2)
        self.ca, self.place = str(authority.ca), place
        self.agents, self.ours = Shifted(), Shifted()
        self.said: list[str] = []
        self.revoked = str(authority.revoked)
        self.authority = authority

    def _trust(self, files: tuple[Path, Path], server: bool) -> Trust:
        cert, key = map(str, files)
        named = tls.TlsFiles(self.ca, cert, key, self.revoked)
        kind = Counting if server else Trust
        return kind(named, self.place, str, server)

    @property
    def accepted(self) -> int:
        """How many streams the agent began."""
        return self.believed.made

    async def listen(self) -> int:
        trust = self._trust(self.theirs, server=True)
        assert isinstance(trust, Counting)
        self.believed = trust
        said = self.said.append
        agent = Server("edge", ESTATE, (), {}, trust, self.agents, said)
        server = await agent.listen("127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    def link(self, port: int) -> AgentLink:
        cert, key = map(str, self.mine)
        url = f"https://127.0.0.1:{port}"
        spec = AgentSpec("edge", "fra", url, self.ca, cert, key, self.revoked)
        return AgentLink(
            spec, Context(ESTATE, self.place, self.place, self.ours, str, str)
        )

    async def raw(self, port: int, attest: m.Attest | None = ME):
        context = self._trust(self.mine, server=False).context()
        stream = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        if attest is not None:
            stream[1].write(m.framed(attest))
            await m.frame(stream[0])
        return stream


def played(place: Path, deed: Callable[[Pair], Awaitable[None]]) -> Pair:
    pair = Pair(place)
    asyncio.run(asyncio.wait_for(deed(pair), 60))  # type: ignore[arg-type]
    return pair


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
    """One request and its answer, or None where the stream was closed instead."""
    writer.write(m.framed(m.Read("entry")))
    return await m.frame(reader)


def test_the_agent_closes_a_busy_stream_of_an_expired_controller(tmp_path: Path):
    async def deed(pair: Pair) -> None:
        reader, writer = await pair.raw(await pair.listen())
        for _ in range(3):
            assert b"NOT-MY-DIAL" in (await asked(reader, writer) or b"")
        pair.agents.ahead_ms = 3 * DAY_MS
        assert await asked(reader, writer) is None
        writer.close()

    assert any("certificate has expired" in one for one in played(tmp_path, deed).said)


def test_the_agent_closes_an_idle_stream_at_the_very_moment(tmp_path: Path) -> None:
    """Nobody asks anything any more."""

    async def deed(pair: Pair) -> None:
        reader, writer = await pair.raw(await pair.listen())
        assert await asked(reader, writer)
        left_ms = tls.until_ms(writer) - pair.agents.now().wall_ms
        assert left_ms > DAY_MS
        pair.agents.ahead_ms = left_ms - 2_000
        assert await asked(reader, writer), "two seconds are left"
        assert await reader.read() == b"", "it is closed"
        writer.close()

    assert any("certificate has expired" in one for one in played(tmp_path, deed).said)


def test_the_controller_keeps_no_stream_of_an_expired_agent(tmp_path: Path) -> None:
    async def deed(pair: Pair) -> None:
        link = pair.link(await pair.listen())
        for _ in range(3):
            with pytest.raises(Refused, match="NOT-MY-DIAL"):
                await link.call(m.Read("entry"))
        assert pair.accepted == 1, "one stream is enough"
        pair.ours.ahead_ms = 3 * DAY_MS
        for _ in range(3):
            with pytest.raises(Refused, match="NOT-MY-DIAL"):
                await link.call(m.Read("entry"))
        assert pair.accepted == 4, "each call shook hands anew"
        pair.agents.ahead_ms = 3 * DAY_MS
        with pytest.raises(DriverRetry, match="certificate"):
            await link.call(m.Read("entry"))
        await link.close()

    played(tmp_path, deed)
