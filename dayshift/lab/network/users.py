"""The network lab's users: k6 behind the resolver, and one look of their own.

What they counted is in the load's `summary.json` once they have gone. Not here: what
follows from it.
"""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import msgspec

from dayshift.lab import processes
from dayshift.lab.network.spec import NAME, REGIONS, NetSpec

USERS = "users"
# k6 ends at once on SIGINT; the rest of this time is for writing down what it counted.
END_GRACE_S = 15.0
LOOK_LIMIT_S = 30.0
STREAM_S = "20-60"


class Load(msgspec.Struct, frozen=True):
    """Who comes: requests per second, half of them HTTP/2; connections that stay for
    `stream_s` seconds each (least-most)."""

    rps: int
    streams: int = 0
    stream_s: str = STREAM_S


class Counted(msgspec.Struct, frozen=True):
    """What users of one kind counted; `regions` by who answered."""

    asked: int = 0
    failed: int = 0
    reset: int = 0
    timeout: int = 0
    wrong: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    regions: dict[str, int] = {}


class Felt(msgspec.Struct, frozen=True):
    """What all users felt, by kind (`h1`, `h2`, `stream`); `unsent` were never sent,
    because this machine was too slow."""

    kinds: dict[str, Counted]
    unsent: int

    @property
    def failed(self) -> int:
        return sum(one.failed for one in self.kinds.values())


def start(spec: NetSpec, load: Load, limit_s: int) -> None:
    """Send users for at most `limit_s`; users who are there already stay."""
    place = _place(spec)
    place.mkdir(parents=True, exist_ok=True)
    found = processes.find(spec.run, USERS)
    if found is not None and processes.alive(found):
        return
    (place / "load.json").write_bytes(msgspec.json.encode(load))
    (place / "summary.json").unlink(missing_ok=True)
    argv = [spec.programs["k6"], "run", "--quiet", "--no-usage-report"]
    argv += ["--address", "", "--no-color"]
    argv.append(str(Path(__file__).with_name("users.js")))
    environment = {
        "K6_NO_USAGE_REPORT": "true",
        "LAB_NAME": NAME,
        "LAB_RPS": str(load.rps),
        "LAB_STREAMS": str(load.streams),
        "LAB_STREAM_S": load.stream_s,
        "LAB_DURATION": f"{limit_s}s",
        "LAB_REGIONS": " ".join(REGIONS),
        "LAB_SUMMARY": str(place / "summary.json"),
        "NO_PROXY": "*",
        "no_proxy": "*",
    }
    processes.start(spec.run, USERS, _as_user(spec, *argv), environment)


def come(spec: NetSpec) -> Load | None:
    """Who comes now."""
    found = processes.find(spec.run, USERS)
    if found is None or not processes.alive(found):
        return None
    return msgspec.json.decode((_place(spec) / "load.json").read_bytes(), type=Load)


def stop(spec: NetSpec) -> Felt | None:
    """Let the users go home; returns what they felt, if any were sent."""
    found = processes.find(spec.run, USERS)
    if found is not None:
        processes.kill(found, signal.SIGINT)
        processes.await_end([found], END_GRACE_S)
        processes.end(spec.run, [found], END_GRACE_S)
    return felt(spec)


def felt(spec: NetSpec) -> Felt | None:
    """What the users who have gone counted."""
    try:
        text = (_place(spec) / "summary.json").read_text()
    except FileNotFoundError:
        return None
    return _felt(json.loads(text))


def look(spec: NetSpec, name: str = NAME) -> dict[str, str]:
    """One user's look: for every address that a name has, whose edge is there.

    An address where nobody answers maps to nothing.
    """
    argv = _as_user(spec, spec.python, "-m", "dayshift.lab.network.look", name)
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=LOOK_LIMIT_S
    )
    found: dict[str, str] = json.loads(done.stdout or "{}")
    return found


def _as_user(spec: NetSpec, *argv: str) -> list[str]:
    """A command in the users' namespace, whose resolver is theirs.

    The mount is of that one process, so that nothing of it is left on this machine.
    """
    resolver = str(spec.run / "users" / "resolv.conf")
    script = f'{spec.programs["mount"]} --bind "$1" /etc/resolv.conf; shift; exec "$@"'
    mounting = [spec.programs["unshare"], "--mount", "/bin/sh", "-ec", script, "sh"]
    return spec.inside("users", *mounting, resolver, *argv)


def _place(spec: NetSpec) -> Path:
    return spec.path("load")


def _felt(metrics: dict[str, dict[str, float]]) -> Felt:
    def count(name: str) -> int:
        return int(metrics.get(name, {}).get("count", 0))

    def one(kind: str) -> Counted:
        took = metrics.get(f"{kind}_ms", {})
        return Counted(
            asked=count(f"{kind}_asked"),
            failed=count(f"{kind}_failed"),
            reset=count(f"{kind}_reset"),
            timeout=count(f"{kind}_timeout"),
            wrong=count(f"{kind}_wrong"),
            p50_ms=took.get("med", 0.0),
            p99_ms=took.get("p(99)", 0.0),
            regions={region: count(f"{kind}_{region}") for region in REGIONS},
        )

    kinds = {kind: one(kind) for kind in ("h1", "h2", "stream")}
    return Felt(kinds, count("dropped_iterations"))
