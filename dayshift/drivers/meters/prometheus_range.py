"""The past of a Prometheus, point by point, each understood like an instant answer.

Here: range queries within Prometheus' limit of points, and one matrix cut into the
vectors that instant queries would have given. What a point means is the meter's own
business (`prometheus`), so that past and present cannot be read differently.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from dayshift.drivers.fetch import Fetcher, blind
from dayshift.errors import DriverRetry
from dayshift.model.evidence import MeterReading
from dayshift.model.units import Clock, Instant

T = TypeVar("T")
POINTS_MAX = 10_000
"""Prometheus refuses more than 11,000 points of a series in one answer."""
LIMIT_MS = 30_000
BOOT = "history"


class PastClock:
    """Says the time that is being read about; waits in real time."""

    def __init__(self, real: Clock) -> None:
        self._real = real
        self.at_ms = 0

    def now(self) -> Instant:
        return Instant(self.at_ms, self.at_ms, BOOT)

    async def sleep(self, ms: int) -> None:
        await self._real.sleep(ms)

    async def within(self, ms: int, work: Awaitable[T]) -> T:
        return await self._real.within(ms, work)


async def past_readings(
    url: str,
    query: str,
    window: tuple[int, int, int],
    clock: PastClock,
    understood: Callable[[str], MeterReading],
) -> list[MeterReading]:
    """The readings of every point at which all parts were there.

    Args:
        window: from and until (milliseconds since the epoch), and the step.
        clock: set to each point before it is understood.
        understood: the body of an instant answer → a reading, or `DriverRetry`.

    Raises:
        DriverRetry: nothing of it could be read; the reason is that of the last point.
    """
    from_ms, until_ms, step_ms = window
    found: list[MeterReading] = []
    fault: DriverRetry | None = None
    fetch = Fetcher(clock, LIMIT_MS)
    try:
        while from_ms <= until_ms:
            end_ms = min(until_ms, from_ms + (POINTS_MAX - 1) * step_ms)
            asked = {
                "query": query,
                "start": f"{from_ms / 1000:.3f}",
                "end": f"{end_ms / 1000:.3f}",
                "step": f"{step_ms / 1000:.3f}",
            }
            body = await fetch.get(f"{url.rstrip('/')}/api/v1/query_range", asked)
            for at_ms, vector in _vectors(body, url):
                clock.at_ms = at_ms
                try:
                    found.append(understood(vector))
                except DriverRetry as error:
                    fault = error
            from_ms = end_ms + step_ms
    finally:
        await fetch.close()
    if not found:
        raise fault or blind(
            f"{url} has nothing between these times",
            "the range query gave no series",
            "try the query there, and a later `--since`",
        )
    return found


def _vectors(body: str, url: str) -> list[tuple[int, str]]:
    """A matrix as instant answers in order of time."""
    points: dict[int, list[dict[str, Any]]] = {}
    try:
        answer = json.loads(body)
        if answer["status"] != "success" or answer["data"]["resultType"] != "matrix":
            raise ValueError(str(answer.get("error", "it is no matrix")))
        if answer.get("isPartial"):
            raise ValueError("the result is partial: a source did not answer it")
        for series in answer["data"]["result"]:
            for many, one in (("values", "value"), ("histograms", "histogram")):
                for sample in series.get(many, ()):
                    at_ms = round(float(sample[0]) * 1000)
                    entry = {"metric": series["metric"], one: sample}
                    points.setdefault(at_ms, []).append(entry)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise blind(
            f"{url} did not answer the range query",
            f"{error}; it said {body[:80]!r}",
            "try the query there",
        ) from None
    return [(at_ms, _instant(points[at_ms])) for at_ms in sorted(points)]


def _instant(entries: list[dict[str, Any]]) -> str:
    data = {"resultType": "vector", "result": entries}
    return json.dumps({"status": "success", "data": data})
