"""The agent's listener: TLS, who asks, one of six requests, one answer. Nothing else.

No path, no header and no argument of a request reaches a shell, a file name or an
address: a request names a dial of the agent's own file, or is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from ssl import SSLContext, SSLError

import msgspec

from dayshift.agent.keeper import Keeper
from dayshift.drivers.agents import messages as m
from dayshift.drivers.agents import tls
from dayshift.drivers.agents.names import Identity, Role, identities
from dayshift.errors import DayshiftError, Driver, Reason, Refused
from dayshift.model.units import Clock

HANDSHAKE_MS = 3_000
IDLE_MS = 60_000
STREAMS_MAX = 64


class Server:
    """Answers controllers of one estate. `context` gives TLS for each new stream."""

    def __init__(
        self,
        estate: str,
        controllers: tuple[str, ...],
        keepers: Mapping[str, Keeper],
        context: Callable[[], SSLContext],
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._estate = estate
        self._controllers = controllers
        self._keepers = dict(keepers)
        self._context = context
        self._clock = clock
        self._say = say
        self._streams = 0

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
            starting = writer.start_tls(self._context())
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
        stranger = self._stranger(found)
        until_ms = tls.until_ms(writer)
        while True:
            left_ms = max(1, until_ms - self._clock.now().wall_ms)
            try:
                body = await self._clock.within(min(IDLE_MS, left_ms), m.frame(reader))
            except (TimeoutError, ValueError):
                body = None
            if self._clock.now().wall_ms >= until_ms:
                # Also with a request in hand: nobody may ask who is nobody any more.
                self._say(f"{who}: closed: the certificate has expired")
                return
            if body is None:
                return
            if stranger is not None:
                self._say(f"{who}: {stranger.what}")
                answer: m.Reply = m.Failed(m.Failure.FAULT, stranger)
            else:
                answer = await self.answer(body)
            writer.write(m.framed(answer))
            await writer.drain()
            if stranger is not None:
                return

    def _stranger(self, found: tuple[Identity, ...]) -> Reason | None:
        """Why the other side may not ask here, or None."""
        for one in found:
            mine = one.estate == self._estate and one.role is Role.CONTROLLER
            if mine and (not self._controllers or one.name in self._controllers):
                return None
        shown = ", ".join(map(str, found)) or "nobody that Dayshift knows"
        named = ", ".join(self._controllers) or "any"
        return Reason(
            "NOT-A-CONTROLLER",
            f"the certificate is of {shown}; this agent obeys controllers of estate "
            f"{self._estate} ({named})",
            because="certificate names decide who may ask",
            so="nothing was read and nothing moved",
            next="`dayshift agent-ca issue controller`, or the agent's `controllers:`",
        )

    async def answer(self, body: bytes) -> m.Reply:
        """One request of a controller that was let in, as it came, and its answer."""
        try:
            request = m.REQUESTS.decode(body)
        except msgspec.MsgspecError as error:
            what = f"this is no request: {error}"
            return m.Failed(m.Failure.FAULT, Reason("NOT-A-REQUEST", what))
        try:
            return await self._do(request)
        except (Driver, Refused) as error:
            return m.failed(error)

    async def _do(self, request: m.Request) -> m.Reply:
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


def _not_mine(dial: str, known: list[str]) -> Reason:
    return Reason(
        "NOT-MY-DIAL",
        f"`{dial}` is not a dial of this agent (it has {', '.join(known)})",
        because="targets are explicit",
        so="nothing moved",
        next="name it in agent.yaml, or mend the dial's `agents:`",
    )
