"""The agent's listener: TLS, who asks, one of nine requests, one answer. Nothing else.

No path, no header and no argument of a request reaches a shell, a file name or an
address: a request names a dial of the agent's own file, or is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from ssl import SSLError

import msgspec

import dayshift
from dayshift.agent.counts import Counts
from dayshift.agent.keeper import Keeper
from dayshift.drivers.agents import messages as m
from dayshift.drivers.agents import tls
from dayshift.drivers.agents.names import Identity, Role, identities
from dayshift.drivers.agents.trust import Trust
from dayshift.errors import DayshiftError, Driver, Reason, Refused
from dayshift.model.speech import Speech, foreign_reason
from dayshift.model.units import Clock

HANDSHAKE_MS = 3_000
IDLE_MS = 60_000
STREAMS_MAX = 64
OURS = Speech(dayshift.__version__, m.PROTOCOL)
UNTOLD = Speech("of an unknown version", 1)
"""What a controller is that asks before it says who it is."""


class Server:
    """Answers controllers of one estate; `counts` is what came of it."""

    def __init__(
        self,
        name: str,
        estate: str,
        controllers: tuple[str, ...],
        keepers: Mapping[str, Keeper],
        trust: Trust,
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._name = name
        self._estate = estate
        self._controllers = controllers
        self._keepers = dict(keepers)
        self._trust = trust
        self._clock = clock
        self._say = say
        self._streams = 0
        self._noted: tuple[str, ...] = ()
        self.counts = Counts()

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Begin to answer."""
        return await asyncio.start_server(self._accept, host, port)

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        who = str(writer.get_extra_info("peername"))
        self._streams += 1
        try:
            if self._streams > STREAMS_MAX:
                self._say(f"{who}: turned away, {STREAMS_MAX} streams are open")
                return
            starting = writer.start_tls(self._trust.context())
            await self._clock.within(HANDSHAKE_MS, starting)
            await self._talk(reader, writer, who)
        except TimeoutError:
            self._say(f"{who}: no TLS within {HANDSHAKE_MS} ms")
        except (SSLError, OSError) as error:
            self._say(f"{who}: refused: {tls.told(error)}")
        except DayshiftError as error:
            self._say(f"{who}: {error.reason.what}: {error.reason.because}")
        finally:
            self._streams -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str
    ) -> None:
        found = identities(writer.get_extra_info("peercert"))
        caller = self._caller(found)
        until_ms = tls.until_ms(writer)
        speech = UNTOLD
        while (body := await self._next(reader, until_ms, who)) is not None:
            stranger = self._stranger(found, caller, writer)
            if stranger is not None:
                self._say(f"{who}: {stranger.what}")
                self.counts.strangers += 1
                writer.write(m.framed(m.Failed(m.Failure.FAULT, stranger)))
                await writer.drain()
                return
            said = _said(body)
            speech = Speech(said.version, said.protocol) if said else speech
            foreign = None if said else foreign_reason(self._name, OURS, speech)
            if foreign is not None:
                self._say(f"{who}: {foreign.what}")
                answer: m.Reply = m.Failed(m.Failure.FAULT, foreign)
            else:
                answer = await self.answer(body)
            self.counts.heard(caller.name if caller else "", self._clock.now())
            writer.write(m.framed(answer))
            await writer.drain()

    async def _next(
        self, reader: asyncio.StreamReader, until_ms: int, who: str
    ) -> bytes | None:
        """The next request, or None at the end of the stream or of a certificate."""
        left_ms = max(1, until_ms - self._clock.now().wall_ms)
        try:
            body = await self._clock.within(min(IDLE_MS, left_ms), m.frame(reader))
        except (TimeoutError, ValueError):
            body = None
        if self._clock.now().wall_ms >= until_ms:
            # Also with a request in hand: nobody may ask who is nobody any more.
            self._say(f"{who}: closed: the certificate has expired")
            return None
        return body

    def _caller(self, found: tuple[Identity, ...]) -> Identity | None:
        """The controller of this estate that a certificate names, if it is obeyed."""
        for one in found:
            mine = one.estate == self._estate and one.role is Role.CONTROLLER
            if mine and (not self._controllers or one.name in self._controllers):
                return one
        return None

    def _stranger(
        self,
        found: tuple[Identity, ...],
        caller: Identity | None,
        writer: asyncio.StreamWriter,
    ) -> Reason | None:
        """Why the other side may not ask here now, or None."""
        shown = ", ".join(map(str, found)) or "nobody that Dayshift knows"
        if caller is not None:
            revoked = self._trust.refused(writer)
            return _revoked(shown, revoked) if revoked else None
        named = ", ".join(self._controllers) or "any"
        return Reason(
            "NOT-A-CONTROLLER",
            f"the certificate is of {shown}; this agent obeys controllers of estate "
            f"{self._estate} ({named})",
            because="certificate names decide who may ask",
            so="nothing was read and nothing moved",
            next="`dayshift keys create --controller NAME`, or the agent's "
            "`controllers:`",
        )

    def attested(self) -> m.Attested:
        """Which Dayshift this is, and what somebody should see to; logged as well."""
        notes = tuple(self._trust.notes(self._clock.now().wall_ms))
        for one in notes:
            if one not in self._noted:
                self._say(one)
        self._noted = notes
        return m.Attested(
            OURS.version,
            OURS.protocol,
            self._trust.ends_ms,
            self._trust.list_number(),
            notes,
        )

    async def answer(self, body: bytes) -> m.Reply:
        """One request of a controller that was let in, as it came, and its answer."""
        try:
            request = m.REQUESTS.decode(body)
        except msgspec.MsgspecError as error:
            what = f"this is no request: {error}"
            return m.Failed(m.Failure.FAULT, Reason(m.NOT_A_REQUEST, what))
        if isinstance(request, m.Attest):
            return self.attested()
        try:
            answer = await self._do(request)
        except (Driver, Refused) as error:
            answer = m.failed(error)
        self.counts.answered(request, answer)
        return answer

    async def _do(self, request: m.Deed) -> m.Reply:
        keeper = self._keepers.get(request.dial)
        if keeper is None:
            raise Refused(_not_mine(request.dial, sorted(self._keepers)))
        match request:
            case m.Describe():
                return m.Described(keeper.describe())
            case m.Read():
                at = self._clock.now()
                return m.Shown(keeper.describe(), await keeper.read(), at)
            case m.Set(_, setting, token, as_of, revert_to, lease_ms):
                self._own_estate(token.claim.estate)
                await keeper.set(setting, token, revert_to, lease_ms, as_of)
            case m.Hold(_, token):
                self._own_estate(token.claim.estate)
                await keeper.hold(token)
            case m.Prepare(_, token):
                self._own_estate(token.claim.estate)
                await keeper.prepare(token)
            case m.Restore(_, token):
                self._own_estate(token.claim.estate)
                await keeper.restore(token)
            case m.Renew(_, claim, lease_ms):
                await keeper.renew(claim, lease_ms)
            case m.Fence(_, claim):
                self._own_estate(claim.estate)
                await keeper.fence(claim)
        return m.Done()

    def _own_estate(self, estate: str) -> None:
        if estate != self._estate:
            what = f"the claim is of estate {estate}, this agent's is {self._estate}"
            raise Refused(Reason("WRONG-ESTATE", what, so="nothing moved"))


def _said(body: bytes) -> m.Attest | None:
    """What a controller says of itself, if that is what this is."""
    try:
        return msgspec.json.decode(body, type=m.Attest)
    except msgspec.MsgspecError:
        return None


def _revoked(shown: str, why: str) -> Reason:
    return Reason(
        "CERTIFICATE-REVOKED",
        f"the certificate of {shown} counts no more: {why}",
        because="it stands on the authority's revocation list",
        so="nothing was read and nothing moved",
        next="if that was a mistake, `dayshift keys create --replace` makes another",
    )


def _not_mine(dial: str, known: list[str]) -> Reason:
    return Reason(
        m.NOT_MY_DIAL,
        f"`{dial}` is not a dial of this agent (it has {', '.join(known)})",
        because="targets are explicit",
        so="nothing moved",
        next="name it in agent.yaml, or mend the dial's `agents:`",
    )
