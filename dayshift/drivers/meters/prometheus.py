"""Meter `prometheus`: cumulative counts by instant queries to the HTTP API.

All counts of a reading come from one query, so that they are of one instant. What is
missing, stale, not a number, infinite or negative is blindness, never zero. Gauges are
asked for beside it, one by one: what is wrong with a level never blinds the counts.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from copy import copy
from functools import partial
from typing import Any, Literal, NoReturn, Self

from msgspec.structs import replace
from pydantic import Field, model_validator

from dayshift.drivers.base import Context, Millis, OptionsMap, StrictOptions
from dayshift.drivers.fetch import Fetcher, blind
from dayshift.drivers.meters.prometheus_range import PastClock, past_readings
from dayshift.errors import DriverRetry
from dayshift.limits import FRESH_MS_DEFAULT, READ_TIMEOUT_MS
from dayshift.model.buckets import BEYOND_US, Layout, Span, bound_us, spanned
from dayshift.model.evidence import MeterReading
from dayshift.model.units import Clock

PART = "dayshift_part"
"""The label by which the parts of the one query are told apart."""
UNIT_US = {"s": 1_000_000, "ms": 1_000, "us": 1}
COUNT_MAX = 1 << 53
"""Prometheus' numbers are floats: from this one on, single requests no longer count."""
GAUGE_TIMEOUT_MS = READ_TIMEOUT_MS // 2
BUCKETS, NATIVE = "buckets", "native"
Sample = tuple[dict[str, str], float | Layout]


class Queries(StrictOptions):
    """Expressions in PromQL; `{region}` stands for the region's name.

    Each gives one number, cumulative where it counts: `sum(x_total{at="{region}"})`,
    never a rate. `buckets` gives one series for each `le`, or one native histogram
    (`sum(x_seconds{…})`); regions may differ. `started` changes when a
    source restarts (`sum(process_start_time_seconds{…})`). `scraped` is when the oldest
    sample was taken (`min(timestamp(x_total{…}))`): without it, a Prometheus that no
    longer scrapes looks alive for its lookback of five minutes, and the same sample
    read twice looks like two.

    `gauges` are levels by name, which the policy's `gate.gauges` may bound.

    An error counter that appears with the first error needs an explicit zero that the
    requests vouch for: `sum(errors_total{…}) or sum(requests_total{…}) * 0`.
    """

    requests: str = Field(min_length=1)
    errors: str = Field(min_length=1)
    in_flight: str = Field(min_length=1)
    connections: str | None = None
    buckets: str | None = None
    ignored: dict[str, str] = {}
    started: str | None = None
    scraped: str | None = None
    gauges: dict[str, str] = {}

    def parts(self) -> dict[str, str]:
        """Every expression by the name of its part."""
        named = {
            "requests": self.requests,
            "errors": self.errors,
            "in_flight": self.in_flight,
            "connections": self.connections,
            "buckets": self.buckets,
            "started": self.started,
            "scraped": self.scraped,
        }
        ignored = {f"ignored {kind}": text for kind, text in self.ignored.items()}
        return {part: text for part, text in named.items() if text} | ignored

    @model_validator(mode="after")
    def _region_is_asked(self) -> Self:
        for part, text in self.parts().items():
            if part not in ("started", "scraped") and "{region}" not in text:
                raise ValueError(f"query {part!r} has no {{region}}")
        return self


