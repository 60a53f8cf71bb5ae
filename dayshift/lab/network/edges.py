"""The edges of the network lab's regions: HAProxys, a TLS door and an application each.

An edge serves arrivals in the region that its map draws, over the regions' own network.
It tells every client after a while to connect anew, as edges do that may be drained: a
client that keeps its connection for ever asks no name server again.
"""

from __future__ import annotations

import httpx

from dayshift.lab import certificate, processes
from dayshift.lab.network import doors
from dayshift.lab.network.spec import REGIONS, SHARES_BP, NetSpec

INNER_PORT, DOOR_PORT, APP_PORT = 8000, 8443, 9000
AGE_S = 15
"""A connection is as old at most, and its last answer, when it is told to end."""
HAPROXY = """\
global
  stats socket {socket} mode 600 level admin expose-fd listeners
  maxconn 4000
  nbthread 1
  hard-stop-after 30s
defaults
  mode http
  option redispatch
  retries 2
  http-reuse always
  timeout connect 3s
  timeout client 90s
  timeout server 90s
  timeout http-request 10s
  timeout http-keep-alive 10s
frontend users
  bind :80
  bind 127.0.0.1:{door}
  tcp-request session set-var(sess.begun) date()
  acl old date(),sub(sess.begun) ge {age}
  http-after-response set-header connection close if old
  http-after-response set-header x-edge {region}
  use_backend %[rand(10000),map_int({map},be_{region})]
{backends}
frontend inner
  bind {managed}:{inner}
  timeout http-keep-alive 90s
  use_backend probes if {{ hdr(x-dayshift-probe) -m found }}
  default_backend served
backend served
  server app 127.0.0.1:{app}
backend probes
  server app 127.0.0.1:{app}
"""
FIRST_VERSION = "1"
ANSWER_S = 2.0


def start(spec: NetSpec) -> None:
    """Start the applications and edges that do not run."""
    if not (spec.run / "key.pem").exists():
        certificate.write(spec.run)
    for region in REGIONS:
        version = spec.run / region / "version"
        if not version.exists():
            version.write_text(FIRST_VERSION)
        start_app(spec, region)
        _start_edge(spec, region)
        _start_door(spec, region)


def ready(spec: NetSpec) -> bool:
    """True when every region serves what is installed in it."""
    return all(answering(spec, one) == installed(spec, one) for one in REGIONS)


def start_app(spec: NetSpec, region: str) -> None:
    argv = [spec.python, "-m", "dayshift.lab.network.app", region, str(APP_PORT)]
    argv.append(installed(spec, region))
    processes.start(spec.run, f"{region}-app", spec.inside(region, *argv))


def installed(spec: NetSpec, region: str) -> str:
    return (spec.run / region / "version").read_text().strip()


def answering(spec: NetSpec, region: str) -> str:
    """The version that the region itself serves; empty while it serves none."""
    try:
        with httpx.Client(trust_env=False, timeout=ANSWER_S) as client:
            headers = {"x-dayshift-probe": "lab"}
            reply = client.get(f"{inner(spec, region)}/version", headers=headers)
    except httpx.HTTPError:
        return ""
    return str(reply.json()["version"]) if reply.is_success else ""


def inner(spec: NetSpec, region: str) -> str:
    """Where the region serves what edges send to it, and probes."""
    return f"http://{spec.managed(region)}:{INNER_PORT}"


def socket(spec: NetSpec, region: str) -> str:
    return str(spec.sockets / f"edge-{region}.sock")


def ranges(shares_bp: dict[str, int]) -> str:
    """The map of an edge: which part of 0..9999 each region has."""
    lines, begin = [], 0
    for region, share in shares_bp.items():
        if share:
            lines.append(f"{begin}:{begin + share - 1} be_{region}\n")
        begin += share
    return "".join(lines)


def _start_edge(spec: NetSpec, region: str) -> None:
    folder = spec.run / region
    shares = folder / "shares.map"
    if not shares.exists():
        shares.write_text(ranges(SHARES_BP))
    config = folder / "haproxy.cfg"
    config.write_text(
        HAPROXY.format(
            socket=socket(spec, region),
            door=DOOR_PORT,
            age=AGE_S,
            map=shares,
            region=region,
            managed=spec.managed(region),
            inner=INNER_PORT,
            app=APP_PORT,
            backends="".join(
                f"backend be_{one}\n  server inner {spec.managed(one)}:{INNER_PORT}\n"
                for one in REGIONS
            ),
        )
    )
    argv = spec.inside(region, spec.programs["haproxy"], "-f", str(config))
    processes.start(spec.run, f"{region}-haproxy", argv)


def _start_door(spec: NetSpec, region: str) -> None:
    config = spec.run / region / "door.json"
    pair = spec.run / "cert.pem", spec.run / "key.pem"
    config.write_bytes(doors.door(*pair, DOOR_PORT, AGE_S))
    argv = [spec.programs["envoy"], "-c", str(config), "--disable-hot-restart"]
    argv += ["--concurrency", "1", "--log-level", "warning"]
    processes.start(spec.run, f"{region}-envoy", spec.inside(region, *argv))
