"""Name servers of the network lab: PowerDNS, and the resolver that users ask.

Only configurations, the zone as operators wrote it, and how they are started.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode

from dayshift.lab import processes
from dayshift.lab.network import spec as layout
from dayshift.lab.network.spec import ADDRESSES, NAME, ZONE, NetSpec

API_PORT = 8081
POWERDNS = """\
launch=gsqlite3
gsqlite3-database={database}
local-address={service} {managed}
local-port=53
api=yes
api-key={key}
webserver=yes
webserver-address={managed}
webserver-port={port}
webserver-allow-from=198.18.0.0/15
security-poll-suffix=
socket-dir={sockets}
receiver-threads=1
distributor-threads=1
"""
UNBOUND = """\
server:
  directory: "{place}"
  pidfile: ""
  chroot: ""
  username: ""
  use-syslog: no
  num-threads: 1
  interface: 127.0.0.1
  interface: {managed}
  access-control: 198.18.0.0/15 allow
  outgoing-interface: {outgoing}
  do-ip6: no
  module-config: "iterator"
  local-zone: "example." transparent
remote-control:
  control-enable: no
stub-zone:
  name: "{zone}"
  stub-addr: {service}
"""
ASK_S = 1.0


def start(spec: NetSpec) -> None:
    """Start the servers that do not run."""
    folder = spec.run / "dns"
    database = folder / "pdns.sqlite3"
    if not database.exists():
        _write_zone(database, spec.ttl_s)
    (folder / "pdns.conf").write_text(
        POWERDNS.format(
            database=database,
            service=layout.DNS_ADDRESS,
            managed=spec.managed("dns"),
            key=key(spec),
            port=API_PORT,
            sockets=spec.sockets,
        )
    )
    argv = [spec.programs["pdns_server"], f"--config-dir={folder}"]
    argv += ["--daemon=no", "--guardian=no"]
    processes.start(spec.run, "dns-powerdns", spec.inside("dns", *argv))
    _start_resolver(spec)


def ready(spec: NetSpec) -> bool:
    """True when the users' resolver has an answer."""
    try:
        query = dns.message.make_query(NAME, "A")
        answer = dns.query.udp(query, spec.managed("users"), timeout=ASK_S)
    except (OSError, dns.exception.DNSException):
        return False
    return answer.rcode() == dns.rcode.NOERROR and bool(answer.answer)


def key(spec: NetSpec) -> str:
    """The secret of its API, made up once."""
    file = spec.path("dns.key")
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(16))
    return file.read_text()


def api(spec: NetSpec) -> str:
    return f"http://{spec.managed('dns')}:{API_PORT}"


def _start_resolver(spec: NetSpec) -> None:
    folder = spec.run / "users"
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    config = folder / "unbound.conf"
    config.write_text(
        UNBOUND.format(
            place=folder,
            managed=spec.managed("users"),
            outgoing=layout.USERS_ADDRESS,
            zone=ZONE,
            service=layout.DNS_ADDRESS,
        )
    )
    argv = [spec.programs["unbound"], "-d", "-c", str(config)]
    processes.start(spec.run, "users-unbound", spec.inside("users", *argv))


def _write_zone(database: Path, ttl_s: int) -> None:
    rows = [
        (ZONE, "SOA", f"ns1.{ZONE} ops.{ZONE} 1 3600 60 604800 1", 300),
        (ZONE, "NS", f"ns1.{ZONE}", 300),
        (f"ns1.{ZONE}", "A", layout.DNS_ADDRESS, 300),
        *((NAME, "A", one, ttl_s) for listed in ADDRESSES.values() for one in listed),
    ]
    beside = database.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with closing(sqlite3.connect(beside)) as base:
        base.executescript(layout.SCHEMA.read_text())
        base.execute("INSERT INTO domains (name, type) VALUES (?, 'NATIVE')", [ZONE])
        base.executemany(
            "INSERT INTO records (domain_id, name, type, content, ttl)"
            " VALUES (1, ?, ?, ?, ?)",
            rows,
        )
        base.commit()
    beside.rename(database)
