"""Configuration of the lab's Envoys: the users' entry and each region's edge.

Only rendering: ports and shares in, JSON out. Nothing here starts or asks an Envoy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Config = dict[str, Any]

ROUTES = "entry"
PROBE_HEADER = "x-dayshift-probe"
# Upper bounds of the latency buckets in milliseconds; the policy's `slow` bounds (100
# and 250) must be among them.
BUCKETS_MS = (1, 2, 3, 5, 10, 15, 25, 50, 100, 150, 250, 350, 500, 1000, 2000)
# Histograms reach the admin page only when Envoy flushes; the default is five seconds.
FLUSH = "0.200s"
TYPE = "type.googleapis.com/envoy."


def routes(shares: Mapping[str, int], version: str) -> bytes:
    """The file that steers the users: one weight per region, and who wrote it.

    A probe must not come in by the users' door, so its header is taken off here.
    """
    clusters = [
        {"name": f"region_{region}", "weight": share}
        for region, share in shares.items()
    ]
    action = {
        "weighted_clusters": {"clusters": clusters},
        "timeout": "30s",
    }
    resource = {
        "@type": TYPE + "config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "validate_clusters": True,
        "request_headers_to_remove": [PROBE_HEADER],
        "virtual_hosts": [
            {
                "name": "shop",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": action}],
            }
        ],
    }
    return _encode({"version_info": version, "resources": [resource]})


def entry(
    place: Path, port: int, tls_port: int, admin: int, targets: Mapping[str, int]
) -> bytes:
    """The global Envoy: HTTP/1.1 and TLS HTTP/2 in, one cluster for each region."""
    rds = {
        "rds": {
            "route_config_name": ROUTES,
            "config_source": {
                "resource_api_version": "V3",
                "path_config_source": {
                    "path": str(place / "rds.json"),
                    "watched_directory": {"path": str(place)},
                },
            },
        }
    }
    tls = {
        "name": "tls",
        "typed_config": {
            "@type": TYPE + "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(place / "cert.pem")},
                        "private_key": {"filename": str(place / "key.pem")},
                    }
                ],
            },
        },
    }
    listeners = [
        _listener("h1", port, rds),
        _listener("h2", tls_port, rds, transport_socket=tls),
    ]
    clusters = [_cluster(f"region_{name}", [to]) for name, to in targets.items()]
    return _encode(_bootstrap("global", admin, listeners, clusters))


def edge(place: Path, port: int, admin: int, apps: Sequence[int]) -> bytes:
    """A region's edge: users to `app`, our probes to `app_probe`, each counted apart.

    The access log has the start of every request in microseconds: it is the ground
    truth for "when did the last new request enter this region". Everybody comes from
    loopback here, so a client is told by its user agent.
    """
    probe = {"prefix": "/", "headers": [{"name": PROBE_HEADER, "present_match": True}]}
    again = {"retry_on": "connect-failure", "num_retries": 1}
    table = {
        "route_config": {
            "name": "edge",
            "virtual_hosts": [
                {
                    "name": "app",
                    "domains": ["*"],
                    "routes": [
                        {"match": probe, "route": {"cluster": "app_probe"}},
                        {
                            "match": {"prefix": "/"},
                            "route": {
                                "cluster": "app",
                                "timeout": "30s",
                                "retry_policy": again,
                            },
                        },
                    ],
                }
            ],
        }
    }
    listeners = [_listener("edge", port, table, access_log=_log(place))]
    clusters = [
        _cluster("app", apps) | {"health_checks": [_health_check()]},
        _cluster("app_probe", apps),
    ]
    return _encode(_bootstrap(place.name, admin, listeners, clusters))


def _log(place: Path) -> Config:
    return {
        "name": "file",
        "typed_config": {
            "@type": TYPE + "extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(place / "access.log"),
            "log_format": {
                "json_format": {
                    "start": "%START_TIME(%s.%6f)%",
                    "client": "%REQ(USER-AGENT)%",
                    "cluster": "%UPSTREAM_CLUSTER%",
                    "code": "%RESPONSE_CODE%",
                    "ms": "%DURATION%",
                    "path": "%REQ(:PATH)%",
                }
            },
        },
    }


def _encode(value: Config) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def _address(port: int) -> Config:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _bootstrap(
    node: str, admin: int, listeners: list[Config], clusters: list[Config]
) -> Config:
    bounds = [
        {"match": {"prefix": "cluster."}, "buckets": [float(ms) for ms in BUCKETS_MS]}
    ]
    return {
        "node": {"id": node, "cluster": "dayshift-lab"},
        "admin": {"address": _address(admin)},
        "stats_flush_interval": FLUSH,
        "stats_config": {"histogram_bucket_settings": bounds},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


def _listener(
    name: str,
    port: int,
    table: Config,
    transport_socket: Config | None = None,
    access_log: Config | None = None,
) -> Config:
    manager: Config = {
        "@type": TYPE + "extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "AUTO",
        "http_filters": [
            {
                "name": "router",
                "typed_config": {
                    "@type": TYPE + "extensions.filters.http.router.v3.Router"
                },
            }
        ],
    }
    manager.update(table)
    if access_log:
        manager["access_log"] = [access_log]
    chain: Config = {"filters": [{"name": "http", "typed_config": manager}]}
    if transport_socket:
        chain["transport_socket"] = transport_socket
    return {"name": name, "address": _address(port), "filter_chains": [chain]}


def _cluster(name: str, ports: Sequence[int]) -> Config:
    """A cluster whose idle connections end before the server behind would end them.

    Why: a connection that the server closes while a request is on its way to it is a
    failed request that no weight can prevent.
    """
    options = {
        "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": {"idle_timeout": "60s"},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    hosts = [{"endpoint": {"address": _address(port)}} for port in ports]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            TYPE.removeprefix("type.googleapis.com/")
            + "extensions.upstreams.http.v3.HttpProtocolOptions": options
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": hosts}],
        },
    }


def _health_check() -> Config:
    return {
        "timeout": "1s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/healthz"},
    }
