"""Every cell of the recovery table, with real files that were really damaged."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from dayshift.errors import JournalBroken, JournalError, JournalHeld, Refused
from dayshift.journal.journal import Journal
from dayshift.journal.recovery import TABLE
from dayshift.model.dial import Claim
from dayshift.model.records import Merged
from tests.journal.desk import edit, flip, kill, open_journal, phased, read_all, written

State = Callable[[Path], Journal | None]


def _held(folder):
    return open_journal(folder)


def _nothing(folder):
    return None


def _empty_folder(folder):
    folder.mkdir()


def _killed_before_genesis(folder):
    """The database has its tables and its mark, but no record yet."""
    written(folder)
    for table in ("records", "heads", "snapshots"):
        edit(folder, f"DELETE FROM {table}")
    for name in ("head", "mark"):
        (folder / name).unlink()


def _empty_file_before_tables(folder):
    folder.mkdir()
    (folder / "journal.db").touch()


def _killed(folder):
    journal = open_journal(folder)
    for number in range(4):
        journal.append(phased(str(number)))
    kill(journal)


def _killed_after_signing(folder):
    journal = open_journal(folder)
    journal.append(phased("signed"))
    journal.sign_head()
    journal.append(phased("not signed"))
    kill(journal)


def _killed_and_garbage_after_the_log(folder):
    """What an append leaves that was torn before its commit."""
    _killed(folder)
    with (folder / "journal.db-wal").open("ab") as wal:
        wal.write(b"\x37" * 5_000)


def _killed_and_an_uncommitted_frame(folder):
    """A frame of the right salt without commit mark, torn in the middle."""
    _killed(folder)
    data = (folder / "journal.db-wal").read_bytes()
    frame = bytearray(data[32 : 32 + 24 + 4096])
    frame[4:8] = struct.pack(">I", 0)
    (folder / "journal.db-wal").write_bytes(data + frame[:3_000])


def _closed(folder):
    written(folder)


def _closed_without_witnesses(folder):
    """Only the database was brought over from elsewhere."""
    written(folder)
    for name in ("head", "mark", "lock"):
        (folder / name).unlink()


def _witnesses_illegible(folder):
    written(folder)
    for name in ("head", "mark"):
        (folder / name).write_bytes(b"\xee" * 2048)


def _database_removed(folder):
    written(folder)
    (folder / "journal.db").unlink()


def _database_emptied(folder):
    written(folder)
    (folder / "journal.db").write_bytes(b"")


def _records_deleted(folder):
    written(folder)
    edit(folder, "DELETE FROM records")


def _only_the_log_left(folder):
    _killed(folder)
    (folder / "journal.db").unlink()
    for name in ("head", "mark"):
        (folder / name).unlink()


def _only_the_emergency_left(folder):
    _stranded(folder)
    for name in ("journal.db", "head", "mark"):
        (folder / name).unlink()


def _page_overwritten(folder):
    written(folder, appends=80)
    data = bytearray((folder / "journal.db").read_bytes())
    data[3 * 4096 : 3 * 4096 + 200] = b"\x00" * 200
    for page in range(4, len(data) // 4096):
        data[page * 4096 : page * 4096 + 16] = b"\xff" * 16
    (folder / "journal.db").write_bytes(data)


def _header_overwritten(folder):
    written(folder)
    data = (folder / "journal.db").read_bytes()
    (folder / "journal.db").write_bytes(b"x" * 100 + data[100:])


def _database_truncated(folder):
    written(folder, appends=80)
    data = (folder / "journal.db").read_bytes()
    (folder / "journal.db").write_bytes(data[: len(data) // 2])


def _of_another_estate(folder):
    open_journal(folder, estate="other").close()


def _record_flipped(folder):
    written(folder)
    data = (folder / "journal.db").read_bytes()
    flip(folder / "journal.db", data.index(b"append 2"))


def _record_removed(folder):
    written(folder)
    edit(folder, "DELETE FROM records WHERE seq = 4")


def _genesis_flipped(folder):
    written(folder)
    data = (folder / "journal.db").read_bytes()
    flip(folder / "journal.db", data.index(b'"genesis"') + 2)


def _log_removed(folder):
    written(folder)
    _killed(folder)
    (folder / "journal.db-wal").unlink()


def _log_emptied(folder):
    written(folder)
    _killed(folder)
    (folder / "journal.db-wal").write_bytes(b"")


def _log_cut_off(folder):
    """The last committed records are gone from the log's end."""
    written(folder)
    _killed(folder)
    data = (folder / "journal.db-wal").read_bytes()
    (folder / "journal.db-wal").write_bytes(data[: len(data) - 2 * (24 + 4096)])


