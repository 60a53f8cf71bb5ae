"""Questions to DNS servers: what one authority or one resolver answers now.

Here: endpoints, one question with a time limit, and a row of questions for a sample.
Every way in which a question can fail becomes `DriverRetry`. Not here: what answers
mean, and anything that writes.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import msgspec
from pydantic import Field, field_validator

from dayshift.drivers.fetch import RETRY_MS
from dayshift.errors import DriverFault, DriverRetry, Reason
from dayshift.limits import READ_TIMEOUT_MS
from dayshift.model.units import Clock
from dayshift.options import StrictOptions

ASK_MS = READ_TIMEOUT_MS * 2 // 3
"""Unless told otherwise: whoever reads a dial waits no longer than its own limit, and
one silent authority must not make all of them silent."""
AT_ONCE = 8
"""Questions of a sample that are on their way together."""
TRIES = 3
"""A datagram may be lost: each try gets its part of the time limit."""


class EndpointOptions(StrictOptions):
    """One DNS server by address: a name would have to be resolved by what we steer."""

    name: str = Field(min_length=1)
    address: str
    port: int = Field(default=53, ge=1, le=65_535)

    @field_validator("address")
    @classmethod
    def _numeric(cls, text: str) -> str:
        return str(ip_address(text))

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.name} ({self.address} port {self.port})"


class Answer(msgspec.Struct, frozen=True):
    """The records of one type at one name; `ttl_s` is None where there are none."""

    values: tuple[str, ...]
    ttl_s: int | None
    authoritative: bool


class Asker:
    """Asks one server."""

    def __init__(self, server: EndpointOptions, clock: Clock, limit_ms: int) -> None:
        self.server = server
        self._clock = clock
        self.limit_ms = limit_ms

    async def authority(self, name: dns.name.Name, kind: str) -> Answer:
        """What it answers of its own knowledge.

        Raises:
            DriverRetry: no answer, or one that says that it cannot.
            DriverFault: it is not an authority for the name.
        """
        answer = await self._ask(name, kind, recurse=False)
        if not answer.authoritative:
            raise DriverFault(
                Reason(
                    "NOT-AN-AUTHORITY",
                    f"{self.server.where} is no authority for {name}",
                    because="its answer has no AA flag",
                    so="what it says of the name proves nothing",
                    next="name an authority, or load the zone there",
                )
            )
        return answer

    async def sample(self, name: dns.name.Name, kind: str, count: int) -> list[Answer]:
        """`count` answers of its own knowledge, a few at once."""
        found: list[Answer] = []
        while len(found) < count:
            more = min(AT_ONCE, count - len(found))
            asked = (self.authority(name, kind) for _ in range(more))
            found += await asyncio.gather(*asked)
        return found

    async def resolver(self, name: dns.name.Name, kind: str) -> Answer:
        """What it answers users, from its cache or not."""
        return await self._ask(name, kind, recurse=True)

    async def _ask(self, name: dns.name.Name, kind: str, recurse: bool) -> Answer:
        query = dns.message.make_query(name, kind)
        if not recurse:
            query.flags &= ~dns.flags.RD
        cause = ""
        for _ in range(TRIES):
            try:
                found, _tcp = await self._clock.within(
                    self.limit_ms // TRIES,
                    dns.asyncquery.udp_with_fallback(
                        query,
                        self.server.address,
                        port=self.server.port,
                        ignore_unexpected=True,
                        ignore_errors=True,
                    ),
                )
                return self._answer(found, name, kind)
            except TimeoutError:
                cause = f"no answer within {self.limit_ms} ms"
            except (dns.exception.DNSException, OSError, EOFError) as error:
                cause = str(error) or type(error).__name__
        raise self._silent(name, kind, cause)

    def _answer(
        self, found: dns.message.Message, name: dns.name.Name, kind: str
    ) -> Answer:
        code = found.rcode()
        if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            cause = f"it answers {dns.rcode.to_text(code)}"
            raise self._silent(name, kind, cause)
        wanted = dns.rdatatype.from_text(kind)
        values: list[str] = []
        ttls: list[int] = []
        for rrset in found.answer:
            if rrset.name == name and rrset.rdtype == wanted:
                values += [_text(one) for one in rrset]
                ttls.append(rrset.ttl)
        return Answer(
            tuple(sorted(values)),
            min(ttls, default=None),
            bool(found.flags & dns.flags.AA),
        )

    def _silent(self, name: dns.name.Name, kind: str, cause: str) -> DriverRetry:
        return DriverRetry(
            Reason(
                "UNREACHABLE",
                f"{self.server.where} did not answer for {name} {kind}",
                because=cause,
                so="what it would have said is unknown",
                next="see that it runs and that this machine reaches it",
            ),
            RETRY_MS,
        )


def _text(record: object) -> str:
    """A record's value; the parts of a TXT record are one text."""
    strings = getattr(record, "strings", None)
    if strings is None:
        return str(record)
    return b"".join(strings).decode("utf-8", "replace")
