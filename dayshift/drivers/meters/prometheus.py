"""Meter `prometheus`: cumulative counts by instant queries to the HTTP API.

All parts of a reading come from one query, so that they are of one instant. What is
missing, stale, not a number, infinite or negative is blindness, never zero.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Literal, NoReturn, Self

from pydantic import Field, model_validator

from dayshift.drivers.base import Context, Millis, OptionsMap, StrictOptions
from dayshift.drivers.fetch import Fetcher, blind
from dayshift.limits import FRESH_MS_DEFAULT
from dayshift.model.evidence import BEYOND_US, MeterReading

PART = "dayshift_part"
"""The label by which the parts of the one query are told apart."""
UNIT_US = {"s": 1_000_000, "ms": 1_000, "us": 1}


class Queries(StrictOptions):
    """Expressions in PromQL; `{region}` stands for the region's name.

    Each gives one number, cumulative where it counts: `sum(x_total{at="{region}"})`,
    never a rate. `buckets` gives one series for each `le`. `started` changes when a
    source restarts (`sum(process_start_time_seconds{…})`). `scraped` is when the oldest
    sample was taken (`min(timestamp(x_total{…}))`): without it, a Prometheus that no
    longer scrapes looks alive for its lookback of five minutes.

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

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        self._clock = context.clock
        self._fetch = Fetcher(context.clock)

    async def close(self) -> None:
        await self._fetch.close()

    async def read(self, region: str) -> MeterReading:
        """Counts of `region` as of the last scrape.

        Raises:
            DriverRetry: any part is missing, stale or not a count.
        """
        parts = self._options.queries.parts()
        query = " or ".join(
            f'label_replace(({text.replace("{region}", region)}), "{PART}", "{part}", '
            '"", "")'
            for part, text in parts.items()
        )
        url = f"{self._options.url.rstrip('/')}/api/v1/query"
        samples = self._samples(await self._fetch.get(url, {"query": query}))
        values: dict[str, float] = {}
        buckets: dict[int, int] = {}
        for labels, value in samples:
            part = labels.get(PART, "")
            if part == "buckets":
                buckets[self._bound_us(labels.get("le", ""))] = round(value)
            elif part in values:
                self._blind(
                    f"{part} has several series", "one number is needed: sum it"
                )
            else:
                values[part] = value
        if "buckets" in parts and buckets:
            values["buckets"] = 0
        for part in parts:
            if part not in values:
                self._blind(f"{part} has no series for {region!r}", parts[part])
        self._check_age(values.get("scraped"))
        return self._reading(values, buckets)

    def _reading(
        self, values: dict[str, float], buckets: dict[int, int]
    ) -> MeterReading:
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
            series=str(values.get("started", "")),
        )

    def _samples(self, body: str) -> Iterator[tuple[dict[str, str], float]]:
        """Labels and value of each sample of an instant vector, each one checked."""
        try:
            answer = json.loads(body)
            if answer["status"] != "success":
                self._blind("the query failed", str(answer.get("error", ""))[:200])
            kind, result = answer["data"]["resultType"], answer["data"]["result"]
            if kind != "vector":
                self._blind(f"the result is a {kind}", "an instant vector is needed")
            if answer.get("isPartial") or not isinstance(result, list):
                self._blind("the result is partial", "a source did not answer it")
            samples = [(one["metric"], one["value"]) for one in result]
            for labels, (at_s, text) in samples:
                yield labels, self._checked(labels, float(at_s), text)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._blind("the answer is not a query result", f"it said {body[:80]!r}")

    def _checked(self, labels: dict[str, str], at_s: float, text: str) -> float:
        value, part = float(text), labels.get(PART, "?")
        if not math.isfinite(value):
            self._blind(f"{part} is {text}", "it is not a number that can be counted")
        if value < 0:
            self._blind(f"{part} is {text}", "a count is never below 0")
        self._check_age(at_s)
        return value

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
        if text == "+Inf":
            return BEYOND_US
        try:
            return round(float(text) * UNIT_US[self._options.le_unit])
        except (ValueError, OverflowError):
            self._blind(f"a bucket has the bound {text!r}", "keep the label `le`")

    def _blind(self, what: str, because: str) -> NoReturn:
        raise blind(
            f"meter {self.name}: {what}",
            because,
            f"try the query at {self._options.url}",
        )
