"""The whole chain on real parts: three controllers on a real etcd, an agent, the lab's
real Envoys and users; what its parts said and wrote, and how they are struck.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dayshift.core.fold import fold
from dayshift.core.state import JournalState
from dayshift.errors import DayshiftError
from dayshift.journal.reader import JournalReader
from dayshift.lab import estate, many, processes, up, users, view
from dayshift.lab.ledger import now_ms
from dayshift.model import records as r
from dayshift.model.dial import Claim, parse_claim
from dayshift.runtime.locating import locate
from tests.kit.daemons import need
from tests.kit.wires import Wires

USERS_RPS = 100
FAST = {
    "drain_dwell": "300 ms",
    "soak": "1 s",
    "quiet": "1500 ms",
    "fresh": "1500 ms",
    "probe_streak": "2",
    "ramp": "[10 %, 50 %]",
}
LIMIT_S = 120.0
WROTE = r"entry: (?:set .* under|held under) (ds1:\S+)"


class Chain:
    """Everything that runs, by the lab's own names."""

    def __init__(self, spec: estate.LabSpec, wires: Wires) -> None:
        assert spec.many is not None
        self.spec = spec
        self.many = spec.many
        self.wires = wires
        self.names = list(spec.many.controllers)
        self.members = [one.name for one in spec.many.members]
        self._run: subprocess.Popen[bytes] | None = None
        self.began_ms = 0
        self._read: list[r.Record] = []
        self._state = JournalState()

    def until(
        self, so: Callable[[], bool], what: str, limit_s: float = LIMIT_S
    ) -> None:
        """As `until`, telling what everybody said and wrote when it did not."""
        until(so, what, limit_s, self.said)

    def records(self) -> list[r.Record]:
        """All of the journal; only what is new is read."""
        folder = self.spec.path(".dayshift")
        folder.mkdir(mode=0o700, exist_ok=True)
        access = locate(self.spec.path(), folder)

        def read() -> bool:
            try:
                with JournalReader.open(folder, access) as journal:
                    self._read += journal.records(len(self._read))
            except DayshiftError:
                return False
            return True

        until(read, "the journal can be read")
        return self._read

    def bodies(self, kind: type[r.AnyBody]) -> list[r.AnyBody]:
        return [one.body for one in self.records() if isinstance(one.body, kind)]

    def leases(self) -> list[r.Record]:
        return [one for one in self.records() if isinstance(one.body, r.Lease)]

    def leader(self) -> str:
        return many.leader(self.spec)

    def led(self) -> str:
        """Whoever leads, once somebody does."""
        self.until(lambda: self.leader() != "", "somebody leads")
        return self.leader()

    def send(self, name: str, how: signal.Signals) -> None:
        found = processes.find(self.spec.path("run"), name)
        assert found is not None, name
        processes.kill(found, how)
        if how is signal.SIGKILL:
            assert processes.await_end([found], 30)

    def heal(self) -> None:
        """Everything goes on, or is started again."""
        self.wires.mend()
        run = self.spec.path("run")
        for one in processes.recorded(run):
            if not one.name.startswith((users.USERS, up.UPGRADE)):
                processes.revive(run, one)

    def pids(self) -> dict[str, int]:
        run = self.spec.path("run")
        found = {name: processes.find(run, name) for name in self.names}
        return {name: one.pid for name, one in found.items() if one is not None}

    def typed(self, at: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A verb at one controller."""
        return self.command(*words, "-C", str(many.home(self.spec, at)))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [self.spec.python, "-m", "dayshift", *words]
        try:
            return subprocess.run(argv, capture_output=True, text=True, timeout=90)
        except subprocess.TimeoutExpired as error:
            told = [one.decode() for one in (error.stdout, error.stderr) if one]
            raise AssertionError("\n".join([str(error), *told, self.said()])) from None

    def submit(self, at: str) -> None:
        argv = [self.spec.python, "-m", "dayshift", "run", "change.yaml", "--yes"]
        with self.spec.path("run.log").open("ab") as out:
            self._run = subprocess.Popen(
                [*argv, "--plain"],
                cwd=many.home(self.spec, at),
                stdout=out,
                stderr=out,
            )
        self.until(lambda: bool(self.bodies(r.RunOpened)), "open")

    def closed(self) -> bool:
        return bool(self.bodies(r.RunClosed))

    def hold(self) -> str:
        """The code of the hold that nobody answered yet; empty while it runs.

        From the folded state: a merge holds what it overtook without a record of it.
        """
        for one in self.records()[self._state.seq :]:
            self._state = fold(self._state, one)
        run = self._state.open_run
        return run.hold.reason.code if run is not None and run.hold else ""

    def shares(self) -> dict[str, int]:
        return up.weights(self.spec)

    def until_closed(self) -> int:
        ends = 4 * LIMIT_S
        self.until(lambda: self.closed() or bool(self.hold()), "the run ends", ends)
        assert not self.hold(), self.said()
        assert self._run is not None
        return self._run.wait(timeout=60)

    def end(self) -> None:
        if self._run is not None and self._run.poll() is None:
            self._run.kill()
            self._run.wait()

    def agent_log(self) -> str:
        return self.spec.path("run", "log", f"{many.AGENT}.log").read_text()

    def accepted(self) -> list[Claim]:
        """Every write that the agent let through, in its own order and words."""
        return [parse(one) for one in re.findall(WROTE, self.agent_log())]

    def said(self) -> str:
        logs = sorted(self.spec.path("run", "log").glob("c-*.log"))
        texts = [f"--- {one.name}\n{one.read_text()[-1200:]}" for one in logs]
        mine = self.spec.path("run.log")
        if mine.exists():
            texts.append(mine.read_text()[-2500:])
        texts.append("--- the journal, as it was read last")
        texts += [_brief(one) for one in self._read[-30:]]
        return "\n".join(texts)

    def felt(self) -> view.UsersView:
        time.sleep(1)
        users.stop(self.spec)
        marks = view.Marks(self.began_ms, now_ms())
        return view.users_view(Path(self.spec.dir), marks)


def _brief(record: r.Record) -> str:
    body = record.body
    text = "" if isinstance(body, r.Observed) else str(body)[:300]
    at = f"{record.seq} epoch {record.epoch} {record.at.wall_ms}"
    return f"{at} {type(body).__name__} {text}"


def until(
    so: Callable[[], bool],
    what: str,
    limit_s: float = LIMIT_S,
    said: Callable[[], str] = str,
) -> None:
    """Wait for a condition, looking seldom: who waits takes time from who works.

    Args:
        said: what is asked for when it did not come about, and not before.
    """
    end = time.monotonic() + limit_s
    while not so():
        assert time.monotonic() < end, f"not within {limit_s} s: {what}\n{said()}"
        time.sleep(0.25)


def parse(text: str) -> Claim:
    found = parse_claim(text)
    assert found is not None, text
    return found


def edit(path: Path, policy: dict[str, str]) -> None:
    """Other values for keys of the policy."""
    text = path.read_text()
    for key, value in policy.items():
        text, count = re.subn(rf"(?m)^  {key}: .*$", f"  {key}: {value}", text)
        assert count == 1, key
    path.write_text(text)


@contextmanager
def chain(place: Path, policy: dict[str, str]) -> Iterator[Chain]:
    """Built, started, with users; ended, whatever happens."""
    need("etcd", "etcd-server")
    spec = estate.build(place / "lab", controllers=3)
    assert spec.many is not None
    path = Path(spec.dir, "dayshift.yaml")
    edit(path, {**FAST, **policy})
    whole: list[Chain] = []
    far = {one.name: one.client for one in spec.many.members}
    with Wires(far, lambda: whole[0].pids() if whole else {}) as wires:
        text = path.read_text()
        for one in spec.many.members:
            text = text.replace(f":{one.client}", f":{wires.ports[one.name]}")
        path.write_text(text)
        whole.append(Chain(spec, wires))
        try:
            up.up(spec)
            users.start(spec, USERS_RPS, 900)
            time.sleep(4)
            whole[0].began_ms = now_ms()
            yield whole[0]
        finally:
            whole[0].end()
            users.stop(spec)
            whole[0].wires.mend()
            up.down(spec)
