"""One user's look at a name: whose edge is at each of its addresses, as JSON.

    python -m dayshift.lab.network.look NAME

Runs in the users' namespace; an address where nobody answers maps to nothing.
"""

from __future__ import annotations

import json
import socket
import sys

import httpx

LIMIT_S = 2.0


def edge_at(address: str, name: str) -> str:
    """The region whose edge serves what arrives there."""
    try:
        with httpx.Client(trust_env=False, timeout=LIMIT_S) as client:
            reply = client.get(f"http://{address}/", headers={"host": name})
    except httpx.HTTPError:
        return ""
    return str(reply.headers.get("x-edge", "")) if reply.is_success else ""


def main(name: str) -> None:
    try:
        found = socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM)
    except socket.gaierror:
        found = []
    addresses = sorted({str(one[4][0]) for one in found})
    print(json.dumps({one: edge_at(one, name) for one in addresses}))


if __name__ == "__main__":
    main(sys.argv[1])
