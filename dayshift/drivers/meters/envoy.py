"""Meter `envoy`: counts of clusters from the admin statistics of one or more Envoys.

One filtered request reads counters and latency buckets, one more which process life
they belong to. Not here: rates, windows and verdicts; and nothing is taken for zero
because it was not found, but errors, which an Envoy lists from the first one on.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import reduce

import msgspec
from pydantic import Field

from dayshift.drivers.base import Context, OptionsMap, StrictOptions
from dayshift.drivers.fetch import Fetcher, blind
from dayshift.drivers.meters.access_log import AccessLog
from dayshift.errors import DriverFault, Reason
from dayshift.model.buckets import Layout, bound_us, merged
from dayshift.model.evidence import MeterReading

COUNTERS = (
    "upstream_rq_total",
    "upstream_rq_completed",
    "upstream_rq_5xx",
    "upstream_rq_pending_overflow",
    "upstream_rq_pending_failure_eject",
    "upstream_rq_maintenance_mode",
    "upstream_cx_none_healthy",
    "upstream_rq_active",
    "upstream_rq_pending_active",
    "upstream_cx_active",
)
SELF_ANSWERED = COUNTERS[3:7]
LATENCY = "upstream_rq_time"
MS_US = 1_000
LINE = re.compile(r"envoy_cluster_(\w+)\{(.*)\} (\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class RegionOptions(StrictOptions):
    """Where one region is measured.

    `admin` may list several Envoys, whose counts are summed. `ignored` maps a class
    (probe, health, scrape) to the cluster that carries it. `access_log` is a file of
    JSON lines with the keys `client` and `cluster`, from which the residue is told.
    """

    admin: str | tuple[str, ...]
    cluster: str = Field(min_length=1)
    ignored: dict[str, str] = {}
    access_log: str | None = None

    def admins(self) -> tuple[str, ...]:
        listed = (self.admin,) if isinstance(self.admin, str) else self.admin
        return tuple(one.rstrip("/") for one in listed)

    def clusters(self) -> dict[str, str]:
        """Which class each cluster carries; users have none."""
        return {self.cluster: ""} | {name: kind for kind, name in self.ignored.items()}


class Counts(msgspec.Struct, frozen=True):
    """One cluster's counters, and its latency buckets by bound in microseconds."""

    values: Mapping[str, int]
    buckets: Layout

    @property
    def requests(self) -> int:
        """Requests that reached the cluster, those that Envoy answered itself included.

        `upstream_rq_total` leaves out what never got a connection; `completed` has it
        but leaves out what the client gave up. The larger of the two sums never falls.
        A retry counts as a request.
        """
        tried = self.values["upstream_rq_total"]
        tried += sum(self.values[name] for name in SELF_ANSWERED)
        return max(tried, self.values["upstream_rq_completed"])

    @property
    def errors(self) -> int:
        """5xx, Envoy's own included; a count that raced ahead of its request waits."""
        return min(self.values["upstream_rq_5xx"], self.requests)

    @property
    def in_flight(self) -> int:
        return (
            self.values["upstream_rq_active"]
            + self.values["upstream_rq_pending_active"]
        )


