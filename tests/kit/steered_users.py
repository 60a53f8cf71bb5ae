"""Users, as a process of their own: `LOG RATE PORT ADDRESS…`, or `… dns NAME PORT`.

One line in LOG for each request: the region that answered, or why none did.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from pathlib import Path

import dns.message
import dns.query

TIMEOUT_S = 3.0


def looked_up(name: str, port: int) -> tuple[list[str], float]:
    """The addresses of `name`, and until when a cache may keep them."""
    query = dns.message.make_query(name, "A")
    answer = dns.query.udp(query, "127.0.0.1", port=port, timeout=TIMEOUT_S)
    (found,) = answer.answer
    return [str(one) for one in found], time.monotonic() + found.ttl


def request(address: str, port: int) -> str:
    """Who answers there."""
    try:
        with socket.create_connection((address, port), TIMEOUT_S) as one:
            one.settimeout(TIMEOUT_S)
            one.sendall(b"GET / HTTP/1.0\r\nhost: shop\r\n\r\n")
            parts = []
            while part := one.recv(4096):
                parts.append(part)
    except OSError as error:
        return f"{address}: {error}"
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1] if b" " in head else b"no answer"
    return (body if status == b"200" else status).decode().strip()


def main(log: Path, rate: float, port: int, where: list[str]) -> None:
    addresses, until = where, float("inf")
    if where[0] == "dns":
        until = 0.0
    begun, number = time.monotonic(), 0
    with log.open("a", buffering=1) as file:
        while True:
            if time.monotonic() >= until:
                addresses, until = looked_up(where[1], int(where[2]))
            address = random.choice(addresses)
            file.write(f"{request(address, port)}\n")
            number += 1
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
