"""Three controllers on a real three-member etcd lead the lab's change, and the leader
is killed or stopped again and again, at any moment and between check and write.

`DAYSHIFT_STRIKES` is how often in each of `DAYSHIFT_STRIKE_RUNS` campaigns, over as
many runs of the change as that takes; `DAYSHIFT_SEED` repeats a campaign.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dayshift.core.state import Status
from dayshift.errors import DayshiftError
from dayshift.journal.audit import audit
from dayshift.journal.reader import JournalReader
from dayshift.lab import estate, up, users, view
from dayshift.lab.ledger import now_ms
from dayshift.model import records as r
from dayshift.model.dial import Claim, parse_claim
from dayshift.runtime.locating import access_to
from dayshift.runtime.session import load
from tests.journeys.test_kill import hurry
from tests.kit.daemons import Daemon, eventually
from tests.kit.etcds import Etcds
from tests.kit.stopping import BEFORE_WRITING, stop_before_writing

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]
STRIKES = int(os.environ.get("DAYSHIFT_STRIKES", "20"))
RUNS = int(os.environ.get("DAYSHIFT_STRIKE_RUNS", "1"))
SEED = int(os.environ.get("DAYSHIFT_SEED", "20261125"))
PLACES = {"c-fra": "fra", "c-ber": "ber", "c-oslo": "oslo"}
LEASE_MS = 3_000
TAKEOVER_MS = 5_000
USERS_RPS = 120
PATIENCE = {"RESIDUE"}
"""Quiet begins again with every leader: struck too often, it never lasts, and the run
asks a person, who says `retry`."""


def grow(spec: estate.LabSpec, endpoints: list[str]) -> None:
    """The lab's estate with a store in three places and a controller in each."""
    path = Path(spec.dir) / "dayshift.yaml"
    text = path.read_text()
    dial = "          route_config: entry\n"
    assert dial in text
    text = text.replace(dial, dial + "          one_machine: true   # a lab\n")
    text += f"""\
journal:
  driver: etcd
  options: {{endpoints: {json.dumps(endpoints)}, lease: {LEASE_MS} ms}}
  members: {{m0: fra, m1: ber, m2: oslo}}
controllers: {json.dumps(PLACES)}
"""
    path.write_text(text)


