"""One user's look at a name: whose edge is at each of its addresses, as JSON.

    python -m dayshift.lab.network.look NAME

Runs in the users' namespace; an address where nobody answers maps to nothing.
"""

from __future__ import annotations

import json
import sys
from ipaddress import ip_address

import dns.exception
import dns.resolver
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


def addresses(name: str) -> list[str]:
    """What the users' resolver answers, asked without what this machine has besides."""
    try:
        return [str(ip_address(name))]
    except ValueError:
        pass
    try:
        found = dns.resolver.resolve(name, "A", lifetime=LIMIT_S)
    except dns.exception.DNSException:
        return []
    return sorted(str(one) for one in found)


def main(name: str) -> None:
    print(json.dumps({one: edge_at(one, name) for one in addresses(name)}))


if __name__ == "__main__":
    main(sys.argv[1])
