"""A store in one SQLite file: write-ahead log, every commit synced.

Here live SQL and the meaning of SQLite's errors; nothing of records.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dayshift.errors import (
    JournalBroken,
    JournalError,
    JournalFull,
    JournalHeld,
    Reason,
)
from dayshift.journal.base import ORIGIN, Head, Row, SignedHead, StoredSnapshot
from dayshift.journal.lock import WriterLock

DATABASE = "journal.db"
WAL = "journal.db-wal"
BUSY_SECONDS = 1.0
SNAPSHOTS_KEPT = 2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY, hash BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS heads (
    seq INTEGER PRIMARY KEY, note BLOB NOT NULL, signature BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS snapshots (
    seq INTEGER PRIMARY KEY, hash BLOB NOT NULL, sha256 BLOB NOT NULL,
    data BLOB NOT NULL);
"""
_FIRST = "INSERT INTO records VALUES (?, ?, ?)"
_AFTER = (
    "INSERT INTO records SELECT ?, ?, ?"
    " WHERE (SELECT hash FROM records WHERE seq = ?) = ?"
)
_COUNT_TABLES = (
    "SELECT count(*) FROM sqlite_schema"
    " WHERE type = 'table' AND name IN ('records', 'heads', 'snapshots')"
)
_MALFORMED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

T = TypeVar("T")


class SqliteStore:
    """A `Store`. Built by `writer` (with the lock) or `reader` (any number of them)."""

    def __init__(
        self, folder: Path, database: sqlite3.Connection, lock: WriterLock | None
    ) -> None:
        self._folder = folder
        self._db = database
        self._lock = lock
        self._lost = False
        tables = _guard(lambda: database.execute(_COUNT_TABLES).fetchone()[0])
        self._made = tables == _SCHEMA.count("CREATE TABLE")

    @classmethod
    def writer(cls, folder: Path, lock: WriterLock) -> SqliteStore:
        """Open for writing, made if absent."""

        def start() -> sqlite3.Connection:
            database = sqlite3.connect(
                folder / DATABASE,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,  # the caller may append from a thread
            )
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.executescript(_SCHEMA)
            return database

        return cls(folder, _guard(start), lock)

    @classmethod
    def reader(cls, folder: Path) -> SqliteStore:
        """Open for reading; changes no byte of the records, and needs no lock."""
        return cls(folder, _guard(lambda: _read_only(folder)), None)

    def lease(self, epoch: int) -> None:
        if self._lock is None:
            raise JournalHeld(_moved("this process only reads it"))
        self._lock.write(epoch)

    def append(self, rows: Sequence[Row], after: Head) -> None:
        if self._lost:
            raise JournalFull(_full("an earlier write was lost by the disk"))
        try:
            if len(rows) == 1:
                self._insert_after(rows[0], after)
            else:
                self._insert_batch(rows, after)
        except sqlite3.IntegrityError:
            raise JournalHeld(_moved(f"record {after.seq + 1} exists")) from None
        except sqlite3.Error as error:
            # After a failed write or sync nobody knows which pages the disk has; only
            # reading it anew tells, so this connection writes no more.
            self._lost = _primary(error) == sqlite3.SQLITE_IOERR
            raise _translated(error) from error

    def _insert_after(self, row: Row, after: Head) -> None:
        values = (row.seq, bytes.fromhex(row.hash), row.data)
        if after == ORIGIN:
            self._db.execute(_FIRST, values)
            return
        compared = (after.seq, bytes.fromhex(after.hash))
        if self._db.execute(_AFTER, values + compared).rowcount != 1:
            raise JournalHeld(_moved(f"its head is not record {after.seq} any more"))

    def _insert_batch(self, rows: Sequence[Row], after: Head) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._insert_after(rows[0], after)
            self._db.executemany(
                _FIRST,
                [(row.seq, bytes.fromhex(row.hash), row.data) for row in rows[1:]],
            )
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def head(self) -> Head:
        sql = "SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1"
        found = self._one(sql)
        return Head(found[0], _bytes(found[1]).hex()) if found else ORIGIN

    def hash_at(self, seq: int) -> str | None:
        if seq == ORIGIN.seq:
            return ORIGIN.hash
        found = self._one("SELECT hash FROM records WHERE seq = ?", seq)
        return _bytes(found[0]).hex() if found else None

    def read(self, after_seq: int) -> Iterator[Row]:
        sql = "SELECT seq, hash, data FROM records WHERE seq > ? ORDER BY seq"
        for seq, digest, data in self._all(sql, after_seq):
            yield Row(seq, _bytes(digest).hex(), _bytes(data))

    def put_head(self, signed: SignedHead) -> None:
        _guard(
            lambda: self._db.execute(
                "INSERT OR REPLACE INTO heads VALUES (?, ?, ?)", signed
            )
        )

    def heads(self) -> Iterator[SignedHead]:
        for row in self._all("SELECT seq, note, signature FROM heads ORDER BY seq"):
            yield SignedHead(row[0], _bytes(row[1]), _bytes(row[2]))

    def put_snapshot(self, snapshot: StoredSnapshot) -> None:
        seq, digest, data = snapshot
        check = hashlib.sha256(data).digest()
        _guard(
            lambda: self._db.execute(
                "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)",
                (seq, bytes.fromhex(digest), check, data),
            )
        )
        _guard(
            lambda: self._db.execute(
                "DELETE FROM snapshots WHERE seq NOT IN"
                " (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)",
                (SNAPSHOTS_KEPT,),
            )
        )

    def snapshots(self) -> Iterator[StoredSnapshot]:
        sql = "SELECT seq, hash, sha256, data FROM snapshots ORDER BY seq DESC"
        for seq, digest, check, data in self._all(sql):
            if hashlib.sha256(_bytes(data)).digest() == check:
                yield StoredSnapshot(seq, _bytes(digest).hex(), _bytes(data))

    def page_fault(self) -> str | None:
        """What SQLite finds wrong with its pages, or None."""
        found = str(
            _guard(lambda: self._db.execute("PRAGMA quick_check(1)").fetchone()[0])
        )
        return None if found == "ok" else found

    def room_bytes(self) -> int:
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize

    def close(self) -> None:
        self._db.close()

    def _one(self, sql: str, *values: int) -> Any:
        return next(iter(self._all(sql, *values)), None)

    def _all(self, sql: str, *values: int) -> Iterator[Any]:
        if not self._made:
            return
        cursor = _guard(lambda: self._db.execute(sql, values))
        while rows := _guard(lambda: cursor.fetchmany(256)):
            yield from rows


