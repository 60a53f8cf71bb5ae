"""The journal's own troubles on the lab: its disk full, its bits damaged, and a second
laptop with a journal of its own. Real files, real Envoys, real users.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from dayshift.journal.audit import audit
from dayshift.lab import by_hand, estate, many, processes, up, users, view
from dayshift.lab.ledger import now_ms
from tests.journal.desk import edit as edit_rows
from tests.journal.desk import rows
from tests.journeys.test_verbs import (
    USUAL,
    Controller,
    phase,
    status,
    typed,
    until,
    weights,
)
from tests.kit.chain import FAST, edit
from tests.kit.daemons import eventually, need

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]
FLIPS = int(os.environ.get("DAYSHIFT_LAB_FLIPS", "12"))
SEED = int(os.environ.get("DAYSHIFT_SEED", "20261125"))
DISK_MIB = 96
ZERO = {"fra": 0, "ber": 10_000}
BALLAST = "ballast"


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A filesystem of its own for the controller's state; needs root."""
    if os.geteuid():
        pytest.skip("only root may mount a small filesystem")
    place.mkdir(mode=0o700)
    options = f"size={DISK_MIB}m,mode=700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "dayshift-test", str(place)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> None:
    """To the last byte."""
    with (place / BALLAST).open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def make_room(place: Path) -> None:
    (place / BALLAST).unlink()


@contextmanager
def running(spec: estate.LabSpec, policy: dict[str, str]) -> Iterator[None]:
    """The lab with its users; nobody of them may notice anything."""
    edit(Path(spec.dir, "dayshift.yaml"), {**FAST, **policy})
    try:
        up.up(spec)
        users.start(spec, 60, 280)
        time.sleep(4)
        began = now_ms()
        yield
        time.sleep(1)
        users.stop(spec)
        felt = view.users_view(Path(spec.dir), view.Marks(began, now_ms()))
        assert felt.hurt == 0, felt
        print(f"{felt.requests} requests, 0 failed")
    finally:
        users.stop(spec)
        up.down(spec)


def test_a_full_disk_lets_safe_verbs_go_on(tmp_path: Path) -> None:
    lab = estate.build(tmp_path / "lab")
    state = Path(lab.dir, ".dayshift")
    slowly = {"drain_dwell": "5 min"}
    with small_disk(state), running(lab, slowly):
        with Controller(lab, "drain", "fra", "--yes", "--plain") as drain:
            until(lab, lambda story: phase(story) == "draining")
            eventually(lambda: weights(lab)["fra"] == 2_500, "the first stage")
            fill(state)
            aborted = typed(lab, "abort", "--yes")
            code, said = drain.ended()
        assert weights(lab) == USUAL, aborted.stderr + said
        print("abort on a full disk:", aborted.returncode, code)
        told = typed(lab, "drain", "fra", "--yes", "--plain")
        assert told.returncode != 0 and "JOURNAL-FULL" in told.stderr, told
        assert weights(lab) == USUAL
        at_ms = now_ms()
        gone = typed(lab, "evacuate", "fra", "--reason", "fire", "--yes", "--plain")
        assert gone.returncode == 0, gone.stderr
        assert weights(lab) == ZERO
        print(f"evacuated on a full disk in {now_ms() - at_ms} ms")
        make_room(state)
        merged = typed(lab, "seal", "now")
        assert merged.returncode == 0, merged.stderr
        if status(lab)["status"] == "held":
            assert typed(lab, "close", "--leave-drained").returncode == 0
        back = typed(lab, "return", "fra", "--now", "--yes", "--plain")
        assert back.returncode == 0, back.stderr
        assert weights(lab) == USUAL
        audited = typed(lab, "audit")
        assert audited.returncode == 0, audited.stdout
        assert "wait to be merged" not in audited.stdout


