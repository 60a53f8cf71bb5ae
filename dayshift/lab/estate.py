"""What the lab is: its ports, its directory, and the files that describe it.

Here lives the layout of a lab directory, and nothing that starts or ends a process.
A built lab is a directory like that of any estate: `dayshift.yaml` and a change beside
it, so that every verb of the command line works there as it would at home.

    lab.json                  this module's `LabSpec`
    dayshift.yaml change.yaml change-bad.yaml
    bin/                      the small commands that the estate file names
    controllers/NAME          with several controllers: the directory of each
    data/shop.db              the shop's database, outside both regions
    run/global, run/REGION    configuration and state of each place
    run/procs, run/log        who runs, and what they said
"""

from __future__ import annotations

import importlib.util
import random
import shutil
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import msgspec

from dayshift.errors import Reason, Refused
from dayshift.lab import certificate, envoy, files, ledger, many, tools

HOST = "127.0.0.1"
SHARES = {"fra": 5000, "ber": 5000}
TITLES = {"fra": "Frankfurt", "ber": "Berlin"}
APPS_PER_REGION = 2
FIRST_VERSION = "1"
FIRST_HOLDER = "fra"
LAB_EXTRA = "pip install 'dayshift[lab]'"
# Below the range from which the kernel takes source ports: a server that stops for a
# second must find its port free when it starts again.
PORTS = range(12_000, 32_000)


class RegionSpec(msgspec.Struct, frozen=True):
    """One region: its edge, the edge's admin port, and its application processes."""

    name: str
    edge: int
    admin: int
    apps: tuple[int, ...]


class MemberSpec(msgspec.Struct, frozen=True):
    """One member of the store, with its ports for controllers and for its peers."""

    name: str
    place: str
    client: int
    peer: int


class ManySpec(msgspec.Struct, frozen=True):
    """What a lab with several controllers has besides: a store, and an agent's port.

    `controllers` maps each one to its place.
    """

    etcd: str
    members: tuple[MemberSpec, ...]
    agent: int
    controllers: dict[str, str]


class LabSpec(msgspec.Struct, frozen=True):
    """A built lab. Ports are on loopback; `dir` is absolute."""

    dir: str
    entry_h1: int
    entry_tls: int
    admin: int
    regions: tuple[RegionSpec, ...]
    python: str
    envoy: str
    k6: str
    many: ManySpec | None = None

    def path(self, *parts: str) -> Path:
        return Path(self.dir, *parts)

    def region(self, name: str) -> RegionSpec:
        found = next((one for one in self.regions if one.name == name), None)
        if found is None:
            names = ", ".join(one.name for one in self.regions)
            raise Refused(
                Reason(
                    "LAB-REGION-UNKNOWN",
                    f"the lab has no region {name}; it has {names}",
                    next=f"name one of {names}",
                )
            )
        return found


def load(directory: Path) -> LabSpec:
    """Read back a lab that `build` made, or refuse."""
    path = directory / "lab.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=LabSpec)
    except FileNotFoundError:
        raise Refused(
            Reason(
                "LAB-ABSENT",
                f"no lab in {directory}",
                because=f"{path} is not there",
                so="nothing started, nothing ended",
                next="`dayshift lab up` builds one; `--dir` names another place",
            )
        ) from None


def build(directory: Path, base_port: int = 0, controllers: int = 0) -> LabSpec:
    """Write a lab into `directory`: ports, proxies, estate, changes, tools, database.

    Args:
        controllers: how many serve, with a store of three members and an agent; with 0
            whoever runs a verb is the controller.

    Why: an existing lab keeps its ports and its state, so that building twice is
    building once.
    """
    directory = directory.resolve()
    if (directory / "lab.json").exists():
        return _built(load(directory), controllers)
    many.wanted(controllers)
    spec = _spec(directory, base_port, controllers)
    _write_places(spec)
    files.write(spec)
    tools.write(spec.path("bin"))
    ledger.create(spec.path("data", "shop.db"))
    if spec.many is not None:
        many.write(spec, spec.many)
    spec.path("lab.json").write_bytes(msgspec.json.encode(spec))
    return spec


