"""Start the lab, end it, say how it is, and let a region of it die.

Everything here is idempotent: `up` starts what is not running, `down` ends what is.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import httpx
import msgspec

from dayshift.lab import many, processes, trouble
from dayshift.lab.envoy import PROBE_HEADER
from dayshift.lab.estate import HOST, LabSpec
from dayshift.lab.processes import Process

READY_LIMIT_S = 20.0
ENVOY_GRACE_S = 3.0
APP_GRACE_S = 14.0
USERS = "users"
UPGRADE = "upgrade-"


class RegionStatus(msgspec.Struct, frozen=True):
    """One region: what is installed, what answers, and whether it has the duty."""

    name: str
    installed: str
    answers: str
    holds_nightly: bool
    trouble: str
    weight: int


class LabStatus(msgspec.Struct, frozen=True):
    """The lab as it is now; `dead` are processes that should run and do not, `frozen`
    those that were stopped and not killed. `leader` only with several controllers."""

    dir: str
    running: tuple[str, ...]
    dead: tuple[str, ...]
    regions: tuple[RegionStatus, ...]
    users: bool
    frozen: tuple[str, ...] = ()
    leader: str = ""


def up(spec: LabSpec) -> None:
    """Start what is not running and wait until users are served in every region."""
    processes.reopen(spec.path("run"))
    _start_envoy(spec, "global")
    for region in spec.regions:
        _start_envoy(spec, region.name)
        start_region(spec, region.name)
    for region in spec.regions:
        await_version(spec, region.name, installed(spec, region.name))
    _until(f"{HOST}:{spec.entry_h1} serves", lambda: _get(spec.entry_h1) is not None)
    if spec.many is not None:
        many.start(spec, spec.many)


def down(spec: LabSpec) -> list[str]:
    """End every process of the lab, the users first; return their names."""
    run = spec.path("run")
    processes.close(run)
    every = [one for one in processes.recorded(run) if processes.alive(one)]
    users = [one for one in every if one.name.startswith(USERS)]
    processes.end(run, users, ENVOY_GRACE_S)
    # No user is left: what is in flight need not be waited for.
    processes.end(run, processes.recorded(run), ENVOY_GRACE_S)
    return [one.name for one in every]


def start_region(spec: LabSpec, region: str) -> None:
    """Start the region's applications and its scheduler at the installed version."""
    run = spec.path("run")
    for index in range(len(spec.region(region).apps)):
        argv = [spec.python, "-m", "dayshift.lab.app", spec.dir, region, str(index)]
        processes.start(run, f"{region}-app-{index}", argv)
    argv = [spec.python, "-m", "dayshift.lab.nightly", spec.dir, region]
    processes.start(run, f"{region}-nightly", argv)


def stop_region(spec: LabSpec, region: str) -> None:
    """Stop the region's applications and scheduler; what is in flight may finish."""
    processes.end(spec.path("run"), members(spec, region), APP_GRACE_S)


def kill_region(spec: LabSpec, region: str) -> None:
    """The whole region dies at once, its edge too, as in a power failure."""
    run = spec.path("run")
    edge = processes.find(run, f"{region}-envoy")
    for process in [*members(spec, region), *([edge] if edge else [])]:
        processes.kill(process, signal.SIGKILL)


def members(spec: LabSpec, region: str) -> list[Process]:
    """The processes that a release of the application replaces."""
    return [
        one
        for one in processes.recorded(spec.path("run"))
        if one.name.startswith((f"{region}-app-", f"{region}-nightly"))
    ]


def installed(spec: LabSpec, region: str) -> str:
    return spec.path("run", region, "version").read_text().strip()


def answering(spec: LabSpec, region: str) -> str:
    """The version that the region serves at its edge; empty while it serves none."""
    reply = _get(spec.region(region).edge, "/version", {PROBE_HEADER: "lab"})
    return str(reply.json().get("version", "")) if reply else ""


def serves(spec: LabSpec, region: str, version: str) -> bool:
    """True when every application of the region and its edge answer `version`."""
    replies = [_get(port, "/version") for port in spec.region(region).apps]
    versions = [reply.json()["version"] if reply else "" for reply in replies]
    return {*versions, answering(spec, region)} == {version}


def await_version(spec: LabSpec, region: str, version: str) -> None:
    _until(f"{region} serves version {version}", lambda: serves(spec, region, version))


def weights(spec: LabSpec) -> dict[str, int]:
    """The weights that the global Envoy was given, by region."""
    table = msgspec.json.decode(spec.path("run", "global", "rds.json").read_bytes())
    route = table["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]
    return {
        one["name"].removeprefix("region_"): one["weight"]
        for one in route["weighted_clusters"]["clusters"]
    }


def status(spec: LabSpec) -> LabStatus:
    every = processes.recorded(spec.path("run"))
    shares = weights(spec)
    regions = tuple(_region_status(spec, one.name, shares) for one in spec.regions)
    lab = [one for one in every if not one.name.startswith((USERS, UPGRADE))]
    return LabStatus(
        dir=spec.dir,
        running=tuple(one.name for one in lab if processes.alive(one)),
        dead=tuple(one.name for one in lab if not processes.alive(one)),
        regions=regions,
        users=any(processes.alive(one) for one in every if one.name.startswith(USERS)),
        frozen=tuple(one.name for one in lab if processes.frozen(one)),
        leader=many.leader(spec),
    )


def _region_status(spec: LabSpec, region: str, shares: dict[str, int]) -> RegionStatus:
    now = trouble.read(trouble.control_file(spec, region))
    words = [
        f"{now.slow_ms} ms slower" if now.slow_ms else "",
        f"{now.error_bp / 100:.0f} % errors" if now.error_bp else "",
    ]
    return RegionStatus(
        name=region,
        installed=installed(spec, region),
        answers=answering(spec, region),
        holds_nightly=spec.path("run", region, "nightly.held").exists(),
        trouble=", ".join(word for word in words if word),
        weight=shares.get(region, 0),
    )


def _until(what: str, there: Callable[[], bool]) -> None:
    processes.await_there(what, there, READY_LIMIT_S)


def _start_envoy(spec: LabSpec, place: str) -> None:
    config = spec.path("run", place, "envoy.json")
    # With hot restart, Envoy would be told to end as soon as its launcher ends.
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    flush = ["--file-flush-interval-msec", "500"]
    argv = [spec.envoy, "-c", str(config), *options, *flush]
    processes.start(spec.path("run"), f"{place}-envoy", argv)


def _get(
    port: int, path: str = "/healthz", headers: dict[str, str] | None = None
) -> httpx.Response | None:
    """A good answer of a server on loopback, or None; never through a proxy."""
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        try:
            reply = client.get(f"http://{HOST}:{port}{path}", headers=headers)
        except httpx.HTTPError:
            return None
    return reply if reply.is_success else None
