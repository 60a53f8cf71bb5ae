"""Several controllers in the lab: a store of three members, an agent, three that serve.

Here: what they need on disk, how they are started and found, who leads. Each controller
has a directory of its own below `controllers/`, in which every verb works. One machine
has one set of work steps, so they share the folder of jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from dayshift.drivers.agents.names import Identity, Role
from dayshift.errors import DayshiftError, Reason, Refused
from dayshift.journal.reader import JournalReader
from dayshift.keys import folder
from dayshift.lab import processes
from dayshift.model import records as r
from dayshift.runtime.clock import RealClock
from dayshift.runtime.locating import locate

if TYPE_CHECKING:
    from dayshift.lab.estate import LabSpec, ManySpec

PLACES = {"c-fra": "fra", "c-ber": "ber", "c-oslo": "oslo"}
"""Both regions, and a small third place."""
MEMBERS = {"etcd-fra": "fra", "etcd-ber": "ber", "etcd-oslo": "oslo"}
PORTS = 2 * len(MEMBERS) + 1
AGENT = "agent"
ESTATE = "lab"
LEADER = "leader"
READY_LIMIT_S = 60.0
"""A busy machine starts seven processes slowly."""


def wanted(controllers: int) -> None:
    """Refuse a number of controllers that the lab has no places for."""
    if controllers not in (0, len(PLACES)):
        raise Refused(
            Reason(
                "LAB-CONTROLLERS",
                f"asked for {controllers} controllers (the lab has {len(PLACES)}"
                " places)",
                because="one in each place keeps a majority when a region is out",
                so="no lab was built",
                next=f"--controllers {len(PLACES)}, or none of it",
            )
        )


def spec(ports: Iterator[int]) -> ManySpec:
    """Ports for all of it; refuses where etcd is not installed."""
    from dayshift.lab import estate

    etcd = estate.on_path(
        "etcd",
        "put etcd on the PATH (Debian: apt install etcd-server), or leave"
        " --controllers out",
    )
    members = tuple(
        estate.MemberSpec(name, place, next(ports), next(ports))
        for name, place in MEMBERS.items()
    )
    return estate.ManySpec(etcd, members, next(ports), dict(PLACES))


def write(lab: LabSpec, many: ManySpec) -> None:
    """Certificates, and a directory for each controller."""
    now_ms = RealClock().now().wall_ms
    ca = lab.path("ca")
    folder.make(ca, ESTATE, now_ms)
    with folder.opened(ca, now_ms) as authority:
        authority.create(Identity(ESTATE, Role.AGENT, "edge"), ["127.0.0.1"])
        authority.create(Identity(ESTATE, Role.CONTROLLER, "lab"))
    jobs = lab.path("jobs")
    jobs.mkdir()
    beside = ("dayshift.yaml", "change.yaml", "change-bad.yaml", "bin", "ca", "run")
    for name in many.controllers:
        place = home(lab, name)
        state = place / ".dayshift"
        state.mkdir(parents=True, mode=0o700)
        (state / "jobs").symlink_to(jobs)
        for one in beside:
            (place / one).symlink_to(lab.path(one))


def home(lab: LabSpec, controller: str) -> Path:
    """The directory in which the verbs of this controller work."""
    return lab.path("controllers", controller)


def start(lab: LabSpec, many: ManySpec) -> None:
    """Start what of it is not running; wait until the store answers and all serve."""
    run = lab.path("run")
    for one in many.members:
        processes.start(run, one.name, _etcd(lab, many, one.name))
    _until("the store has its majority", lambda: bool(_answering(many)))
    start_agent(lab)
    for name in many.controllers:
        start_controller(lab, name)
    _until(
        "every controller is reachable",
        lambda: all(
            (home(lab, one) / ".dayshift/control.sock").exists()
            for one in many.controllers
        ),
    )


def start_agent(lab: LabSpec) -> processes.Process:
    argv = [lab.python, "-m", "dayshift", "agent", "--config"]
    return processes.start(lab.path("run"), AGENT, [*argv, str(lab.path("agent.yaml"))])


def start_controller(lab: LabSpec, name: str) -> processes.Process:
    argv = [lab.python, "-m", "dayshift", "serve", "--name", name, "--json"]
    argv += ["-C", str(home(lab, name))]
    return processes.start(lab.path("run"), name, argv)


def leader(lab: LabSpec) -> str:
    """Who leads, by the store; empty while nobody does, or nobody can tell."""
    if lab.many is None:
        return ""
    try:
        folder = lab.path(".dayshift")
        folder.mkdir(mode=0o700, exist_ok=True)
        with JournalReader.open(folder, locate(lab.path(), folder)) as journal:
            if journal.writer() is None:
                return ""
            bodies = [one.body for one in journal.records()]
    except DayshiftError:
        return ""
    leases = [one.controller for one in bodies if isinstance(one, r.Lease)]
    return leases[-1] if leases else ""


def part(lab: LabSpec, name: str) -> processes.Process:
    """The running process called `name`; `leader` is whoever leads now."""
    found = processes.find(lab.path("run"), leader(lab) if name == LEADER else name)
    if found is None:
        known = ", ".join(one.name for one in processes.recorded(lab.path("run")))
        raise Refused(
            Reason(
                "LAB-PART-UNKNOWN",
                f"{name} is no part of the lab that was started, or nobody leads",
                because=f"its parts are: {known}",
                so="nothing was broken",
                next="`dayshift lab status` shows them",
            )
        )
    return found


def _until(what: str, there: Callable[[], bool]) -> None:
    processes.await_there(what, there, READY_LIMIT_S)


def _etcd(lab: LabSpec, many: ManySpec, name: str) -> list[str]:
    def url(port: int) -> str:
        return f"http://127.0.0.1:{port}"

    me = next(one for one in many.members if one.name == name)
    cluster = ",".join(f"{one.name}={url(one.peer)}" for one in many.members)
    return [
        many.etcd,
        f"--name={name}",
        f"--data-dir={lab.path('data', name)}",
        f"--listen-client-urls={url(me.client)}",
        f"--advertise-client-urls={url(me.client)}",
        f"--listen-peer-urls={url(me.peer)}",
        f"--initial-advertise-peer-urls={url(me.peer)}",
        f"--initial-cluster={cluster}",
        "--logger=zap",
        "--log-level=error",
    ]


def _answering(many: ManySpec) -> list[str]:
    """Members that answer a read which needs the majority."""
    found = []
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        for one in many.members:
            url = f"http://127.0.0.1:{one.client}/v3/kv/range"
            try:
                if client.post(url, json={"key": "YQ=="}).is_success:
                    found.append(one.name)
            except httpx.HTTPError:
                continue
    return found
