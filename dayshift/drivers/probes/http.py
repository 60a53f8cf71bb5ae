"""Probe `http`: one request of our own, straight at a region, marked as ours.

A bad answer is an answer: `ask` never raises for it. Not here: what a streak means.
"""

from __future__ import annotations

import json
import ssl
from typing import Any

import httpx
from pydantic import Field

from dayshift import __version__
from dayshift.drivers.base import Context, Millis, OptionsMap, StrictOptions
from dayshift.errors import DriverFault, Reason
from dayshift.model.evidence import ProbeReading
from dayshift.model.units import elapsed_ms

MARK = {
    "x-dayshift-probe": "1",
    "user-agent": f"dayshift-probe/{__version__}",
}
"""By these an edge and a log can tell our requests from the users'."""


class HttpProbe:
    """GETs the region's own address, never through the users' entry."""

    class Options(StrictOptions):
        """`version_field` names the member of the JSON answer that holds the version; a
        dot steps into a nested object. `secret_headers` maps a header to a reference.
        `ca` is a file of authorities to trust."""

        urls: dict[str, str] = Field(min_length=1)
        expect_status: int = 200
        timeout: Millis = 1_000
        version_field: str = ""
        headers: dict[str, str] = {}
        secret_headers: dict[str, str] = {}
        verify: bool = True
        ca: str | None = None

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        self._context = context
        self._client: httpx.AsyncClient | None = None

    async def ask(self, region: str) -> ProbeReading:
        """One GET. Anything but the expected answer is `ok=False` with its cause."""
        url = self._options.urls.get(region)
        if url is None:
            raise DriverFault(
                Reason(
                    "REGION-UNKNOWN",
                    f"probe {self.name} has no URL for {region!r}",
                    because=f"it has {', '.join(sorted(self._options.urls))}",
                    next="add the region to the probe's `urls`",
                )
            )
        clock = self._context.clock
        begun = clock.now()
        version, limit_ms = "", self._options.timeout
        secrets = {
            header: self._context.secret(reference)
            for header, reference in self._options.secret_headers.items()
        }
        try:
            asked = self._opened().get(url, headers=secrets)
            answer = await clock.within(limit_ms, asked)
            version, detail = self._judged(answer)
        except TimeoutError:
            detail = f"no answer within {limit_ms} ms"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            detail = str(error) or type(error).__name__
        now = clock.now()
        return ProbeReading(
            at=now,
            ok=not detail,
            detail=self._context.redact(detail) or f"status {answer.status_code}",
            version=version,
            took_ms=elapsed_ms(begun, now),
        )

    async def close(self) -> None:
        if self._client:
            await self._client.aclose()

    def _opened(self) -> httpx.AsyncClient:
        """The client, made at first use: an authority file may appear after the start.

        Each probe opens its own connection, as a new user would.
        """
        if self._client is None:
            verify: Any = self._options.verify
            if self._options.verify and self._options.ca:
                ca = self._context.base_dir / self._options.ca
                verify = ssl.create_default_context(cafile=str(ca))
            self._client = httpx.AsyncClient(
                verify=verify,
                trust_env=False,
                timeout=None,
                headers={**self._options.headers, **MARK},
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        return self._client

    def _judged(self, answer: httpx.Response) -> tuple[str, str]:
        """The version it told, and what is wrong with it if anything is."""
        expected = self._options.expect_status
        if answer.status_code != expected:
            return "", f"status {answer.status_code}, expected {expected}"
        if not self._options.version_field:
            return "", ""
        value: Any = None
        try:
            value = json.loads(answer.content)
            for step in self._options.version_field.split("."):
                value = value[step]
        except (ValueError, KeyError, TypeError):
            return "", f"no {self._options.version_field!r} in {answer.text[:80]!r}"
        return str(value), ""
