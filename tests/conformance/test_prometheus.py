"""Meter `prometheus`: nonsense is blindness, and the real Prometheus is understood."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dayshift.drivers.meters.prometheus import PrometheusMeter
from dayshift.errors import DriverRetry
from dayshift.model.evidence import BEYOND_US, MeterReading, since
from tests.conformance.rigs import EnvoyMeterRig, context
from tests.kit.answers import Answers, answering
from tests.kit.envoys import Envoys, free_ports

PROMETHEUS = shutil.which("prometheus")
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
    server.wait_s, server.body = 2.0, vector(good())
    begun = time.monotonic()
    with pytest.raises(DriverRetry, match="no answer within"):
        read(meter(server.url, tmp_path))
    assert time.monotonic() - begun < 1.9
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
    if PROMETHEUS is None:
        pytest.skip("no `prometheus` on this machine (Debian package: prometheus)")
    targets = [
        {"targets": [one.admin.removeprefix("http://")], "labels": {"at": region}}
        for region, one in envoys.edges.items()
    ]
    job = {
        "job_name": "edges",
        "scrape_interval": "200ms",
        "scrape_timeout": "200ms",
        "metrics_path": "/stats/prometheus",
        "static_configs": targets,
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps({"scrape_configs": [job]}))
    (port,) = free_ports(1)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
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
def test_the_real_prometheus_over_a_real_envoy(
    prometheus: str, envoys: Envoys, tmp_path: Path
) -> None:
    rig = EnvoyMeterRig(envoys)
    rig.send("fra", 1)  # from the first one on there are buckets
    one = meter(prometheus, tmp_path, queries=ENVOY_QUERIES, le_unit="ms")

    async def seen(wanted: Callable[[MeterReading], bool]) -> MeterReading:
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

    async def check() -> None:
        first = await seen(lambda reading: bool(reading.buckets))
        await asyncio.sleep(1)
        first = await one.read("fra")
        rig.send("fra", 6)
        rig.send("fra", 2, path="/error")
        rig.send("fra", 3, probe=True)
        last = await seen(lambda now: now.requests >= first.requests + 8)
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
