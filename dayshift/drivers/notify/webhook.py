"""Notify `webhook`: POSTs the page as JSON, signed; asks an address who took it.

    Dayshift-Signature: t=SECONDS,v1=HEX

HEX is HMAC-SHA256 over `SECONDS.BODY` with the shared secret; a GET signs an empty
body. The receiver compares the time as well, so that an old page cannot be played back.
Here: one request at a time, bounded. Not here: whom to call next, and when (`core`).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
from typing import Annotated
from urllib.parse import quote

import httpx
import msgspec
from pydantic import Field

from dayshift.drivers.base import Context, Millis, OptionsMap, Page, StrictOptions
from dayshift.drivers.process import plain
from dayshift.errors import Driver, DriverFault, DriverRetry, Reason
from dayshift.limits import DRIVER_TIMEOUT_MS

SIGNATURE = "Dayshift-Signature"
ANSWER_BYTES_MAX = 65_536
RETRY_MS = 5_000
BUSY = (408, 425, 429, 500, 502, 503, 504)
NOBODY_YET = (204, 404)


class WebhookNotify:
    """Follows no redirect: a signed page goes to nobody else than who was named."""

    class Options(StrictOptions):
        """`secret` is a reference. `ack_url` may hold `{key}` and answers 200 with
        `{"person": NAME}`, or 204 or 404 while nobody took the page. `ca_file` holds
        the operator's own authorities; only a `proxy` that is named here is used."""

        url: str = Field(pattern=r"^https?://[^\s@]+$")
        secret: str = Field(min_length=1)
        ack_url: str | None = Field(default=None, pattern=r"^https?://[^\s@]+$")
        timeout: Annotated[Millis, Field(gt=0)] = DRIVER_TIMEOUT_MS
        ca_file: str | None = None
        proxy: str | None = Field(default=None, pattern=r"^(https?|socks5)://[^\s@]+$")

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        self._context = context

    async def send(self, page: Page) -> None:
        """Post the page.

        Raises:
            DriverRetry: the receiver is away or busy.
            DriverFault: it refused, or answered with a redirect.
        """
        body = self._context.redact(msgspec.json.encode(page).decode()).encode()
        status, _ = await self._request("POST", self._options.url, body)
        if not 200 <= status < 300:
            raise self._failed(self._options.url, status)

    async def acknowledged(self, key: str) -> str | None:
        """Who took the page, or None.

        Raises:
            DriverRetry: the address is away or busy.
            DriverFault: it answered nonsense.
        """
        if self._options.ack_url is None:
            return None
        url = self._options.ack_url.replace("{key}", quote(key, safe=""))
        status, answer = await self._request("GET", url, b"")
        if status in NOBODY_YET:
            return None
        if status != 200:
            raise self._failed(url, status)
        try:
            person = json.loads(answer)["person"]
        except (ValueError, LookupError, TypeError):
            person = None
        if not isinstance(person, str) or not plain(person):
            raise self._fault(url, "answered 200 without a person's name")
        return plain(person)

    async def _request(self, method: str, url: str, body: bytes) -> tuple[int, bytes]:
        """Status and bounded answer of one signed request."""
        secret = await asyncio.to_thread(self._context.secret, self._options.secret)
        seconds = self._context.clock.now().wall_ms // 1000
        headers = {SIGNATURE: signature(secret, seconds, body)}
        if body:
            headers["Content-Type"] = "application/json"
        request = httpx.Request(method, url, headers=headers, content=body or None)
        try:
            return await self._context.clock.within(
                self._options.timeout, self._exchange(request)
            )
        except TimeoutError:
            cause = f"no answer within {self._options.timeout} ms"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            cause = str(error) or type(error).__name__
        raise DriverRetry(self._reason(url, "did not answer", cause), RETRY_MS)

    async def _exchange(self, request: httpx.Request) -> tuple[int, bytes]:
        async with httpx.AsyncClient(
            verify=self._trusted() if request.url.scheme == "https" else False,
            proxy=self._options.proxy,
            trust_env=False,
            timeout=None,
        ) as client:
            answer = await client.send(request, stream=True)
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    break
            await answer.aclose()
            return answer.status_code, bytes(body)

    def _trusted(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._options.ca_file:
            own = self._context.base_dir / self._options.ca_file
            context.load_verify_locations(own)
        return context

    def _failed(self, url: str, status: int) -> Driver:
        if status in BUSY:
            reason = self._reason(url, f"answered with status {status}", "it is busy")
            return DriverRetry(reason, RETRY_MS)
        redirect = " (redirects are not followed)" if 300 <= status < 400 else ""
        return self._fault(url, f"answered with status {status}{redirect}")

    def _fault(self, url: str, what: str) -> DriverFault:
        return DriverFault(self._reason(url, what, "the receiver does not accept it"))

    def _reason(self, url: str, what: str, because: str) -> Reason:
        return Reason(
            "NOTIFY-FAILED",
            self._context.redact(f"{url} {what}"),
            because=self._context.redact(because),
            so=f"nobody was told by {self.name}; the next channel is called",
            next="see that it runs and knows the secret, then `dayshift check`",
        )


def signature(secret: str, seconds: int, body: bytes) -> str:
    """The header's value; receivers compute it the same way and compare."""
    signed = hmac.new(secret.encode(), b"%d." % seconds + body, hashlib.sha256)
    return f"t={seconds},v1={signed.hexdigest()}"
