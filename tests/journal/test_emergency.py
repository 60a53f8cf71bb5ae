"""A disk that is really full, and what safe verbs still write."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from dayshift.errors import JournalFull
from dayshift.journal.audit import audit
from dayshift.journal.emergency import read_emergency
from dayshift.journal.reader import JournalReader
from dayshift.limits import EMERGENCY_BYTES
from dayshift.model.records import Lease, Merged, Observed
from tests.journal.desk import flip, kill, open_journal, phased


def fill(journal) -> int:
    """Let the database grow no more, and append until it is full."""
    database = journal._store._db
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages + 2}")
    appended = 0
    with pytest.raises(JournalFull) as caught:
        while True:
            journal.append(Observed({"n": appended, "pad": "x" * 500}))
            appended += 1
    assert "SQLITE_FULL" in caught.value.reason.what
    return appended


def whys(folder) -> list[str]:
    with JournalReader.open(folder) as reader:
        return [
            getattr(one.body, "why", one.body.__class__.__name__)
            for one in reader.records()
        ]


def test_a_full_store_loses_nothing_and_takes_nothing_halfway(tmp_path):
    with open_journal(tmp_path) as journal:
        appended = fill(journal)
        head = journal.head
        with pytest.raises(JournalFull):
            journal.append(phased(), *[Observed({"pad": "x" * 3000})] * 4)
        assert journal.head == head == (appended + 2, head.hash)
        assert len(list(journal.records())) == head.seq
        journal.sign_head()
    assert audit(tmp_path).ok


def test_emergency_entries_are_read_at_once_and_merged_at_the_next_open(tmp_path):
    journal = open_journal(tmp_path)
    fill(journal)
    stored = journal.head
    first = journal.append_emergency(phased("evacuated"), phased("verified"), run="r")
    second = journal.append_emergency(phased("told"), run="r")
    assert [one.seq for one in (*first, *second)] == [stored.seq + n for n in (1, 2, 3)]
    assert journal.stranded
    assert journal.head == (second[-1].seq, second[-1].hash)
    with pytest.raises(JournalFull, match="JOURNAL-STRANDED"):
        journal.append(phased("not now"))
    assert list(journal.records(stored.seq)) == [*first, *second]
    assert whys(tmp_path)[-3:] == ["evacuated", "verified", "told"]
    end = journal.head
    kill(journal)

    with open_journal(tmp_path) as journal:
        assert not journal.stranded
        *entries, merged, lease = journal.records(stored.seq)
        assert merged.body == Merged(3, end.hash, stored.seq)
        assert [one.body.why for one in entries] == ["evacuated", "verified", "told"]
        assert [one.at for one in entries] == [one.at for one in (*first, *second)]
        assert {one.run for one in entries} == {"r"} and merged.run == ""
        assert lease.body == Lease(2, "test")
        assert entries == [*first, *second], "claims at dials name these"
        assert [one.seq for one in (merged, lease)] == [stored.seq + 4, stored.seq + 5]
        assert read_emergency(tmp_path / "emergency") is None
    assert audit(tmp_path).ok
    with open_journal(tmp_path) as journal:
        merges = [one for one in journal.records() if isinstance(one.body, Merged)]
        assert len(merges) == 1


def test_a_controller_that_starts_on_a_full_disk_still_leads(tmp_path, monkeypatch):
    """Break-glass: the lease itself goes to the emergency file, epoch after epoch."""
    from dayshift.journal.stores.sqlite import SqliteStore

    journal = open_journal(tmp_path)
    fill(journal)
    stored = journal.head
    journal.append_emergency(phased("first"))
    kill(journal)
    writer = SqliteStore.open_in

    def small(folder, lock):
        store = writer(folder, lock)
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        return store

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "open_in", staticmethod(small))
        for epoch in (2, 3):
            journal = open_journal(tmp_path)
            assert (journal.stranded, journal.epoch) == (True, epoch)
            journal.append_emergency(phased(f"epoch {epoch}"))
            kill(journal)
    with open_journal(tmp_path) as journal:
        assert (journal.stranded, journal.epoch) == (False, 4)
        bodies = [one.body for one in journal.records(stored.seq)]
        assert [type(body).__name__ for body in bodies] == [
            "Phased",
            "Lease",
            "Phased",
            "Lease",
            "Phased",
            "Merged",
            "Lease",
        ]
        epochs = [one.epoch for one in journal.records()]
        assert epochs == sorted(epochs)
    assert audit(tmp_path).ok


def test_an_append_that_failed_but_landed_does_not_lose_the_emergency(tmp_path):
    """After an error of the disk nobody knows whether the batch is durable. Here it is:
    the entries follow the head before it, and are chained behind it."""
    journal = open_journal(tmp_path)
    journal.append(phased("before"))
    before = journal._stored
    journal.append(phased("said to have failed"))
    journal._stored = before
    journal.append_emergency(phased("in need"))
    kill(journal)
    open_journal(tmp_path).close()
    assert whys(tmp_path)[2:-1] == [
        "before",
        "said to have failed",
        "Merged",
        "in need",
    ]
    assert audit(tmp_path).ok


def test_the_emergency_file_has_its_room_and_an_end(tmp_path):
    with open_journal(tmp_path) as journal:
        path = tmp_path / "emergency"
        assert path.stat().st_size == EMERGENCY_BYTES
        assert path.stat().st_blocks * 512 >= EMERGENCY_BYTES
        large = Observed({"pad": "x" * 1_000_000})
        for _ in range(4):
            journal.append_emergency(large)
        with pytest.raises(JournalFull, match="EMERGENCY-FULL"):
            journal.append_emergency(large)
        journal.append_emergency(phased("small ones still fit"))
        assert path.stat().st_size == EMERGENCY_BYTES
    with open_journal(tmp_path) as journal:
        assert sum(isinstance(one.body, Observed) for one in journal.records()) == 4


def _entries(folder):
    journal = open_journal(folder)
    for why in ("one", "two", "three"):
        journal.append_emergency(phased(why))
    kill(journal)
    return (folder / "emergency").read_bytes()


def test_a_torn_entry_was_never_acknowledged_and_is_dropped(tmp_path):
    data = _entries(tmp_path)
    end = len(data.rstrip(b"\0"))
    torn = data[:end] + data[4096 : 4096 + 80] + bytes(EMERGENCY_BYTES - end - 80)
    (tmp_path / "emergency").write_bytes(torn)
    log = read_emergency(tmp_path / "emergency")
    assert [one.body.why for one in log.records] == ["one", "two", "three"]
    open_journal(tmp_path).close()
    assert whys(tmp_path)[2:-1] == ["one", "two", "three", "Merged"]


def test_entries_of_before_a_reset_never_come_back(tmp_path):
    _entries(tmp_path)
    journal = open_journal(tmp_path)
    journal.append_emergency(phased("four"))
    kill(journal)
    log = read_emergency(tmp_path / "emergency")
    assert [one.body.why for one in log.records] == ["four"]
    open_journal(tmp_path).close()
    assert whys(tmp_path).count("one") == 1
    assert whys(tmp_path).count("four") == 1


def test_every_damaged_bit_of_an_entry_is_noticed(tmp_path):
    data = _entries(tmp_path)
    path = tmp_path / "emergency"
    whole = read_emergency(path)
    end = len(data.rstrip(b"\0"))
    for at in range(4096, end, 13):
        flip(path, at)
        with pytest.raises(ValueError):
            read_emergency(path)
        flip(path, at)
    for at in range(0, 2048, 11):  # a damaged count hides no entry
        flip(path, at)
        assert read_emergency(path) == whole
        flip(path, at)


def test_a_real_limit_on_files_strands_and_recovers(tmp_path):
    """RLIMIT_FSIZE: the kernel refuses to let the write-ahead log grow."""
    program = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        from dayshift.errors import JournalFull
        from dayshift.model.records import Observed
        from tests.journal.desk import open_journal, phased

        journal = open_journal(Path(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (262_144, 262_144))
        acknowledged = 0
        try:
            while True:
                journal.append(Observed({"n": acknowledged, "pad": "x" * 3000}))
                acknowledged += 1
        except JournalFull as error:
            print(acknowledged, error.reason.what.split("(")[1].split(":")[0])
        for _ in range(2):
            try:
                journal.append(phased("must not be appended"))
            except JournalFull as error:
                print(error.reason.code)
        print(journal.append_emergency(phased("in need"), run="r")[0].seq)
        sys.stdout.flush()
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = done.stdout.split("\n")
    acknowledged, error = lines[0].split()
    assert int(acknowledged) > 10, done.stderr
    assert error in ("SQLITE_IOERR_WRITE", "SQLITE_FULL")
    assert lines[1:3] == ["JOURNAL-FULL", "JOURNAL-FULL"]
    with open_journal(tmp_path) as journal:
        records = list(journal.records())
    numbers = [one.body.sight["n"] for one in records if isinstance(one.body, Observed)]
    assert numbers[: int(acknowledged)] == list(range(int(acknowledged)))
    assert len(numbers) <= int(acknowledged) + 1
    whys = [one.body.why for one in records if hasattr(one.body, "why")]
    assert whys == ["in need"]
    assert audit(tmp_path).ok