class PrometheusMeter:
    """Cumulative counts of one service, as a Prometheus collected them."""

    class Options(StrictOptions):
        """`stale` bounds the age of a sample; `le_unit` is the unit of the buckets."""

        url: str = Field(pattern=r"^https?://")
        queries: Queries
        stale: Millis = FRESH_MS_DEFAULT
        le_unit: Literal["s", "ms", "us"] = "s"

        def gauge_names(self) -> tuple[str, ...]:
            """As `GivesGauges`."""
            return tuple(self.queries.gauges)

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        self._clock: Clock = context.clock
        self._url = f"{self._options.url.rstrip('/')}/api/v1/query"
        self._fetch = Fetcher(context.clock)
        self._quick = Fetcher(context.clock, GAUGE_TIMEOUT_MS)

    async def close(self) -> None:
        await self._fetch.close()
        await self._quick.close()

    async def read(self, region: str) -> MeterReading:
        """Counts of `region` as of the last scrape.

        Raises:
            DriverRetry: any part is missing, stale or not a count.
        """
        levels = asyncio.ensure_future(self._gauges(region))
        try:
            body = await self._fetch.get(self._url, {"query": self._query(region)})
            return replace(self._understood(body, region), gauges=await levels)
        finally:
            levels.cancel()

    async def _gauges(self, region: str) -> dict[str, int]:
        """Every level that can be read now, in thousandths; the others are left out."""
        asked = self._options.queries.gauges
        levels = await asyncio.gather(
            *(self._level(text.replace("{region}", region)) for text in asked.values())
        )
        found = zip(asked, levels, strict=True)
        return {name: level for name, level in found if level is not None}

    async def _level(self, query: str) -> int | None:
        try:
            body = await self._quick.get(self._url, {"query": query})
            values = [entry["value"] for entry in self._entries(body)]
            level = float(values[0][1]) * 1000 if len(values) == 1 else math.nan
        except (DriverRetry, ValueError, KeyError, TypeError, IndexError):
            return None
        return round(level) if abs(level) <= COUNT_MAX else None

    async def history(
        self, region: str, from_wall_ms: int, until_wall_ms: int, step_ms: int
    ) -> list[MeterReading]:
        """As `HistoryMeter`: one range query, each point read as if it were now."""
        past = copy(self)
        past._clock = clock = PastClock(self._clock)
        return await past_readings(
            self._options.url,
            self._query(region),
            (from_wall_ms, until_wall_ms, step_ms),
            clock,
            partial(past._understood, region=region),
        )

    def _query(self, region: str) -> str:
        """All parts in one query, told apart by a label.

        The buckets are those without: older servers (seen at 2.42) lose a native
        histogram in `label_replace`.
        """
        parts = self._options.queries.parts().items()
        asked = {part: f"({text.replace('{region}', region)})" for part, text in parts}
        return " or ".join(
            text
            if part == BUCKETS
            else f'label_replace({text}, "{PART}", "{part}", "", "")'
            for part, text in asked.items()
        )

    def _understood(self, body: str, region: str) -> MeterReading:
        """The reading that an answer holds."""
        parts = self._options.queries.parts()
        values: dict[str, float] = {}
        buckets: Layout = {}
        native: Layout = {}
        for labels, value in self._samples(body):
            part = labels.get(PART, BUCKETS)
            if isinstance(value, dict):
                self._once(part, bool(native))
                native = value
            elif part == BUCKETS:
                bound = self._bound_us(labels.get("le", ""))
                self._once(f"{part} up to {labels.get('le')}", bound in buckets)
                buckets[bound] = round(value)
            else:
                self._once(part, part in values)
                values[part] = value
        if buckets and BEYOND_US not in buckets:
            self._blind("buckets have no le='+Inf'", "it alone holds every answer")
        kind = NATIVE if native and not buckets else ""
        buckets = buckets or native
        if BUCKETS in parts and buckets:
            values[BUCKETS] = 0
        for part in parts:
            if part not in values:
                self._blind(f"{part} has no series for {region!r}", parts[part])
        self._check_age(values.get("scraped"))
        return self._reading(values, buckets, kind)

    def _once(self, part: str, known: bool) -> None:
        if known:
            self._blind(f"{part} has several series", "one is needed: sum it")

    def _reading(
        self, values: Mapping[str, float], buckets: Layout, kind: str
    ) -> MeterReading:
        """The reading; counts of another kind of histogram are another series."""
        count = {part: round(value) for part, value in values.items()}
        return MeterReading(
            at=self._clock.now(),
            requests=count["requests"],
            errors=min(count["errors"], count["requests"]),
            in_flight=count["in_flight"],
            connections=count.get("connections", 0),
            buckets=dict(sorted(buckets.items())),
            ignored={
                kind: count[f"ignored {kind}"] for kind in self._options.queries.ignored
            },
            series=f"{values.get('started', '')} {kind}".strip(),
            tick=round(values.get("scraped", 0) * 1000),
        )

    def _samples(self, body: str) -> Iterator[Sample]:
        """Labels and value of each sample, each one checked."""
        try:
            for entry in self._entries(body):
                labels = entry["metric"]
                if "histogram" in entry:
                    at_s, told = entry["histogram"]
                    yield labels, self._native(labels, told)
                else:
                    at_s, text = entry["value"]
                    yield labels, self._checked(labels.get(PART, BUCKETS), text)
                self._check_age(float(at_s))
        except (ValueError, KeyError, TypeError, AttributeError):
            self._blind("the answer is not a query result", f"it said {body[:80]!r}")

    def _entries(self, body: str) -> list[dict[str, Any]]:
        """The entries of an instant vector.

        Raises:
            DriverRetry: the query failed, or gave only a part.
            ValueError, KeyError, TypeError: it is no answer of a Prometheus.
        """
        answer = json.loads(body)
        if answer["status"] != "success":
            self._blind("the query failed", str(answer.get("error", ""))[:200])
        kind, result = answer["data"]["resultType"], answer["data"]["result"]
        if kind != "vector":
            self._blind(f"the result is a {kind}", "an instant vector is needed")
        if answer.get("isPartial") or not isinstance(result, list):
            self._blind("the result is partial", "a source did not answer it")
        return result

    def _checked(self, part: str, text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            self._blind(f"{part} is {text}", "it is not a number that can be counted")
        if value < 0:
            self._blind(f"{part} is {text}", "a count is never below 0")
        if value >= COUNT_MAX:
            because = f"from {COUNT_MAX} on single requests no longer count"
            self._blind(f"{part} is {text}", because)
        return value

    def _native(self, labels: Mapping[str, str], told: Mapping[str, Any]) -> Layout:
        """A native histogram's buckets, each told as [rule, left, right, own count]."""
        part = labels.get(PART, BUCKETS)
        if part != BUCKETS:
            because = "one number is needed: `histogram_count(…)` of it"
            self._blind(f"{part} is a native histogram", because)
        spans = [
            Span(float(left), float(right), round(self._checked(part, count)))
            for _, left, right, count in told.get("buckets") or ()
        ]
        total = sum(one.count for one in spans)
        if total > round(self._checked(part, told["count"])):
            because = "its buckets together cannot hold more than it counted"
            self._blind(f"{part} counts {told['count']}, in buckets {total}", because)
        try:
            return spanned(spans, UNIT_US[self._options.le_unit])
        except ValueError as error:
            self._blind(f"{part}: {error}", "durations are never below 0")

    def _check_age(self, at_s: float | None) -> None:
        if at_s is None:
            return
        age_ms = self._clock.now().wall_ms - round(at_s * 1000)
        if abs(age_ms) > self._options.stale:
            self._blind(
                f"a sample is {age_ms} ms old (limit {self._options.stale} ms)",
                "the scrape, the server or a clock stands still",
            )

    def _bound_us(self, text: str) -> int:
        try:
            return bound_us(float(text), UNIT_US[self._options.le_unit])
        except ValueError:
            self._blind(f"a bucket has the bound {text!r}", "keep the label `le`")

    def _blind(self, what: str, because: str) -> NoReturn:
        raise blind(
            f"meter {self.name}: {what}",
            because,
            f"try the query at {self._options.url}",
        )
