"""The journal as its writer and its readers have it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap

import pytest

from dayshift.errors import Bug, JournalHeld, JournalNewer, Refused
from dayshift.journal.base import Head
from dayshift.journal.chain import record_hash
from dayshift.journal.codec import READER
from dayshift.journal.findings import LOCK, examine
from dayshift.journal.journal import Journal
from dayshift.journal.lock import WriterLock
from dayshift.journal.reader import JournalReader
from dayshift.journal.recovery import Chain
from dayshift.journal.signing import public_keys, read_note
from dayshift.journal.stores import HERE
from dayshift.journal.stores.sqlite import SqliteStore
from dayshift.model.records import Genesis, Lease, Observed
from tests.journal.desk import TickingClock, edit, open_journal, phased, written


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state" / "journal"


def test_a_new_journal_begins_with_genesis_and_lease(folder):
    with open_journal(folder, journal_id="j-1") as journal:
        first, second = journal.records()
        assert first.body == Genesis("j-1", "demo")
        assert second.body == Lease(1, "test")
        assert journal.head == Head(2, second.hash)
        assert (journal.journal_id, journal.estate, journal.epoch) == ("j-1", "demo", 1)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_journals_get_different_names(tmp_path):
    with open_journal(tmp_path / "a") as a, open_journal(tmp_path / "b") as b:
        assert a.journal_id != b.journal_id
        assert ":" not in a.journal_id and len(a.journal_id) == 32


def test_each_opening_is_a_new_epoch(folder):
    for epoch in (1, 2, 3):
        with open_journal(folder) as journal:
            assert journal.epoch == epoch
            assert journal.append(phased())[0].epoch == epoch


def test_a_batch_is_returned_as_it_is_read(folder):
    with open_journal(folder) as journal:
        batch = journal.append(phased("one"), Observed({"n": (1, 2)}), run="run-1")
        assert [record.seq for record in batch] == [3, 4]
        assert len({record.at for record in batch}) == 1
        assert tuple(journal.records(after_seq=2)) == batch
        assert journal.head == (4, batch[-1].hash)
        assert journal.append() == ()
    with JournalReader.open(folder) as reader:
        assert tuple(reader.records(2)) == batch


def test_a_batch_with_one_bad_body_leaves_nothing(folder):
    with open_journal(folder) as journal:
        before = journal.head
        with pytest.raises(Bug):
            journal.append(phased(), Observed({"x": 1.5}), phased())
        assert journal.head == before
        assert len(list(journal.records())) == before.seq


def test_readers_read_while_the_writer_writes(folder):
    with open_journal(folder) as journal:
        reader = JournalReader.open(folder)
        rows = reader.records()
        assert next(rows).seq == 1
        for number in range(600):
            journal.append(phased(str(number)))
        assert reader.head == journal.head
        assert reader.epoch == 1
        assert reader.journal_id == journal.journal_id
        holder = reader.writer()
        assert holder is not None
        assert (holder.pid, holder.name, holder.epoch) == (os.getpid(), "test", 1)
        assert len(list(reader.records())) == 602
        reader.close()
    with JournalReader.open(folder) as reader:
        assert reader.writer() is None


def test_a_reader_never_writes(folder):
    written(folder)
    before = {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()
    }
    with JournalReader.open(folder) as reader:
        list(reader.records())
    after = {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()
    }
    assert {name: after[name] for name in before} == before


def test_no_journal_is_a_refusal(tmp_path):
    with pytest.raises(Refused, match="JOURNAL-ABSENT"):
        JournalReader.open(tmp_path / "nowhere")


def test_a_second_writer_in_this_process_is_refused(folder):
    with open_journal(folder), pytest.raises(JournalHeld, match=f"pid {os.getpid()}"):
        open_journal(folder)
    open_journal(folder).close()


def test_a_second_process_is_told_who_holds_it(folder):
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from tests.journal.desk import open_journal
        with open_journal(Path(sys.argv[1])):
            print("holding", flush=True)
            sys.stdin.read()
    """)
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout.readline() == b"holding\n"
        with pytest.raises(JournalHeld) as caught:
            open_journal(folder)
        assert f"test (pid {child.pid}, user " in caught.value.reason.what
        assert os.uname().nodename in caught.value.reason.what
        assert caught.value.exit_code == 5
        child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    open_journal(folder).close()


