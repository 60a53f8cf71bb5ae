"""One agent, as a controller reaches it: mutual TLS, one call at a time per stream.

Idle streams are kept; each call has one for itself, so that a slow write keeps no read
waiting. Not here: several agents, dials (`dial`).
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from dayshift.drivers.agents import tls
from dayshift.drivers.agents.messages import (
    REPLIES,
    Failed,
    Reply,
    Request,
    frame,
    framed,
    raised,
)
from dayshift.drivers.agents.names import Identity, Role, identities
from dayshift.drivers.base import Context
from dayshift.errors import DriverFault, DriverRetry, Reason
from dayshift.model.estate import AgentSpec

CONNECT_MS = 1_000
READ_MS = 1_300
WRITE_MS = 4_500
RETRY_MS = 500
IDLE_MAX = 4
CLOSED = (
    "it closed the stream without a word: it stopped, or it does not take this "
    "controller's certificate (expired, or of another authority); its log says which"
)
"""In TLS 1.3 a server refuses a certificate after the client is through."""


class Stream(NamedTuple):
    """One connection, good until the agent's certificate expires."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    until_ms: int


class AgentLink:
    """Calls to one agent."""

    def __init__(self, spec: AgentSpec, context: Context) -> None:
        self.name = spec.name
        self.url = spec.url
        self._where = urlsplit(spec.url)
        self._files = tls.TlsFiles(spec.ca, spec.cert, spec.key)
        self._base_dir: Path = context.base_dir
        self._secret = context.secret
        self._clock = context.clock
        self._identity = Identity(context.estate, Role.AGENT, spec.name)
        self._idle: list[Stream] = []

    async def call(self, request: Request, limit_ms: int = WRITE_MS) -> Reply:
        """Ask, and return what it answered.

        Raises:
            DriverRetry: it does not answer; whether it acted is unknown.
            DriverFault: it is not the agent that the estate names, or trusts nobody.
            Refused, DriverRetry, DriverFault: as the agent itself said.
        """
        try:
            answer = await self._clock.within(limit_ms, self._call(request))
        except TimeoutError:
            raise self._away(f"no answer within {limit_ms} ms") from None
        if isinstance(answer, Failed):
            raise raised(answer)
        return answer

    async def _call(self, request: Request) -> Reply:
        while self._idle:
            stream = self._idle.pop()
            if self._expired(stream):
                stream.writer.close()
                continue
            # The agent may have closed it meanwhile. Asking the same again is safe:
            # a write carries its claim.
            answer = await self._exchange(stream, request, last=False)
            if answer is not None:
                return answer
        answer = await self._exchange(await self._open(), request, last=True)
        assert answer is not None
        return answer

    async def _exchange(
        self, stream: Stream, request: Request, last: bool
    ) -> Reply | None:
        reader, writer, _ = stream
        kept = False
        try:
            writer.write(framed(request))
            await writer.drain()
            body = await frame(reader)
            if body is None:
                raise ConnectionResetError(CLOSED)
            answer: Reply = REPLIES.decode(body)
            kept = len(self._idle) < IDLE_MAX and not self._expired(stream)
            return answer
        except ssl.SSLError as error:
            if last:
                raise self._distrust(tls.told(error)) from None
        except (OSError, EOFError) as error:
            if last:
                reset = isinstance(error, ConnectionError)
                raise self._away(CLOSED if reset else str(error)) from None
        except (ValueError, msgspec.MsgspecError) as error:
            raise self._distrust(f"it does not speak as agents do: {error}") from None
        finally:
            if kept:
                self._idle.append(stream)
            else:
                writer.close()
        return None

    async def _open(self) -> Stream:
        context = tls.context(self._files, self._base_dir, self._secret, server=False)
        host = self._where.hostname or ""
        opening = asyncio.open_connection(host, self._where.port or 443, ssl=context)
        try:
            reader, writer = await self._clock.within(CONNECT_MS, opening)
        except ssl.SSLError as error:
            raise self._distrust(tls.told(error)) from None
        except TimeoutError:
            raise self._away(f"no connection within {CONNECT_MS} ms") from None
        except OSError as error:
            raise self._away(error.strerror or str(error)) from None
        found = identities(writer.get_extra_info("peercert"))
        if self._identity not in found:
            writer.close()
            shown = ", ".join(map(str, found)) or "nobody that Dayshift knows"
            raise self._distrust(f"it is {shown}, not {self._identity}")
        return Stream(reader, writer, tls.until_ms(writer))

    def _expired(self, stream: Stream) -> bool:
        """Whether a handshake would not be granted any more."""
        return self._clock.now().wall_ms >= stream.until_ms

    async def close(self) -> None:
        """Let go of idle streams."""
        while self._idle:
            self._idle.pop().writer.close()

    def _away(self, because: str) -> DriverRetry:
        return DriverRetry(
            Reason(
                "AGENT-AWAY",
                f"agent {self.name} at {self.url} does not answer: {because}",
                because="it may be down, stopped, or cut off",
                so="what it was asked may or may not have happened; it is read back",
                next="see to the agent; an armed lease goes back by itself",
            ),
            RETRY_MS,
        )

    def _distrust(self, because: str) -> DriverFault:
        return DriverFault(
            Reason(
                "AGENT-NOT-TRUSTED",
                f"agent {self.name} at {self.url} and this controller do not trust "
                f"one another: {because}",
                because="mutual TLS: both sides show a certificate of one authority",
                so="nothing was asked of it",
                next="`dayshift agent-ca show`; see docs/agent.md, Certificates",
            )
        )