def _log_flipped(folder):
    """A flipped bit ends SQLite's log there: what follows is lost."""
    written(folder)
    _killed(folder)
    flip(folder / "journal.db-wal", 32 + 24 + 100)


def _old_copy_restored(folder):
    written(folder)
    copy = folder.with_name("copy")
    shutil.copy(folder / "journal.db", copy)
    written(folder)
    shutil.copy(copy, folder / "journal.db")


def _end_deleted(folder):
    written(folder)
    edit(folder, "DELETE FROM records WHERE seq > 5")


def _old_copy_grew(folder):
    """An old copy was restored without its witnesses, and written further."""
    written(folder)
    old = folder.with_name("old")
    shutil.copytree(folder, old)
    written(folder, appends=1)
    written(old, appends=9, what="elsewhere")
    shutil.copy(old / "journal.db", folder / "journal.db")


def _head_signed_by_a_stranger(folder):
    written(folder)
    stranger = folder.with_name("stranger")
    written(stranger)
    shutil.copy(stranger / "head", folder / "head")


def _stranded(folder):
    journal = open_journal(folder, journal_id="j-1")
    journal.append(phased("stored"))
    journal.append_emergency(phased("in need"), phased("in need too"), run="run-1")
    kill(journal)


def _merged_but_not_reset(folder):
    _stranded(folder)
    entries = (folder / "emergency").read_bytes()
    open_journal(folder).close()
    (folder / "emergency").write_bytes(entries)


def _emergency_of_another(folder):
    written(folder)
    other = folder.with_name("other")
    _stranded(other)
    shutil.copy(other / "emergency", folder / "emergency")


def _emergency_flipped(folder):
    _stranded(folder)
    data = (folder / "emergency").read_bytes()
    flip(folder / "emergency", data.index(b"in need"))


def _emergency_counts_overwritten(folder):
    _stranded(folder)
    data = (folder / "emergency").read_bytes()
    (folder / "emergency").write_bytes(bytes(2048) + data[2048:])


OPENED: dict[State, str] = {
    _nothing: "JOURNAL-NEW",
    _empty_folder: "JOURNAL-NEW",
    _killed_before_genesis: "JOURNAL-UNBORN",
    _empty_file_before_tables: "JOURNAL-UNBORN",
    _closed: "JOURNAL-OPEN",
    _killed: "JOURNAL-OPEN",
    _killed_after_signing: "JOURNAL-OPEN",
    _killed_and_garbage_after_the_log: "JOURNAL-OPEN",
    _killed_and_an_uncommitted_frame: "JOURNAL-OPEN",
    _closed_without_witnesses: "JOURNAL-OPEN",
    _witnesses_illegible: "JOURNAL-OPEN",
    _stranded: "EMERGENCY-MERGE",
    _merged_but_not_reset: "EMERGENCY-SPENT",
}
REFUSED: dict[State, str] = {
    _held: "JOURNAL-HELD",
    _database_removed: "JOURNAL-GONE",
    _database_emptied: "JOURNAL-GONE",
    _records_deleted: "JOURNAL-GONE",
    _only_the_log_left: "JOURNAL-GONE",
    _only_the_emergency_left: "JOURNAL-GONE",
    _page_overwritten: "JOURNAL-MALFORMED",
    _header_overwritten: "JOURNAL-MALFORMED",
    _database_truncated: "JOURNAL-MALFORMED",
    _of_another_estate: "JOURNAL-OF-ANOTHER-ESTATE",
    _record_flipped: "JOURNAL-BROKEN",
    _record_removed: "JOURNAL-BROKEN",
    _genesis_flipped: "JOURNAL-BROKEN",
    _log_removed: "JOURNAL-WAL-LOST",
    _log_emptied: "JOURNAL-WAL-LOST",
    _log_cut_off: "JOURNAL-BEHIND",
    _log_flipped: "JOURNAL-BEHIND",
    _old_copy_restored: "JOURNAL-BEHIND",
    _end_deleted: "JOURNAL-BEHIND",
    _old_copy_grew: "JOURNAL-FORKED",
    _head_signed_by_a_stranger: "JOURNAL-FORKED",
    _emergency_of_another: "EMERGENCY-FOREIGN",
    _emergency_flipped: "EMERGENCY-DAMAGED",
    _emergency_counts_overwritten: "EMERGENCY-DAMAGED",
}