def _bytes(value: Any) -> bytes:
    """A stored value as bytes, even where somebody put another type in its place."""
    return value if isinstance(value, bytes) else str(value).encode()


def _read_only(folder: Path) -> sqlite3.Connection:
    """A connection that cannot write; without a log where nobody can write."""
    path = (folder / DATABASE).resolve().as_uri()
    database = _connect_reader(f"{path}?mode=ro")
    try:
        database.execute(_COUNT_TABLES)
    except sqlite3.OperationalError as error:
        database.close()
        wal = folder / WAL
        log_bytes = wal.stat().st_size if wal.exists() else 0
        if _primary(error) != sqlite3.SQLITE_CANTOPEN or log_bytes:
            raise
        return _connect_reader(f"{path}?immutable=1")
    return database


def _connect_reader(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri,
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _guard(work: Callable[[], T]) -> T:
    """Do `work`; SQLite's errors come out as the journal's."""
    try:
        return work()
    except sqlite3.Error as error:
        raise _translated(error) from error


def _translated(error: sqlite3.Error) -> JournalError:
    text = f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"
    if _primary(error) in _MALFORMED:
        return JournalBroken(malformed_reason(text), 0)
    return JournalFull(_full(text))


def _primary(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def malformed_reason(text: str) -> Reason:
    """Why a file is no database any more."""
    return Reason(
        "JOURNAL-MALFORMED",
        f"{DATABASE} is damaged ({text})",
        because="its pages are not those that were written",
        so="nothing is decided from this journal",
        next="`dayshift audit`, then bring back the newest intact copy",
    )


def _full(text: str) -> Reason:
    return Reason(
        "JOURNAL-FULL",
        f"a record could not be made durable ({text})",
        because="the disk of the journal is full, gone or read-only",
        so="no further action is taken, but for those that make things safe",
        next="make room at the journal's directory, then start again",
    )


def _moved(text: str) -> Reason:
    return Reason(
        "JOURNAL-MOVED",
        f"the journal is not this controller's to write: {text}",
        because="every append names the record that it follows",
        so="nothing was written",
        next="stop this controller; another one leads",
    )