def test_a_damaged_journal_is_named_not_led_and_comes_back(tmp_path: Path) -> None:
    lab = estate.build(tmp_path / "lab")
    state, copy = Path(lab.dir, ".dayshift"), tmp_path / "copy"
    dice = random.Random(SEED)
    with running(lab, {}):
        done = typed(lab, "drain", "fra", "--yes", "--plain")
        assert done.returncode == 0, done.stderr
        assert weights(lab) == ZERO
        shutil.copytree(state, copy)
        whole = rows(state)
        for flip in range(FLIPS):
            seq, digest, data = dice.choice(whole)
            raw = bytearray(digest + data)
            bit = dice.randrange(8 * len(raw))
            raw[bit // 8] ^= 1 << bit % 8
            put(state, bytes(raw), seq)
            report = audit(state)
            assert report.bad is not None and report.bad.seq == seq, (SEED, flip, seq)
            if flip == FLIPS - 1:
                break
            put(state, digest + data, seq)
        audited = typed(lab, "audit")
        assert audited.returncode != 0
        assert f"record {seq:,}" in audited.stdout + audited.stderr, audited
        led = typed(lab, "return", "fra", "--yes", "--plain")
        assert led.returncode != 0 and "JOURNAL-BROKEN" in led.stderr, led
        assert "bring back the newest intact copy" in led.stderr
        assert weights(lab) == ZERO, "nothing moved"
        state.rename(tmp_path / "aside")
        shutil.copytree(copy, state)
        back = typed(lab, "return", "fra", "--yes", "--plain")
        assert back.returncode == 0, back.stderr
        assert weights(lab) == USUAL
        assert audit(state).ok


def put(state: Path, raw: bytes, seq: int) -> None:
    sql = "UPDATE records SET hash = ?, data = ? WHERE seq = ?"
    edit_rows(state, sql, raw[:32], raw[32:], seq)


@pytest.mark.parametrize("through", ["envoy", "agent"])
def test_of_two_laptops_the_second_is_refused(through: str, tmp_path: Path) -> None:
    if through == "agent":
        need("etcd", "etcd-server")
    lab = estate.build(tmp_path / "lab", controllers=3 * (through == "agent"))
    path = Path(lab.dir, "dayshift.yaml")
    path.write_text(path.read_text().partition("\njournal:")[0] + "\n")
    with running(replace(lab, many=None), {}):
        if lab.many is not None:
            many.start_agent(lab)
        laptops = [laptop(lab, tmp_path / one) for one in ("ada", "bob")]
        for first, second in (laptops, laptops[::-1]):
            in_this_order(lab, first, second)
            take_the_claim_off(lab)
            for one in laptops:
                shutil.rmtree(one / ".dayshift")


def laptop(lab: estate.LabSpec, folder: Path) -> Path:
    folder.mkdir()
    for one in ("dayshift.yaml", "bin", "run", "ca"):
        if lab.path(one).exists():
            (folder / one).symlink_to(lab.path(one))
    return folder


def in_this_order(lab: estate.LabSpec, first: Path, second: Path) -> None:
    """The first drains; the second can neither drain, return nor evacuate."""
    drained = typed(lab, "drain", "fra", "--yes", "--plain", cwd=first)
    assert drained.returncode == 0, drained.stderr + drained.stdout
    journal = audit(first / ".dayshift").journal
    for verb in (
        ("drain", "ber", "--exit-when-held"),
        ("evacuate", "ber", "--reason", "fire", "--exit-when-held"),
    ):
        told = typed(lab, *verb, "--yes", "--plain", cwd=second)
        said = told.stdout + told.stderr
        assert told.returncode != 0, said
        assert "estate lab" in said and journal[:12] in said, said
        assert weights(lab) == ZERO
        typed(lab, "abort", "--yes", cwd=second)
        assert weights(lab) == ZERO
    back = typed(lab, "return", "fra", "--now", "--yes", "--plain", cwd=first)
    assert back.returncode == 0, back.stderr
    assert weights(lab) == USUAL


def take_the_claim_off(lab: estate.LabSpec) -> None:
    """As a person does for a journal that is gone for good."""
    if lab.many is not None:
        agent = processes.find(lab.path("run"), many.AGENT)
        assert agent is not None
        processes.end(lab.path("run"), [agent], 20)
        config = str(lab.path("agent.yaml"))
        forgot = typed(lab, "agent", "--config", config, "--forget", "entry")
        assert forgot.returncode == 0, forgot.stderr
        many.start_agent(lab)
    by_hand.steer(lab, USUAL, "lab-initial")
