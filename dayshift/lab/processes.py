"""The lab's processes: started once, recorded, found again, and ended exactly.

Each process has a session of its own, so that it survives whoever started it, and a
file in `run/procs` with its pid and the kernel's start time of that pid. The pair names
one process for ever: a pid that was given to somebody else is never signalled.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from dayshift.errors import DriverFault, Reason, Refused

LOOK_EVERY_S = 0.05
_children: set[int] = set()
"""What this very process started and must reap; nobody else's exit codes are taken."""


class Process(msgspec.Struct, frozen=True):
    """One process; `started` is in clock ticks since the machine's boot."""

    name: str
    pid: int
    started: int
    argv: tuple[str, ...]


def start(
    run: Path,
    name: str,
    argv: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start `argv` as `name`, or return the one that already runs under that name.

    Args:
        run: the lab's `run` directory, which has `procs` and `log`.

    Raises:
        Refused: the lab was closed, and nothing may start in it.
    """
    with _opened(run), (run / "log" / f"{name}.log").open("ab") as log:
        found = find(run, name)
        if found is not None and alive(found):
            return found
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        # Meant to outlive this object, which would otherwise complain of an orphan.
        child.returncode = 0
        _children.add(child.pid)
        return _keep(run, name, child.pid, argv)


def enlist(run: Path, name: str) -> Process:
    """Record the calling process as `name`, so that `down` finds it.

    Raises:
        Refused: another process is `name` already, or the lab was closed.
    """
    with _opened(run):
        found = find(run, name)
        if found is not None and alive(found):
            raise Refused(
                Reason(
                    "LAB-BUSY",
                    f"{name} is running already, as process {found.pid}",
                    so="nothing was started a second time",
                    next="wait until it has ended",
                )
            )
        return _keep(run, name, os.getpid(), sys.argv)


def retire(run: Path, process: Process) -> None:
    """Take an enlisted process off the records."""
    _record(run, process.name).unlink(missing_ok=True)


def close(run: Path) -> None:
    """From here on nothing starts in this lab.

    Why: work that outlives its controller would start a release after `down` has ended
    everything, and leave it behind for ever.
    """
    with _locked(run):
        _closed(run).touch()


def reopen(run: Path) -> None:
    with _locked(run):
        _closed(run).unlink(missing_ok=True)


def find(run: Path, name: str) -> Process | None:
    """The process last started as `name`, alive or not."""
    try:
        return msgspec.json.decode(_record(run, name).read_bytes(), type=Process)
    except FileNotFoundError:
        return None


def recorded(run: Path) -> list[Process]:
    """Every process of the lab, alive or not, by name."""
    names = sorted(path.stem for path in (run / "procs").glob("*.json"))
    return [found for name in names if (found := find(run, name)) is not None]


def alive(process: Process) -> bool:
    if process.pid in _children:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
    return _started(process.pid) == process.started


def frozen(process: Process) -> bool:
    """True while it is stopped, by SIGSTOP, and could go on."""
    return alive(process) and _stat(process.pid)[:1] == ["T"]


def revive(run: Path, process: Process) -> None:
    """Let it go on if it is frozen, start it as it was if it is dead."""
    if frozen(process):
        kill(process, signal.SIGCONT)
    elif not alive(process):
        start(run, process.name, process.argv)


def kill(process: Process, with_signal: signal.Signals) -> None:
    """Signal exactly this process, if it is still there."""
    if alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, with_signal)


def end(run: Path, processes: Sequence[Process], grace_s: float) -> None:
    """End these: ask, wait up to `grace_s` for all together, then kill; forget them."""
    for process in processes:
        kill(process, signal.SIGTERM)
    await_end(processes, grace_s)
    for process in processes:
        kill(process, signal.SIGKILL)
    await_end(processes, grace_s)
    for process in processes:
        _record(run, process.name).unlink(missing_ok=True)


def await_end(processes: Sequence[Process], limit_s: float) -> bool:
    """Wait until none of these is alive; False when `limit_s` was not enough."""
    deadline = time.monotonic() + limit_s
    while any(alive(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def await_there(what: str, there: Callable[[], bool], limit_s: float) -> None:
    """Wait until `there`.

    Raises:
        DriverFault: `limit_s` was not enough.
    """
    deadline = time.monotonic() + limit_s
    while not there():
        if time.monotonic() > deadline:
            raise DriverFault(
                Reason(
                    "LAB-NOT-READY",
                    f"waited {limit_s:.0f} s until {what}",
                    because="a part of the lab did not start, or is broken on purpose",
                    so="the lab is only partly up",
                    next="see run/log in its directory; `dayshift lab down` ends it",
                )
            )
        time.sleep(0.1)


@contextlib.contextmanager
def _locked(run: Path) -> Iterator[None]:
    with (run / "procs" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _opened(run: Path) -> Iterator[None]:
    with _locked(run):
        if _closed(run).exists():
            raise Refused(
                Reason(
                    "LAB-DOWN",
                    "nothing may start in a lab that is down",
                    because=f"{_closed(run)} is there",
                    next="`dayshift lab up`",
                )
            )
        yield


def _closed(run: Path) -> Path:
    return run / "procs" / "closed"


def _keep(run: Path, name: str, pid: int, argv: Sequence[str]) -> Process:
    process = Process(name, pid, _started(pid) or 0, tuple(argv))
    beside = run / "procs" / f"{name}.new"
    beside.write_bytes(msgspec.json.encode(process))
    beside.rename(_record(run, name))
    return process


def _record(run: Path, name: str) -> Path:
    return run / "procs" / f"{name}.json"


def _started(pid: int) -> int | None:
    """The kernel's start time of a living process; a zombie is not one."""
    state, *fields = _stat(pid) or ["X"]
    return None if state in "ZX" else int(fields[18])


def _stat(pid: int) -> list[str]:
    """What the kernel says of a process, from its state on; empty without one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()
