"""The network lab: a region leaves and comes back, nobody is hurt, nothing is left.

Real name servers, routers and load balancers in namespaces, with k6 as the users. Needs
root.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dayshift.errors import Refused
from dayshift.lab import processes
from dayshift.lab.network import spec as layout
from dayshift.lab.network import up as lab
from dayshift.lab.network import users
from dayshift.lab.network.spec import ADDRESSES, REGIONS, NetSpec
from tests.kit.daemons import eventually

pytestmark = [pytest.mark.journey, pytest.mark.timeout(240)]
LOAD = users.Load(rps=30, streams=4, stream_s="2-6")
DAYSHIFT = [sys.executable, "-m", "dayshift"]


@pytest.fixture(autouse=True)
def able() -> None:
    """Root and every daemon, or a skip with the reason; in CI a failure."""
    if os.geteuid() != 0:
        pytest.skip("only root has network namespaces")
    try:
        layout.able()
    except Refused as refused:
        if os.environ.get("CI"):
            pytest.fail(str(refused))
        pytest.skip(refused.reason.what)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[NetSpec]:
    spec = layout.make(tmp_path / "lab", ttl_s=2)
    try:
        lab.up(spec)
        yield spec
    finally:
        lab.down(spec)


def left_of(spec: NetSpec) -> list[str]:
    """What this machine still has of a lab."""
    asked = (["ip", "netns", "list"], ["ip", "-br", "link"], ["ps", "-eo", "args"])
    shown = [
        line
        for argv in asked
        for line in subprocess.run(
            argv, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        if spec.tag in line
    ]
    return shown + [str(path) for path in Path("/run").glob(f"**/{spec.tag}*")]


def run(spec: NetSpec, *words: str) -> None:
    done = subprocess.run(
        [*DAYSHIFT, *words, "--yes", "--exit-when-held"],
        cwd=spec.dir,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_region_leaves_by_name_route_and_edge_and_comes_back_and_nobody_is_hurt(
    network: NetSpec,
) -> None:
    at_home = {one: name for name in REGIONS for one in ADDRESSES[name]}
    assert users.look(network) == at_home
    users.start(network, LOAD, 600)
    run(network, "drain", "fra", "--reason", "test")
    others = {one: name for one, name in at_home.items() if name != "fra"}
    assert users.look(network) == others, "users are still given addresses of fra"
    pinned = users.look(network, ADDRESSES["fra"][0])
    assert pinned == {ADDRESSES["fra"][0]: "ber"}, "its route does not lead to the next"
    run(network, "return", "fra", "--now", "--reason", "test")
    eventually(lambda: users.look(network) == at_home, "users are led to fra again")
    felt = users.stop(network)
    assert felt is not None
    print(f"\n{felt}")
    assert felt.failed == 0
    assert all(felt.kinds[kind].asked > 100 for kind in ("h1", "h2"))
    assert felt.kinds["stream"].asked > LOAD.streams
    lab.down(network)
    assert left_of(network) == []


def test_a_killed_up_leaves_nothing_after_down(tmp_path: Path) -> None:
    place = tmp_path / "lab"
    argv = [*DAYSHIFT, "lab", "up", "--network", "--dir", str(place)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as starting:
        procs = place / "run" / "procs"
        eventually(lambda: len(list(procs.glob("*.json"))) > 4, "half of it runs")
        starting.send_signal(signal.SIGKILL)
    spec = layout.load(place)
    # As if it had been killed before it could write one of them down.
    forgotten = processes.find(spec.run, "fra-app")
    assert forgotten is not None and processes.alive(forgotten)
    (procs / "fra-app.json").unlink()
    assert left_of(spec)
    down = [*DAYSHIFT, "lab", "down", "--wipe", "--dir", str(place)]
    subprocess.run(down, check=True, capture_output=True)
    assert left_of(spec) == []
    assert not processes.alive(forgotten)
    assert not place.exists()
