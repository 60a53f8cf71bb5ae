"""A real Envoy behind a real agent: who dies, who is stopped, who is refused."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from dayshift.drivers.agents.dial import RemoteDial
from dayshift.drivers.agents.link import AgentLink
from dayshift.drivers.agents.names import Role
from dayshift.errors import DriverFault, DriverRetry, Refused
from dayshift.model.dial import DialKind, DialReading, Setting
from dayshift.model.estate import AgentSpec
from dayshift.runtime.clock import RealClock
from tests.conformance.rigs import EnvoyDialRig, claim, context, row, token
from tests.kit.agents import AgentProcess, Authority
from tests.kit.daemons import Daemon, eventually, need
from tests.kit.envoys import Envoys, free_ports

pytestmark = pytest.mark.journey
T = TypeVar("T")
HALF, ZERO = row(5_000), row(0)
LEASE_MS = 1_500


class Machine:
    """One machine: an agent beside its Envoy; every test claims a dial of its own."""

    def __init__(self, place: Path, envoys: Envoys) -> None:
        self.place, self.envoys = place, envoys
        self.authority = Authority(place / "ca")
        self.names = iter([f"entry{i}" for i in range(40)])
        self.agent = AgentProcess(
            place / "agent",
            self.authority,
            "envoy",
            envoys.dial_options(),
            dials=[f"entry{i}" for i in range(40)],
            never_zero_together=[["fra", "ber"]],
            bounds={"fra": {"most": "60 %"}},
        )
        self.metrics = f"127.0.0.1:{free_ports(1)[0]}"
        self.agent.config["metrics"] = self.metrics
        self.agent.write()
        self.spec = self.agent.spec()
        self.dial_name = ""

    def fresh(self) -> Machine:
        EnvoyDialRig(self.envoys)
        self.agent.start()
        self.dial_name = next(self.names)
        return self

    def ask(
        self,
        program: Callable[[RemoteDial], Awaitable[T]],
        spec: AgentSpec | None = None,
    ) -> T:
        """As a controller of its own would."""

        async def run() -> T:
            link = AgentLink(spec or self.spec, context(self.place))
            dial = RemoteDial(self.dial_name, DialKind.SPLIT, [link], RealClock())
            try:
                return await program(dial)
            finally:
                await dial.close()

        return asyncio.run(run())

    def shown(self) -> DialReading:
        return self.ask(lambda dial: dial.read())

    def until(self, setting: Setting, limit_s: float = 30) -> DialReading:
        deadline = time.monotonic() + limit_s
        while (found := self.shown()).setting != setting:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    place = tmp_path_factory.mktemp("machine")
    with Envoys(place / "envoys") as envoys:
        machine = Machine(place, envoys)
        try:
            yield machine
        finally:
            machine.agent.stop()


@pytest.fixture
def machine(built: Machine) -> Machine:
    return built.fresh()


CONTROLLER = """
import asyncio, sys, msgspec
from tests.journeys.test_agent import *
async def drain():
    spec = msgspec.json.decode(sys.argv[1], type=AgentSpec)
    link = AgentLink(spec, context(Path(".")))
    dial = RemoteDial(sys.argv[2], DialKind.SPLIT, [link], RealClock())
    await dial.set(ZERO, token(claim(1)), HALF, LEASE_MS)
    print("drained", flush=True)
    while True:
        await asyncio.sleep(0.3)
        await dial.renew(claim(1), LEASE_MS)
