"""The power goes at every sync of the journal's files and in between: what was
acknowledged is there, and a controller goes on.

What is replayed is what the real code asked the kernel for (`trace`), so nothing here
knows how SQLite or the journal keep their files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest

from dayshift.errors import DayshiftError
from dayshift.journal.audit import audit
from dayshift.model.dial import Claim
from tests.journal.desk import ESTATE, open_journal, phased
from tests.kit.daemons import need
from tests.power.disk import (
    Image,
    Name,
    Operation,
    Said,
    Sync,
    image,
    kinds,
    pending,
)
from tests.power.trace import Recording
from tests.power.writer import STAGES

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]

IMAGES = int(os.environ.get("DAYSHIFT_POWER_IMAGES", "400"))
"""At most so many; whoever asks for more also cuts after every single operation."""
SEEDS = range(int(os.environ.get("DAYSHIFT_POWER_SEEDS", "2")))
JOURNAL = "state/journal"
FILES = {"lock", "mark", "head", "key", "key.pub", "emergency", "break-glass"}
FILES |= {"journal.db", "journal.db-wal"}


class Loss(NamedTuple):
    """One power cut: after how many operations, and what the disk kept."""

    after: int
    kept: str
    image: Image
    acknowledged: dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Recording:
    place = tmp_path_factory.mktemp("power")
    root = place / "disk"
    root.mkdir()
    found = Recording(root)
    for stage in STAGES:
        argv = [sys.executable, "-m", "tests.power.writer", stage]
        folder = str(root / JOURNAL)
        found.run(need("strace", "strace"), [*argv, folder], place / stage)
    return found


@pytest.fixture
def place() -> Iterator[Path]:
    """Where images are laid: in memory if that goes, since nothing here is kept."""
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where) as name:
        yield Path(name)


def acknowledged(operations: Sequence[Operation]) -> dict[str, tuple[int, str]]:
    """By their text, or their hash where they have none: number and hash.

    The number is 0 where it changes when it is merged.
    """
    found = {}
    for one in operations:
        if isinstance(one, Said) and one.line.startswith("ack "):
            _, seq, digest, why = one.line.split(" ", 3)
            found[why or digest] = int(seq), digest
    return found


def losses(
    done: Sequence[Operation], folders: set[int], cuts: Iterable[int]
) -> Iterator[Loss]:
    """Every image that differs from those before it, with what it must still have;
    the power goes after so many operations as `cuts` say."""
    seen: set[bytes] = set()
    for after in cuts:
        if after and isinstance(done[after - 1], Said):
            continue
        # An acknowledgement that follows at once asks no more of the disk.
        until = after
        while until < len(done) and isinstance(done[until], Said):
            until += 1
        must = acknowledged(done[:until])
        for kept, keep in kinds(pending(done[:after]), SEEDS):
            left = image(done[:after], folders, keep)
            digest = _digest(left, must)
            if digest not in seen:
                seen.add(digest)
                yield Loss(after, kept, left, must)


def _digest(left: Image, must: dict[str, tuple[int, str]]) -> bytes:
    found = hashlib.sha256(repr(sorted(must)).encode())
    for path, (data, size) in left.files():
        found.update(f"{path} {size} ".encode() + data)
    return found.digest()


def fault(loss: Loss, place: Path) -> str:
    """What the real code finds wrong after this loss; empty if it goes on."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    loss.image.lay(place)
    folder = place / JOURNAL
    try:
        return _fault(folder, loss.acknowledged)
    except (DayshiftError, AssertionError, ValueError, OSError) as error:
        return f"{type(error).__name__}: {error}"


def _fault(folder: Path, must: dict[str, tuple[int, str]]) -> str:
    newest = max((seq for seq, _ in must.values()), default=0)
    claims = [Claim(ESTATE, "j-power", 1, newest)] if newest else []
    with open_journal(folder, claims=claims, journal_id="j-power") as journal:
        there = {}
        for one in journal.records():
            there[getattr(one.body, "why", "") or one.hash] = one.seq, one.hash
            there.setdefault(one.hash, (one.seq, one.hash))
        lost = [
            one
            for one, (seq, digest) in must.items()
            if (one not in there if not seq else there.get(one) != (seq, digest))
        ]
        if lost:
            return f"lost {lost}"
        journal.append(phased("goes on"))
    report = audit(folder)
    return "" if report.ok else f"audit: {report.bad or report.side_faults}"


def cuts(done: Sequence[Operation]) -> list[int]:
    """Before and after every sync, and some in between; all of them for `soak`."""
    edges = {at for at, one in enumerate(done) if isinstance(one, Sync)}
    edges |= {at + 1 for at in edges}
    between = range(0, len(done) + 1, 5 if IMAGES < 1_000 else 1)
    return sorted(edges | set(between))


def faults(every: Iterable[Loss], place: Path) -> Iterator[str]:
    """What goes wrong after these losses."""
    for loss in every:
        why = fault(loss, place / "disk")
        if why:
            yield f"after {loss.after} operations, kept {loss.kept}: {why}"


def test_no_acknowledged_record_is_lost_when_the_power_goes(recording, place):
    done = recording.operations
    every = list(losses(done, recording.folders, cuts(done)))
    step = max(1, len(every) // IMAGES)
    found = list(islice(faults(every[::step], place), 20))
    assert not found, f"of {len(every[::step])} images:\n" + "\n".join(found)


def test_what_is_replayed_is_what_the_controller_did(recording, place):
    """Whole, it is the folder that lies there; and every file of it was synced."""
    left = image(recording.operations, recording.folders, lambda at, one: [one])
    root = Path(recording.root)
    real = {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }
    laid = {
        path: data.ljust(size, b"\0")
        for path, (data, size) in left.files()
        if not path.endswith("/")
    }
    assert laid == real
    synced = {one.inode for one in recording.operations if isinstance(one, Sync)}
    named = {
        one.name: one.to
        for one in recording.operations
        if isinstance(one, Name) and one.to is not None
    }
    assert {name for name, inode in named.items() if inode in synced} >= FILES


@pytest.mark.parametrize("name", ["journal.db-wal", "emergency", "journal", "state"])
def test_a_sync_left_out_is_noticed(name, recording, place):
    """Of the log, of the emergency file, of the journal's folder, of the one above."""
    unsynced = {
        one.to
        for one in recording.operations
        if isinstance(one, Name) and one.name == name
    }
    done = [
        one
        for one in recording.operations
        if not (isinstance(one, Sync) and one.inode in unsynced)
    ]
    few = range(len(done), 0, -10)
    assert any(faults(losses(done, recording.folders, few), place))
