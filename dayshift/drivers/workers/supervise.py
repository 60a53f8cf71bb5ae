"""The supervisor of one work step: stands alone, and outlives the controller.

    python supervise.py JOBDIR  < {"secrets": {NAME: value}, "redact": [text, …]}

It holds JOBDIR/lock for as long as the step runs. In JOBDIR lie, in the order in which
they come to be:

    order    what to run (written by `workers.command`)
    begun    supervisor and command by pid and start time. Without it nothing ever ran;
             with it the step is never started again
    output   what the command printed, secrets blotted out, bounded
    stop     the controller asks for an early end
    exit     how the step ended, and why

Only the standard library, and nothing else of Dayshift: it is started by its path, in
isolation, and must not break when the rest is upgraded under it. Not here: judging how
a step ended, and starting one (`workers.command`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

ORDER, BEGUN, EXIT = "order", "begun", "exit"
OUTPUT, STOP, LOCK = "output", "stop", "lock"
MARK = b"[redacted]"
TICK_S = 0.1
LOCK_WAIT_S = 10.0
TAIL_BYTES = 65_536
"""Of an output that is cut, so much of its end is kept."""
CANNOT_START = 127


def reached(point: str) -> None:
    """Marks the moments between two durable steps; the tests kill at each of them."""


def identity(pid: int) -> dict[str, Any]:
    """Names a process for good: a pid may be given to another one, a start time not."""
    return {"pid": pid, "start": _stat(pid)[19], "boot": boot_id()}


def is_alive(named: dict[str, Any]) -> bool:
    """Does that very process still run? A zombie does not."""
    if named["boot"] != boot_id():
        return False
    try:
        stat = _stat(int(named["pid"]))
    except OSError:
        return False
    return stat[0] not in ("Z", "X") and stat[19] == named["start"]


def group_has_others(leader: int) -> bool:
    """Does anybody but its leader live in a process group?"""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != leader:
            with suppress(OSError):
                stat = _stat(int(entry.name))
                if int(stat[2]) == leader and stat[0] not in ("Z", "X"):
                    return True
    return False


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on: 0 state, 2 group, 19 start time."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return text.rpartition(")")[2].split()


def boot_id() -> str:
    """Names this boot: no process of another one lives."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def write_durable(path: Path, content: dict[str, Any]) -> None:
    """Replace a file so that after a power cut it is whole: the old one or the new."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write_all(fd, json.dumps(content, sort_keys=True).encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    reached(f"{path.name}-written")
    new.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def lock_unless_begun(job: Path) -> int | None:
    """Take the lock, or None: another supervisor has begun this step.

    Raises:
        TimeoutError: another one holds the lock and does not begin.
    """
    fd = os.open(job / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + LOCK_WAIT_S
    while not (job / BEGUN).exists():
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise TimeoutError("another supervisor does not begin") from None
            time.sleep(0.01)
        else:
            if not (job / BEGUN).exists():
                return fd
    os.close(fd)
    return None


class Sink:
    """The output file: secrets blotted out as they stream, bounded, hashed."""

    def __init__(self, path: Path, secrets: list[bytes], most: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        self._fd = os.open(path, flags, 0o600)
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._room = most
        self._kept = b""
        self._tail = b""
        self._skipped = 0
        self._hash = hashlib.sha256()
        self.fault = ""

    def feed(self, chunk: bytes) -> None:
        """Take what came; keep back what may be the first half of a secret."""
        text = self._kept + chunk
        for secret in self._secrets:
            text = text.replace(secret, MARK)
        keep = max((_overlap(text, one) for one in self._secrets), default=0)
        self._kept = text[len(text) - keep :]
        self._emit(text[: len(text) - keep])

    def close(self) -> str:
        """Write the rest durably and return the file's SHA-256."""
        self._emit(self._kept)
        if self._skipped:
            left_out = self._skipped - len(self._tail)
            self._put(b"\n[dayshift: %d bytes left out]\n" % left_out + self._tail)
        with suppress(OSError):
            os.fsync(self._fd)
        os.close(self._fd)
        return self._hash.hexdigest()

    def _emit(self, text: bytes) -> None:
        now, rest = text[: self._room], text[self._room :]
        self._room -= len(now)
        self._put(now)
        self._skipped += len(rest)
        self._tail = (self._tail + rest)[-TAIL_BYTES:]

    def _put(self, text: bytes) -> None:
        """A full disk costs output, never the step."""
        try:
            _write_all(self._fd, text)
            self._hash.update(text)
        except OSError as error:
            self.fault = error.strerror or "cannot be written"


def _overlap(text: bytes, secret: bytes) -> int:
    """How many bytes at the end of `text` are the beginning of `secret`."""
    longest = min(len(text), len(secret) - 1)
    for length in range(longest, 0, -1):
        if text.endswith(secret[:length]):
            return length
    return 0


