"""One GET with a time limit, for drivers that read over HTTP.

Here: every way in which a request can fail becomes `DriverRetry`, with the address and
the cause. Not here: what an answer means, and anything that writes.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from dayshift.errors import DriverRetry, Reason
from dayshift.limits import READ_TIMEOUT_MS
from dayshift.model.units import Clock

RETRY_MS = 500


def blind(what: str, because: str = "", next: str = "") -> DriverRetry:
    """Nothing can be said now: blind, which is neither zero nor bad."""
    reason = Reason("METER-BLIND", what, because, "no reading was taken", next)
    return DriverRetry(reason, RETRY_MS)


class Fetcher:
    """GETs over kept-alive connections; proxies of the environment are ignored, because
    a reading that took another way than the traffic says nothing about it."""

    def __init__(self, clock: Clock, limit_ms: int = READ_TIMEOUT_MS) -> None:
        self._clock = clock
        self._limit_ms = limit_ms
        self._client = httpx.AsyncClient(trust_env=False, timeout=None)

    async def get(self, url: str, query: Mapping[str, str] | None = None) -> str:
        """The body of a 200 answer.

        Raises:
            DriverRetry: no answer in time, no connection, or another status.
        """
        try:
            answer = await self._clock.within(
                self._limit_ms, self._client.get(url, params=query)
            )
        except TimeoutError:
            raise _unreachable(url, f"no answer within {self._limit_ms} ms") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            cause = str(error) or type(error).__name__
            raise _unreachable(url, cause) from None
        if answer.status_code != 200:
            detail = " ".join(answer.text.split())[:200]
            raise _unreachable(url, f"status {answer.status_code}, not 200: {detail}")
        return answer.text

    async def close(self) -> None:
        await self._client.aclose()


def _unreachable(url: str, cause: str) -> DriverRetry:
    return DriverRetry(
        Reason(
            "UNREACHABLE",
            f"{url} did not answer",
            because=cause,
            so="what it would have said is unknown",
            next="see that it runs and that this machine reaches it",
        ),
        RETRY_MS,
    )
