"""States in which a journal's directory may be found, and what each must lead to.

Each state is a function that brings a folder into it, with real files.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from dayshift.journal.journal import Journal
from tests.journal.desk import edit, flip, kill, open_journal, phased, written

State = Callable[[Path], Journal | None]


def held(folder):
    return open_journal(folder)


def nothing(folder):
    return None


def empty_folder(folder):
    folder.mkdir()


def killed_before_genesis(folder):
    """The database has its tables and its mark, but no record yet."""
    written(folder)
    for table in ("records", "heads", "snapshots"):
        edit(folder, f"DELETE FROM {table}")
    for name in ("head", "mark"):
        (folder / name).unlink()


def empty_file_before_tables(folder):
    folder.mkdir()
    (folder / "journal.db").touch()


def killed(folder):
    journal = open_journal(folder)
    for number in range(4):
        journal.append(phased(str(number)))
    kill(journal)


def killed_after_signing(folder):
    journal = open_journal(folder)
    journal.append(phased("signed"))
    journal.sign_head()
    journal.append(phased("not signed"))
    kill(journal)


def killed_and_garbage_after_the_log(folder):
    """What an append leaves that was torn before its commit."""
    killed(folder)
    with (folder / "journal.db-wal").open("ab") as wal:
        wal.write(b"\x37" * 5_000)


def killed_and_an_uncommitted_frame(folder):
    """A frame of the right salt without commit mark, torn in the middle."""
    killed(folder)
    data = (folder / "journal.db-wal").read_bytes()
    frame = bytearray(data[32 : 32 + 24 + 4096])
    frame[4:8] = struct.pack(">I", 0)
    (folder / "journal.db-wal").write_bytes(data + frame[:3_000])


def closed(folder):
    written(folder)


def closed_without_witnesses(folder):
    """Only the database was brought over from elsewhere."""
    written(folder)
    for name in ("head", "mark", "lock"):
        (folder / name).unlink()


def witnesses_illegible(folder):
    written(folder)
    for name in ("head", "mark"):
        (folder / name).write_bytes(b"\xee" * 2048)


def database_removed(folder):
    written(folder)
    (folder / "journal.db").unlink()


def database_emptied(folder):
    written(folder)
    (folder / "journal.db").write_bytes(b"")


def records_deleted(folder):
    written(folder)
    edit(folder, "DELETE FROM records")


def only_the_log_left(folder):
    killed(folder)
    (folder / "journal.db").unlink()
    for name in ("head", "mark"):
        (folder / name).unlink()


def only_the_emergency_left(folder):
    stranded(folder)
    for name in ("journal.db", "head", "mark"):
        (folder / name).unlink()


def page_overwritten(folder):
    written(folder, appends=80)
    data = bytearray((folder / "journal.db").read_bytes())
    data[3 * 4096 : 3 * 4096 + 200] = b"\x00" * 200
    for page in range(4, len(data) // 4096):
        data[page * 4096 : page * 4096 + 16] = b"\xff" * 16
    (folder / "journal.db").write_bytes(data)


def header_overwritten(folder):
    written(folder)
    data = (folder / "journal.db").read_bytes()
    (folder / "journal.db").write_bytes(b"x" * 100 + data[100:])


def database_truncated(folder):
    written(folder, appends=80)
    data = (folder / "journal.db").read_bytes()
    (folder / "journal.db").write_bytes(data[: len(data) // 2])


def of_another_estate(folder):
    open_journal(folder, estate="other").close()


def record_flipped(folder):
    written(folder)
    data = (folder / "journal.db").read_bytes()
    flip(folder / "journal.db", data.index(b"append 2"))


def record_removed(folder):
    written(folder)
    edit(folder, "DELETE FROM records WHERE seq = 4")


def genesis_flipped(folder):
    written(folder)
    data = (folder / "journal.db").read_bytes()
    flip(folder / "journal.db", data.index(b'"genesis"') + 2)


def log_removed(folder):
    written(folder)
    killed(folder)
    (folder / "journal.db-wal").unlink()


def log_emptied(folder):
    written(folder)
    killed(folder)
    (folder / "journal.db-wal").write_bytes(b"")


def log_cut_off(folder):
    """The last committed records are gone from the log's end."""
    written(folder)
    killed(folder)
    data = (folder / "journal.db-wal").read_bytes()
    (folder / "journal.db-wal").write_bytes(data[: len(data) - 2 * (24 + 4096)])


