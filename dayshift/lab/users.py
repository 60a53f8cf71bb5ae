"""Start and stop the lab's users: k6, in the background, for a bounded time.

What they counted is read by `lab.view`. A load is a directory below `load/`, with k6's
rows and the facts that reading them needs.
"""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec

from dayshift.errors import Reason, Refused
from dayshift.lab import processes
from dayshift.lab.estate import HOST, LabSpec
from dayshift.lab.ledger import now_ms

USERS = "users"
SURGE = "users-surge"
DEMO_RPS = 400
# k6 ends at once on SIGINT; the rest of this time is for writing out its rows.
END_GRACE_S = 10.0
ROWS = "rows.csv.gz"


class Load(msgspec.Struct, frozen=True):
    """One crowd of users. Its orders are named `prefix-0`, `prefix-1` and so on."""

    dir: str
    prefix: str
    rps: int
    started_ms: int
    stopped_ms: int = 0


def start(spec: LabSpec, rps: int, limit_s: int, name: str = USERS) -> Load:
    """Send users for at most `limit_s`; users who are there already stay."""
    run = spec.path("run")
    found = processes.find(run, name)
    if found is not None and processes.alive(found):
        return latest(spec, name)
    began = now_ms()
    place = spec.path("load", f"{name}-{began}")
    place.mkdir(parents=True)
    load = Load(str(place), f"{name}-{began}", rps, began)
    argv = [spec.k6, "run", "--quiet", "--no-usage-report", "--address", ""]
    argv += ["--out", f"csv={place / ROWS}", str(Path(__file__).with_name("users.js"))]
    environment = {
        "K6_NO_USAGE_REPORT": "true",
        "K6_CSV_TIME_FORMAT": "unix_micro",
        "LAB_H1": f"http://{HOST}:{spec.entry_h1}",
        "LAB_H2": f"https://{HOST}:{spec.entry_tls}",
        "LAB_RPS": str(rps),
        "LAB_DURATION": f"{limit_s}s",
        "LAB_PREFIX": load.prefix,
        # A proxy of the machine has no business between loopback and loopback.
        "NO_PROXY": HOST,
        "no_proxy": HOST,
    }
    processes.start(run, name, argv, environment)
    _keep(spec, name, load)
    return load


def stop(spec: LabSpec, name: str = USERS) -> Load:
    """Let the users go home; returns the load, with the instant at which they left."""
    run = spec.path("run")
    found = processes.find(run, name)
    load = latest(spec, name)
    if found is None or load.stopped_ms:
        return load
    load = msgspec.structs.replace(load, stopped_ms=now_ms())
    _keep(spec, name, load)
    processes.kill(found, signal.SIGINT)
    processes.await_end([found], END_GRACE_S)
    processes.end(run, [found], END_GRACE_S)
    return load


def latest(spec: LabSpec, name: str = USERS) -> Load:
    """The load that was started last under this name."""
    path = _record(spec, name)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Load)
    except FileNotFoundError:
        raise Refused(
            Reason(
                "LAB-NO-USERS",
                "no users were ever sent to this lab",
                because=f"{path} is not there",
                so="there is nothing to count",
                next="`dayshift lab up --rps 100` sends some",
            )
        ) from None


def _keep(spec: LabSpec, name: str, load: Load) -> None:
    _record(spec, name).write_bytes(msgspec.json.encode(load))


def _record(spec: LabSpec, name: str) -> Path:
    return spec.path("load", f"{name}.json")
