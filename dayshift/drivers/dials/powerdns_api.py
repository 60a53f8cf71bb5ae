"""The HTTP API of one PowerDNS: the records of a name, and a change of several at once.

Here: requests, the key, and what can go wrong. One PATCH is one transaction of the zone
in PowerDNS. Not here: what records mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import dns.name
import httpx
import msgspec

from dayshift.drivers.base import Context
from dayshift.drivers.dials.names.saying import fault, retry
from dayshift.errors import DriverFault, DriverRetry


class RecordSet(msgspec.Struct, frozen=True):
    """The records of one type at one name, but for those that are switched off."""

    values: tuple[str, ...]
    ttl_s: int


class PowerdnsApi:
    """The API beside one authority, for one zone.

    `place`: the authority for messages, the URL, the server's id there, the zone.
    """

    def __init__(
        self,
        place: tuple[str, str, str, str],
        key: str,
        limit_ms: int,
        context: Context,
    ) -> None:
        where, url, server, zone = place
        self._where = where
        server = quote(server, safe="")
        self._url = f"{url.rstrip('/')}/api/v1/servers/{server}/zones/{quote(zone)}"
        self._zone = zone
        self._key = key
        self._limit_ms = limit_ms
        self._context = context
        self._client = httpx.AsyncClient(trust_env=False, timeout=None)

    async def records(self, name: dns.name.Name) -> dict[str, RecordSet]:
        """What stands at `name`, by type.

        Raises:
            DriverRetry: no answer.
            DriverFault: it knows neither us nor the zone.
        """
        answer = await self._call("GET", params={"rrset_name": name.to_text()})
        try:
            return {
                one["type"]: RecordSet(
                    tuple(r["content"] for r in one["records"] if not r["disabled"]),
                    one["ttl"],
                )
                for one in answer.json()["rrsets"]
                if dns.name.from_text(one["name"]) == name
            }
        except (ValueError, KeyError, TypeError, dns.exception.DNSException) as error:
            raise self._fault(f"it answers no zone: {error!r}") from None

    async def change(self, sets: Sequence[Mapping[str, Any]]) -> None:
        """Replace these record sets, all or none."""
        await self._call("PATCH", json={"rrsets": list(sets)})

    async def close(self) -> None:
        await self._client.aclose()

    async def _call(self, method: str, **more: Any) -> httpx.Response:
        key = await asyncio.to_thread(self._context.secret, self._key)
        headers = {"X-API-Key": key}
        try:
            answer = await self._context.clock.within(
                self._limit_ms,
                self._client.request(method, self._url, headers=headers, **more),
            )
        except TimeoutError:
            raise self._silent(
                method, f"no answer within {self._limit_ms} ms"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._silent(method, str(error) or type(error).__name__) from None
        if answer.is_success:
            return answer
        detail = self._context.redact(" ".join(answer.text.split())[:200])
        because = f"status {answer.status_code}: {detail}"
        if answer.status_code in (502, 503, 504):
            raise self._silent(method, because)
        raise self._fault(because)

    def _silent(self, method: str, because: str) -> DriverRetry:
        so = "what stands there is unknown"
        if method == "PATCH":
            so = "whether it took the change is not known"
        what = f"the API of {self._where} did not answer"
        return retry("UNREACHABLE", what, self._context.redact(because), so)

    def _fault(self, because: str) -> DriverFault:
        return fault(
            "API-REFUSED",
            f"the API of {self._where} does not do as asked with zone {self._zone}",
            because=because,
            so="nothing moved there",
        )
