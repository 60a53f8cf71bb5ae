"""Probe `http`: marked as ours, straight at the region, never an exception."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dayshift.drivers.probes.http import HttpProbe
from dayshift.errors import DriverFault
from dayshift.model.evidence import ProbeReading
from tests.conformance.rigs import context
from tests.kit.answers import Answers, answering
from tests.kit.envoys import Envoys, free_ports


@pytest.fixture
def server() -> Iterator[Answers]:
    with answering() as answers:
        answers.body = b'{"build": {"version": "2"}, "version": 1}'
        yield answers


def ask(place: Path, url: str, **options: Any) -> ProbeReading:
    async def run() -> ProbeReading:
        given = msgspec.structs.replace(
            context(place), secret=lambda reference: reference.upper()
        )
        probe = HttpProbe("shop", {"urls": {"fra": url}, **options}, given)
        try:
            return await probe.ask("fra")
        finally:
            await probe.close()

    return asyncio.run(run())


def test_a_good_answer_tells_its_version(server: Answers, tmp_path: Path) -> None:
    reading = ask(tmp_path, server.url, version_field="version")
    assert (reading.ok, reading.version) == (True, "1")
    nested = ask(tmp_path, server.url, version_field="build.version")
    assert (nested.ok, nested.version) == (True, "2")
    assert ask(tmp_path, server.url).ok


def test_every_probe_is_marked_as_ours(server: Answers, tmp_path: Path) -> None:
    ask(
        tmp_path,
        server.url,
        headers={"host": "shop.example", "x-dayshift-probe": "0"},
        secret_headers={"authorization": "env:token"},
    )
    headers = server.asked[0][1]
    assert headers["x-dayshift-probe"] == "1"
    assert headers["user-agent"].startswith("dayshift-probe/")
    assert headers["host"] == "shop.example"
    assert headers["authorization"] == "ENV:TOKEN"


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (500, b"{}", "status 500, expected 200"),
        (302, b"{}", "status 302, expected 200"),
        (200, b"<html>", "no 'version'"),
        (200, b"[]", "no 'version'"),
        (200, b"", "no 'version'"),
    ],
)
def test_a_bad_answer_is_an_answer(
    server: Answers, tmp_path: Path, status: int, body: bytes, detail: str
) -> None:
    server.status, server.body = status, body
    reading = ask(tmp_path, server.url, version_field="version")
    assert not reading.ok and detail in reading.detail


def test_a_slow_region_fails_in_time(server: Answers, tmp_path: Path) -> None:
    server.wait_s = 1.0
    reading = ask(tmp_path, server.url, timeout="100 ms")
    assert (reading.ok, reading.detail) == (False, "no answer within 100 ms")
    assert 100 <= reading.took_ms < 900


def test_nobody_there_and_no_such_authority_are_told(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    assert not ask(tmp_path, f"http://127.0.0.1:{port}").ok
    assert not ask(tmp_path, f"https://127.0.0.1:{port}", ca="none.pem").ok


def test_an_expected_status_other_than_200(server: Answers, tmp_path: Path) -> None:
    server.status, server.body = 204, b""
    assert ask(tmp_path, server.url, expect_status=204).ok


def test_a_region_without_url_is_a_fault(server: Answers, tmp_path: Path) -> None:
    async def run() -> None:
        probe = HttpProbe("shop", {"urls": {"ber": server.url}}, context(tmp_path))
        with pytest.raises(DriverFault):
            await probe.ask("fra")

    asyncio.run(run())


@pytest.mark.journey
def test_a_real_edge_knows_it_as_a_probe(envoys: Envoys, tmp_path: Path) -> None:
    edge = envoys.edges["fra"]
    pages = [
        f"/stats?filter=cluster.{name}.upstream_rq_total"
        for name in ("app", "app_probe")
    ]
    before = [int(edge.get(page).split(":")[1]) for page in pages]
    url = f"http://127.0.0.1:{envoys.edge_ports['fra']}/version"
    reading = ask(tmp_path, url, version_field="version")
    assert (reading.ok, reading.version) == (True, "1")
    after = [int(edge.get(page).split(":")[1]) for page in pages]
    assert [now - then for then, now in zip(before, after, strict=True)] == [0, 1]
