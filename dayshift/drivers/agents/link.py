"""One agent, as a controller reaches it: mutual TLS, one call at a time per stream.

Idle streams are kept; each call has one for itself, so that a slow write keeps no read
waiting. Not here: several agents, dials (`dial`).
"""

from __future__ import annotations

import asyncio
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

import dayshift
from dayshift.drivers.agents import tls
from dayshift.drivers.agents.messages import (
    NOT_A_REQUEST,
    PROTOCOL,
    REPLIES,
    Attest,
    Attested,
    Failed,
    Reply,
    Request,
    frame,
    framed,
    raised,
)
from dayshift.drivers.agents.names import Identity, Role, identities
from dayshift.drivers.agents.trust import Trust
from dayshift.drivers.base import Context
from dayshift.errors import DriverFault, DriverRetry, Reason
from dayshift.model.estate import AgentSpec
from dayshift.model.sight import AgentSight
from dayshift.model.speech import Speech, foreign_reason

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
OURS = Speech(dayshift.__version__, PROTOCOL)
SILENT = Attested("", 1)
"""What an agent is that does not know `attest`."""


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
        files = tls.TlsFiles(spec.ca, spec.cert, spec.key, spec.revoked or "")
        self._trust = Trust(files, context.base_dir, context.secret, server=False)
        self._clock = context.clock
        self._identity = Identity(context.estate, Role.AGENT, spec.name)
        self._idle: list[Stream] = []
        self._said: Attested | None = None

    async def attest(self) -> AgentSight:
        """Which Dayshift the agent is, also where it is one that we do not speak with.

        Raises:
            DriverRetry, DriverFault: as for any other call.
        """
        self._said = None
        try:
            answer = await self.call(_attest(), READ_MS)
        except DriverFault:
            if self._said is None:
                raise
            answer = self._said
        assert isinstance(answer, Attested)
        theirs = Speech(answer.version, answer.protocol)
        notes = self._notes(answer)
        return AgentSight(self.name, theirs, OURS, answer.ends_ms, notes)

    def _notes(self, said: Attested) -> tuple[str, ...]:
        """What people should see to, on either side."""
        mine = self._trust.notes(self._clock.now().wall_ms)
        notes = [*said.notes, *(f"this controller: {one}" for one in mine)]
        newest = self._trust.list_number()
        if said.list_number < newest:
            has = f"list {said.list_number}" if said.list_number else "none"
            notes.append(f"it has revocation {has}; this controller has list {newest}")
        return tuple(notes)

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
            if self._expired(stream) or self._trust.refused(stream.writer):
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
        kept = False
        try:
            answer = await self._ask(stream, request)
            kept = len(self._idle) < IDLE_MAX and not self._expired(stream)
            return answer
        except OSError as error:
            if last:
                raise self._ended(error) from None
        finally:
            if kept:
                self._idle.append(stream)
            else:
                stream.writer.close()
        return None

    async def _ask(self, stream: Stream, request: Request) -> Reply:
        """One request and its answer.

        Raises:
            OSError: the stream ended first.
            DriverFault: what came is no answer.
        """
        stream.writer.write(framed(request))
        await stream.writer.drain()
        try:
            body = await frame(stream.reader)
            if body is None:
                raise ConnectionResetError(CLOSED)
            answer: Reply = REPLIES.decode(body)
            return answer
        except (ValueError, msgspec.MsgspecError) as error:
            raise self._distrust(f"it does not speak as agents do: {error}") from None

    def _ended(self, error: OSError) -> DriverFault | DriverRetry:
        """A stream that ended, in words."""
        if isinstance(error, ssl.SSLError):
            return self._distrust(tls.told(error))
        reset = isinstance(error, ConnectionError)
        return self._away(CLOSED if reset else str(error))

    async def _open(self) -> Stream:
        context = self._trust.context()
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
        stream = Stream(reader, writer, tls.until_ms(writer))
        try:
            await self._acquaint(stream)
        except BaseException:
            writer.close()
            raise
        return stream

    async def _acquaint(self, stream: Stream) -> None:
        """Nobody who is revoked or speaks another protocol is asked anything else."""
        why = self._trust.refused(stream.writer)
        if why:
            raise self._distrust(f"the agent's certificate does not count: {why}")
        try:
            said = await self._ask(stream, _attest())
        except OSError as error:
            raise self._ended(error) from None
        if isinstance(said, Failed) and said.reason.code == NOT_A_REQUEST:
            said = SILENT
        if isinstance(said, Failed):
            raise raised(said)
        if not isinstance(said, Attested):
            raise self._distrust("it answers what nobody asked")
        self._said = said
        theirs = Speech(said.version, said.protocol)
        foreign = foreign_reason(self.name, theirs, OURS)
        if foreign is not None:
            raise DriverFault(foreign)

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
                next="`dayshift keys list`; docs/keys.md says what a certificate needs",
            )
        )


def _attest() -> Attest:
    return Attest(OURS.version, OURS.protocol)
