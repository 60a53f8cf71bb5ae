"""What a Prometheus remembers becomes rows: chunked, gaps and resets blind, nothing of
its documented answer misread. Against a small real HTTP server."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from dayshift.drivers.fetch import blind
from dayshift.drivers.meters.prometheus import PrometheusMeter
from dayshift.drivers.meters.prometheus_range import POINTS_MAX
from dayshift.errors import DriverRetry
from dayshift.model.estate import DriverRef, MeterSpec
from dayshift.model.evidence import BEYOND_US, MeterReading, Side
from dayshift.runtime.history import meters
from dayshift.runtime.history.meters import Source
from dayshift.runtime.history.rows import Recording
from dayshift.runtime.wiring import Drivers
from tests.conformance.rigs import context
from tests.kit.clock import VirtualClock, run_virtual

T0 = 1_700_000_010
QUERIES = {
    "requests": 'sum(rq{at="{region}"})',
    "errors": 'sum(err{at="{region}"})',
    "in_flight": 'sum(active{at="{region}"})',
    "buckets": 'sum by (le) (time_bucket{at="{region}"})',
}
Value = Callable[[int], float | None]
"""The value at a time, None where there is no sample."""


class Memory:
    """What the server remembers, by part (and `le`), and what it was asked."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, str], Value] = {}
        self.asked: list[dict[str, str]] = []
        self.url = ""
        self.raw: bytes | None = None

    def count(self, requests: Value, errors: Value = lambda at: 0) -> None:
        self.series = {
            ("requests", ""): requests,
            ("errors", ""): errors,
            ("in_flight", ""): lambda at: 1,
            ("buckets", "0.1"): lambda at: 0,
            ("buckets", "+Inf"): requests,
        }

    def answer(self, asked: dict[str, str]) -> bytes:
        start, end, step = (float(asked[key]) for key in ("start", "end", "step"))
        points = [start + n * step for n in range(math.floor((end - start) / step) + 1)]
        if len(points) > 11_000:
            error = "exceeded maximum resolution of 11,000 points per timeseries."
            return json.dumps(
                {"status": "error", "errorType": "bad_data", "error": error}
            ).encode()
        result = []
        for (part, le), value in self.series.items():
            labels = {"dayshift_part": part} | ({"le": le} if le else {})
            values = [
                [at, format_(one)]
                for at in points
                if (one := value(round(at) - T0)) is not None
            ]
            if values:
                result.append({"metric": labels, "values": values})
        data = {"resultType": "matrix", "result": result}
        return json.dumps({"status": "success", "data": data}).encode()


