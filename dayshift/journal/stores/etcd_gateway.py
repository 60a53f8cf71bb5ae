"""Talks to etcd: its documented JSON gateway, several endpoints, one bound in time.

Here live HTTP, TLS, authentication, and the meaning of etcd's errors. What lies in the
store is `etcd`'s. A request may be sent more than once, to several members: callers
send only what may be repeated (a transaction that compares, a range, a renewal).
"""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec

from dayshift.errors import JournalBroken, JournalFull, Reason, Refused
from dayshift.model.units import Clock, elapsed_ms

Json = dict[str, Any]
INVALID, DENIED, UNAUTHENTICATED = 3, 7, 16
CONNECT_MS_MAX = 700
PAUSE_MS = 60
"""Between two rounds over all endpoints; an election takes about a second."""
_STALE_TOKEN = ("invalid auth token", "revision of auth store is old")
_NOT_LET_IN = ("authentication", "user name is empty")
_NO_SPACE = "database space exceeded"
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Json)


class Tls(msgspec.Struct, frozen=True):
    """Files: the authority that signed etcd's certificates, and our own if it asks."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """
        Raises:
            Refused: a file is missing or is none of its kind.
        """
        try:
            made = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                made.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise Refused(_bad_tls(self, error)) from None
        return made


class _Rejected(Exception):
    """etcd answered, and said no."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Gateway:
    """One cluster, by whichever of its endpoints answers. Safe between threads."""

    def __init__(
        self,
        endpoints: list[str],
        tls: Tls,
        clock: Clock,
        timeout_ms: int,
        login: Callable[[], tuple[str, str]] | None,
    ) -> None:
        self.endpoints = [one.rstrip("/") for one in endpoints]
        self.timeout_ms = timeout_ms
        secure = any(one.startswith("https") for one in self.endpoints)
        self._verify: ssl.SSLContext | bool = tls.context() if secure else False
        self._clock = clock
        self._login = login
        self._token = ""
        self._at = 0
        self._client = httpx.Client(verify=self._verify, trust_env=False)
        self._closed = threading.Event()

    def close(self) -> None:
        """Let go of every connection."""
        self._closed.set()
        self._client.close()

    def call(self, path: str, body: Json, timeout_ms: int = 0) -> Json:
        """The answer of the first endpoint that has one, within `timeout_ms`.

        Raises:
            JournalFull: nobody answered in time, or etcd takes no more.
            JournalBroken: etcd says that its data are corrupt.
            Refused: etcd does not let us.
        """
        limit = timeout_ms or self.timeout_ms
        begun = self._clock.now()
        faults: dict[str, str] = {}
        while True:
            for _ in self.endpoints:
                endpoint = self.endpoints[self._at]
                left = limit - elapsed_ms(begun, self._clock.now())
                if left <= 0:
                    raise JournalFull(gone_reason(limit, faults))
                try:
                    return self._ask(endpoint, path, body, self._patience(left, limit))
                except httpx.HTTPError as error:
                    faults[endpoint] = str(error) or type(error).__name__
                except _Rejected as error:
                    self._understood(error)
                    faults[endpoint] = error.message
                self._at = (self._at + 1) % len(self.endpoints)
            self._closed.wait(PAUSE_MS / 1000)

    def _patience(self, left_ms: int, limit_ms: int) -> httpx.Timeout:
        """So much for one endpoint that each of them gets its turn."""
        share = max(200, limit_ms // len(self.endpoints) - PAUSE_MS)
        whole = min(left_ms, share) / 1000
        return httpx.Timeout(whole, connect=min(whole, CONNECT_MS_MAX / 1000))

    def _ask(
        self, endpoint: str, path: str, body: Json, patience: httpx.Timeout
    ) -> Json:
        if self._login is not None and not self._token:
            self._authenticate(endpoint, patience)
        try:
            return self._post(endpoint, path, body, patience)
        except _Rejected as error:
            stale = any(one in error.message for one in _STALE_TOKEN)
            if self._login is None or not stale:
                raise
        self._authenticate(endpoint, patience)
        return self._post(endpoint, path, body, patience)

    def _authenticate(self, endpoint: str, patience: httpx.Timeout) -> None:
        assert self._login is not None
        name, password = self._login()
        self._token = ""
        body = {"name": name, "password": password}
        answer = self._post(endpoint, "/v3/auth/authenticate", body, patience)
        self._token = str(answer["token"])

    def _headers(self) -> dict[str, str]:
        return {"Authorization": self._token} if self._token else {}

    def _post(
        self, endpoint: str, path: str, body: Json, patience: httpx.Timeout
    ) -> Json:
        answer = self._client.post(
            endpoint + path,
            content=_encoder.encode(body),
            headers=self._headers(),
            timeout=patience,
        )
        try:
            found = _decoder.decode(answer.content)
        except msgspec.DecodeError:
            # So it refuses a client's certificate that carries a name.
            bad = answer.status_code == httpx.codes.BAD_REQUEST
            text = f"HTTP {answer.status_code}: {answer.text.strip()[:200]}"
            raise _Rejected(DENIED if bad else 0, text) from None
        if answer.status_code != httpx.codes.OK or "error" in found:
            raise _rejected(found, answer.status_code)
        return found

    def _understood(self, error: _Rejected) -> None:
        """Raise what no other endpoint would answer otherwise."""
        if _NO_SPACE in error.message:
            raise JournalFull(_no_space(error.message)) from None
        told = any(one in error.message for one in _NOT_LET_IN)
        if error.code in (DENIED, UNAUTHENTICATED) or told:
            raise Refused(_denied(error.message)) from None
        if "corrupt" in error.message:
            raise JournalBroken(_corrupt(error.message), 0) from None
        if error.code == INVALID:
            raise Refused(_not_taken(error.message)) from None

    def ask_each(self, path: str, body: Json, timeout_ms: int) -> dict[str, Json | str]:
        """Every endpoint's own answer, or what was wrong with it."""
        out: dict[str, Json | str] = {}
        patience = httpx.Timeout(timeout_ms / 1000)
        for endpoint in self.endpoints:
            try:
                out[endpoint] = self._ask(endpoint, path, body, patience)
            except (httpx.HTTPError, _Rejected) as error:
                out[endpoint] = str(error) or type(error).__name__
        return out

    async def stream(self, path: str, body: Json) -> AsyncGenerator[Json, None]:
        """What one endpoint sends, for as long as it does.

        Raises:
            httpx.HTTPError: it stopped sending, or never began.
        """
        endpoint = self.endpoints[self._at]
        patience = httpx.Timeout(None, connect=CONNECT_MS_MAX / 1000)
        async with (
            httpx.AsyncClient(verify=self._verify, trust_env=False) as client,
            client.stream(
                "POST",
                endpoint + path,
                content=_encoder.encode(body),
                headers=self._headers(),
                timeout=patience,
            ) as answer,
        ):
            async for line in answer.aiter_lines():
                found = _decoder.decode(line)
                if "error" in found:
                    raise httpx.RemoteProtocolError(str(found["error"]))
                yield found.get("result", {})


def _rejected(found: Json, status: int) -> _Rejected:
    told = found.get("error", f"HTTP {status}")
    if isinstance(told, dict):
        return _Rejected(int(told.get("grpc_code", 0)), str(told.get("message")))
    return _Rejected(int(found.get("code", 0)), str(told))


def b64(data: bytes | str) -> str:
    """Bytes as the gateway takes them."""
    raw = data.encode() if isinstance(data, str) else data
    return base64.b64encode(raw).decode()


def unb64(text: str) -> bytes:
    """Bytes as the gateway gives them."""
    return base64.b64decode(text)


def gone_reason(limit_ms: int, faults: dict[str, str]) -> Reason:
    """Why an etcd that should be there is not."""
    told = "; ".join(f"{one}: {text}" for one, text in faults.items())
    return Reason(
        "STORE-GONE",
        f"etcd did not answer within {limit_ms} ms ({told or 'no member did'})",
        because="more than half of its members must be up and reach one another",
        so="no further action is taken, but for those that make things safe",
        next="bring its members back; `dayshift check` shows which answer",
    )


def _no_space(text: str) -> Reason:
    return Reason(
        "JOURNAL-FULL",
        f"etcd takes no more ({text})",
        because="its quota is used up; old revisions were not compacted",
        so="no further action is taken, but for those that make things safe",
        next="compact and defragment, then `etcdctl alarm disarm`",
    )


def _denied(text: str) -> Reason:
    return Reason(
        "STORE-DENIED",
        f"etcd does not let Dayshift in ({text})",
        because="user, password or role are not those that etcd knows",
        so="nothing was read or written",
        next="correct `user` and `password` under `journal.options`, or its role; a "
        "client certificate must carry no common name where users are switched on",
    )


def _corrupt(text: str) -> Reason:
    return Reason(
        "JOURNAL-MALFORMED",
        f"etcd says that its data are corrupt ({text})",
        because="members disagree about what was written",
        so="nothing is decided from this journal",
        next="mend the cluster (`etcdctl alarm list`), then `dayshift audit`",
    )


def _not_taken(text: str) -> Reason:
    return Reason(
        "STORE-REFUSED",
        f"etcd did not take a request ({text})",
        because="its limits are below etcd's defaults, or it is no etcd 3.4 or newer",
        so="nothing was written by that request",
        next="set --max-request-bytes and --max-txn-ops to their defaults or higher",
    )


def _bad_tls(tls: Tls, error: Exception) -> Reason:
    return Reason(
        "STORE-TLS",
        f"the files for TLS to etcd cannot be used ({error})",
        because=f"ca {tls.ca}, cert {tls.cert}, key {tls.key}",
        so="nothing was read or written",
        next="correct `ca`, `cert` and `key` under `journal.options`",
    )
