"""What a network lab is: its namespaces, addresses, programs and places.

Only the layout, and finding out whether this machine can carry it; nothing starts here.
A built lab is the directory of an estate; `network.json` is this module's `NetSpec`.

    network.json              written before anything is made, so that all can be found
    dayshift.yaml change.yaml
    run/PLACE                 configuration and state of each namespace's daemons
    run/procs run/log load    who runs, what they said, what users counted
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from dayshift.errors import Reason, Refused
from dayshift.lab.estate import envoy_binary, k6_binary

SPEC = "network.json"
REGIONS = ("fra", "ber", "muc")
TITLES = {"fra": "Frankfurt", "ber": "Berlin", "muc": "Munich"}
SHARES_BP = {"fra": 5000, "ber": 2500, "muc": 2500}
ADDRESSES = {
    "fra": ("203.0.113.1", "203.0.113.2"),
    "ber": ("203.0.113.5",),
    "muc": ("203.0.113.9",),
}
"""As many as the region has quarters of the users: that is how plain records weigh."""
PREFIXES = {"fra": "203.0.113.0/30", "ber": "203.0.113.4/30", "muc": "203.0.113.8/30"}
TRANSITS = ("t1", "t2")
ENDS = {"fra": 1, "ber": 2, "muc": 3, "dns": 53, "users": 100}
HUB = "hub"
USERS_ADDRESS = "10.100.0.1"
DNS_ADDRESS = "203.0.113.53"
ZONE = "shop.example"
NAME = f"www.{ZONE}"
SBIN = ("/usr/sbin", "/sbin", "/usr/lib/frr")
NEEDED = {
    "ip": "iproute2",
    "ss": "iproute2",
    "sysctl": "procps",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
    "bird": "bird2",
    "birdc": "bird2",
    "zebra": "frr",
    "bgpd": "frr",
    "bfdd": "frr",
    "vtysh": "frr",
    "haproxy": "haproxy",
    "pdns_server": "pdns-server",
    "unbound": "unbound",
}
SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
SUBNETS = range(64, 250)
MOST_TTL_S = 300


class NetSpec(msgspec.Struct, frozen=True):
    """A built network lab. `tag` begins every name that it has on this machine;
    `subnet` is the third number of its management addresses, 198.18.N.0/24."""

    dir: str
    tag: str
    subnet: int
    ttl_s: int
    python: str
    programs: dict[str, str]

    def path(self, *parts: str) -> Path:
        return Path(self.dir, *parts)

    @property
    def run(self) -> Path:
        return self.path("run")

    @property
    def sockets(self) -> Path:
        """Where daemons open their sockets: paths of sockets must be short."""
        return Path("/run", self.tag)

    @property
    def places(self) -> tuple[str, ...]:
        return (HUB, *TRANSITS, *ENDS)

    def space(self, place: str) -> str:
        """The namespace of a place, as `ip netns` knows it."""
        return f"{self.tag}-{place}"

    def inside(self, place: str, *argv: str) -> list[str]:
        """A command in the place's namespace; the process is the command's own."""
        return [
            self.programs["nsenter"],
            f"--net=/run/netns/{self.space(place)}",
            *argv,
        ]

    def managed(self, place: str) -> str:
        """A place's address in the management network."""
        return f"198.18.{self.subnet}.{ENDS[place]}"

    @property
    def operator(self) -> str:
        """This machine's own address in the management network."""
        return f"198.18.{self.subnet}.254"

    def region(self, name: str) -> str:
        if name not in REGIONS:
            raise Refused(
                Reason(
                    "LAB-REGION-UNKNOWN",
                    f"the lab has no region {name!r}; it has {', '.join(REGIONS)}",
                    next=f"name one of {', '.join(REGIONS)}",
                )
            )
        return name


def link(transit: str, end: str) -> tuple[str, str]:
    """The addresses of both ends of a link: the transit router's, then the other's."""
    net = f"10.{TRANSITS.index(transit) + 1}.{ENDS[end]}"
    return f"{net}.1", f"{net}.2"


def is_built(directory: Path) -> bool:
    return (directory / SPEC).exists()


def load(directory: Path) -> NetSpec:
    """Read back a lab that `make` wrote down."""
    return msgspec.json.decode((directory / SPEC).read_bytes(), type=NetSpec)


def make(directory: Path, ttl_s: int) -> NetSpec:
    """A new lab in `directory`, written down; the one that is there stays as it is.

    Raises:
        Refused: this machine or this user cannot have one; nothing was made.
    """
    able()
    if not 1 <= ttl_s <= MOST_TTL_S:
        raise _refused(
            "LAB-TTL",
            f"a lifetime of {ttl_s} s (1 to {MOST_TTL_S} s)",
            "a drain waits for it twice, and DNS counts whole seconds",
            "choose one in between",
        )
    if (directory / "lab.json").exists():
        raise _refused(
            "LAB-BUILT",
            f"{directory} holds a lab without a network",
            "its ports and its estate were written when it was built",
            "`dayshift lab down --wipe`, then this again; or another --dir",
        )
    if is_built(directory):
        return load(directory)
    directory.mkdir(parents=True, exist_ok=True)
    spec = NetSpec(
        dir=str(directory.resolve()),
        tag=f"dsnet{secrets.token_hex(3)}",
        subnet=_free_subnet(),
        ttl_s=ttl_s,
        python=sys.executable,
        programs={
            **{name: _found(name) for name in NEEDED},
            "k6": k6_binary(),
            "envoy": envoy_binary(),
        },
    )
    spec.path(SPEC).write_bytes(msgspec.json.encode(spec))
    return spec


def able() -> None:
    """Refuse where namespaces cannot be made or a daemon is missing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise _refused(
            "LAB-NEEDS-ROOT",
            f"the network lab needs root on Linux (this is user {os.geteuid()})",
            "it makes network namespaces of its own",
            "sudo, in a virtual machine if you prefer; or `dayshift lab up` without "
            "--network, which needs no rights",
        )
    missing = {name: package for name, package in NEEDED.items() if not _found(name)}
    packages = sorted({*missing.values()})
    if not SCHEMA.exists():
        packages.append("pdns-backend-sqlite3")
    if packages:
        raise _refused(
            "LAB-PART-MISSING",
            f"the network lab needs {', '.join(packages)}",
            f"not here: {', '.join(missing) or SCHEMA}",
            f"./script/demo --network installs them; or apt install "
            f"{' '.join(packages)}",
        )


def _found(name: str) -> str:
    path = os.pathsep.join((os.environ.get("PATH", ""), *SBIN))
    return shutil.which(name, path=path) or ""


def _free_subnet() -> int:
    """A management network to which this machine has no route of its own."""
    start = secrets.randbelow(len(SUBNETS))
    for step in range(len(SUBNETS)):
        number = SUBNETS[(start + step) % len(SUBNETS)]
        argv = [_found("ip"), "-j", "route", "show", "root", f"198.18.{number}.0/24"]
        shown = subprocess.run(argv, capture_output=True, text=True, check=False)
        if shown.stdout.strip() in ("", "[]", "[ ]"):
            return number
    raise _refused(
        "LAB-NO-SUBNET",
        f"none of 198.18.{SUBNETS.start}-{SUBNETS.stop - 1}.0/24 is free",
        "this machine has routes to all of them",
        "end another lab first",
    )


def _refused(code: str, what: str, because: str, then: str) -> Refused:
    return Refused(
        Reason(code, what, because=because, so="nothing was made", next=then)
    )
