"""The verbs against a real estate: from a second terminal, through a hold, on Ctrl-C.

One lab serves all tests; each leaves it as it found it, with both regions at their
usual shares and no run open.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dayshift.lab import estate, up

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]
RPS = 120
TYPED_S = 240
"""A busy machine answers late, and then a gate needs longer for its proof."""
PATIENCE_S = 40.0
USUAL = {"fra": 5000, "ber": 5000}
FAST = {
    "drain_dwell": "300 ms",
    "soak": "1 s",
    "quiet": "2 s",
    "fresh": "2 s",
    "probe_streak": "2",
    "ramp": "[50 %]",
}
FAILING = """\
change: mend
reason: a step that fails until somebody mends its cause
regions:
  - region: fra
steps:
  - name: fix
    worker: command
    limit: 1 min
    options: {{argv: [/usr/bin/test, -e, "{dir}/mended"], undo: [/bin/true]}}
"""
CROWD = f"""\
import http from 'k6/http';
export const options = {{ scenarios: {{ crowd: {{
  executor: 'constant-arrival-rate', rate: {RPS}, duration: '10m', preAllocatedVUs: 8,
}} }} }};
export default () => http.get(__ENV.DOOR);
"""
BY_HAND = """\
change: cabling
reason: a person works in the room
regions:
  - region: fra
steps:
  - name: cables
    worker: person
    limit: 5 min
    options: {instruction: move the cables, checklist: [unplug, plug in]}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[estate.LabSpec]:
    spec = estate.build(tmp_path_factory.mktemp("verbs") / "lab")
    folder = Path(spec.dir)
    text = (folder / "dayshift.yaml").read_text()
    for key, value in FAST.items():
        text = re.sub(rf"(?m)^  {key}: .*$", f"  {key}: {value}", text)
    (folder / "dayshift.yaml").write_text(text)
    (folder / "failing.yaml").write_text(FAILING.format(dir=spec.dir))
    (folder / "cabling.yaml").write_text(BY_HAND)
    (folder / "crowd.js").write_text(CROWD)
    try:
        up.up(spec)
        with crowd(spec):
            time.sleep(2)
            yield spec
    finally:
        up.down(spec)


