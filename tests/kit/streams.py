"""An agent without dials and a controller that asks it, over real TLS on loopback;
only the clocks are moved."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec.structs import replace

from dayshift.agent.server import Server
from dayshift.drivers.agents import messages as m
from dayshift.drivers.agents import tls
from dayshift.drivers.agents.link import AgentLink
from dayshift.drivers.agents.names import Role
from dayshift.drivers.agents.trust import Trust
from dayshift.drivers.base import Context
from dayshift.model.estate import AgentSpec
from dayshift.model.units import Instant
from dayshift.runtime.clock import RealClock
from tests.kit.agents import ESTATE, Authority

DAY_MS = 86_400_000
ME = m.Attest("0", m.PROTOCOL)
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


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

    def _look_again(self, now_ms: int) -> None:
        """It would count as a stream."""


class Pair:
    """An agent without dials, and a controller that asks it for one."""

    def __init__(self, place: Path, days: int = 2) -> None:
        authority = Authority(place)
        self.theirs = authority.issue(Role.AGENT, "edge", days=days)
        self.mine = authority.issue(Role.CONTROLLER, "a", days=days)
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

    async def raw(self, port: int, attest: m.Attest | None = ME) -> Stream:
        context = self._trust(self.mine, server=False).context()
        stream = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        if attest is not None:
            stream[1].write(m.framed(attest))
            await m.frame(stream[0])
        return stream


def played(place: Path, deed: Callable[[Pair], Awaitable[None]], days: int = 2) -> Pair:
    """Do it, within a generous time, and return what is left."""
    pair = Pair(place, days)

    async def all_of_it() -> None:
        async with asyncio.timeout(120):
            await deed(pair)

    asyncio.run(all_of_it())
    return pair


async def asked(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes | None:
    """One request and its answer, or None where the stream was closed instead."""
    writer.write(m.framed(m.Read("entry")))
    return await m.frame(reader)