def test_an_append_after_another_head_is_refused(folder):
    """Compare-and-set: even without the lock, no two records follow the same one."""
    with open_journal(folder) as journal:
        lock = WriterLock.take(folder / "other-lock", "stale", TickingClock().now())
        stale = SqliteStore.open_in(folder, lock)
        rows = list(stale.read(0))
        journal.append(phased("the other controller leads"))
        seq, digest, data = rows[-1]
        for batch in (1, 2):
            mine = [rows[-1]._replace(seq=seq + 1 + one) for one in range(batch)]
            with pytest.raises(JournalHeld, match="JOURNAL-MOVED"):
                stale.append(mine, Head(seq, digest))
        skipping = [rows[-1]._replace(seq=9)]
        with pytest.raises(JournalHeld, match="JOURNAL-MOVED"):
            stale.append(skipping, Head(8, "0" * 64))
        assert [row.seq for row in stale.read(0)] == [1, 2, 3]
        assert data == rows[-1].data
        stale.close()
        lock.release(clean=True)


def test_the_journal_says_when_it_was_overtaken(folder):
    with open_journal(folder) as journal:
        seq = journal.head.seq + 1
        edit(folder, "INSERT INTO records VALUES (?, x'00', x'00')", seq)
        with pytest.raises(JournalHeld, match="another one leads"):
            journal.append(phased())
        edit(folder, "DELETE FROM records WHERE seq = ?", seq)
        journal.append(phased())


def test_snapshots_of_this_chain_only(folder):
    with open_journal(folder) as journal:
        assert journal.latest_snapshot() is None
        for _ in range(5):
            journal.append(phased())
        journal.save_snapshot(3, b"three")
        journal.save_snapshot(5, b"five")
        assert journal.latest_snapshot() == (5, b"five")
        journal.save_snapshot(6, b"six")
        with pytest.raises(Bug):
            journal.save_snapshot(8, b"ahead of the head")
    edit(folder, "UPDATE snapshots SET hash = ? WHERE seq = 6", b"\x01" * 32)
    with JournalReader.open(folder) as reader:
        assert reader.latest_snapshot() == (5, b"five")
    edit(folder, "UPDATE snapshots SET data = x'00' WHERE seq = 5")
    with JournalReader.open(folder) as reader:
        assert reader.latest_snapshot() is None


def test_heads_are_signed_once_with_a_private_key(folder):
    with open_journal(folder) as journal:
        first = journal.sign_head()
        assert journal.sign_head() is first
        journal.append(phased())
        second = journal.sign_head()
        assert [one.seq for one in journal.signed_heads()] == [2, 3]
        note = read_note(second, public_keys(folder))
        assert note is not None
        assert (note.seq, note.hash) == tuple(journal.head)
        assert (note.estate, note.journal) == ("demo", journal.journal_id)
        assert read_note(second._replace(note=first.note), public_keys(folder)) is None
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600


def test_a_lost_private_key_does_not_orphan_old_signatures(folder):
    written(folder)
    (folder / "key").unlink()
    with open_journal(folder) as journal:
        journal.sign_head()
        keys = public_keys(folder)
        assert len(keys) == 2
        assert all(read_note(one, keys) for one in journal.signed_heads())


def test_a_journal_of_a_newer_dayshift_may_not_be_led(folder):
    written(folder, appends=1)
    with JournalReader.open(folder) as reader:
        head = reader.head
    data = (
        b'{"at":{"boot_id":"b","mono_ms":1,"wall_ms":1},"body":{"kind":"later"},'
        b'"epoch":1,"min_reader":%d,"prev":"%s","run":"","seq":4,"v":2}'
        % (READER + 1, head.hash.encode())
    )
    digest = bytes.fromhex(record_hash("later", data))
    edit(folder, "INSERT INTO records VALUES (4, ?, ?)", digest, data)
    with pytest.raises(JournalNewer):
        open_journal(folder)
    with JournalReader.open(folder) as reader, pytest.raises(JournalNewer):
        list(reader.records())


def test_room_is_known(folder):
    with open_journal(folder) as journal:
        assert journal.room_bytes > 0


def test_an_unwritable_place_is_said_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Exception, match="JOURNAL-FULL") as caught:
        Journal.open(tmp_path / "file" / "j", "demo", TickingClock(), "test")
    assert "cannot be written" in str(caught.value)


def test_what_another_writes_behind_the_head_meanwhile_is_no_damage(
    folder, monkeypatch
):
    """A controller that campaigns reads the head, then the records; a leader writes in
    between. Who leads is decided by the lease, which compares the head."""
    with open_journal(folder) as journal:
        end = journal.head
        for number in range(3):
            journal.append(Observed({"n": number}))
        journal.save_snapshot(journal.head.seq, b"{}")
    monkeypatch.setattr(SqliteStore, "head", lambda self: end)
    lock = WriterLock.take(folder / LOCK, "late", TickingClock().now())
    seen = examine(folder, "demo", lock, (), HERE)
    assert seen.findings.chain is Chain.WHOLE
