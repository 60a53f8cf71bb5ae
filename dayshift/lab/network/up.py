"""Start the network lab, end it, say how it is. Idempotent, also after a kill.

`down` ends what was written down, then whatever else lives in the lab's namespaces, and
takes these away.
"""

from __future__ import annotations

from functools import partial

import msgspec

from dayshift.lab import processes
from dayshift.lab.network import edges, files, names, routers, spaces, users
from dayshift.lab.network.spec import ADDRESSES, REGIONS, NetSpec

READY_LIMIT_S = 90.0
END_GRACE_S = 5.0


class RegionState(msgspec.Struct, frozen=True):
    """One region: what is installed, what it serves, and to whose edge each of its
    addresses leads users; one that the resolver does not give is not there."""

    name: str
    installed: str
    answers: str
    addresses: dict[str, str]


class NetStatus(msgspec.Struct, frozen=True):
    """The network lab as it is now; `dead` are daemons that should run and do not."""

    dir: str
    running: tuple[str, ...]
    dead: tuple[str, ...]
    regions: tuple[RegionState, ...]
    users: users.Load | None


def up(spec: NetSpec) -> None:
    """Start what is not running, and wait until users are served by every region."""
    for place in (*spec.places, "procs", "log"):
        (spec.run / place).mkdir(parents=True, exist_ok=True)
    files.write(spec)
    processes.reopen(spec.run)
    spaces.build(spec)
    spec.sockets.mkdir(mode=0o755, exist_ok=True)
    names.start(spec)
    edges.start(spec)
    routers.start(spec)
    _await_ready(spec)


def _await_ready(spec: NetSpec) -> None:
    """Wait until every part knows the others and users are served."""
    for what, there in (
        ("the routers know one another", routers.ready),
        ("the resolver answers", names.ready),
        ("every region serves", edges.ready),
        ("users are served", _served),
    ):
        processes.await_there(what, partial(there, spec), READY_LIMIT_S)


def down(spec: NetSpec) -> list[str]:
    """End every process of the lab, the users first, and take its network away; return
    the names of those that ran."""
    (spec.run / "procs").mkdir(parents=True, exist_ok=True)
    processes.close(spec.run)
    every = [one for one in processes.recorded(spec.run) if processes.alive(one)]
    users.stop(spec)
    processes.end(spec.run, processes.recorded(spec.run), END_GRACE_S)
    spaces.remove(spec)
    return [one.name for one in every]


def status(spec: NetSpec) -> NetStatus:
    every = processes.recorded(spec.run)
    parts = [one for one in every if one.name != users.USERS]
    seen = users.look(spec) if spaces.whole(spec) else {}
    return NetStatus(
        dir=spec.dir,
        running=tuple(one.name for one in parts if processes.alive(one)),
        dead=tuple(one.name for one in parts if not processes.alive(one)),
        regions=tuple(
            RegionState(
                region,
                edges.installed(spec, region),
                edges.answering(spec, region),
                {one: seen[one] for one in ADDRESSES[region] if one in seen},
            )
            for region in REGIONS
        ),
        users=users.come(spec),
    )


def _served(spec: NetSpec) -> bool:
    """True when every address that users are given leads to an edge that serves."""
    seen = users.look(spec)
    return bool(seen) and all(seen.values())