class EnvoyMeter:
    """Cumulative counts of one service in each region."""

    class Options(StrictOptions):
        """`regions`: where each one is measured; one that is left out is not seen."""

        regions: dict[str, RegionOptions] = Field(min_length=1)

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._regions = self.Options.model_validate(options).regions
        self._clock = context.clock
        self._fetch = Fetcher(context.clock)
        self._logs = {
            region: AccessLog(context.base_dir / one.access_log, one.clusters())
            for region, one in self._regions.items()
            if one.access_log
        }

    async def close(self) -> None:
        await self._fetch.close()

    async def read(self, region: str) -> MeterReading:
        """Counts of `region` now, summed over its Envoys.

        Raises:
            DriverRetry: an Envoy does not answer; a part is never taken for the whole.
            DriverFault: it does not know the cluster, or is no Envoy.
        """
        options = self._regions.get(region)
        if options is None:
            raise self._unknown(region)
        answers = await asyncio.gather(
            *(self._one(admin, options) for admin in options.admins())
        )
        users = [counts[options.cluster] for _, counts in answers]
        ignored: Counter[str] = Counter(dict.fromkeys(options.ignored, 0))
        for kind, cluster in options.ignored.items():
            ignored[kind] += sum(counts[cluster].requests for _, counts in answers)
        log = self._logs.get(region)
        return MeterReading(
            at=self._clock.now(),
            requests=sum(one.requests for one in users),
            errors=sum(one.errors for one in users),
            in_flight=sum(one.in_flight for one in users),
            connections=sum(one.values["upstream_cx_active"] for one in users),
            buckets=_summed(one.buckets for one in users),
            ignored=dict(ignored),
            series=" ".join(life for life, _ in answers),
            residue=log.since_last() if log else (),
        )

    async def _one(
        self, admin: str, options: RegionOptions
    ) -> tuple[str, dict[str, Counts]]:
        """Which life of one Envoy it is, then its counts.

        Why this order: a restart between the two gives small counts under the old name,
        which `since` takes for a restart; never large ones that look like traffic.
        """
        life = await self._life(admin)
        names = "|".join(re.escape(name) for name in options.clusters())
        text = await self._fetch.get(
            f"{admin}/stats/prometheus",
            {"filter": rf"^cluster\.({names})\.({'|'.join(COUNTERS)}|{LATENCY})$"},
        )
        found = _parse(text, admin)
        for name in options.clusters():
            if "upstream_rq_total" not in found.get(name, {}):
                raise await self._no_cluster(admin, name)
        return life, {name: _counts(found[name]) for name in options.clusters()}

    async def _life(self, admin: str) -> str:
        """When this process loaded its bootstrap, to the millisecond: its identity."""
        text = await self._fetch.get(f"{admin}/config_dump", {"mask": "last_updated"})
        try:
            stamps = [one.get("last_updated") for one in json.loads(text)["configs"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _nonsense(admin, text) from None
        if not stamps or not isinstance(stamps[0], str):
            raise _nonsense(admin, text)
        return stamps[0]

    async def _no_cluster(self, admin: str, name: str) -> DriverFault:
        text = await self._fetch.get(
            f"{admin}/stats/prometheus", {"filter": r"\.upstream_rq_total$"}
        )
        known = ", ".join(sorted(_parse(text, admin))[:12]) or "none"
        return DriverFault(
            Reason(
                "CLUSTER-UNKNOWN",
                f"{admin} has no cluster {name!r}",
                because=f"its statistics know: {known}",
                so=f"meter {self.name} says nothing",
                next="mend `cluster` or `ignored` of the meter",
            )
        )

    def _unknown(self, region: str) -> DriverFault:
        return DriverFault(
            Reason(
                "REGION-UNKNOWN",
                f"meter {self.name} does not measure {region!r}",
                because=f"its regions are {', '.join(sorted(self._regions))}",
                next="add the region to the meter's options",
            )
        )


def _parse(text: str, admin: str) -> dict[str, dict[str, int]]:
    """Values by cluster and name; a bucket's name carries its bound in microseconds."""
    found: dict[str, dict[str, int]] = {}
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        if match is None:
            continue
        metric, labels = match[1], dict(LABEL.findall(match[2]))
        if metric in (f"{LATENCY}_sum", f"{LATENCY}_count"):
            continue
        if metric == "upstream_rq_xx":  # Envoy makes a label of the class in the name
            metric = f"upstream_rq_{labels.get('envoy_response_code_class')}xx"
        try:
            if "le" in labels:
                metric = f"le {bound_us(float(labels['le']), MS_US)}"
            value = int(match[3])
        except ValueError:
            raise _nonsense(admin, line) from None
        if value < 0:
            raise blind(
                f"{admin} counts {value} as {metric}", "a count is never below 0"
            )
        cluster = found.setdefault(labels.get("envoy_cluster_name", ""), {})
        cluster[metric] = cluster.get(metric, 0) + value
    return found


def _counts(values: Mapping[str, int]) -> Counts:
    return Counts(
        values={name: values.get(name, 0) for name in COUNTERS},
        buckets={
            int(name.removeprefix("le ")): value
            for name, value in values.items()
            if name.startswith("le ")
        },
    )


def _summed(parts: Iterable[Layout]) -> Layout:
    """All of them together; an Envoy that timed nothing yet lists no buckets."""
    known = [one for one in parts if one]
    return reduce(merged, known) if known else {}


def _nonsense(admin: str, text: str) -> DriverFault:
    return DriverFault(
        Reason(
            "NOT-AN-ENVOY",
            f"{admin} does not answer like an Envoy's admin page",
            because=f"it said {text[:80]!r}",
            next="mend the meter's `admin` address",
        )
    )
