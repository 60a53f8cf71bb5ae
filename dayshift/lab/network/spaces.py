"""The namespaces of a network lab, their links and addresses, and their end.

Everything that this makes on the machine begins with the lab's tag and goes with its
namespaces; the machine's own settings are not touched. Not here: any daemon.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from dayshift.errors import DriverFault, Reason
from dayshift.lab import processes
from dayshift.lab.network import spec as layout
from dayshift.lab.network.spec import NetSpec

SETTINGS = (
    *("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"),
    "net.ipv4.fib_multipath_hash_policy=1",
    "net.ipv6.conf.all.disable_ipv6=1",
    # Without it the network between namespaces learns of a retransmission by a new
    # hash, and takes another of two ways in the middle of a flow.
    "net.core.txrehash=0",
)
FORWARDS = "net.ipv4.ip_forward=1"
BUILT = "built"
END_S = 5.0


def build(spec: NetSpec) -> None:
    """Make what is not there; half of a network is taken away and made again."""
    if whole(spec):
        return
    remove(spec)
    for place in spec.places:
        _ip(spec, "netns", "add", spec.space(place))
        settings = [*SETTINGS, *([FORWARDS] if place in layout.TRANSITS else [])]
        argv = spec.inside(place, spec.programs["sysctl"], "-qw", *settings)
        _run(argv)
        _within(spec, place, "link", "set", "lo", "up")
    _management(spec)
    for transit in layout.TRANSITS:
        for end in layout.ENDS:
            _connect(spec, transit, end)
    for end in layout.ENDS:
        _own_addresses(spec, end)
        _default_route(spec, end)
    spec.path("run", BUILT).touch()


def whole(spec: NetSpec) -> bool:
    """True when all of it is there."""
    return spec.path("run", BUILT).exists() and _there(spec) == set(spec.places)


def remove(spec: NetSpec) -> None:
    """Every namespace, whatever still runs in one of them, and the sockets' place."""
    spec.path("run", BUILT).unlink(missing_ok=True)
    # Not left to the end of its namespace, with which it goes some time afterwards.
    if Path("/sys/class/net", spec.tag).exists():
        _ip(spec, "link", "del", spec.tag)
    for place in _there(spec):
        _empty(spec, place)
        _ip(spec, "netns", "del", spec.space(place))
    shutil.rmtree(spec.sockets, ignore_errors=True)


def _there(spec: NetSpec) -> set[str]:
    return {
        place for place in spec.places if Path("/run/netns", spec.space(place)).exists()
    }


def _empty(spec: NetSpec, place: str) -> None:
    """End what nobody wrote down: a process whose starter was killed right after."""

    def inhabitants() -> list[int]:
        told = _ip(spec, "netns", "pids", spec.space(place))
        return [int(one) for one in told.split()]

    for pid in inhabitants():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    processes.await_there(f"{place} is empty", lambda: not inhabitants(), END_S)


def _management(spec: NetSpec) -> None:
    """A bridge to which every end and this machine are connected: the operator's way
    to name servers and probes, and the regions' way to one another."""
    _within(spec, layout.HUB, "link", "add", "bridge", "type", "bridge")
    _within(spec, layout.HUB, "link", "set", "bridge", "up")
    for end in layout.ENDS:
        peer = ("peer", "name", "mgmt", "netns", spec.space(end))
        _within(spec, layout.HUB, "link", "add", f"to-{end}", "type", "veth", *peer)
        _plug(spec, f"to-{end}")
        _within(spec, end, "addr", "add", f"{spec.managed(end)}/24", "dev", "mgmt")
        _within(spec, end, "link", "set", "mgmt", "up")
    there = ("peer", "name", "operator", "netns", spec.space(layout.HUB))
    _ip(spec, "link", "add", spec.tag, "type", "veth", *there)
    _plug(spec, "operator")
    _ip(spec, "addr", "add", f"{spec.operator}/24", "dev", spec.tag)
    _ip(spec, "link", "set", spec.tag, "up")


def _plug(spec: NetSpec, device: str) -> None:
    _within(spec, layout.HUB, "link", "set", device, "master", "bridge", "up")


def _connect(spec: NetSpec, transit: str, end: str) -> None:
    near, far = layout.link(transit, end)
    peer = ("peer", "name", transit, "netns", spec.space(end))
    _within(spec, transit, "link", "add", f"to-{end}", "type", "veth", *peer)
    for place, device, address in ((transit, f"to-{end}", near), (end, transit, far)):
        _within(spec, place, "addr", "add", f"{address}/24", "dev", device)
        _within(spec, place, "link", "set", device, "up")


def _own_addresses(spec: NetSpec, end: str) -> None:
    """The addresses that an end is known by, whichever way leads to it.

    A region has those of every region: it serves them where the routes lead to it.
    """
    anycast = [one for listed in layout.ADDRESSES.values() for one in listed]
    own = {"users": [layout.USERS_ADDRESS], "dns": [layout.DNS_ADDRESS]}
    for address in own.get(end, anycast):
        _within(spec, end, "addr", "add", f"{address}/32", "dev", "lo")
    for transit in layout.TRANSITS if end in own else ():
        _, via = layout.link(transit, end)
        _within(spec, transit, "route", "add", f"{own[end][0]}/32", "via", via)


def _default_route(spec: NetSpec, end: str) -> None:
    """Over both transit routers, flow by flow."""
    ways = [layout.link(transit, end)[0] for transit in layout.TRANSITS]
    hops = [word for via in ways for word in ("nexthop", "via", via)]
    known = {"users": layout.USERS_ADDRESS, "dns": layout.DNS_ADDRESS}
    source = ["src", known[end]] if end in known else []
    _within(spec, end, "route", "add", "default", *source, *hops)


def _within(spec: NetSpec, place: str, *words: str) -> str:
    return _ip(spec, "-n", spec.space(place), *words)


def _ip(spec: NetSpec, *words: str) -> str:
    return _run([spec.programs["ip"], *words])


def _run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DriverFault(
            Reason(
                "LAB-NO-NETWORK",
                f"`{' '.join(argv)}` failed",
                because=done.stderr.strip() or f"exit code {done.returncode}",
                so="the network of the lab is not whole",
                next="`dayshift lab down` takes away what was made; the kernel needs "
                "network namespaces, veth and bridge",
            )
        )
    return done.stdout