def _name(state: State | str) -> str:
    return getattr(state, "__name__", str(state)).strip("_")


def test_every_cell_of_the_table_has_a_case():
    assert {cell.code for cell in TABLE} == {*OPENED.values(), *REFUSED.values()}


@pytest.mark.parametrize(("state", "code"), OPENED.items(), ids=_name)
def test_what_is_whole_is_opened(state, code, tmp_path, monkeypatch):
    folder = tmp_path / "journal"
    state(folder)
    used = _spy(monkeypatch)
    with open_journal(folder) as journal:
        assert used == [code]
        journal.append(phased("goes on"))
        records = list(journal.records())
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    open_journal(folder).close()


@pytest.mark.parametrize(("state", "code"), REFUSED.items(), ids=_name)
def test_what_is_not_whole_is_refused_and_left_alone(state, code, tmp_path):
    folder = tmp_path / "journal"
    left_open = state(folder)
    before = _evidence(folder)
    with pytest.raises((JournalError, Refused)) as caught:
        open_journal(folder)
    assert caught.value.reason.code == code
    assert caught.value.reason.because and caught.value.reason.next
    assert _evidence(folder) == before
    with pytest.raises((JournalError, Refused), match=code):
        open_journal(folder)
    assert isinstance(caught.value, JournalHeld) == (code == "JOURNAL-HELD")
    if left_open is not None:
        left_open.close()


def _spy(monkeypatch) -> list[str]:
    """Which cells are used; the decision itself stays the real one."""
    from dayshift.journal import findings

    used: list[str] = []
    decide = findings.recovery.decide

    def noted(found):
        cell = decide(found)
        used.append(cell.code)
        return cell

    monkeypatch.setattr(findings.recovery, "decide", noted)
    return used


def _evidence(folder: Path) -> dict[str, bytes]:
    """Every file with something in it, but for what SQLite's readers share."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.stat().st_size and not path.name.endswith("-shm")
    }


def test_the_broken_record_is_named(tmp_path):
    folder = tmp_path / "journal"
    _record_flipped(folder)
    with pytest.raises(JournalBroken) as caught:
        open_journal(folder)
    assert caught.value.seq == 5
    assert "record 5 hashes to" in caught.value.reason.what


def test_what_is_missing_is_said_with_both_numbers(tmp_path):
    folder = tmp_path / "journal"
    _end_deleted(folder)
    with pytest.raises(JournalBroken) as caught:
        open_journal(folder)
    assert caught.value.seq == 6
    assert "it ends at record 5" in caught.value.reason.what
    assert "knows 7" in caught.value.reason.what


def test_a_claim_at_a_dial_is_a_witness_too(tmp_path):
    """Database and witnesses restored together: only the dial still knows."""
    folder, copy = tmp_path / "journal", tmp_path / "copy"
    written(folder)
    shutil.copytree(folder, copy)
    written(folder)
    head = read_all(folder)[-1]
    journal_id = read_all(folder)[0].body.journal
    shutil.rmtree(folder)
    copy.rename(folder)
    claim = Claim("demo", journal_id, 2, head.seq)
    with pytest.raises(JournalBroken, match="JOURNAL-BEHIND") as caught:
        open_journal(folder, claims=[claim])
    assert str(claim) in caught.value.reason.what
    open_journal(folder, claims=[Claim("demo", "another", 9, 999)]).close()


def test_a_claim_of_an_emergency_entry_is_no_loss(tmp_path):
    folder = tmp_path / "journal"
    _stranded(folder)
    with open_journal(folder, claims=[Claim("demo", "j-1", 1, 5)]) as journal:
        assert journal.claim_reason(Claim("demo", "j-1", 1, 5)) is None
        assert any(isinstance(one.body, Merged) for one in journal.records())


def test_only_what_follows_the_newest_snapshot_is_verified_at_open(tmp_path):
    """What lies before it is found by the audit; a restart stays short."""
    folder = tmp_path / "journal"
    with open_journal(folder) as journal:
        for number in range(5):
            journal.append(phased(f"append {number}"))
        journal.save_snapshot(7, b"state")
    edit(folder, "UPDATE records SET data = x'00' WHERE seq = 4")
    open_journal(folder).close()
    edit(folder, "UPDATE records SET data = x'00' WHERE seq = 8")
    with pytest.raises(JournalBroken, match="record 8"):
        open_journal(folder)
