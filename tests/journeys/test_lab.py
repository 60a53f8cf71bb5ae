"""The lab itself: real Envoys, real applications, k6 as the users.

These are the yardstick of everything else, so they are checked against other counters:
what k6 says must be what the Envoys, the applications and the database say.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from ruamel.yaml import YAML

from dayshift.drivers.base import Context, Page
from dayshift.drivers.brackets.exec import ExecBracket
from dayshift.drivers.duties.exec import ExecDuty
from dayshift.drivers.notify.exec import ExecNotify
from dayshift.errors import Reason, Refused
from dayshift.lab import by_hand, estate, processes, story, up, upgrade, users, view
from dayshift.lab.ledger import now_ms
from dayshift.model import records as r
from dayshift.model.dial import split
from dayshift.model.units import Instant
from dayshift.runtime.clock import RealClock
from tests.kit.daemons import eventually

pytestmark = [pytest.mark.journey, pytest.mark.timeout(180)]
RPS = 300


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[estate.LabSpec]:
    spec = estate.build(tmp_path / "lab")
    try:
        up.up(spec)
        yield spec
    finally:
        up.down(spec)


def entered(spec: estate.LabSpec, region: str) -> int:
    """What the global Envoy counts for a region, completed requests only."""
    name = f"cluster.region_{region}.upstream_rq_completed"
    url = f"http://127.0.0.1:{spec.admin}/stats?filter={name}&format=json"
    stats = httpx.get(url, trust_env=False).json()["stats"]
    return next(one["value"] for one in stats if one.get("name") == name)


def served(spec: estate.LabSpec, region: str) -> int:
    """What the applications of a region count themselves."""
    return sum(
        httpx.get(f"http://127.0.0.1:{port}/counts", trust_env=False).json()["served"]
        for port in spec.region(region).apps
    )


def context(spec: estate.LabSpec) -> Context:
    base = Path(spec.dir)
    state = base / ".dayshift"
    return Context("lab", base, state, RealClock(), lambda ref: ref, lambda text: text)


def shares(fra: int) -> dict[str, int]:
    return {"fra": fra, "ber": 10_000 - fra}


def test_a_drain_by_weight_hurts_nobody_and_every_counter_agrees(
    lab: estate.LabSpec,
) -> None:
    before = {one.name: entered(lab, one.name) for one in lab.regions}
    mine = {one.name: served(lab, one.name) for one in lab.regions}
    users.start(lab, RPS, limit_s=60)
    time.sleep(5)
    began = now_ms()
    by_hand.steer(lab, shares(0), "test-out")
    time.sleep(5)
    back = now_ms()
    by_hand.steer(lab, shares(5000), "test-back")
    time.sleep(9)
    users.stop(lab)
    passes = (view.PassMarks("fra", zero_ms=began, return_ms=back),)
    seen = view.users_view(Path(lab.dir), view.Marks(began, back, passes))

    assert seen.requests > 15 * RPS
    assert (seen.hurt, seen.unsent, seen.complete) == (0, 0, True)
    assert seen.orders.sent == seen.orders.confirmed > 15 * RPS * 0.05
    assert (seen.orders.missing, seen.orders.duplicate) == (0, 0)
    assert seen.logins > 0 and seen.sessions_lost == 0
    assert seen.downloads > 0 and seen.downloads_broken == 0
    assert (seen.job.missing, seen.job.duplicate) == (0, 0) and seen.job.slots >= 4
    assert set(seen.by_protocol) == {"HTTP/1.1", "HTTP/2.0"}
    assert seen.before.requests > 0 < seen.during.requests
    # The weight moves new requests at once; 300 ms are room for a busy machine.
    assert seen.redirect_ms["fra"] < 300
    absence = seen.absences["fra"]
    assert absence.back_ms - absence.left_ms > 4000
    for region, count in seen.by_region.items():
        # Stopping k6 cuts off what is in flight, which only the servers count.
        others = (
            entered(lab, region) - before[region],
            served(lab, region) - mine[region],
        )
        assert all(0 <= other - count <= 20 for other in others), (others, count)
    assert json.loads(lab.path("users.json").read_bytes())["requests"] == seen.requests


def test_by_hand_hurts_users_and_the_view_shows_it(lab: estate.LabSpec) -> None:
    users.start(lab, RPS, limit_s=60)
    time.sleep(3)
    lines: list[str] = []
    marks = by_hand.by_hand(lab, "2", lines.append)
    time.sleep(2)
    users.stop(lab)
    seen = view.users_view(Path(lab.dir), marks)

    assert seen.hurt > 0
    assert seen.hurt == seen.wrong + seen.resets + seen.timeouts
    assert marks.start_ms <= seen.first_hurt_ms <= marks.end_ms
    assert {up.installed(lab, one.name) for one in lab.regions} == {"2"}
    assert seen.by_version.keys() >= {"1", "2"}
    assert seen.orders.duplicate == 0 and seen.orders.missing == 0
    assert sum(one.failures for one in seen.series) == seen.hurt
    assert any("weight to zero" in line for line in lines)


def test_upgrade_is_done_once_checked_and_undone(lab: estate.LabSpec) -> None:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "dayshift.lab.upgrade", lab.dir, *args]
        return subprocess.run(
            argv,
            env={**os.environ, "DAYSHIFT_REGION": "fra"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert run("--check", "2").returncode == 1
    assert run("2").returncode == 0
    assert run("--check", "2").returncode == 0
    pids = {one.name: one.pid for one in up.members(lab, "fra")}
    again = run("2")
    assert again.returncode == 0 and "already" in again.stdout
    assert {one.name: one.pid for one in up.members(lab, "fra")} == pids
    assert up.installed(lab, "ber") == "1" == up.answering(lab, "ber")
    assert run("1").returncode == 0
    assert upgrade.is_done(lab, "fra", "1")
    assert run("--region", "nowhere", "2").returncode == 5


def test_the_duty_moves_without_a_slot_lost_or_run_twice(lab: estate.LabSpec) -> None:
    files = YAML(typ="safe").load(lab.path("dayshift.yaml"))
    options = files["duties"]["nightly"]["options"]
    duty = ExecDuty("nightly", {**options, "regions": ["fra", "ber"]}, context(lab))
    began = now_ms()
    time.sleep(3)
    assert asyncio.run(duty.holders()) == ("fra",)
    asyncio.run(duty.release("fra"))
    time.sleep(2.5)
    assert asyncio.run(duty.holders()) == ()
    asyncio.run(duty.take("ber"))
    assert asyncio.run(duty.holders()) == ("ber",)
    time.sleep(6)
    seen = view.ledger.job_count(lab.path("data", "shop.db"), began, now_ms())
    assert (seen.missing, seen.duplicate) == (0, 0) and seen.slots >= 3
    assert seen.by_region["ber"] > 0


def test_the_silence_and_the_pager_speak_as_the_drivers_expect(tmp_path: Path) -> None:
    spec = estate.build(tmp_path / "lab")
    files = YAML(typ="safe").load(spec.path("dayshift.yaml"))
    options = files["brackets"]["alert-silence"]["options"]
    silence = ExecBracket("alert-silence", options, context(spec))
    pager = ExecNotify("on-call", files["notify"][0]["options"], context(spec))

    async def use() -> None:
        assert not await silence.is_open()
        await silence.enter("run", "fra")
        await silence.enter("run", "fra")
        assert await silence.is_open()
        await silence.leave("run", "fra")
        assert not await silence.is_open()
        await pager.send(Page("held:1", "run", "held", "come and look"))
        assert await pager.acknowledged("held:1") is None
        argv = [str(spec.path("bin", "page")), "take", "held:1", "Ada Example"]
        await asyncio.to_thread(subprocess.run, argv, check=True, timeout=10)
        assert await pager.acknowledged("held:1") == "Ada Example"
        assert await pager.acknowledged("held") is None

    asyncio.run(use())
    assert "come and look" in spec.path("run", "pages.log").read_text()


def test_down_ends_an_upgrade_in_its_middle_and_nothing_starts_after_it(
    lab: estate.LabSpec,
) -> None:
    argv = [sys.executable, "-m", "dayshift.lab.upgrade", lab.dir, "2"]
    child = subprocess.Popen([*argv, "--region", "ber"], stdout=subprocess.DEVNULL)
    while processes.find(lab.path("run"), "ber-app-0") is not None:
        assert child.poll() is None
        time.sleep(0.02)
    twice = subprocess.run([*argv, "--region", "ber"], capture_output=True, timeout=30)
    assert twice.returncode == 5 and b"LAB-BUSY" in twice.stderr
    assert "upgrade-ber" in up.down(lab)
    assert child.wait(timeout=10) != 0
    with pytest.raises(Refused, match="LAB-DOWN"):
        up.start_region(lab, "ber")
    assert processes.recorded(lab.path("run")) == []


def test_down_ends_exactly_what_up_started(tmp_path: Path) -> None:
    spec = estate.build(tmp_path / "lab")
    try:
        up.up(spec)
        first = processes.recorded(spec.path("run"))
        up.up(spec)
        assert processes.recorded(spec.path("run")) == first
        assert len(first) == 3 + 2 * 3
        up.kill_region(spec, "ber")
        assert len(up.status(spec).dead) == 4
        up.up(spec)
        assert up.status(spec).dead == ()
        every = processes.recorded(spec.path("run"))
    finally:
        up.down(spec)
    assert not any(processes.alive(one) for one in every)
    assert processes.recorded(spec.path("run")) == []


def test_the_story_has_the_instants_of_the_last_run_only() -> None:
    def at(ms: int, body: r.AnyBody, run: str = "b") -> r.Record:
        return r.Record(ms, "", Instant(ms, ms, "boot"), 1, run, body)

    def phased(ms: int, new: r.Phase) -> r.Record:
        return at(ms, r.Phased("fra", r.Phase.SERVING, new))

    def steered(ms: int, fra: int) -> r.Record:
        kind = r.ActionKind.SET_DIAL
        setting = split(shares(fra))
        return at(ms, r.Intent(r.Action(kind, f"k{ms}", "entry", setting=setting)))

    told = story.tell(
        [
            at(1, r.RunOpened("digest", "me"), run="a"),
            at(10, r.RunOpened("digest", "me")),
            at(11, r.Phased("fra", r.Phase.SERVING, r.Phase.DRAINING), run="a"),
            phased(20, r.Phase.DRAINING),
            steered(21, 2500),
            steered(30, 0),
            phased(40, r.Phase.EMPTY),
            phased(50, r.Phase.RETURNING),
            at(60, r.Retreating("fra", "zero")),
            steered(61, 0),
            at(70, r.Held(Reason("GATE-FAILED", "worse than tolerated"))),
        ]
    )
    passes = (view.PassMarks("fra", 20, 30, 40, 50),)
    held = "GATE-FAILED: worse than tolerated"
    assert told == story.Story("b", view.Marks(10, 70, passes), {"fra": 60}, held)
    assert story.tell([]) is None


def test_what_a_lab_with_several_controllers_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match="LAB-CONTROLLERS"):
        estate.build(tmp_path / "two", controllers=2)
    assert not (tmp_path / "two").exists()
    estate.build(tmp_path / "none")
    with pytest.raises(Refused, match="LAB-BUILT"):
        estate.build(tmp_path / "none", controllers=3)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="apt install etcd-server"):
        estate.build(tmp_path / "three", controllers=3)


def test_a_frozen_or_killed_part_is_shown_and_revived(lab: estate.LabSpec) -> None:
    run = lab.path("run")
    edge = processes.find(run, "fra-envoy")
    assert edge is not None and not processes.frozen(edge)
    processes.kill(edge, signal.SIGSTOP)
    eventually(lambda: up.status(lab).frozen == ("fra-envoy",), "it is shown frozen")
    processes.revive(run, edge)
    eventually(lambda: up.status(lab).frozen == (), "it goes on")
    processes.kill(edge, signal.SIGKILL)
    eventually(lambda: up.status(lab).dead == ("fra-envoy",), "it is shown dead")
    processes.revive(run, edge)
    up.await_version(lab, "fra", "1")
    assert up.status(lab).dead == ()