class Place:
    """One controller's directory: the lab's files, and a state of its own."""

    def __init__(self, spec: estate.LabSpec, folder: Path, name: str) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        for one in Path(spec.dir).iterdir():
            if one.name != ".dayshift":
                (self.folder / one.name).symlink_to(one)
        state = self.folder / ".dayshift"
        state.mkdir()
        (folder / "jobs").mkdir(exist_ok=True)
        # One machine: every controller sees the steps that another began.
        (state / "jobs").symlink_to(folder / "jobs")
        self._spec = spec
        self.log = folder / f"{name}.log"
        argv = [spec.python, "-m", "tests.kit.stopping", "serve", "--name", name]
        self.daemon = Daemon([*argv, "--json", "-C", str(self.folder)], self.log)

    def dayshift(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [self._spec.python, "-m", "dayshift", *words, "-C", str(self.folder)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=180)


class Estate:
    """The lab, its store, and three controllers."""

    def __init__(self, spec: estate.LabSpec, etcds: Etcds, folder: Path) -> None:
        self.spec = spec
        self.folder = folder
        self.places = {name: Place(spec, folder, name) for name in PLACES}
        self.access = access_to(Path(spec.dir), "lab", etcds.spec())

    def journal(self) -> JournalReader:
        folder = self.folder / "reader"
        folder.mkdir(exist_ok=True)
        return JournalReader.open(folder, self.access)

    def bodies(self) -> list[r.Record]:
        with self.journal() as journal:
            return list(journal.records())

    def leases(self) -> list[r.Record]:
        return [one for one in self.bodies() if isinstance(one.body, r.Lease)]

    def leader(self) -> str:
        """Who leads, by the store; empty while nobody does."""
        with self.journal() as journal:
            writer = journal.writer()
            led = [o.body for o in journal.records() if isinstance(o.body, r.Lease)]
        known = writer is not None and led and led[-1].epoch == writer.epoch
        return led[-1].controller if known else ""

    def hold(self) -> str:
        """The code of the hold of the open run; empty while there is none."""
        with self.journal() as journal:
            run = load(journal).open_run
        held = run is not None and run.status is Status.HELD
        return run.hold.reason.code if run and held and run.hold else ""

    def said(self) -> str:
        return "\n".join(
            f"--- {one.name}\n{one.log.read_text()[-1500:]}"
            for one in self.places.values()
            if one.log.exists()
        )


class Seen(threading.Thread):
    """Reads what stands at the real device again and again."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._end = threading.Event()
        self.claims: list[Claim] = []

    def run(self) -> None:
        while not self._end.wait(0.002):
            text = json.loads(self._path.read_bytes()).get("version_info", "")
            claim = parse_claim(text)
            if claim is not None and self.claims[-1:] != [claim]:
                self.claims.append(claim)

    def stop(self) -> list[Claim]:
        self._end.set()
        self.join()
        return self.claims


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Estate]:
    spec = estate.build(tmp_path / "lab")
    hurry(Path(spec.dir))
    with Etcds(tmp_path / "etcd") as etcds:
        grow(spec, etcds.endpoints)
        whole = Estate(spec, etcds, tmp_path)
        up.up(spec)
        try:
            yield whole
        finally:
            for one in whole.places.values():
                one.daemon.kill()
            up.down(spec)


def start(lab: Estate) -> None:
    for one in lab.places.values():
        one.daemon.start()
    eventually(lambda: _leads(lab) != "", f"somebody leads {lab.said()}")
    eventually(
        lambda: all((p.folder / ".dayshift/control.sock").exists() for p in _all(lab)),
        "all are reachable",
    )


def _all(lab: Estate) -> list[Place]:
    return list(lab.places.values())


def _leads(lab: Estate) -> str:
    try:
        return lab.leader()
    except DayshiftError:
        return ""


def hit(place: Place, how: str) -> str:
    process = place.daemon.process
    assert process is not None
    if how not in ("killed", "stopped"):
        return stop_before_writing(process, place.folder, how)
    process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
    return how


def strike(
    lab: Estate, how: str, ended: subprocess.Popen[bytes]
) -> tuple[str, int] | None:
    """Hit the leader; how, and how long until another leads, in ms. None when nobody
    leads, or the run ended."""
    name = _leads(lab)
    if not name:
        return None
    place, epoch = lab.places[name], lab.leases()[-1].epoch
    process = place.daemon.process
    assert process is not None
    how = hit(place, how)
    at_ms = now_ms()
    eventually(
        lambda: ended.poll() is not None or lab.leases()[-1].epoch > epoch,
        f"another leads {lab.said()}",
    )
    newest = next((o for o in lab.leases() if o.epoch > epoch), None)
    if how == "killed":
        process.wait()
        place.daemon.start()
    else:
        process.send_signal(signal.SIGCONT)
    return (how, newest.at.wall_ms - at_ms) if newest else None


def submit(lab: Estate, at: str, *options: str) -> subprocess.Popen[bytes]:
    argv = [lab.spec.python, "-m", "dayshift", "run", "change.yaml", "--yes"]
    place = lab.places[at]
    with (lab.folder / "run.log").open("ab") as out:
        return subprocess.Popen(
            [*argv, "--plain", *options],
            cwd=place.folder,
            stdout=out,
            stderr=out,
        )


def answer(lab: Estate, held: list[str]) -> None:
    """A person, who says `retry` where the run lost its patience."""
    code = lab.hold()
    if not code:
        return
    assert code in PATIENCE, code + lab.said()
    name = _leads(lab)
    if name and lab.places[name].dayshift("retry", "--as", "ada").returncode == 0:
        held.append(code)


def whole_run(
    lab: Estate,
    dice: random.Random,
    ways: Iterator[str],
    took: list[tuple[str, int]],
    most: int,
) -> list[str]:
    """One run of the change under strikes, to its end; what a person had to answer."""
    before = sum(isinstance(o.body, r.RunOpened) for o in lab.bodies())
    run = submit(lab, dice.choice(list(PLACES)))
    eventually(
        lambda: sum(isinstance(o.body, r.RunOpened) for o in lab.bodies()) > before,
        f"the run is open {(lab.folder / 'run.log').read_text()} {lab.said()}",
    )
    held: list[str] = []
    end = time.monotonic() + 600
    while run.poll() is None:
        assert time.monotonic() < end, lab.said()
        if len(took) < most:
            time.sleep(dice.uniform(0.0, 1.5))
            struck = strike(lab, next(ways), run)
            took += [struck] if struck else []
        else:
            time.sleep(0.5)
        answer(lab, held)
    said = (lab.folder / "run.log").read_text()[-3000:]
    assert run.wait() == 0, said + lab.said()
    return held


def ways(dice: random.Random) -> Iterator[str]:
    """Killed and stopped by turns; stopped at any moment, or before a write."""
    for number in itertools.count():
        if number % 2 == 0:
            yield "killed"
        else:
            yield dice.choice(["stopped", *(one.value for one in BEFORE_WRITING)])


@pytest.mark.parametrize("number", range(RUNS))
def test_a_leader_that_is_struck_is_replaced_and_users_notice_nothing(
    lab: Estate, number: int
) -> None:
    dice = random.Random(SEED + number)
    folder = Path(lab.spec.dir)
    start(lab)
    users.start(lab.spec, USERS_RPS, 900)
    seen = Seen(folder / "run/global/rds.json")
    seen.start()
    time.sleep(4)
    began = now_ms()
    took: list[tuple[str, int]] = []
    held: list[str] = []
    runs, how = 0, ways(dice)
    while len(took) < STRIKES:
        held += whole_run(lab, dice, how, took, STRIKES)
        runs += 1
    time.sleep(1)
    users.stop(lab.spec)
    felt = view.users_view(folder, view.Marks(began, now_ms()))
    claims = seen.stop()
    records = lab.bodies()

    epochs = [one.epoch for one in claims]
    stale = sum(new < old for old, new in itertools.pairwise(epochs))
    after_ms = [ms for _, ms in took]
    print(
        f"{len(took)} strikes in {runs} runs, {dict(Counter(one for one, _ in took))}, "
        f"takeover median {statistics.median(after_ms):.0f} ms, worst {max(after_ms)} "
        f"ms; {felt.requests} requests, {felt.hurt} failed; {len(claims)} writes, "
        f"{stale} of a stale epoch accepted; answered by a person: {held or 'nothing'}"
    )
    assert felt.hurt == 0, felt
    assert (felt.orders.missing, felt.orders.duplicate) == (0, 0)
    assert {one.name: up.answering(lab.spec, one.name) for one in lab.spec.regions} == {
        "fra": "2",
        "ber": "2",
    }
    assert stale == 0, epochs
    intents = {(o.epoch, o.seq) for o in records if isinstance(o.body, r.Intent)}
    assert {(one.epoch, one.seq) for one in claims} <= intents
    worked = [o for o in records if isinstance(o.body, r.Worked)]
    assert all(one.body.exit_code == 0 for one in worked)
    once = Counter((one.run, one.body.region, one.body.step) for one in worked)
    assert once and set(once.values()) == {1}, "a step ran twice"
    closed = [o.body for o in records if isinstance(o.body, r.RunClosed)]
    assert [one.result for one in closed] == [r.RunResult.DONE] * runs
    assert len(took) == STRIKES
    assert statistics.median(after_ms) <= TAKEOVER_MS, took


def test_every_verb_at_every_controller_and_a_clean_hand_over(lab: Estate) -> None:
    start(lab)
    leader = _leads(lab)
    others = [one for one in PLACES if one != leader]
    users.start(lab.spec, USERS_RPS, 300)
    time.sleep(4)
    run = submit(lab, others[1])
    eventually(
        lambda: (
            "working" in lab.places[others[0]].dayshift("status").stdout
            or run.poll() is not None
        ),
        "it comes to the work",
    )
    for name in (leader, *others):
        paused = lab.places[name].dayshift("pause", "--as", "ada")
        assert paused.returncode == 0, paused.stderr + lab.said()
        told = json.loads(lab.places[name].dayshift("status", "--json").stdout)
        assert told["status"] == "paused"
        assert {one["name"] for one in told["controllers"]} >= {leader}
        store = told["store"]
        assert (store["driver"], store["fault"]) == ("etcd", "")
        assert len(store["members"]) == 3 and store["leader"]
        assert store["epoch"] == lab.leases()[-1].epoch and store["leads_ms"] > 0
        assert lab.places[name].dayshift("explain").returncode == 0
        if name == others[-1]:
            break  # paused, so that it does not end before it is aborted
        resumed = lab.places[name].dayshift("resume", "--yes")
        assert resumed.returncode == 0, resumed.stderr
    epoch = lab.leases()[-1].epoch
    process = lab.places[leader].daemon.process
    assert process is not None
    at_ms = now_ms()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    eventually(lambda: lab.leases()[-1].epoch > epoch, "another leads")
    assert lab.leases()[-1].at.wall_ms - at_ms < LEASE_MS
    aborted = lab.places[others[0]].dayshift("abort", "--yes")
    assert aborted.returncode == 4, aborted.stdout + aborted.stderr
    assert run.wait(timeout=180) == 4
    asked = [o.body for o in lab.bodies() if isinstance(o.body, r.Requested)]
    pauses = [one for one in asked if one.verb == "pause"]
    assert {one.args["at"] for one in pauses} == set(PLACES)
    assert all(one.args["uid"] == str(os.getuid()) for one in pauses)
    assert audit(lab.folder / "reader", access=lab.access).ok
