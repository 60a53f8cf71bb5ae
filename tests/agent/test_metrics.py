"""What an agent tells of itself: to scrapers, to systemd, and in its unit."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from dayshift.agent import run, settings, unit
from dayshift.agent.counts import Counts
from dayshift.agent.metrics import KIND, Metrics
from dayshift.agent.server import Server
from dayshift.drivers.agents import messages as m
from dayshift.drivers.agents import tls
from dayshift.drivers.agents.names import Role
from dayshift.drivers.agents.trust import LOOK_MS, Trust
from dayshift.errors import SettingsInvalid
from dayshift.model.dial import Token
from dayshift.model.units import Clock
from dayshift.runtime.clock import RealClock
from tests.agent.test_agent import GOOD, HALF, ZERO, dial_of, keeper
from tests.conformance.rigs import claim, token
from tests.kit.agents import ESTATE, Authority
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.streams import DAY_MS, Shifted

SAMPLE = re.compile(r'([a-z_]+)(\{([a-z]+="[^"\n]*",?)+\})? (\S+)')


class Told:
    """An agent with one dial, its counts, and what its metrics say."""

    def __init__(self, clock: Clock, place: Path) -> None:
        self.authority = authority = Authority(place / "ca")
        cert, key = authority.issue(Role.AGENT, "edge", days=30)
        files = tls.TlsFiles(
            str(authority.ca), str(cert), str(key), str(authority.revoked)
        )
        self.trust = Trust(files, place, str, server=True)
        self.trust.require()
        self.one = keeper(clock, place / "s", dial_of(clock))
        self.server = Server(
            "edge", ESTATE, (), {"entry": self.one}, self.trust, clock, print
        )
        self.metrics = Metrics(
            "edge", self.server.counts, [self.one], self.trust, clock
        )

    async def ask(self, request: m.Request) -> m.Reply:
        return await self.server.answer(m.framed(request)[m.LENGTH_BYTES :])

    def values(self) -> dict[str, float]:
        """Every sample, as a strict reader of OpenMetrics takes it."""
        text = self.metrics.text()
        assert text.endswith("# EOF\n") and text.count("# EOF") == 1
        found, family = {}, ""
        for line in text.splitlines()[:-1]:
            if line.startswith("# TYPE "):
                _, _, family, kind = line.split(" ")
                suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
            elif not line.startswith("# HELP "):
                sample = SAMPLE.fullmatch(line)
                assert sample and sample[1] == family + suffix, line
                name = f"{sample[1]}{sample[2] or ''}"
                assert name not in found
                found[name] = float(sample[4])
        return found


def test_what_is_asked_and_refused_and_armed_is_counted(tmp_path: Path) -> None:
    async def program(clock: VirtualClock) -> None:
        told = Told(clock, tmp_path)
        tending = asyncio.create_task(told.one.tend())
        proof: Token = token(claim(1))
        for _ in range(3):
            await told.ask(m.Read("entry"))
        await told.ask(m.Set("entry", ZERO, proof, clock.now(), HALF, 30_000))
        await told.ask(m.Renew("entry", claim(1), 30_000))
        foreign = token(claim(2, journal="j2"))
        await told.ask(m.Set("entry", HALF, foreign, clock.now()))
        await told.ask(m.Read("other"))
        told.server.counts.heard("a", clock.now())
        told.server.counts.strangers = 12_345_678
        await clock.sleep(12_000)
        found = told.values()
        dial = '{dial="entry"}'
        assert found[f"dayshift_agent_reads_total{dial}"] == 3
        assert found[f"dayshift_agent_writes_total{dial}"] == 1
        assert found[f"dayshift_agent_renewals_total{dial}"] == 1
        refused = 'dayshift_agent_refusals_total{dial="%s",reason="%s"}'
        assert found[refused % ("entry", "CLAIM-REFUSED")] == 1
        assert found[refused % ("", "NOT-MY-DIAL")] == 1
        assert found["dayshift_agent_strangers_total"] == 12_345_678
        assert found[f"dayshift_agent_lease_armed{dial}"] == 1
        assert found[f"dayshift_agent_lease_left_seconds{dial}"] == 18
        assert found['dayshift_agent_contact_age_seconds{controller="a"}'] == 12
        await clock.sleep(19_000)
        found = told.values()
        assert found[f"dayshift_agent_went_back_total{dial}"] == 1
        assert found[f"dayshift_agent_lease_armed{dial}"] == 0
        assert f"dayshift_agent_lease_left_seconds{dial}" not in found
        tending.cancel()

    run_virtual(program)


def test_its_certificate_is_counted_down_and_said_to_need_somebody(
    tmp_path: Path,
) -> None:
    clock = Shifted()
    told = Told(clock, tmp_path)
    found = told.values()
    assert 29.9 < found["dayshift_agent_certificate_days"] <= 30
    assert found["dayshift_agent_attention"] == 0
    assert found["dayshift_agent_revocation_list"] == 2
    clock.ahead_ms = 25 * DAY_MS
    found = told.values()
    assert 4.9 < found["dayshift_agent_certificate_days"] <= 5
    assert found["dayshift_agent_attention"] == 1
    told.authority.issue(Role.AGENT, "edge", days=90)
    told.authority.revoke(Role.CONTROLLER, "a")
    clock.ahead_ms += LOOK_MS
    found = told.values()
    assert 64.9 < found["dayshift_agent_certificate_days"] <= 65
    assert found["dayshift_agent_attention"] == 0, "though nobody opened a stream"
    assert found["dayshift_agent_revocation_list"] == 4


async def scraped(metrics: Metrics, request: bytes) -> bytes:
    listener = await metrics.listen("127.0.0.1", 0)
    port = int(listener.sockets[0].getsockname()[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    listener.close()
    return answer


@pytest.mark.parametrize(
    ("request_", "begins"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
        (b"x" * 20_000 + b"\r\n\r\n", b""),
    ],
    ids=["a scrape", "another path", "a write", "too long"],
)
def test_it_answers_a_scrape_and_nothing_else(
    request_: bytes, begins: bytes, tmp_path: Path
) -> None:
    trust = Trust(tls.TlsFiles("", "", ""), tmp_path, str, server=True)
    metrics = Metrics('ed"ge\\', Counts(), [], trust, RealClock())
    answer = asyncio.run(scraped(metrics, request_))
    assert answer.startswith(begins) and bool(answer) is bool(begins)
    if b"200" in begins:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert f"Content-Type: {KIND}".encode() in head
        assert f"Content-Length: {len(body)}".encode() in head
        assert b'agent="ed\\"ge\\\\"' in body


def agent_file(place: Path, **more: object) -> Path:
    path = place / "agent.yaml"
    path.write_text(json.dumps({**GOOD, **more}, indent=1))
    return path


@pytest.mark.parametrize("where", ["10.0.0.5:9470", "0.0.0.0:9470", "edge.example:1"])
def test_metrics_are_for_this_machine_alone(where: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="METRICS-NOT-LOOPBACK"):
        settings.load(agent_file(tmp_path, metrics=where))


@pytest.mark.parametrize("where", ["127.0.0.1:9470", "[::1]:9470"])
def test_metrics_are_asked_for_in_its_file(where: str, tmp_path: Path) -> None:
    path = agent_file(tmp_path, metrics=where)
    agent = settings.load(path)
    assert str(agent.metrics) == where
    assert f"{where}/metrics" in "\n".join(unit.privileges(agent, path))
    silent = settings.load(agent_file(tmp_path))
    assert silent.metrics is None
    assert "`metrics:` is not set" in "\n".join(unit.privileges(silent, path))


def test_systemd_is_told_that_it_began_and_that_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that hangs would be silent, and is killed for that."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.setblocking(False)

        async def program(clock: VirtualClock) -> None:
            beating = asyncio.create_task(run.beat(clock))
            await clock.sleep(14_000)
            beating.cancel()

        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", f"{unit.WATCHDOG_S}000000")
        run_virtual(program)
        words = [systemd.recv(64) for _ in range(3)]
        assert words == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        monkeypatch.delenv("NOTIFY_SOCKET")
        run_virtual(program)
        with pytest.raises(BlockingIOError):
            systemd.recv(64)


def test_the_unit_starts_it_again_for_ever_and_grants_nothing(tmp_path: Path) -> None:
    path = agent_file(tmp_path)
    text = unit.systemd(settings.load(path), path)
    lines = text.splitlines()
    for line in (
        "StartLimitIntervalSec=0",
        "Restart=always",
        "Type=notify",
        "WatchdogSec=15",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
    ):
        assert line in lines
    assert lines.index("StartLimitIntervalSec=0") < lines.index("[Service]")


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd here")
    path = agent_file(tmp_path)
    file = tmp_path / "dayshift-agent.service"
    file.write_text(unit.systemd(settings.load(path), path))
    checks = [analyze, "verify", "--man=no", str(file)]
    ran = subprocess.run(checks, capture_output=True, text=True, check=False)
    ours = [one for one in ran.stderr.splitlines() if "dayshift-agent" in one]
    assert not ours, ran.stderr
    rated = [analyze, "security", "--offline=true", "--threshold=25", str(file)]
    ran = subprocess.run(rated, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-600:]