def format_(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "+Inf" if math.isinf(value) else str(value)


@contextmanager
def remembering() -> Iterator[Memory]:
    memory = Memory()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
            memory.asked.append({"path": urlsplit(self.path).path, **asked})
            body = memory.raw if memory.raw is not None else memory.answer(asked)
            self.send_response(400 if b'"error"' in body else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    memory.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield memory
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def memory() -> Iterator[Memory]:
    with remembering() as found:
        yield found


def meter(memory: Memory, place: Path, **queries: str) -> PrometheusMeter:
    given = {"url": memory.url, "queries": {**QUERIES, **queries}}
    return PrometheusMeter("prom", given, context(place))


def past(
    memory: Memory, place: Path, seconds: int, step_s: int = 15, **queries: str
) -> list[MeterReading]:
    async def run() -> list[MeterReading]:
        one = meter(memory, place, **queries)
        window = (T0 * 1000, (T0 + seconds) * 1000)
        try:
            return await one.history("fra", *window, step_s * 1000)
        finally:
            await one.close()

    return asyncio.run(run())


def recorded(
    memory: Memory, place: Path, seconds: int, still_is_blind: bool = False
) -> Recording:
    async def run() -> Recording:
        drivers = Drivers(meters={("shop", "prom"): meter(memory, place)})
        spec = MeterSpec("prom", Side.USERS, DriverRef("prometheus"), ("fra",))
        source = Source("shop", "shop", spec, 15_000)
        window = (T0 * 1000, (T0 + seconds) * 1000)
        try:
            return await meters.past([source], drivers, window, still_is_blind)
        finally:
            await drivers.close()

    return asyncio.run(run())


def test_every_point_is_a_reading_of_its_time(memory: Memory, tmp_path: Path) -> None:
    memory.count(lambda at: 100 * at, lambda at: at)
    found = past(memory, tmp_path, 60)
    assert [one.at.wall_ms for one in found] == [
        (T0 + n) * 1000 for n in range(0, 61, 15)
    ]
    assert [one.requests for one in found] == [0, 1500, 3000, 4500, 6000]
    assert found[1].errors == 15 and found[1].buckets == {100_000: 0, BEYOND_US: 1500}
    assert memory.asked[0]["path"] == "/api/v1/query_range"
    assert 'at="fra"' in memory.asked[0]["query"]


def test_more_points_than_prometheus_gives_are_asked_in_parts(
    memory: Memory, tmp_path: Path
) -> None:
    memory.count(lambda at: at)
    found = past(memory, tmp_path, 2 * POINTS_MAX + 5, step_s=1)
    times = [one.at.wall_ms for one in found]
    assert len(times) == 2 * POINTS_MAX + 6
    assert times == sorted(set(times))
    assert len(memory.asked) == 3


def test_gaps_resets_and_no_numbers_are_blind(memory: Memory, tmp_path: Path) -> None:
    def requests(at: int) -> float | None:
        step = at // 15
        if step in (3, 4):
            return None  # not scraped
        if step == 8:
            return math.nan
        return 10 * (step - 9) if step >= 10 else 1000 + 10 * step  # restarted

    memory.count(requests)
    rows = recorded(memory, tmp_path, 12 * 15).rows
    seen = {row.at_ms // 1000 - T0: row.counts and row.counts.requests for row in rows}
    assert seen == {
        15: 10, 30: 10, 75: None, 90: 10, 105: 10, 135: None, 150: None, 165: 10,
        180: 10,
    }  # fmt: skip
    assert "blind" in recorded(memory, tmp_path, 12 * 15).notes[0]


def test_a_source_that_stands_still_is_blind_where_users_are_sure_to_come(
    memory: Memory, tmp_path: Path
) -> None:
    memory.count(lambda at: 100.0 * (at // 15 if at < 75 or at > 105 else 5))
    incident = recorded(memory, tmp_path, 180).rows
    habit = recorded(memory, tmp_path, 180, still_is_blind=True).rows
    assert any(row.counts and row.counts.requests == 0 for row in incident)
    assert all(row.counts is None or row.counts.requests == 100 for row in habit)
    assert any(row.counts is None for row in habit)


def test_old_samples_are_blind_also_in_the_past(memory: Memory, tmp_path: Path) -> None:
    memory.count(lambda at: at)
    memory.series["scraped", ""] = lambda at: T0 + min(at, 30)
    found = past(memory, tmp_path, 90, scraped="min(timestamp(rq))")
    assert [one.at.wall_ms // 1000 - T0 for one in found] == [0, 15, 30]


NONSENSE = {
    "page": b"<html>login</html>",
    "empty": b"",
    "error": b'{"status": "error", "error": "parse error"}',
    "vector": b'{"status": "success", "data": {"resultType": "vector", "result": []}}',
    "partial": b'{"status": "success", "isPartial": true,'
    b' "data": {"resultType": "matrix", "result": []}}',
    "nothing": b'{"status": "success", "data": {"resultType": "matrix", "result": []}}',
    "no times": b'{"status": "success", "data": {"resultType": "matrix",'
    b' "result": [{"metric": {}, "values": [["x", "1"]]}]}}',
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_an_answer_that_says_nothing_is_refused_with_a_way_out(
    memory: Memory, tmp_path: Path, nonsense: str
) -> None:
    memory.raw = NONSENSE[nonsense]
    with pytest.raises(DriverRetry) as caught:
        past(memory, tmp_path, 60)
    assert caught.value.reason.next and caught.value.reason.because


def test_a_look_at_the_present_counts_what_each_read_added() -> None:
    class Counting:
        name = "edge"

        def __init__(self, clock: VirtualClock) -> None:
            self.clock = clock
            self.reads = 0

        async def read(self, region: str) -> MeterReading:
            self.reads += 1
            now = self.clock.now()
            if now.mono_ms // 1000 % 10 == 5:
                raise blind("away", "asleep")
            steady = now.mono_ms // 10
            return MeterReading(now, steady, steady // 100, 0, 0, {}, {})

        async def close(self) -> None:
            return None

    async def run(clock: VirtualClock) -> Recording:
        one = Counting(clock)
        drivers = Drivers(meters={("shop", "edge"): one})
        spec = MeterSpec("edge", Side.USERS, DriverRef("x"), ("ber", "fra"))
        source = Source("shop", "shop", spec, 1_000)
        return await meters.live([source], drivers, clock, 20_000)

    found = run_virtual(run)
    assert found.regions() == ("ber", "fra")
    seen = [row.counts and row.counts.requests for row in found.rows]
    assert set(seen) == {100, None} and seen.count(100) >= 28
    assert "reads failed" in found.notes[0]
