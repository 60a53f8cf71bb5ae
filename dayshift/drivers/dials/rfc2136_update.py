"""One authority that takes DNS UPDATE (RFC 2136) signed with TSIG (RFC 8945).

Here: one update with its prerequisites, and what the answer means. Holds: claim and
addresses change together or not at all, and only if both are as they were seen. Not
here: the other authorities, and what users are answered (`names.records`).
"""

from __future__ import annotations

import asyncio
from typing import Literal

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.tsig
import dns.tsigkeyring
import dns.update
from pydantic import Field

from dayshift.drivers.base import Context, fresh_claim_reason
from dayshift.drivers.dials.names.asking import Asker
from dayshift.drivers.dials.names.options import DnsName, claim_name
from dayshift.drivers.dials.names.pool import Pool
from dayshift.drivers.dials.names.records import Records, records_of
from dayshift.drivers.dials.names.saying import (
    changed_meanwhile,
    claim_refused,
    fault,
    retry,
)
from dayshift.drivers.dials.names.steering import Seen, Wanted
from dayshift.errors import DriverFault
from dayshift.model.dial import Token
from dayshift.options import StrictOptions

CLAIM_TTL_S = 1
NOT_AS_SEEN = (dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN)


class TsigOptions(StrictOptions):
    """The key that signs updates; `secret` is a reference to it, in base 64."""

    name: DnsName
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    secret: str = Field(min_length=1)


class UpdatedAuthority:
    """One server: looked at by questions, written by updates."""

    def __init__(
        self,
        dial: str,
        asker: Asker,
        place: tuple[dns.name.Name, dns.name.Name],
        pool: Pool,
        tsig: TsigOptions,
        port: int,
        writes: bool,
        context: Context,
    ) -> None:
        self.name = asker.server.name
        self.writes = writes
        self._dial = dial
        self._asker = asker
        self._zone, self._steered = place
        self._pool = pool
        self._tsig = tsig
        self._port = port
        self._context = context

    async def look(self) -> Seen:
        """What it answers users now."""
        return (await self._records()).seen(self._pool)

    async def write(self, wanted: Wanted, token: Token) -> None:
        """One signed update, compared and applied by the server in one step.

        Raises:
            Refused: another claim stands there; nothing moved.
            DriverRetry: no answer (then it may have moved), or it changed meanwhile.
            DriverFault: it does not take updates from us.
        """
        found = await self._records()
        self._check_claim(found, token)
        code = await self._send(self._update(found, wanted))
        if code in NOT_AS_SEEN:
            self._check_claim(await self._records(), token)
            raise changed_meanwhile(self._dial, self.name, dns.rcode.to_text(code))
        if code != dns.rcode.NOERROR:
            raise self._refused(f"it answers {dns.rcode.to_text(code)}")

    async def _records(self) -> Records:
        return await records_of(self._asker, self._steered, self._pool)

    def _check_claim(self, found: Records, token: Token) -> None:
        why = fresh_claim_reason(found.claim, token)
        if why:
            raise claim_refused(self._dial, self.name, why, token)

    def _update(self, found: Records, wanted: Wanted) -> dns.update.UpdateMessage:
        """The change, on the condition that all is as it was seen."""
        update = dns.update.UpdateMessage(self._zone)
        beside = claim_name(self._steered)
        for kind, values in ((k, v) for k, v in found.addresses.items()):
            if values:
                update.present(self._steered, kind, *values)
            else:
                update.absent(self._steered, kind)
        if found.texts:
            update.present(beside, "TXT", *map(_quoted, found.texts))
        else:
            update.absent(beside, "TXT")
        records = self._pool.records(wanted.setting)
        assert records is not None
        for kind, addresses in records.items():
            update.replace(self._steered, wanted.ttl_s, kind, *addresses)
        update.replace(beside, CLAIM_TTL_S, "TXT", _quoted(str(wanted.claim)))
        return update

    async def _send(self, update: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        try:
            secret = await asyncio.to_thread(self._context.secret, self._tsig.secret)
            name = self._tsig.name
            update.use_tsig(
                dns.tsigkeyring.from_text({name: secret}),
                keyname=dns.name.from_text(name),
                algorithm=dns.name.from_text(self._tsig.algorithm),
            )
        except ValueError as error:
            raise fault(
                "TSIG-UNUSABLE",
                f"dial {self._dial}: the secret of key {self._tsig.name} is no base 64",
                because=self._context.redact(str(error)),
                so="nothing was sent",
            ) from None
        server = self._asker.server
        try:
            answer = await self._context.clock.within(
                self._asker.limit_ms,
                dns.asyncquery.tcp(update, server.address, port=self._port),
            )
        except (dns.tsig.PeerError, dns.tsig.BadSignature) as error:
            raise self._refused(f"{type(error).__name__}: {error}") from None
        except (TimeoutError, dns.exception.DNSException, OSError, EOFError) as error:
            raise retry(
                "UPDATE-UNANSWERED",
                f"dial {self._dial}: {server.where} did not answer the update",
                str(error) or f"{type(error).__name__} after {self._asker.limit_ms} ms",
                "whether it took it is not known; it is looked at before the next try",
            ) from None
        return answer.rcode()

    def _refused(self, because: str) -> DriverFault:
        return fault(
            "UPDATE-REFUSED",
            f"dial {self._dial}: {self._asker.server.where} takes no update of "
            f"{self._steered} from key {self._tsig.name}",
            because=because,
            so="nothing moved there",
        )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
