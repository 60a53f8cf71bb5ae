"""Established connections at a region's edge, as the kernel lists them; two sources.

`ss` lists the sockets of this machine, `conntrack` what passes through it. Here: asking
for the list, and what one line means. Not here: what they count for (`connections`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from dayshift.drivers.base import Context
from dayshift.drivers.process import CommandOptions, inherited, run
from dayshift.errors import DriverFault, DriverRetry, Reason
from dayshift.limits import READ_TIMEOUT_MS

RETRY_MS = 500
LIST_BYTES_MAX = 67_108_864
SS = ("ss", "-t", "-n", "-o", "-i", "-H", "state", "established")
CONNTRACK = ("conntrack", "-L", "-o", "extended", "-p", "tcp", "--state", "ESTABLISHED")
PAIR = re.compile(r"\b(src|dst|sport|dport)=(\S+)")
RECEIVED = re.compile(r"\bbytes_received:(\d+)")
PACKETS = re.compile(r"\bpackets=(\d+)")


class Flow(msgspec.Struct, frozen=True):
    """One connection: who came (`client`), by which way in (`way`, address:port), from
    which port; `moved` grows with what the client sent, where that is counted."""

    client: str
    client_port: int
    way: str
    moved: int = 0

    @property
    def key(self) -> tuple[str, int, str]:
        return (self.client, self.client_port, self.way)


async def listed(argv: tuple[str, ...], context: Context) -> list[str]:
    """The lines of a listing command: argv, no shell, bounded.

    Raises:
        DriverRetry: it failed, or took too long.
        DriverFault: it is not here, or lists more than can be read.
    """
    ran = await run(
        argv,
        clock=context.clock,
        limit_ms=READ_TIMEOUT_MS,
        cwd=Path("/"),
        environment={**inherited(CommandOptions()), "LC_ALL": "C"},
        output_bytes_max=LIST_BYTES_MAX,
    )
    if len(ran.stdout) >= LIST_BYTES_MAX:
        raise DriverFault(_reason(argv, f"it lists more than {LIST_BYTES_MAX} bytes"))
    if ran.exit_code:
        raise DriverRetry(_reason(argv, ran.last_words or "no word"), RETRY_MS)
    return ran.stdout.splitlines()


def of_ss(lines: list[str]) -> Iterator[Flow]:
    """`Recv-Q Send-Q Local Peer [timer]`, and a line of details that begins blank."""
    ends: tuple[str, str] | None = None
    for line in lines:
        if line[:1].isspace():
            if ends:
                yield _of_ends(ends, line)
            ends = None
            continue
        if ends:
            yield _of_ends(ends, "")
        fields = line.split()
        ends = (fields[2], fields[3]) if len(fields) >= 4 else None
    if ends:
        yield _of_ends(ends, "")


def _of_ends(ends: tuple[str, str], details: str) -> Flow:
    local, peer = ends
    client, port = split_end(peer)
    moved = RECEIVED.search(details)
    way = ":".join(map(str, split_end(local)))
    return Flow(client, port, way, int(moved[1]) if moved else 0)


def of_conntrack(lines: list[str]) -> Iterator[Flow]:
    """The first src, dst, sport, dport of a line are the client's own view."""
    for line in lines:
        found: dict[str, str] = {}
        for name, value in PAIR.findall(line):
            found.setdefault(name, value)
        if len(found) == 4 and found["dport"].isdigit():
            packets = PACKETS.search(line)
            yield Flow(
                plain_address(found["src"]),
                int(found["sport"]),
                f"{plain_address(found['dst'])}:{found['dport']}",
                int(packets[1]) if packets else 0,
            )


def split_end(end: str) -> tuple[str, int]:
    """Address and port of `10.0.0.1:80`, `[::1]:80` or `10.0.0.1%eth0:80`."""
    address, _, port = end.rpartition(":")
    return plain_address(address), int(port) if port.isdigit() else 0


def plain_address(text: str) -> str:
    """Without brackets, zone, or the IPv6 clothes of an IPv4 address."""
    bare = text.strip("[]").partition("%")[0]
    return bare.removeprefix("::ffff:") if "." in bare else bare


def _reason(argv: tuple[str, ...], because: str) -> Reason:
    return Reason(
        "FLOWS-UNREAD",
        f"{argv[0]} did not list the connections of this machine",
        because=because,
        so="who is connected is unknown",
        next="see that it is installed and that this user may run it "
        "(conntrack needs CAP_NET_ADMIN)",
    )