asyncio.run(drain())
"""


def test_a_killed_controller_and_what_it_drained(machine: Machine) -> None:
    """Renewed, it stays; nobody left, it goes back by itself, marked as such."""
    spec = msgspec.json.encode(machine.spec).decode()
    controller = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, spec, machine.dial_name],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert controller.stdout is not None
    assert controller.stdout.readline() == b"drained\n"
    time.sleep(2 * LEASE_MS / 1000)
    reading = machine.shown()
    assert reading.setting == ZERO and reading.expires_ms is not None
    controller.kill()
    controller.wait()
    back = machine.until(HALF)
    assert [one.claim for one in back.instances] == [replace(claim(1), reverted=True)]
    assert back.expires_ms is None


def test_what_is_held_stays(machine: Machine) -> None:
    machine.ask(lambda dial: dial.set(ZERO, token(claim(1)), HALF, LEASE_MS))
    machine.ask(lambda dial: dial.hold(token(claim(2), claim(1))))
    assert machine.shown().expires_ms is None
    time.sleep(2 * LEASE_MS / 1000)
    assert machine.shown().setting == ZERO


def test_a_killed_agent_still_goes_back(machine: Machine) -> None:
    machine.ask(lambda dial: dial.set(ZERO, token(claim(1)), HALF, LEASE_MS))
    machine.agent.stop()
    time.sleep(2 * LEASE_MS / 1000)
    machine.agent.start()
    machine.until(HALF)


def test_a_restarted_agent_counts_on(machine: Machine) -> None:
    machine.ask(lambda dial: dial.set(ZERO, token(claim(1)), HALF, 600_000))
    assert machine.agent.stop(signal.SIGTERM) == 0
    machine.agent.start()
    left = machine.shown().expires_ms
    assert left is not None and 400_000 < left < 600_000
    machine.ask(lambda dial: dial.hold(token(claim(2), claim(1))))
    assert machine.shown().expires_ms is None


def test_a_stopped_agent_is_a_fault_and_then_goes_back(machine: Machine) -> None:
    machine.ask(lambda dial: dial.set(ZERO, token(claim(1)), HALF, LEASE_MS))
    machine.agent.send(signal.SIGSTOP)
    try:
        assert "does not answer" in machine.shown().fault
        with pytest.raises(DriverRetry):
            machine.ask(lambda dial: dial.renew(claim(1), LEASE_MS))
        with pytest.raises(DriverRetry, match="does not answer"):
            machine.ask(lambda dial: dial.hold(token(claim(2), claim(1))))
        time.sleep(LEASE_MS / 1000)
    finally:
        machine.agent.send(signal.SIGCONT)
    machine.until(HALF)


def test_an_older_epoch_is_refused_also_after_a_restart(machine: Machine) -> None:
    machine.ask(lambda dial: dial.set(row(2_500), token(claim(5, epoch=1))))
    machine.ask(lambda dial: dial.fence(claim(9, epoch=2)))
    machine.agent.stop()
    machine.agent.start()
    late = token(claim(10, epoch=1), claim(5, epoch=1))
    for write in (
        lambda dial: dial.set(ZERO, late),
        lambda dial: dial.hold(late),
        lambda dial: dial.fence(claim(10, epoch=1)),
    ):
        with pytest.raises(Refused, match="epoch 2"):
            machine.ask(write)
    foreign = token(claim(1, epoch=9, journal="j2"))
    with pytest.raises(Refused, match="journal j1"):
        machine.ask(lambda dial: dial.set(ZERO, foreign))
    reading = machine.shown()
    assert reading.setting == row(2_500) and reading.instances[0].fence == 2


def test_a_device_that_lost_its_claim_is_still_fenced(machine: Machine) -> None:
    machine.ask(lambda dial: dial.set(row(2_500), token(claim(5, epoch=3))))
    EnvoyDialRig(machine.envoys)
    assert machine.shown().instances[0].claim is None
    with pytest.raises(Refused, match="epoch 3"):
        machine.ask(lambda dial: dial.set(ZERO, token(claim(6, epoch=2))))


def test_the_agents_own_guards(machine: Machine) -> None:
    for setting, why in ((row(10_000), "outside"), (row(7_000), "outside")):
        with pytest.raises(Refused, match=why):
            machine.ask(lambda dial, s=setting: dial.set(s, token(claim(1))))
    with pytest.raises(Refused, match="would go back"):
        machine.ask(lambda dial: dial.set(ZERO, token(claim(1)), row(9_000), LEASE_MS))
    with pytest.raises(Refused, match="proven"):
        machine.ask(lambda dial: dial.set(ZERO, token(claim(1), None, "fra")))
    assert machine.shown().setting == HALF


def refused(machine: Machine, spec: AgentSpec) -> str:
    with pytest.raises((DriverFault, DriverRetry)) as found:
        machine.ask(lambda dial: dial.set(ZERO, token(claim(1))), spec)
    return str(found.value)


def test_whom_the_agent_does_not_trust(machine: Machine, tmp_path: Path) -> None:
    """Each is told why, the agent's log says so too, and nothing moved."""
    other = Authority(tmp_path / "other")
    cert, key = other.issue(Role.CONTROLLER, "a")
    stranger = replace(machine.spec, cert=str(cert), key=str(key))
    assert "its log says which" in refused(machine, stranger)
    unknown = replace(machine.spec, ca=str(other.ca))
    assert "another authority" in refused(machine, unknown)
    cert, key = machine.authority.issue(Role.CONTROLLER, "old", days=-1)
    expired = replace(machine.spec, cert=str(cert), key=str(key))
    assert "its log says which" in refused(machine, expired)
    cert, key = machine.authority.issue(Role.CONTROLLER, "b", estate="elsewhere")
    wrong = replace(machine.spec, cert=str(cert), key=str(key))
    assert "estate demo" in refused(machine, wrong)
    assert "not dayshift://demo/agent/other" in refused(
        machine, replace(machine.spec, name="other")
    )
    log = machine.agent.log()
    assert "another authority" in log and "expired" in log and "elsewhere" in log
    assert machine.shown().setting == HALF