def _built(spec: LabSpec, controllers: int) -> LabSpec:
    has = len(spec.many.controllers) if spec.many is not None else 0
    if controllers not in (0, has):
        raise Refused(
            Reason(
                "LAB-BUILT",
                f"the lab in {spec.dir} was built for {has} controllers"
                f" (asked for {controllers})",
                because="its estate and its ports were written when it was built",
                so="nothing started",
                next="`dayshift lab down --wipe`, then this again; or another --dir",
            )
        )
    return spec


def _write_places(spec: LabSpec) -> None:
    for parts in (("run", "procs"), ("run", "log"), ("run", "global"), ("load",)):
        spec.path(*parts).mkdir(parents=True, exist_ok=True)
    certificate.write(spec.path("run", "global"))
    targets = {one.name: one.edge for one in spec.regions}
    place = spec.path("run", "global")
    (place / "rds.json").write_bytes(
        envoy.routes(SHARES, version="lab-initial"),
    )
    (place / "envoy.json").write_bytes(
        envoy.entry(place, spec.entry_h1, spec.entry_tls, spec.admin, targets)
    )
    for region in spec.regions:
        place = spec.path("run", region.name)
        place.mkdir(parents=True, exist_ok=True)
        (place / "version").write_text(FIRST_VERSION)
        (place / "envoy.json").write_bytes(
            envoy.edge(place, region.edge, region.admin, region.apps)
        )
    spec.path("run", FIRST_HOLDER, "nightly.held").touch()


def _spec(directory: Path, base_port: int, controllers: int) -> LabSpec:
    names = tuple(SHARES)
    count = 3 + len(names) * (2 + APPS_PER_REGION)
    ports = iter(_ports(count + (many.PORTS if controllers else 0), base_port))
    entry_h1, entry_tls, admin = next(ports), next(ports), next(ports)
    regions = tuple(
        RegionSpec(
            name,
            next(ports),
            next(ports),
            tuple(next(ports) for _ in range(APPS_PER_REGION)),
        )
        for name in names
    )
    return LabSpec(
        str(directory),
        entry_h1,
        entry_tls,
        admin,
        regions,
        sys.executable,
        envoy_binary(),
        k6_binary(),
        many.spec(ports) if controllers else None,
    )


def _ports(count: int, base: int) -> list[int]:
    if base:
        return list(range(base, base + count))
    start = random.randrange(len(PORTS))
    found: list[int] = []
    with ExitStack() as held:
        for step in range(len(PORTS)):
            port = PORTS[(start + step) % len(PORTS)]
            probe = held.enter_context(socket.socket())
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise Refused(
        Reason(
            "LAB-NO-PORTS",
            f"found {len(found)} free ports of {count} needed",
            because=f"looked at {PORTS.start}-{PORTS.stop - 1} on {HOST}",
            so="no lab was built",
            next="end what listens there, or pass --base-port",
        )
    )


def envoy_binary() -> str:
    """The real binary: its launcher script is one process that need not stay around."""
    package = importlib.util.find_spec("envoy")
    if package is not None and package.origin is not None:
        binary = Path(package.origin).parent / "_bin" / "envoy"
        if binary.exists():
            return str(binary)
    return on_path("envoy", LAB_EXTRA)


def k6_binary() -> str:
    """The one beside this Python, else whichever there is."""
    beside = Path(sys.executable).parent / "k6"
    return str(beside) if beside.exists() else on_path("k6", LAB_EXTRA)


def on_path(name: str, install: str) -> str:
    """Where a program is, or a refusal that says how to `install` it."""
    found = shutil.which(name)
    if found is None:
        raise Refused(
            Reason(
                "LAB-PART-MISSING",
                f"{name} is not installed",
                because=f"PATH has no {name}",
                so="no lab was built",
                next=install,
            )
        )
    return found
