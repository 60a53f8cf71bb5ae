"""The TLS door of each region's edge: an Envoy that speaks HTTP/2 to users.

Why not HAProxy itself: it cannot ask an HTTP/2 client to connect anew (2.6 sends GOAWAY
only when it stops), so such clients would never leave an edge that is drained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dayshift.lab.envoy import TYPE

Config = dict[str, Any]
PROTOCOLS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# Ends what it does not use before HAProxy does.
IDLE_S = 5
GOODBYE_S = 2


def door(certificate: Path, key: Path, to_port: int, age_s: int) -> bytes:
    """Its configuration: port 443 in; connections of at most `age_s`, then GOAWAY."""
    pair = {
        "certificate_chain": {"filename": str(certificate)},
        "private_key": {"filename": str(key)},
    }
    tls = {
        "@type": TYPE + "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [pair],
        },
    }
    manager = {
        "@type": TYPE + "extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager",
        "stat_prefix": "door",
        "common_http_protocol_options": {"max_connection_duration": f"{age_s}s"},
        "drain_timeout": f"{GOODBYE_S}s",
        "http_filters": [
            {
                "name": "router",
                "typed_config": {
                    "@type": TYPE + "extensions.filters.http.router.v3.Router"
                },
            }
        ],
        "route_config": {"virtual_hosts": [_everything()]},
    }
    listener = {
        "name": "door",
        "address": _address("0.0.0.0", 443),
        "filter_chains": [
            {
                "filters": [{"name": "http", "typed_config": manager}],
                "transport_socket": {"name": "tls", "typed_config": tls},
            }
        ],
    }
    resources = {"listeners": [listener], "clusters": [_edge(to_port)]}
    return json.dumps({"static_resources": resources}, indent=1).encode()


def _everything() -> Config:
    route = {"cluster": "edge", "timeout": "90s"}
    routes = [{"match": {"prefix": "/"}, "route": route}]
    return {"name": "all", "domains": ["*"], "routes": routes}


def _edge(port: int) -> Config:
    options = {
        "@type": f"type.googleapis.com/{PROTOCOLS}",
        "common_http_protocol_options": {"idle_timeout": f"{IDLE_S}s"},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": _address("127.0.0.1", port)}}
    return {
        "name": "edge",
        "type": "STATIC",
        "connect_timeout": "2s",
        "typed_extension_protocol_options": {PROTOCOLS: options},
        "load_assignment": {
            "cluster_name": "edge",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def _address(host: str, port: int) -> Config:
    return {"socket_address": {"address": host, "port_value": port}}
