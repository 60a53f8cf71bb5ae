"""Real HAProxys for tests: entries that split over two regions, and the regions.

    users -> entry: port `drawn` (from a map) or `weighed` (servers) -> region's app

An entry starts from its own files at 50 : 50. A region's app answers with its name;
`/error` with 500, `/slow` after 600 ms; probes (`x-dayshift-probe`) go to a backend of
their own.
"""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from tests.kit.daemons import Daemon, eventually, need
from tests.kit.envoys import free_ports

REGIONS = ("fra", "ber")
HALF_MAP = "0:4999 be_fra\n5000:9999 be_ber\n"
DEFAULTS = """\
defaults
  mode http
  option redispatch
  retries 1
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  load-server-state-from-file global
"""


class Haproxy:
    """One HAProxy, which can be killed, started again and reloaded."""

    def __init__(self, place: Path, body: str) -> None:
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        self.socket = place / "admin.sock"
        self.state = place / "server-state"
        self.pid = place / "pid"
        self.config = place / "haproxy.cfg"
        self.state.touch()
        self.config.write_text(
            f"global\n  stats socket {self.socket} mode 600 level admin expose-fd "
            f"listeners\n  server-state-file {self.state}\n  maxconn 2000\n"
            f"  hard-stop-after 20s\n{DEFAULTS}{body}"
        )
        program = need("haproxy", "haproxy", "/usr/sbin")
        self._argv = [program, "-f", str(self.config)]
        self._daemon = self._made()
        self._old: list[Daemon] = []

    def start(self) -> None:
        """Start it and wait until it answers; nothing if it runs already."""
        if not self._daemon.alive:
            self._daemon = self._made()
            self._daemon.start()
            eventually(self.answers, f"HAProxy answers: {self._daemon.tell()}")

    def stop(self) -> None:
        for one in (*self._old, self._daemon):
            one.kill()
        self._old = []

    def reload(self) -> None:
        """As a service does: a new process takes the listeners over, the old one ends
        when its connections have."""
        assert self._daemon.process is not None
        old = self._daemon
        before = self.ask("show info")
        self._daemon = self._made("-sf", str(old.process.pid), "-x", str(self.socket))
        self._old.append(old)
        self._daemon.start()
        pid = f"Pid: {self._daemon.process.pid}\n" if self._daemon.process else ""
        eventually(lambda: pid in self._said(), f"not reloaded: {before[:200]}")

    def send(self, number: signal.Signals) -> None:
        self._daemon.send(number)

    def _made(self, *more: str) -> Daemon:
        return Daemon([*self._argv, *more], self.place / "haproxy.log")

    def answers(self) -> bool:
        return "Pid:" in self._said()

    def ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(5)
            one.connect(str(self.socket))
            one.sendall(f"{command}\n".encode())
            parts = []
            while part := one.recv(65_536):
                parts.append(part)
        return b"".join(parts).decode()

    def _said(self) -> str:
        try:
            return self.ask("show info")
        except OSError:
            return ""


class Entry(Haproxy):
    """An entry in both ways of the dial."""

    def __init__(self, place: Path, regions: dict[str, int]) -> None:
        self.drawn, self.weighed = free_ports(2)
        self.map = place / "shares.map"
        place.mkdir(parents=True, exist_ok=True)
        self.map.write_text(HALF_MAP)
        servers = "".join(
            f"  server {name} 127.0.0.1:{port} weight 100 cookie {name}\n"
            for name, port in regions.items()
        )
        backends = "".join(
            f"backend be_{name}\n  server one 127.0.0.1:{port}\n"
            for name, port in regions.items()
        )
        super().__init__(
            place,
            f"frontend drawn\n  bind 127.0.0.1:{self.drawn}\n"
            f"  use_backend %[rand(10000),map_int({self.map},be_ber)]\n"
            f"frontend weighed\n  bind 127.0.0.1:{self.weighed}\n"
            f"  default_backend pool\n"
            f"backend pool\n  cookie region insert indirect nocache\n{servers}"
            f"{backends}",
        )

    def restore(self) -> None:
        """As before anybody steered it."""
        self.stop()
        self.map.write_text(HALF_MAP)
        self.state.write_text("")
        self.state.with_name(f".{self.state.name}.dayshift-claim").unlink(True)
        self.start()


class Edge(Haproxy):
    """A region: users and probes apart, and an app behind both."""

    def __init__(self, place: Path, name: str) -> None:
        self.port, app = free_ports(2)
        super().__init__(
            place,
            f"frontend edge\n  bind 127.0.0.1:{self.port}\n"
            "  use_backend probes if { hdr(x-dayshift-probe) -m found }\n"
            "  default_backend users\n"
            f"backend users\n  server app 127.0.0.1:{app}\n"
            f"backend probes\n  server app 127.0.0.1:{app}\n"
            f"frontend app\n  bind 127.0.0.1:{app}\n"
            "  timeout tarpit 600ms\n"
            "  http-request tarpit deny_status 200 if { path /slow }\n"
            "  http-request return status 500 if { path /error }\n"
            "  http-request return status 200 content-type text/plain "
            f"string {name}\n",
        )


class Haproxys:
    """Two entries before two regions; all of them end with the `with`."""

    def __init__(self, place: Path, entries: int = 2) -> None:
        self.place = place
        self.edges = {name: Edge(place / name, name) for name in REGIONS}
        ports = {name: one.port for name, one in self.edges.items()}
        self.entries = [Entry(place / f"entry{n}", ports) for n in range(entries)]

    def __enter__(self) -> Haproxys:
        try:
            for one in (*self.edges.values(), *self.entries):
                one.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for one in (*self.entries, *self.edges.values()):
            one.stop()