def test_a_renewed_certificate_counts_without_a_restart(machine: Machine) -> None:
    process = machine.agent.process
    machine.authority.issue(Role.AGENT, "edge", days=-1)
    assert "expired" in machine.shown().fault
    machine.authority.issue(Role.AGENT, "edge")
    assert machine.shown().setting == HALF
    assert machine.agent.process is process


def test_who_is_revoked_in_mid_session_steers_no_more(machine: Machine) -> None:
    """What it had armed goes back by itself; another controller is not touched, and one
    that is made again steers again. Nothing is restarted."""
    process = machine.agent.process
    spec = machine.agent.spec(controller="b")

    async def program(dial: RemoteDial) -> None:
        await dial.set(ZERO, token(claim(1)), HALF, LEASE_MS)
        await dial.renew(claim(1), LEASE_MS)
        machine.authority.revoke(Role.CONTROLLER, "b")
        with pytest.raises(DriverFault, match="counts no more: serial"):
            await dial.renew(claim(1), LEASE_MS)
        assert "counts no more" in (await dial.read()).fault

    machine.ask(program, spec)
    machine.until(HALF)
    spec = machine.agent.spec(controller="b")
    assert machine.ask(lambda dial: dial.read(), spec).setting == HALF
    assert machine.agent.process is process


def test_a_session_outlives_every_renewal(machine: Machine) -> None:
    """Both sides are renewed while one asks on and on, the agent by two copies with a
    pause between them, with new streams all the time."""

    async def program(dial: RemoteDial) -> None:
        pair = machine.authority.place / "agent-edge.pem"
        key = pair.with_suffix(".key")
        for number in range(6):
            if number == 1:
                machine.agent.spec()
            if number == 2:
                before = key.read_bytes()
                machine.authority.issue(Role.AGENT, "edge")
                after = key.read_bytes()
                key.write_bytes(before)
            if number == 4:
                key.write_bytes(after)
            reading = await dial.read()
            assert reading.setting == HALF and not reading.fault, number
            await dial.close()

    process = machine.agent.process
    machine.ask(program)
    assert "certificate before is still shown" in machine.agent.log()
    assert machine.agent.process is process


def test_one_that_comes_back_without_a_certificate_still_goes_back(
    machine: Machine,
) -> None:
    """Killed while its files were being replaced. It answers as soon as they are
    right; had nothing been armed, it would have said so and stopped."""
    machine.ask(lambda dial: dial.set(ZERO, token(claim(1)), HALF, LEASE_MS))
    machine.agent.stop()
    key = machine.authority.place / "agent-edge.key"
    right, before = key.read_bytes(), len(machine.agent.log())
    key.write_bytes(b"half a copy")
    machine.agent.start(waiting=False)

    def log() -> str:
        return machine.agent.log()[before:]

    eventually(lambda: f"{machine.dial_name}: nobody renewed" in log(), "it goes back")
    assert "nobody is answered yet" in log() and "answers on" not in log()
    machine.agent.stop()
    machine.agent.start(waiting=False)
    assert machine.agent.process is not None
    assert machine.agent.process.wait(60) == 1, "nothing is armed any more"
    key.write_bytes(right)
    machine.agent.stop()
    machine.agent.start()
    assert machine.shown().setting == HALF


