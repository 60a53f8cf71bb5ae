"""Real agents as processes, with certificates of an authority of the test's own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dayshift.drivers.agents.names import Identity, Role
from dayshift.keys import folder
from dayshift.model.estate import AgentSpec
from dayshift.runtime.clock import RealClock
from tests.kit.envoys import free_ports

ESTATE = "demo"


class Authority:
    """One authority and what it issued, in `place`."""

    def __init__(self, place: Path, estate: str = ESTATE) -> None:
        self.place, self.estate = place, estate
        folder.make(place, estate, self.now_ms)

    @property
    def now_ms(self) -> int:
        return RealClock().now().wall_ms

    def issue(
        self, role: Role, name: str, estate: str = "", days: int = 2
    ) -> tuple[Path, Path]:
        """A new pair in the place of an old one."""
        who = Identity(estate or self.estate, role, name)
        hosts = ["127.0.0.1"] if role is Role.AGENT else []
        with folder.opened(self.place, self.now_ms) as opened:
            opened.create(who, hosts, days, replacing=True)
            return opened.files(who)

    def revoke(self, role: Role, name: str) -> None:
        with folder.opened(self.place, self.now_ms) as opened:
            opened.revoke(Identity(self.estate, role, name))

    @property
    def revoked(self) -> Path:
        return self.place / "revoked.pem"

    @property
    def ca(self) -> Path:
        return self.place / "ca.pem"


class AgentProcess:
    """One agent: killed, stopped and started again at the same address."""

    def __init__(
        self,
        place: Path,
        authority: Authority,
        driver: str,
        options: Mapping[str, Any],
        name: str = "edge",
        dials: Sequence[str] = ("entry",),
        **rules: Any,
    ) -> None:
        self.place, self.authority, self.name = place, authority, name
        self.port = free_ports(1)[0]
        self.process: subprocess.Popen[bytes] | None = None
        place.mkdir(parents=True, exist_ok=True)
        cert, key = authority.issue(Role.AGENT, name)
        dial = {
            "driver": driver,
            "options": dict(options),
            "regions": ["fra", "ber"],
            **rules,
        }
        self.config = {
            "name": name,
            "estate": authority.estate,
            "listen": f"127.0.0.1:{self.port}",
            "state": "state",
            "tls": {
                "ca": str(authority.ca),
                "cert": str(cert),
                "key": str(key),
                "revoked": str(authority.revoked),
            },
            "dials": dict.fromkeys(dials, dial),
        }
        self.write()

    @property
    def file(self) -> Path:
        return self.place / "agent.yaml"

    def write(self) -> None:
        """YAML is JSON's superset."""
        self.file.write_text(json.dumps(self.config))

    def spec(self, controller: str = "a", port: int = 0) -> AgentSpec:
        cert, key = self.authority.issue(Role.CONTROLLER, controller)
        url = f"https://127.0.0.1:{port or self.port}"
        ca, revoked = str(self.authority.ca), str(self.authority.revoked)
        return AgentSpec(self.name, "fra", url, ca, str(cert), str(key), revoked)

    def start(self, waiting: bool = True) -> None:
        """Start it and wait until it listens; nothing if it runs already."""
        if self.process and self.process.poll() is None:
            return
        with (self.place / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dayshift", "agent", "--config", self.file],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while waiting and not self._listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.log()[-2000:])
            time.sleep(0.02)

    def stop(self, how: int = signal.SIGKILL) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.send_signal(how)
        return self.process.wait(20)

    def send(self, how: int) -> None:
        assert self.process is not None
        self.process.send_signal(how)

    def log(self) -> str:
        return (self.place / "agent.log").read_text()

    def _listens(self) -> bool:
        with socket.socket() as one:
            one.settimeout(1)
            return one.connect_ex(("127.0.0.1", self.port)) == 0