def log_flipped(folder):
    """A flipped bit ends SQLite's log there: what follows is lost."""
    written(folder)
    killed(folder)
    flip(folder / "journal.db-wal", 32 + 24 + 100)


def old_copy_restored(folder):
    written(folder)
    copy = folder.with_name("copy")
    shutil.copy(folder / "journal.db", copy)
    written(folder)
    shutil.copy(copy, folder / "journal.db")


def end_deleted(folder):
    written(folder)
    edit(folder, "DELETE FROM records WHERE seq > 5")


def old_copy_grew(folder):
    """An old copy was restored without its witnesses, and written further."""
    written(folder)
    old = folder.with_name("old")
    shutil.copytree(folder, old)
    written(folder, appends=1)
    written(old, appends=9, what="elsewhere")
    shutil.copy(old / "journal.db", folder / "journal.db")


def head_signed_by_a_stranger(folder):
    written(folder)
    stranger = folder.with_name("stranger")
    written(stranger)
    shutil.copy(stranger / "head", folder / "head")


def moved_away(folder):
    journal = open_journal(folder)
    journal._store.set_moved("etcd at a:2379")
    journal.close()


def stranded(folder):
    journal = open_journal(folder, journal_id="j-1")
    journal.append(phased("stored"))
    journal.append_emergency(phased("in need"), phased("in need too"), run="run-1")
    kill(journal)


def merged_but_not_reset(folder):
    stranded(folder)
    entries = (folder / "emergency").read_bytes()
    open_journal(folder).close()
    (folder / "emergency").write_bytes(entries)


def emergency_of_another(folder):
    written(folder)
    other = folder.with_name("other")
    stranded(other)
    shutil.copy(other / "emergency", folder / "emergency")


def emergency_flipped(folder):
    stranded(folder)
    data = (folder / "emergency").read_bytes()
    flip(folder / "emergency", data.index(b"in need"))


def emergency_counts_overwritten(folder):
    stranded(folder)
    data = (folder / "emergency").read_bytes()
    (folder / "emergency").write_bytes(bytes(2048) + data[2048:])


OPENED: dict[State, str] = {
    nothing: "JOURNAL-NEW",
    empty_folder: "JOURNAL-NEW",
    killed_before_genesis: "JOURNAL-UNBORN",
    empty_file_before_tables: "JOURNAL-UNBORN",
    closed: "JOURNAL-OPEN",
    killed: "JOURNAL-OPEN",
    killed_after_signing: "JOURNAL-OPEN",
    killed_and_garbage_after_the_log: "JOURNAL-OPEN",
    killed_and_an_uncommitted_frame: "JOURNAL-OPEN",
    closed_without_witnesses: "JOURNAL-OPEN",
    witnesses_illegible: "JOURNAL-OPEN",
    stranded: "EMERGENCY-MERGE",
    merged_but_not_reset: "EMERGENCY-SPENT",
}
REFUSED: dict[State, str] = {
    held: "JOURNAL-HELD",
    database_removed: "JOURNAL-GONE",
    database_emptied: "JOURNAL-GONE",
    records_deleted: "JOURNAL-GONE",
    only_the_log_left: "JOURNAL-GONE",
    only_the_emergency_left: "JOURNAL-GONE",
    page_overwritten: "JOURNAL-MALFORMED",
    header_overwritten: "JOURNAL-MALFORMED",
    database_truncated: "JOURNAL-MALFORMED",
    of_another_estate: "JOURNAL-OF-ANOTHER-ESTATE",
    moved_away: "JOURNAL-MOVED-AWAY",
    record_flipped: "JOURNAL-BROKEN",
    record_removed: "JOURNAL-BROKEN",
    genesis_flipped: "JOURNAL-BROKEN",
    log_removed: "JOURNAL-WAL-LOST",
    log_emptied: "JOURNAL-WAL-LOST",
    log_cut_off: "JOURNAL-BEHIND",
    log_flipped: "JOURNAL-BEHIND",
    old_copy_restored: "JOURNAL-BEHIND",
    end_deleted: "JOURNAL-BEHIND",
    old_copy_grew: "JOURNAL-FORKED",
    head_signed_by_a_stranger: "JOURNAL-FORKED",
    emergency_of_another: "EMERGENCY-FOREIGN",
    emergency_flipped: "EMERGENCY-DAMAGED",
    emergency_counts_overwritten: "EMERGENCY-DAMAGED",
}