def test_prometheus_reads_its_metrics(machine: Machine) -> None:
    """A real one, strict about OpenMetrics: one bad line and the target is down."""
    machine.ask(lambda dial: dial.set(ZERO, token(claim(1)), HALF, 600_000))
    place = machine.place / "prometheus"
    place.mkdir()
    (place / "p.yml").write_text(
        "scrape_configs:\n- job_name: agent\n  scrape_interval: 1s\n"
        f"  static_configs: [{{targets: ['{machine.metrics}']}}]\n"
    )
    where = f"127.0.0.1:{free_ports(1)[0]}"
    argv = [
        need("prometheus", "prometheus"),
        f"--config.file={place / 'p.yml'}",
        f"--storage.tsdb.path={place / 'data'}",
        f"--web.listen-address={where}",
    ]

    def value(query: str) -> str:
        try:
            url = f"http://{where}/api/v1/query"
            answer = httpx.get(url, params={"query": query}, trust_env=False).json()
        except httpx.HTTPError:
            return ""
        found = answer.get("data", {}).get("result", [])
        return str(found[0]["value"][1]) if found else ""

    one = f'{{dial="{machine.dial_name}"}}'
    daemon = Daemon(argv, place / "log")
    daemon.start()
    try:
        writes = f"dayshift_agent_writes_total{one}"
        eventually(lambda: value(writes) == "1", "the write is counted")
        assert value('up{job="agent"}') == "1"
        assert 500 < float(value(f"dayshift_agent_lease_left_seconds{one}")) < 600
        assert 0 < float(value("dayshift_agent_certificate_days")) <= 2
        assert value('dayshift_agent_contact_age_seconds{controller="a"}') != ""
        assert value("dayshift_agent_info") == "1"
    finally:
        daemon.kill()
        machine.ask(lambda dial: dial.hold(token(claim(2), claim(1))))


def test_a_cut_link_goes_back_and_says_so(machine: Machine) -> None:
    """Everything goes through a relay of the test's own, which is then cut."""

    async def program() -> None:
        streams: list[asyncio.StreamWriter] = []

        async def relay(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            far = await asyncio.open_connection("127.0.0.1", machine.agent.port)
            streams.extend((writer, far[1]))
            await asyncio.gather(pump(reader, far[1]), pump(far[0], writer))

        cut = await asyncio.start_server(relay, "127.0.0.1", 0)
        port = cut.sockets[0].getsockname()[1]
        spec = replace(machine.spec, url=f"https://127.0.0.1:{port}")
        link = AgentLink(spec, context(machine.place))
        dial = RemoteDial(machine.dial_name, DialKind.SPLIT, [link], RealClock())
        await dial.set(ZERO, token(claim(1)), HALF, LEASE_MS)
        cut.close()
        for one in streams:
            one.transport.abort()
        assert "does not answer" in (await dial.read()).fault
        with pytest.raises(DriverRetry):
            await dial.renew(claim(1), LEASE_MS)
        await dial.close()

    asyncio.run(program())
    machine.until(HALF)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def test_what_the_agent_carries() -> None:
    """No web framework, no statistics, nothing that decides."""
    code = (
        "import sys, dayshift.cli.agent, dayshift.agent.run, dayshift.agent.unit;"
        "from dayshift.runtime.wiring import driver_class;"
        "driver_class('dials', 'envoy');"
        "print(*sorted(sys.modules), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    for heavy in ("numpy", "scipy", "fastapi", "starlette", "uvicorn", "jinja2"):
        assert heavy not in loaded
    assert not {"dayshift.core", "dayshift.gates", "dayshift.journal"} & loaded
