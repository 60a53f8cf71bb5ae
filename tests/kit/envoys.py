"""Real Envoys for tests and benches: a global entry before one edge for each region.

    users -> entry (file RDS, weights) -> edge of a region -> its app (same Envoy)

The edge sends probes (`x-dayshift-probe`) to a cluster of their own. The app answers
200, `/error` answers 500, and `x-envoy-fault-delay-request: MS` makes it slow.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TYPE = "type.googleapis.com/envoy."
FILTERS = TYPE + "extensions.filters."
ROUTES = "entry"
ARGUMENTS = (
    *("--disable-hot-restart", "--concurrency", "1", "-l", "warn"),
    *("--file-flush-interval-msec", "20"),
)
ENVOY = shutil.which("envoy") or str(Path(sys.executable).with_name("envoy"))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Envoy:
    """One Envoy process, which can be killed and started again on the same ports."""

    def __init__(self, place: Path, admin: int, config: Mapping[str, Any]) -> None:
        self.place, self.admin_port = place, admin
        self.admin = f"http://127.0.0.1:{admin}"
        self._process: subprocess.Popen[bytes] | None = None
        place.mkdir(parents=True, exist_ok=True)
        (place / "envoy.json").write_text(json.dumps(config))

    def start(self) -> None:
        """Start it and wait until it serves; nothing if it runs already."""
        if self._process and self._process.poll() is None:
            return
        log = (self.place / "envoy.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [ENVOY, "-c", str(self.place / "envoy.json"), *ARGUMENTS],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 15
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.place / "envoy.log").read_text()[-2000:])
            time.sleep(0.02)

    def stop(self, how: int = signal.SIGKILL) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(10)

    def restart(self) -> None:
        self.stop()
        self.start()

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.admin}{path}", timeout=5) as answer:
            body: bytes = answer.read()
        return body.decode()

    def post(self, path: str) -> None:
        urllib.request.urlopen(f"{self.admin}{path}", data=b"", timeout=5).close()

    def _ready(self) -> bool:
        try:
            return self.get("/ready").strip() == "LIVE"
        except OSError:
            return False


class Envoys:
    """Entries before regions; `entries` of them share the work, each with its file."""

    def __init__(
        self, place: Path, regions: Sequence[str] = ("fra", "ber"), entries: int = 1
    ) -> None:
        self.place, self.regions = place, tuple(regions)
        ports = iter(free_ports(3 * len(self.regions) + 2 * entries))
        self.edge_ports = {region: next(ports) for region in self.regions}
        self.edges = {
            region: _edge(place / region, region, port, next(ports), next(ports))
            for region, port in self.edge_ports.items()
        }
        self.entry_ports = [next(ports) for _ in range(entries)]
        self.entries = [
            _entry(place / f"entry{i}", f"entry{i}", port, next(ports), self.edge_ports)
            for i, port in enumerate(self.entry_ports)
        ]

    def __enter__(self) -> Envoys:
        try:
            for one in (*self.edges.values(), *self.entries):
                one.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for one in (*self.edges.values(), *self.entries):
            one.stop()

    def rds_file(self, entry: int = 0) -> Path:
        return self.entries[entry].place / "rds.json"

    def dial_options(self) -> dict[str, Any]:
        return {
            "route_config": ROUTES,
            "clusters": {region: f"region_{region}" for region in self.regions},
            "instances": [
                {
                    "name": f"entry{i}",
                    "rds_file": str(self.rds_file(i)),
                    "admin": one.admin,
                }
                for i, one in enumerate(self.entries)
            ],
        }

    def edge_options(self) -> dict[str, Any]:
        return {
            "regions": {
                region: {
                    "admin": edge.admin,
                    "cluster": "app",
                    "ignored": {"probe": "app_probe"},
                    "access_log": str(edge.place / "access.log"),
                }
                for region, edge in self.edges.items()
            }
        }

    def entry_options(self) -> dict[str, Any]:
        admins = [one.admin for one in self.entries]
        return {
            "regions": {
                region: {"admin": admins, "cluster": f"region_{region}"}
                for region in self.regions
            }
        }


def routes(regions: Sequence[str], weight: int = 50) -> dict[str, Any]:
    """The operator's own routes: two weighted ones, and one that is not the dial's."""
    split = {
        "clusters": [{"name": f"region_{name}", "weight": weight} for name in regions]
    }
    names = [
        {"match": {"prefix": "/static"}, "direct_response": {"status": 204}},
        {
            "match": {"prefix": "/api"},
            "route": {"timeout": "7s", "weighted_clusters": split},
        },
        {"match": {"prefix": "/"}, "route": {"weighted_clusters": split}},
    ]
    resource = {
        "@type": TYPE + "config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": names}],
    }
    return {"version_info": "by-hand", "resources": [resource]}


def _entry(
    place: Path, node: str, port: int, admin: int, targets: Mapping[str, int]
) -> Envoy:
    source = {
        "resource_api_version": "V3",
        "path_config_source": {"path": str(place / "rds.json")},
    }
    rds = {"rds": {"route_config_name": ROUTES, "config_source": source}}
    clusters = [_cluster(f"region_{name}", to) for name, to in targets.items()]
    config = _bootstrap(node, admin, [_listener("entry", port, rds)], clusters)
    envoy = Envoy(place, admin, config)
    (place / "rds.json").write_text(json.dumps(routes(list(targets))))
    return envoy


def _edge(place: Path, node: str, port: int, app: int, admin: int) -> Envoy:
    probe = {
        "prefix": "/",
        "headers": [{"name": "x-dayshift-probe", "present_match": True}],
    }
    edge = _listener(
        "edge",
        port,
        _table(
            {"match": probe, "route": {"cluster": "app_probe"}},
            {"match": {"prefix": "/"}, "route": {"cluster": "app"}},
        ),
        log=place / "access.log",
    )
    version = json.dumps({"version": "1", "region": node})
    answers = _listener(
        "app",
        app,
        _table(
            {"match": {"prefix": "/error"}, "direct_response": {"status": 500}},
            {
                "match": {"prefix": "/"},
                "direct_response": {"status": 200, "body": {"inline_string": version}},
            },
        ),
        slow=True,
    )
    clusters = [_cluster("app", app), _cluster("app_probe", app)]
    return Envoy(place, admin, _bootstrap(node, admin, [edge, answers], clusters))


def _table(*names: Mapping[str, Any]) -> dict[str, Any]:
    host = {"name": "all", "domains": ["*"], "routes": list(names)}
    return {"route_config": {"name": "static", "virtual_hosts": [host]}}


def _bootstrap(
    node: str, admin: int, listeners: list[Any], clusters: list[Any]
) -> dict[str, Any]:
    return {
        "node": {"id": node, "cluster": "tests"},
        "admin": {"address": _address(admin)},
        "stats_flush_interval": "0.1s",
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int) -> dict[str, Any]:
    host = {"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.3s",
        "load_assignment": {"cluster_name": name, "endpoints": [host]},
    }


def _listener(
    name: str,
    port: int,
    table: Mapping[str, Any],
    log: Path | None = None,
    slow: bool = False,
) -> dict[str, Any]:
    router = {"@type": FILTERS + "http.router.v3.Router"}
    filters = [{"name": "router", "typed_config": router}]
    if slow:
        delay = {"header_delay": {}, "percentage": {"numerator": 100}}
        fault = {"@type": FILTERS + "http.fault.v3.HTTPFault", "delay": delay}
        filters.insert(0, {"name": "envoy.filters.http.fault", "typed_config": fault})
    manager: dict[str, Any] = {
        "@type": FILTERS + "network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": filters,
        **table,
    }
    if log:
        line = {
            "start_us": "%START_TIME(%s%6f)%",
            "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
            "cluster": "%UPSTREAM_CLUSTER_RAW%",
            "status": "%RESPONSE_CODE%",
        }
        to = {
            "@type": TYPE + "extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(log),
            "log_format": {"json_format": line},
        }
        manager["access_log"] = [{"name": "file", "typed_config": to}]
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {"name": name, "address": _address(port), "filter_chains": [chain]}
