"""Real DNS servers on loopback: BIND, Knot, PowerDNS, gdnsd, and Unbound as a cache.

All run from a folder of the test's own on free ports. Their configuration is taken from
the pages in docs/dials, so that what the pages say is what the tests ran.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import httpx

from tests.kit.daemons import Daemon, eventually, need
from tests.kit.envoys import free_ports

DOCS = Path(__file__).parent.parent.parent / "docs" / "dials"
APEX = "shop.example"
ZONE, NAME = f"{APEX}.", f"www.{APEX}."
SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
ADDRESSES = {
    "fra": [f"192.0.2.{n}" for n in range(1, 11)],
    "ber": [f"198.51.100.{n}" for n in range(1, 11)],
}
KEY = "ZGF5c2hpZnQtdGVzdC1rZXktbm90LWEtc2VjcmV0ISE="
SBIN = "/usr/sbin"
USER = "daemon" if os.geteuid() == 0 else None


def literal(page: str, title: str, here: Mapping[str, str]) -> str:
    """The block of docs/dials/PAGE.md under the line that ends in `title`, with what
    must differ on this machine put in its place."""
    text = (DOCS / f"{page}.md").read_text()
    found = re.search(rf"{re.escape(title)}:?\n\n((?:    .*\n|\n)+)", text)
    assert found, f"no block {title!r} in docs/dials/{page}.md"
    block = re.sub(r"(?m)^    ", "", found[1])
    for there, value in here.items():
        assert there in block, f"no {there!r} in that block"
        block = block.replace(there, value)
    return block


def dns_port() -> int:
    """A port of loopback that is free for datagrams and streams."""
    while True:
        port = free_ports(1)[0]
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def zone_text(listed: Mapping[str, int], claim: str = "", ttl: int = 300) -> str:
    """A zone file whose name lists so many addresses of each region."""
    lines = [
        f"$ORIGIN {ZONE}",
        "$TTL 300",
        f"@ SOA ns1.{ZONE} ops.{ZONE} 1 3600 60 604800 1",
        f"@ NS ns1.{ZONE}",
        "ns1 A 127.0.0.1",
    ]
    for region, count in listed.items():
        lines += [f"www {ttl} A {one}" for one in ADDRESSES[region][:count]]
    if claim:
        lines.append(f'_dayshift.www 1 TXT "{claim}"')
    return "\n".join(lines) + "\n"


def ask(port: int, name: str, kind: str, recurse: bool = False) -> list[str]:
    """The values that this server answers, sorted; for the tests' own eyes."""
    query = dns.message.make_query(name, kind)
    answer = dns.query.udp(query, "127.0.0.1", port=port, timeout=3)
    assert answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN), answer
    return sorted(str(one) for rrset in answer.answer for one in rrset)


def give(folder: Path) -> None:
    """To the ordinary user that the servers run as, where we are root."""
    if USER:
        for one in (folder, *folder.rglob("*")):
            shutil.chown(one, USER, USER)