@contextmanager
def crowd(spec: estate.LabSpec) -> Iterator[None]:
    """Short requests only: the lab's own users also download, and a region is not empty
    before the last download has ended."""
    door = f"http://{estate.HOST}:{spec.entry_h1}/item/1"
    environment = {**os.environ, "DOOR": door, "NO_PROXY": estate.HOST}
    k6 = subprocess.Popen(
        [spec.k6, "run", "--quiet", "--no-usage-report", "--address", "", "crowd.js"],
        cwd=spec.dir,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        k6.kill()
        k6.wait()


@pytest.fixture(autouse=True)
def as_found(lab: estate.LabSpec) -> Iterator[None]:
    """A test that fails must not hand its run to the next one."""
    yield
    if status(lab)["status"] not in ("closed", "idle"):
        typed(lab, "abort", "--yes")
    if status(lab)["left_drained"]:
        typed(lab, "return", "fra", "--now", "--yes")


def argv(lab: estate.LabSpec, *words: str) -> list[str]:
    return [lab.python, "-m", "dayshift", *words]


def typed(
    lab: estate.LabSpec, *words: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """One command, typed by somebody without a terminal."""
    return subprocess.run(
        argv(lab, *words),
        cwd=cwd or lab.dir,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TYPED_S,
        check=False,
    )


def status(lab: estate.LabSpec) -> dict[str, Any]:
    told = typed(lab, "status", "--json")
    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def phase(story: dict[str, Any]) -> str:
    here = next((r for r in story["regions"] if r["name"] == story["region"]), None)
    return str(here["journey"]["phase"]) if here and here["journey"] else ""


def until(
    lab: estate.LabSpec, test: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """The first story that passes the test."""
    end = time.monotonic() + PATIENCE_S
    while not test(story := status(lab)):
        assert time.monotonic() < end, (story["status"], phase(story))
    return story


def weights(lab: estate.LabSpec) -> dict[str, int]:
    return up.weights(lab)


class Controller:
    """`dayshift run …` in the background, as a pipeline would start it."""

    def __init__(self, lab: estate.LabSpec, *words: str) -> None:
        self.log = Path(lab.dir, f"controller-{time.monotonic_ns()}.log")
        with self.log.open("wb") as out:
            self.child = subprocess.Popen(
                argv(lab, *words),
                cwd=lab.dir,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def __enter__(self) -> Controller:
        return self

    def __exit__(self, *_: object) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()

    def ended(self) -> tuple[int, str]:
        code = self.child.wait(timeout=PATIENCE_S)
        return code, self.log.read_text()


def test_check_and_plan_read_the_estate(lab: estate.LabSpec) -> None:
    checked = typed(lab, "check", "--json")
    assert checked.returncode == 0, checked.stdout
    found = json.loads(checked.stdout)
    assert found["ok"]
    kinds = {one["kind"] for one in found["findings"]}
    assert kinds >= {"dial", "meter", "probe", "duty", "bracket", "notify", "without"}

    planned = json.loads(typed(lab, "plan", "failing.yaml", "--json").stdout)
    places = planned["plan"]["measured"]["capacity"]
    assert 0 < max(one["load_rps"] for one in places) < 2 * RPS
    offline = json.loads(
        typed(lab, "plan", "failing.yaml", "--json", "--offline").stdout
    )
    assert offline["digest"] == planned["digest"]
    assert offline["plan"]["measured"] is None


@pytest.mark.parametrize(
    ("was", "becomes", "code"),
    [
        (r'admin: "http://127.0.0.1:\d+"\}\n    meters', "", "DIAL-UNREACHABLE"),
        ("fra: 900, ber: 900", "fra: 40, ber: 40", "CAPACITY-EXCEEDED"),
        ("shares: {fra: 50 %, ber: 50 %}", "shares: {fra: 60 %, ber: 40 %}", "DRIFT"),
    ],
    ids=["unreachable", "too-small", "other-shares"],
)
def test_check_refuses_and_says_the_way_out(
    lab: estate.LabSpec, tmp_path: Path, was: str, becomes: str, code: str
) -> None:
    """The same world, described wrongly: nothing moves, exit code 5."""
    (tmp_path / "run").symlink_to(Path(lab.dir, "run"))
    text = Path(lab.dir, "dayshift.yaml").read_text()
    if not becomes:
        becomes = 'admin: "http://127.0.0.1:9"}\n    meters'
        was = re.search(was, text)[0]  # type: ignore[index]
    assert was in text
    (tmp_path / "dayshift.yaml").write_text(text.replace(was, becomes, 1))
    told = typed(lab, "check", "--json", cwd=tmp_path)
    assert told.returncode == 5
    found = [one["code"] for one in json.loads(told.stdout)["errors"]]
    # The lab's dial may hold the claim of the lab's own journal, which is not this one.
    assert code in found or (code == "DRIFT" and "FENCED-OFF" in found)
    assert weights(lab) == USUAL


def test_a_second_terminal_pauses_resumes_and_aborts(lab: estate.LabSpec) -> None:
    with Controller(lab, "run", "change.yaml", "--yes", "--plain") as run:
        until(lab, lambda story: story["status"] == "running")
        assert typed(lab, "pause", "--as", "Grace").returncode == 0
        story = until(lab, lambda story: story["status"] == "paused")
        assert story["paused_by"].startswith("Grace (as ")
        assert story["watched"]
        assert [one["command"] for one in story["exits"]] == [
            "dayshift resume",
            "dayshift abort",
        ]
        second = typed(lab, "run", "change.yaml", "--yes")
        assert second.returncode != 0
        assert "dayshift watch" in second.stderr
        assert typed(lab, "hand-over", "--to", "linus").returncode == 0
        assert typed(lab, "retry").returncode == 5
        assert typed(lab, "resume").returncode == 0
        assert status(lab)["on_duty"] == "linus"
        aborted = typed(lab, "abort", "--yes")
        assert aborted.returncode == 4, aborted.stderr
        assert "abort: " in aborted.stderr
        assert run.ended()[0] == 4
    assert weights(lab) == USUAL


def test_sigint_without_a_terminal_pauses_and_leaves(lab: estate.LabSpec) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with Controller(lab, "run", "failing.yaml", "--yes", "--plain") as run:
            until(lab, lambda story: story["status"] == "running")
            run.child.send_signal(number)
            code, said = run.ended()
        assert code == 3, said
        assert "nobody is watching this run now" in said
        assert "`dayshift resume` goes on" in said
        story = status(lab)
        assert (story["status"], story["watched"]) == ("paused", False)
        aborted = typed(lab, "abort", "--yes")
        assert aborted.returncode == 4, aborted.stderr
        assert weights(lab) == USUAL


def test_ctrl_c_on_a_terminal_asks_while_the_run_goes_on(lab: estate.LabSpec) -> None:
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    child = subprocess.Popen(
        ["setsid", "--ctty", *argv(lab, "run", "failing.yaml", "--yes")],
        cwd=lab.dir,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
    )
    os.close(slave)
    try:
        seen = read_until(master, b"share 0.00 %")
        os.write(master, b"\x03")
        seen += read_until(master, b"p, a or g?")
        assert b"abort: fra goes back to its usual share" in seen or b"undoes" in seen
        # The run fails at its step meanwhile: nobody stopped it for the question.
        assert until(lab, lambda story: story["status"] == "held")["watched"]
        os.write(master, b"g\n")
        seen += read_until(master, b"FAILED")
        os.write(master, b"\x03")
        seen += read_until(master, b"p, a or g?")
        os.write(master, b"a\n")
        seen += read_until(master, b"ABORTED")
        assert child.wait(timeout=PATIENCE_S) == 4
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        os.close(master)
    assert seen.rindex(b"\x1b[?1049l") > seen.rindex(b"\x1b[?1049h")
    assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l")
    assert weights(lab) == USUAL


def read_until(source: int, text: bytes) -> bytes:
    """What a terminal got, up to and with `text`."""
    seen = b""
    end = time.monotonic() + PATIENCE_S
    while text not in seen:
        assert time.monotonic() < end, seen[-2000:].decode(errors="replace")
        if select.select([source], [], [], 0.2)[0]:
            seen += os.read(source, 65_536)
    return seen


def test_a_hold_and_its_ways_out(lab: estate.LabSpec) -> None:
    mended = Path(lab.dir, "mended")
    mended.unlink(missing_ok=True)
    held = typed(lab, "run", "failing.yaml", "--yes", "--exit-when-held")
    assert held.returncode == 3
    for line in (
        "HELD fra",
        "dayshift retry",
        "dayshift done-by-hand fix",
        "close --le",
    ):
        assert line in held.stdout
    assert "nobody is watching this run now" in held.stdout
    assert weights(lab) == {"fra": 0, "ber": 10_000}

    assert typed(lab, "resume", "--yes").returncode == 5
    other = typed(lab, "done-by-hand", "other", "--yes")
    assert (other.returncode, "NOT-THIS-STEP" in other.stderr) == (5, True)
    again = typed(lab, "retry", "--yes", "--exit-when-held")
    assert again.returncode == 3, again.stdout
    mended.touch()
    done = typed(lab, "retry", "--yes", "--exit-when-held")
    assert done.returncode == 0, done.stdout
    assert weights(lab) == USUAL


def test_done_by_hand_from_a_second_terminal(lab: estate.LabSpec) -> None:
    """Without --exit-when-held the controller stays, and goes on when asked."""
    Path(lab.dir, "mended").unlink(missing_ok=True)
    with Controller(lab, "run", "failing.yaml", "--yes", "--plain") as run:
        until(lab, lambda story: story["status"] == "held")
        assert typed(lab, "pause").returncode == 5
        granted = typed(lab, "done-by-hand", "fix", "--as", "Ada")
        assert granted.returncode == 0, granted.stderr
        code, said = run.ended()
    assert code == 0, said
    assert weights(lab) == USUAL


def test_left_drained_and_returned(lab: estate.LabSpec) -> None:
    Path(lab.dir, "mended").unlink(missing_ok=True)
    assert (
        typed(lab, "run", "failing.yaml", "--yes", "--exit-when-held").returncode == 3
    )
    closed = typed(lab, "close", "--leave-drained", "--reason", "a spare part")
    assert closed.returncode == 0, closed.stderr
    assert status(lab)["left_drained"] == ["fra"]
    other = typed(lab, "drain", "ber", "--yes", "--exit-when-held")
    assert other.returncode == 5
    assert "OTHER-REGION-OUT" in other.stdout
    assert weights(lab) == {"fra": 0, "ber": 10_000}
    back = typed(lab, "return", "fra", "--yes", "--exit-when-held")
    assert back.returncode == 0, back.stdout
    assert weights(lab) == USUAL


def test_a_person_gives_their_word(lab: estate.LabSpec) -> None:
    with Controller(lab, "run", "cabling.yaml", "--yes", "--plain") as run:
        until(lab, lambda story: phase(story) == "working")
        assert typed(lab, "confirm", "cables", "--item", "7").returncode == 5
        assert typed(lab, "confirm", "other", "--all").returncode == 5
        first = typed(lab, "confirm", "cables", "--item", "1", "--as", "Ada")
        assert first.returncode == 0, first.stderr
        assert "2. plug in" in typed(lab, "status").stdout
        last = typed(lab, "confirm", "cables", "--item", "2", "--as", "Ada")
        assert last.returncode == 0, last.stderr
        code, said = run.ended()
    assert code == 0, said
    assert weights(lab) == USUAL


def test_evacuated_and_returned_at_once(lab: estate.LabSpec) -> None:
    """And from then on an old copy of the journal is known for what it is."""
    journal, newest = Path(lab.dir, ".dayshift"), Path(lab.dir, "newest")
    old = Path(lab.dir, "old")
    out = typed(lab, "evacuate", "fra", "--reason", "fire alarm", "--yes")
    assert out.returncode == 0, out.stdout
    assert weights(lab) == {"fra": 0, "ber": 10_000}
    shutil.copytree(journal, old, ignore=shutil.ignore_patterns("*.sock"))
    back = typed(lab, "return", "fra", "--now", "--yes")
    assert back.returncode == 0, back.stdout
    assert weights(lab) == USUAL
    assert status(lab)["warnings"] == []

    journal.rename(newest)
    old.rename(journal)
    try:
        for verb in ("status", "watch", "explain"):
            told = typed(lab, verb)
            assert told.returncode == 0
            assert "WARNING JOURNAL-BEHIND: dial entry holds" in told.stdout
            assert "bring back the newest one" in told.stdout
        assert status(lab)["warnings"][0]["code"] == "JOURNAL-BEHIND"
        held = typed(lab, "return", "fra", "--yes", "--exit-when-held")
        assert held.returncode == 3 and "HELD fra, JOURNAL-BEHIND" in held.stdout
        assert weights(lab) == USUAL
    finally:
        journal.rename(old)
        newest.rename(journal)


def test_a_controller_killed_for_good(lab: estate.LabSpec) -> None:
    """The survivors serve, and the next command says exactly where things stand."""
    with Controller(lab, "run", "failing.yaml", "--yes", "--plain") as run:
        until(lab, lambda story: phase(story) in ("draining", "emptying"))
        run.child.kill()
        run.child.wait()
    told = typed(lab, "status")
    assert "no controller is running: nobody is watching" in told.stdout
    assert "fra is " in told.stdout
    assert "`dayshift abort` goes back" in told.stdout
    story = status(lab)
    assert (story["status"], story["watched"]) == ("running", False)
    assert typed(lab, "pause").returncode == 0
    assert typed(lab, "abort", "--yes").returncode == 4
    assert weights(lab) == USUAL
