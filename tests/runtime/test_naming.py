"""Who a controller is, what systemd is told, one listener for each directory."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from dayshift.errors import Refused, SettingsInvalid
from dayshift.model.estate import ControllerSpec, Estate
from dayshift.model.records import Answered
from dayshift.runtime import control, supervisor
from dayshift.runtime.clock import SystemEntropy
from dayshift.runtime.frame import Frame
from dayshift.runtime.naming import VARIABLE, controller, controller_name, jobs_id
from tests.kit.play import estate


def of(*names: str) -> Estate:
    specs = tuple(ControllerSpec(name, "fra") for name in names)
    return replace(estate(), controllers=specs)


def test_a_controller_knows_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert controller_name(of()) == ""
    assert controller_name(of("only")) == "only"
    assert controller_name(of("a", "b")) == ""
    assert controller_name(of("a", socket.gethostname())) == socket.gethostname()
    assert controller_name(of("a", "b"), "b") == "b"
    monkeypatch.setenv(VARIABLE, "a")
    assert controller_name(of("a", "b")) == "a"
    assert controller(of("a", "b"), "b").name == "b"


@pytest.mark.parametrize("told", ["c", ""])
def test_a_controller_of_no_estate_does_not_serve(
    told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(SettingsInvalid, match="a, b"):
        controller(of("a", "b"), told)


def test_the_place_of_the_steps_has_one_name(tmp_path: Path) -> None:
    first = jobs_id(tmp_path / "one", SystemEntropy())
    assert first and first == jobs_id(tmp_path / "one", SystemEntropy())
    assert first != jobs_id(tmp_path / "two", SystemEntropy())


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor.notify("READY=1")  # nobody asked: nothing happens
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    assert supervisor.watchdog_ms() == 10_000
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        supervisor.notify("READY=1", "STATUS=leads")
        assert channel.recv(100) == b"READY=1\nSTATUS=leads"


class Echo:
    """A reception that grants everything, and remembers what it was asked."""

    def __init__(self) -> None:
        self.watchers: set[asyncio.Queue[Frame]] = set()
        self.asked: list[Mapping[str, str]] = []

    async def ask(self, verb: str, person: str, args: Mapping[str, str]) -> Answered:
        self.asked.append(args)
        return Answered("t", True)


def test_one_directory_has_one_listener_and_it_says_who_asks(tmp_path: Path) -> None:
    echo, path = Echo(), tmp_path / "control.sock"

    async def program() -> str:
        server = control.ControlServer(path, echo, "c-fra")
        await server.start()
        with pytest.raises(Refused, match="listens at"):
            await control.ControlServer(path, Echo()).start()
        reply = await control.call(path, "pause", {}, "ada")
        assert reply.accepted and reply.controller == "c-fra"
        name = await control.served_by(path)
        await server.close()
        return name

    assert asyncio.run(program()) == "c-fra"
    assert echo.asked[0]["at"] == "c-fra" and echo.asked[0]["uid"].isdecimal()