class NameServer(ABC):
    """One server, authority for shop.example or a cache before one."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name = folder, name
        self.port = dns_port()
        (folder / "log").touch()
        self._daemon = Daemon(self.argv(), folder / "log", USER)
        self.configure()
        self.fresh()

    @abstractmethod
    def argv(self) -> list[str]: ...

    @abstractmethod
    def configure(self) -> None:
        """Write its configuration."""

    def fresh(self) -> None:
        """Stopped, and with the zone as operators wrote it: half and half."""
        self.zone(zone_text({"fra": 10, "ber": 10}))

    def zone(self, text: str) -> None:
        """Stop it and put this zone in the place of all that it knew."""
        self.stop()
        for one in self.folder.glob("*.zone*"):
            one.unlink()
        shutil.rmtree(self.folder / "db", ignore_errors=True)
        (self.folder / "db").mkdir()
        (self.folder / "shop.example.zone").write_text(text)
        give(self.folder)

    def start(self) -> None:
        """Until it answers."""
        if not self._daemon.alive:
            self._daemon.start()
        eventually(self.answers, f"{self.name} answers: {self._daemon.tell()}")

    def stop(self) -> None:
        self._daemon.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def claim(self) -> str:
        """The text beside the name; nothing where there is none."""
        return "".join(ask(self.port, f"_dayshift.{NAME}", "TXT")).strip('"')

    def freeze(self) -> None:
        self._daemon.freeze()

    def thaw(self) -> None:
        self._daemon.thaw()

    def answers(self) -> bool:
        try:
            query = dns.message.make_query(ZONE, "SOA")
            answer = dns.query.udp(query, "127.0.0.1", port=self.port, timeout=0.2)
        except (OSError, dns.exception.DNSException):
            return False
        return answer.rcode() == dns.rcode.NOERROR


class Bind(NameServer):
    """BIND 9, primary of the zone unless it follows another server."""

    def __init__(
        self, folder: Path, name: str, follows: NameServer | None = None
    ) -> None:
        self._follows = follows
        self._tells: NameServer | None = None
        super().__init__(folder, name)
        if isinstance(follows, Bind):
            follows._tells = self

    def argv(self) -> list[str]:
        program = need("named", "bind9", SBIN)
        return [program, "-g", "-n", "1", "-c", str(self.folder / "named.conf")]

    def configure(self, notify: bool = True) -> None:
        zone = literal("rfc2136", "With BIND", {
            "/var/lib/bind": str(self.folder), "PUT-THE-SECRET-HERE": KEY,
        })  # fmt: skip
        if self._follows:
            zone = (
                f'zone "shop.example" {{ type secondary; file "second.zone"; '
                f"primaries port {self._follows.port} {{ 127.0.0.1; }}; }};"
            )
        tells = ""
        if self._tells and notify:
            tells = f"also-notify port {self._tells.port} {{ 127.0.0.1; }};"
        (self.folder / "named.conf").write_text(f"""
            options {{
                directory "{self.folder}"; pid-file none; session-keyfile none;
                listen-on port {self.port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
                recursion no; dnssec-validation no; notify explicit; notify-delay 0;
                {tells}
                allow-transfer {{ 127.0.0.1; }};
            }};
            controls {{}};
            {zone}
        """)

    def deaf(self) -> None:
        """From here on it tells no follower of a change, and gives none the zone."""
        self.stop()
        self.configure(notify=False)
        give(self.folder)
        self.start()


class Knot(NameServer):
    """Knot DNS."""

    def argv(self) -> list[str]:
        return [need("knotd", "knot", SBIN), "-c", str(self.folder / "knot.conf")]

    def configure(self) -> None:
        zone = literal("rfc2136", "With Knot", {
            "/var/lib/knot": str(self.folder), "PUT-THE-SECRET-HERE": KEY,
        })  # fmt: skip
        (self.folder / "knot.conf").write_text(
            f"server:\n    rundir: {self.folder}\n"
            f"    listen: 127.0.0.1@{self.port}\n"
            f"    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n"
            f"database:\n    storage: {self.folder}/db\n"
            f"log:\n  - target: stderr\n    any: info\n{zone}"
        )


class PowerDns(NameServer):
    """PowerDNS with its API; the zone lies in SQLite."""

    def __init__(self, folder: Path, name: str) -> None:
        self.api_port = free_ports(1)[0]
        self.api = f"http://127.0.0.1:{self.api_port}"
        super().__init__(folder, name)

    def argv(self) -> list[str]:
        program = need("pdns_server", "pdns-server pdns-backend-sqlite3", SBIN)
        return [program, f"--config-dir={self.folder}", "--daemon=no", "--guardian=no"]

    def configure(self) -> None:
        said = literal("powerdns", "## What it needs at the server", {
            "/var/lib/powerdns": str(self.folder), "PUT-THE-KEY-HERE": KEY,
            "local-port=53\n": f"local-port={self.port}\n",
            "webserver-port=8081": f"webserver-port={self.api_port}",
        })  # fmt: skip
        quick = f"socket-dir={self.folder}\nreceiver-threads=1\ndistributor-threads=1\n"
        (self.folder / "pdns.conf").write_text(said + quick)

    def zone(self, text: str) -> None:
        """The same by the API while it runs; else as rows of a new database."""
        if self._daemon.alive and self.answers():
            return self._put(text)
        self.stop()
        for one in self.folder.glob("pdns.sqlite3*"):
            one.unlink()
        with closing(sqlite3.connect(self.folder / "pdns.sqlite3")) as base:
            base.executescript(SCHEMA.read_text())
            base.execute(
                "INSERT INTO domains (name, type) VALUES (?, 'NATIVE')", [APEX]
            )
            base.executemany(
                "INSERT INTO records (domain_id, name, type, content, ttl)"
                " VALUES (1, ?, ?, ?, ?)",
                [row_of(line) for line in text.splitlines() if line[0] != "$"],
            )
            base.commit()
        give(self.folder)

    def saved(self) -> dict[str, bytes]:
        """Its database, stopped; what an operator's backup has."""
        self.stop()
        found = self.folder.glob("pdns.sqlite3*")
        return {one.name: one.read_bytes() for one in found}

    def put_back(self, files: Mapping[str, bytes]) -> None:
        """The backup in the place of all that came later."""
        self.stop()
        for one in self.folder.glob("pdns.sqlite3*"):
            one.unlink()
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        give(self.folder)

    def _put(self, text: str) -> None:
        sets: dict[tuple[str, str], list[tuple[str, int]]] = {
            (f"_dayshift.{NAME}", "TXT"): [],
            (NAME, "A"): [],
            (NAME, "LUA"): [],
        }
        for line in text.splitlines():
            if "www" in line:
                name, kind, content, ttl = row_of(line)
                sets[f"{name}.", kind].append((content, ttl))
        body = [
            {
                "name": name,
                "type": kind,
                "ttl": found[0][1] if found else 1,
                "changetype": "REPLACE",
                "records": [{"content": one, "disabled": False} for one, _ in found],
            }
            for (name, kind), found in sets.items()
        ]
        answer = self.call("PATCH", "", {"rrsets": body})
        assert answer.status_code == 204, answer.text

    def answers(self) -> bool:
        return super().answers() and self.call("GET", "").status_code == 200

    def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        """A request to its API, below the zone."""
        url = f"{self.api}/api/v1/servers/localhost/zones/{ZONE}{path}"
        headers = {"X-API-Key": KEY}
        return httpx.request(method, url, headers=headers, json=body, trust_env=False)


class ReadOnlyPowerDns(PowerDns):
    """The same from a zone file: a backend that the API cannot change."""

    def configure(self) -> None:
        super().configure()
        conf, zones = self.folder / "pdns.conf", self.folder / "zones.conf"
        said = conf.read_text().replace("launch=gsqlite3", "launch=bind")
        said = re.sub(r"gsqlite3-database=.*", f"bind-config={zones}", said)
        conf.write_text(said)
        file = self.folder / "shop.example.zone"
        zones.write_text(f'zone "{APEX}" {{ type native; file "{file}"; }};\n')

    def zone(self, text: str) -> None:
        NameServer.zone(self, text)


def row_of(line: str) -> tuple[str, str, str, int]:
    """Name, type, content and lifetime of one line of `zone_text`."""
    owner, *rest = line.split(maxsplit=1)[0], *line.split()[1:]
    ttl = int(rest.pop(0)) if rest[0].isdigit() else 300
    kind, content = rest[0], " ".join(rest[1:])
    name = APEX if owner == "@" else f"{owner}.{APEX}"
    if kind in ("SOA", "NS"):
        content = content.replace(ZONE, APEX)
    return name, kind, content, ttl


class Gdnsd(NameServer):
    """gdnsd; the name is answered by its multifo plugin."""

    def argv(self) -> list[str]:
        return [need("gdnsd", "gdnsd", SBIN), "-c", str(self.folder / "etc"), "start"]

    @property
    def admin_state(self) -> Path:
        return self.folder / "state" / "admin_state"

    @property
    def gdnsdctl(self) -> list[str]:
        return [need("gdnsdctl", "gdnsd"), "-c", str(self.folder / "etc")]

    def configure(self, up_thresh: str = "0.01") -> None:
        for name in ("etc/zones", "run", "state"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        config = literal("gdnsd", "The configuration", {
            "127.0.0.1:53": f"127.0.0.1:{self.port}",
            "/run/gdnsd": str(self.folder / "run"),
            "/var/lib/gdnsd": str(self.folder / "state"),
            "up_thresh => 0.01": f"up_thresh => {up_thresh}",
            "192.0.2.1, 192.0.2.2, 198.51.100.1, 198.51.100.2": ", ".join(
                one for listed in ADDRESSES.values() for one in listed
            ),
        })  # fmt: skip
        (self.folder / "etc" / "config").write_text(config)

    def zone(self, text: str) -> None:
        """The name, and `text` as what operators have in admin_state."""
        self.stop()
        name = "www 300 DYNA multifo!www\n"
        zone = self.folder / "etc" / "zones" / APEX
        zone.write_text(zone_text({}).split("\n", 1)[1] + name)
        self.admin_state.write_text(text)
        self.admin_state.chmod(0o644)
        give(self.folder)

    def fresh(self) -> None:
        self.zone("# kept by hand\n")

    def claim(self) -> str:
        found = re.search(r"# dayshift \S+ (ds1\S+)", self.admin_state.read_text())
        return found[1] if found else ""


class Unbound(NameServer):
    """A caching resolver before one authority; `keeps_s`: at least for so long."""

    def __init__(
        self, folder: Path, name: str, before: NameServer, keeps_s: int = 0
    ) -> None:
        self._before, self.keeps_s = before, keeps_s
        super().__init__(folder, name)

    def argv(self) -> list[str]:
        program = need("unbound", "unbound", SBIN)
        return [program, "-d", "-c", str(self.folder / "unbound.conf")]

    def configure(self) -> None:
        (self.folder / "unbound.conf").write_text(f"""
server:
    directory: "{self.folder}"
    pidfile: ""
    chroot: ""
    username: ""
    use-syslog: no
    interface: 127.0.0.1@{self.port}
    num-threads: 1
    do-not-query-localhost: no
    module-config: "iterator"
    cache-min-ttl: {self.keeps_s}
    local-zone: "example." transparent
remote-control:
    control-enable: no
stub-zone:
    name: "shop.example"
    stub-addr: 127.0.0.1@{self._before.port}
""")


@contextmanager
def name_servers(kinds: Mapping[str, type[NameServer]]) -> Iterator[list[NameServer]]:
    """Servers of these kinds, not started yet; stopped and gone afterwards."""
    # Not below pytest's folder, which an ordinary user cannot enter.
    folder = Path(tempfile.mkdtemp(prefix="dayshift-names-"))
    give(folder)
    servers = [kind(folder / name, name) for name, kind in kinds.items()]
    try:
        yield servers
    finally:
        for one in servers:
            one.stop()
        shutil.rmtree(folder, ignore_errors=True)
