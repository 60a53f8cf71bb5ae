"""Meter `prometheus`: nonsense is blindness, and the real Prometheus is understood."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dayshift.drivers.meters.prometheus import PrometheusMeter
from dayshift.errors import DriverRetry
from dayshift.model.buckets import BEYOND_US, merged
from dayshift.model.evidence import MeterReading, since
from tests.conformance.rigs import EnvoyMeterRig, context
from tests.kit import exposition
from tests.kit.answers import Answers, answering
from tests.kit.daemons import need
from tests.kit.envoys import Envoys, free_ports

QUERIES = {
    "requests": 'sum(rq{at="{region}"})',
    "errors": 'sum(err{at="{region}"})',
    "in_flight": 'sum(active{at="{region}"})',
    "buckets": 'sum by (le) (time_bucket{at="{region}"})',
    "ignored": {"probe": 'sum(probes{at="{region}"})'},
}


@pytest.fixture
def server() -> Iterator[Answers]:
    with answering() as answers:
        yield answers


def meter(url: str, place: Path, **options: Any) -> PrometheusMeter:
    given = {"url": url, "queries": QUERIES, **options}
    return PrometheusMeter("prom", given, context(place))


def read(one: PrometheusMeter, region: str = "fra") -> MeterReading:
    async def run() -> MeterReading:
        try:
            return await one.read(region)
        finally:
            await one.close()

    return asyncio.run(run())


def sample(part: str, value: Any, age_s: float = 0, **labels: str) -> dict[str, Any]:
    at = time.time() - age_s
    return {"metric": {"dayshift_part": part, **labels}, "value": [at, value]}


TOLD = [
    [3, "-0.001", "0.001", "1"],
    [0, "0.08838834764831845", "0.10511205190671433", "2"],
    [0, "0.21022410381342865", "0.25", "4"],
    [0, "2", "2.3784142300054416", "1"],
    [2, "1.7976931348623157e+308", "+Inf", "1"],
]


def native(part: str, told: Any = TOLD, count: str = "9") -> dict[str, Any]:
    histogram = {"count": count, "sum": "1.5", "buckets": told}
    at = time.time()
    return {"metric": {"dayshift_part": part}, "histogram": [at, histogram]}


def good() -> list[dict[str, Any]]:
    return [
        sample("requests", "1e+03"),
        sample("errors", "7"),
        sample("in_flight", "2"),
        sample("ignored probe", "5"),
        sample("buckets", "900", le="0.1"),
        sample("buckets", "1000", le="+Inf"),
    ]


def vector(result: Any, kind: str = "vector", **more: Any) -> bytes:
    data = {"resultType": kind, "result": result}
    return json.dumps({"status": "success", "data": data, **more}).encode()


def test_one_query_gives_one_reading(server: Answers, tmp_path: Path) -> None:
    server.body = vector(good())
    reading = read(meter(server.url, tmp_path))
    assert (reading.requests, reading.errors, reading.in_flight) == (1000, 7, 2)
    assert reading.buckets == {100_000: 900, BEYOND_US: 1000}
    assert reading.ignored == {"probe": 5}
    assert len(server.asked) == 1
    assert "%7Bat%3D%22fra%22%7D" in server.asked[0][0]


def without(part: str) -> bytes:
    kept = [one for one in good() if one["metric"]["dayshift_part"] != part]
    return vector(kept)


def with_requests(value: Any, age_s: float = 0) -> Callable[[], bytes]:
    return lambda: vector([sample("requests", value, age_s), *good()[1:]])


NONSENSE: dict[str, Callable[[], bytes]] = {
    "empty body": lambda: b"",
    "page": lambda: b"<html>login</html>",
    "list": lambda: b"[]",
    "null": lambda: b"null",
    "no data": lambda: b'{"status": "success"}',
    "failed": lambda: b'{"status": "error", "error": "parse error"}',
    "empty vector": lambda: vector([]),
    "no requests": lambda: without("requests"),
    "no errors": lambda: without("errors"),
    "no in flight": lambda: without("in_flight"),
    "no buckets": lambda: without("buckets"),
    "no ignored": lambda: without("ignored probe"),
    "NaN": with_requests("NaN"),
    "+Inf": with_requests("+Inf"),
    "-Inf": with_requests("-Inf"),
    "negative": with_requests("-1"),
    "words": with_requests("many"),
    "no value": with_requests(None),
    "stale": with_requests("1000", age_s=60),
    "future": with_requests("1000", age_s=-60),
    "several": lambda: vector([sample("requests", "1"), *good()]),
    "above 2^53": with_requests("9007199254740993"),
    "a bound twice": lambda: vector([*good(), sample("buckets", "1", le="0.10")]),
    "no last bound": lambda: vector(good()[:-1]),
    "below no bound": lambda: vector([*good(), sample("buckets", "1", le="-1")]),
    "a histogram for a number": lambda: vector([*good()[1:], native("requests")]),
    "two histograms": lambda: vector([*good()[:4], *[native("buckets")] * 2]),
    "negative durations": lambda: vector(
        [*good()[:4], native("buckets", [[1, "-2", "-1", "3"]])]
    ),
    "more in buckets than counted": lambda: vector(
        [*good()[:4], native("buckets", [[0, "1", "2", "3"]], count="2")]
    ),
    "a histogram of a sort": lambda: vector([*good()[:4], native("buckets", [[0]])]),
    "NaN in a bucket": lambda: vector(
        [*good()[:4], native("buckets", [[0, "1", "2", "NaN"]])]
    ),
    "no bound": lambda: vector([*good(), sample("buckets", "1")]),
    "NaN bound": lambda: vector([*good(), sample("buckets", "1", le="NaN")]),
    "scalar": lambda: vector([time.time(), "5"], kind="scalar"),
    "matrix": lambda: vector([], kind="matrix"),
    "mapping": lambda: vector({}),
    "sample of a sort": lambda: vector([{"metric": {}}]),
    "partial": lambda: vector(good(), isPartial=True),
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_blind_never_zero(
    server: Answers, tmp_path: Path, nonsense: str
) -> None:
    server.body = NONSENSE[nonsense]()
    with pytest.raises(DriverRetry) as caught:
        read(meter(server.url, tmp_path))
    assert caught.value.reason.code == "METER-BLIND"
    assert caught.value.reason.because and caught.value.reason.next


@pytest.mark.parametrize("status", [204, 302, 400, 401, 404, 500, 503])
def test_every_other_status_is_blind(
    server: Answers, tmp_path: Path, status: int
) -> None:
    server.status, server.body = status, b"" if status == 204 else vector(good())
    with pytest.raises(DriverRetry):
        read(meter(server.url, tmp_path))


def test_a_server_that_is_slow_or_gone_is_blind(
    server: Answers, tmp_path: Path
) -> None:
    server.wait_s, server.body = 5.0, vector(good())
    begun = time.monotonic()
    with pytest.raises(DriverRetry, match="no answer within"):
        read(meter(server.url, tmp_path))
    assert time.monotonic() - begun < server.wait_s
    (port,) = free_ports(1)
    with pytest.raises(DriverRetry):
        read(meter(f"http://127.0.0.1:{port}", tmp_path))


def test_a_scrape_that_stands_still_is_blind(server: Answers, tmp_path: Path) -> None:
    one = meter(server.url, tmp_path, queries={**QUERIES, "scraped": "min(x)"})
    server.body = vector([*good(), sample("scraped", str(time.time() - 1))])
    assert read(one).requests == 1000
    one = meter(server.url, tmp_path, queries={**QUERIES, "scraped": "min(x)"})
    server.body = vector([*good(), sample("scraped", str(time.time() - 30))])
    with pytest.raises(DriverRetry, match=r"limit 3000 ms"):
        read(one)


def test_a_native_histogram_is_read_beside_a_classic_one(
    server: Answers, tmp_path: Path
) -> None:
    """Regions may differ; what both have is what can be compared."""
    server.body = vector(good())
    classic = read(meter(server.url, tmp_path), "fra")
    server.body = vector([*good()[:4], native("buckets")])
    sparse = read(meter(server.url, tmp_path), "ber")
    assert sparse.buckets[250_000] == 7 and sparse.buckets[105_112] == 3
    assert sparse.buckets[BEYOND_US] == 9 and sparse.buckets[2_000_000] == 7
    assert sparse.buckets[2_378_414] == 8
    assert merged(classic.buckets, sparse.buckets) == {BEYOND_US: 1009}
    server.body = vector([*good(), native("buckets")])
    both = read(meter(server.url, tmp_path))
    assert both.buckets == classic.buckets
    assert since(both, classic) is not None
    assert since(classic, sparse) is None, "another kind of histogram is a new series"


def test_a_native_histogram_without_buckets_is_zero(
    server: Answers, tmp_path: Path
) -> None:
    empty = native("buckets", None, "0")
    del empty["histogram"][1]["buckets"]
    server.body = vector([*good()[:4], empty])
    before = read(meter(server.url, tmp_path))
    server.body = vector([*good()[:4], native("buckets")])
    counts = since(before, read(meter(server.url, tmp_path)))
    assert counts and counts.buckets[250_000] == 7


def test_a_reading_says_which_sample_it_is(server: Answers, tmp_path: Path) -> None:
    scraped = round(time.time() - 1, 3)
    server.body = vector([*good(), sample("scraped", str(scraped))])
    one = meter(server.url, tmp_path, queries={**QUERIES, "scraped": "min(x)"})
    first = read(one)
    one = meter(server.url, tmp_path, queries={**QUERIES, "scraped": "min(x)"})
    second = read(one)
    assert first.tick == second.tick == round(scraped * 1000)
    assert first.at != second.at
    server.body = vector(good())
    assert read(meter(server.url, tmp_path)).tick == 0


LEVELS: dict[str, tuple[bytes, dict[str, int]]] = {
    "a level": (vector([sample("", "0.75")]), {"lag": 750}),
    "below zero": (vector([sample("", "-2")]), {"lag": -2000}),
    "NaN": (vector([sample("", "NaN")]), {}),
    "+Inf": (vector([sample("", "+Inf")]), {}),
    "too large": (vector([sample("", "1e300")]), {}),
    "missing": (vector([]), {}),
    "several": (vector([sample("", "1"), sample("", "2", pod="b")]), {}),
    "a histogram": (vector([native("")]), {}),
    "words": (vector([sample("", "much")]), {}),
    "an error": (b'{"status": "error", "error": "parse error"}', {}),
    "no answer": (b"", {}),
    "a list": (b"[]", {}),
}


@pytest.mark.parametrize("case", LEVELS)
def test_a_gauge_never_blinds_the_counts(
    server: Answers, tmp_path: Path, case: str
) -> None:
    body, wanted = LEVELS[case]

    def to(path: str, _: dict[str, str]) -> tuple[str, bytes]:
        if "lag_seconds" in path:
            return "application/json", body
        if "queue_length" in path:
            return "application/json", vector([sample("", "3")])
        return "application/json", vector(good())

    server.to = to
    gauges = {"lag": 'max(lag_seconds{at="{region}"})', "queue": "queue_length"}
    one = meter(server.url, tmp_path, queries={**QUERIES, "gauges": gauges})
    reading = read(one)
    assert reading.requests == 1000
    assert reading.gauges == {"queue": 3000, **wanted}


def test_a_gauge_that_hangs_is_left_out(server: Answers, tmp_path: Path) -> None:
    def to(path: str, _: dict[str, str]) -> tuple[str, bytes]:
        if "lag_seconds" in path:
            time.sleep(1.2)
        return "application/json", vector(good())

    server.to = to
    queries = {**QUERIES, "gauges": {"lag": "lag_seconds"}}
    begun = time.monotonic()
    reading = read(meter(server.url, tmp_path, queries=queries))
    assert (reading.requests, reading.gauges) == (1000, {})
    assert time.monotonic() - begun < 1.1


def test_a_query_that_forgets_its_region_is_refused() -> None:
    queries = {**QUERIES, "requests": "sum(rq)"}
    with pytest.raises(ValidationError, match="requests"):
        PrometheusMeter.Options.model_validate({"url": "http://x", "queries": queries})


USERS = 'at="{region}",envoy_cluster_name="app"'
TOTAL = f"envoy_cluster_upstream_rq_total{{{USERS}}}"
BAD = f'envoy_cluster_upstream_rq_xx{{{USERS},envoy_response_code_class="5"}}'
ENVOY_QUERIES = {
    "requests": f"sum({TOTAL})",
    "errors": f"sum({BAD}) or sum({TOTAL}) * 0",
    "in_flight": f"sum(envoy_cluster_upstream_rq_active{{{USERS}}})",
    "buckets": f"sum by (le) (envoy_cluster_upstream_rq_time_bucket{{{USERS}}})",
    "ignored": {"probe": f"sum({TOTAL.replace('app', 'app_probe')})"},
    "scraped": f"min(timestamp({TOTAL}))",
}


@pytest.fixture
def prometheus(envoys: Envoys, tmp_path: Path) -> Iterator[str]:
    """A Prometheus of our own that scrapes both edges five times a second."""
    targets = [
        {"targets": [one.admin.removeprefix("http://")], "labels": {"at": region}}
        for region, one in envoys.edges.items()
    ]
    with running(tmp_path, "stats/prometheus", targets) as url:
        yield url


@contextmanager
def running(
    place: Path, path: str, targets: list[dict[str, Any]], feature: str = ""
) -> Iterator[str]:
    program = need("prometheus", "prometheus")
    job = {
        "job_name": "edges",
        "scrape_interval": "200ms",
        "scrape_timeout": "200ms",
        "metrics_path": f"/{path}",
        "static_configs": targets,
    }
    (place / "prometheus.yml").write_text(json.dumps({"scrape_configs": [job]}))
    (port,) = free_ports(1)
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={place / 'prometheus.yml'}",
                f"--storage.tsdb.path={place / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--enable-feature={feature}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.journey
def test_the_real_prometheus_over_native_histograms(
    server: Answers, tmp_path: Path
) -> None:
    """Sparse buckets of one process, scraped, queried and added up by the real one."""
    counts = {-13: 5, -8: 40, 4: 2}

    def to(path: str, headers: dict[str, str]) -> tuple[str, bytes]:
        body = exposition.counter("rq_total", 50 + sum(counts.values()))
        body += exposition.counter("err_total", 1)
        return exposition.KIND, body + exposition.histogram("took", 2, counts, 3)

    server.to = to
    at = server.url.removeprefix("http://")
    target = {"targets": [at], "labels": {"at": "fra"}}
    queries = {
        "requests": 'sum(rq_total{at="{region}"})',
        "errors": 'sum(err_total{at="{region}"})',
        "in_flight": 'sum(up{at="{region}"}) * 0',
        "buckets": 'sum(took{at="{region}"})',
        "scraped": "min(timestamp(rq_total))",
        "gauges": {"load": 'rq_total{at="{region}"} / 100', "none": "absent_one"},
    }

    async def check(url: str) -> None:
        one = meter(url, tmp_path, queries=queries)
        first = await until(one, lambda now: bool(now.buckets))
        assert first.buckets[105_112] == 8 and first.buckets[250_000] == 48
        assert first.buckets[1_681_793] == 48 and first.buckets[2_000_000] == 50
        assert first.buckets[BEYOND_US] == 50
        assert first.gauges == {"load": 970}
        again = await one.read("fra")
        later = await until(one, lambda now: now.tick > again.tick)
        counts[-2] = 7
        last = await until(one, lambda now: now.requests >= first.requests + 7)
        grown = since(later, last)
        assert grown and grown.requests == 7
        assert grown.buckets[594_604] == 0 and grown.buckets[707_107] == 7
        await one.close()

    with running(tmp_path, "metrics", [target], "native-histograms") as url:
        asyncio.run(check(url))


async def until(
    one: PrometheusMeter, wanted: Callable[[MeterReading], bool]
) -> MeterReading:
    deadline = time.monotonic() + 20
    while True:
        try:
            reading = await one.read("fra")
            if wanted(reading):
                return reading
        except DriverRetry:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


@pytest.mark.journey
def test_the_real_prometheus_over_a_real_envoy(
    prometheus: str, envoys: Envoys, tmp_path: Path
) -> None:
    rig = EnvoyMeterRig(envoys)
    rig.send("fra", 1)  # from the first one on there are buckets
    one = meter(prometheus, tmp_path, queries=ENVOY_QUERIES, le_unit="ms")

    async def check() -> None:
        first = await until(one, lambda reading: bool(reading.buckets))
        await asyncio.sleep(1)
        first = await one.read("fra")
        rig.send("fra", 6)
        rig.send("fra", 2, path="/error")
        rig.send("fra", 3, probe=True)
        last = await until(one, lambda now: now.requests >= first.requests + 8)
        counts = since(first, last)
        assert counts and (counts.requests, counts.errors) == (8, 2)
        rig.stop("fra")
        try:
            with pytest.raises(DriverRetry):
                for _ in range(100):
                    await one.read("fra")
                    await asyncio.sleep(0.1)
        finally:
            rig.start("fra")
        await one.close()

    asyncio.run(check())