class Step:
    """The command while it runs."""

    def __init__(self, job: Path, order: dict[str, Any], given: dict[str, Any]) -> None:
        self.job = job
        self.order = order
        self.output, into = os.pipe()
        self._gate, self._go = os.pipe()
        self._failed, failing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            environment = {**order["environment"], **given["secrets"]}
            self._become(into, failing, environment)
        for fd in (into, self._gate, failing):
            os.close(fd)

    def _become(self, into: int, failing: int, environment: dict[str, str]) -> NoReturn:
        """In the child: wait until it is written down that it exists, then be it."""
        try:
            os.setsid()
            os.close(self._go)
            if os.read(self._gate, 1) != b"g":
                os._exit(CANNOT_START)  # its supervisor died: nothing runs unwritten
            for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(name, signal.SIG_DFL)
            os.dup2(into, 1)
            os.dup2(into, 2)
            os.chdir(self.order["cwd"])
            argv = self.order["argv"]
            os.execvpe(argv[0], argv, environment)
        except Exception as error:
            os.write(failing, str(error).encode()[:1000])
        finally:
            os._exit(CANNOT_START)

    def go(self) -> str:
        """Let the command begin; what hindered it, if anything."""
        with suppress(BrokenPipeError):
            os.write(self._go, b"g")
        os.close(self._go)
        fault = os.read(self._failed, 1000)
        os.close(self._failed)
        return fault.decode(errors="replace")

    def watch(self, sink: Sink) -> str:
        """Carry its output until it ended; why it ended."""
        why, kill_at = "exited", float("inf")
        limit_at = time.monotonic() + self.order["limit_ms"] / 1000
        while not (self._ended() and self._group_done(why, kill_at)):
            self.carry(sink, TICK_S)
            now = time.monotonic()
            if why == "exited" and self._ended():
                continue
            if why == "exited" and (asked := self._asked_to_end(now >= limit_at)):
                why, kill_at = asked, now + self.order["grace_ms"] / 1000
                self._signal(signal.SIGTERM)
            elif now >= kill_at:
                kill_at = float("-inf")
                self._signal(signal.SIGKILL)
        return why

    def carry(self, sink: Sink | None, wait_s: float) -> bool:
        """Move what is in the pipe to the sink; False when there was nothing."""
        if self.output < 0:
            time.sleep(wait_s)
            return False
        if not select.select([self.output], [], [], wait_s)[0]:
            return False
        chunk = os.read(self.output, 65_536)
        if not chunk:
            os.close(self.output)
            self.output = -1
        elif sink:
            sink.feed(chunk)
        return bool(chunk)

    def _asked_to_end(self, late: bool) -> str:
        if late:
            return "limit"
        return "stopped" if (self.job / STOP).exists() else ""

    def _ended(self) -> bool:
        """Has the command ended? It stays a zombie: its group keeps its number."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, flags) is not None

    def _group_done(self, why: str, kill_at: float) -> bool:
        """After a command that ended by itself, what it left behind may live on."""
        if why == "exited" or kill_at == float("-inf"):
            return True
        return not group_has_others(self.pid)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def supervise(job: Path, given: dict[str, Any], answer: int) -> None:
    """Run the step of a job directory, at most once in its life."""
    held = lock_unless_begun(job)
    if held is None:
        _say(answer, "attached")
        return
    reached("locked")
    order = json.loads((job / ORDER).read_bytes())
    secrets = [text.encode() for text in given["redact"]]
    sink = Sink(job / OUTPUT, secrets, order["output_bytes_max"])
    step = Step(job, order, given)
    reached("forked")
    begun = {
        "supervisor": identity(os.getpid()),
        "command": identity(step.pid),
        "wall_ms": time.time_ns() // 1_000_000,
    }
    write_durable(job / BEGUN, begun)
    reached("begun")
    fault = step.go()
    reached("gone")
    _say(answer, "begun")
    why = "not-started" if fault else step.watch(sink)
    reached("ended")
    _finish(step, sink, why, fault)
    os.close(held)
    while step.output >= 0:
        # A daemon that the command started still writes here; it would die of a closed
        # pipe, so somebody has to listen for as long as it lives.
        step.carry(None, 3600)


def _finish(step: Step, sink: Sink, why: str, fault: str) -> None:
    until = time.monotonic() + 1
    while step.output >= 0 and step.carry(sink, 0) and time.monotonic() < until:
        pass
    digest = sink.close()
    code = os.waitstatus_to_exitcode(os.waitpid(step.pid, 0)[1])
    ended = {
        "why": why,
        "exit_code": code if code >= 0 else 128 - code,
        "signal": max(0, -code),
        "fault": fault or sink.fault,
        "sha256": digest,
        "wall_ms": time.time_ns() // 1_000_000,
    }
    while True:
        try:
            write_durable(step.job / EXIT, ended)
            return
        except OSError:
            time.sleep(1)  # a full disk: the step stays `running` until this is told


def _say(answer: int, word: str) -> None:
    with suppress(BrokenPipeError):
        os.write(answer, word.encode())
    os.close(answer)


def main(argv: list[str]) -> int:
    """Read the secrets, let the supervisor go, and stay until it has begun."""
    job = Path(argv[1]).resolve()
    given = json.loads(sys.stdin.buffer.read())  # cut short, it is not JSON: no start
    reached("given")
    heard, answer = os.pipe()
    if os.fork():
        os.close(answer)
        word = os.read(heard, 1000).decode(errors="replace")
        if word in ("begun", "attached"):
            return 0
        print(word or "the supervisor ended before it began", file=sys.stderr)
        return 1
    os.close(heard)
    try:
        _detach()
        supervise(job, given, answer)
    except Exception as error:
        with suppress(OSError):
            _say(answer, f"{type(error).__name__}: {error}")
    finally:
        os._exit(0)


def _detach() -> None:
    """Become nobody's child, in a session of its own, deaf to farewell signals."""
    os.setsid()
    for name in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(name, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    os.chdir("/")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
