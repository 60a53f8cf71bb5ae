"""Store `sqlite`: one file in the journal's folder, every commit synced.

Here live SQL and the meaning of SQLite's errors; nothing of records. Its leader is who
holds the folder's lock, its inbox a folder of small files.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dayshift.errors import (
    JournalBroken,
    JournalError,
    JournalFull,
    JournalHeld,
)
from dayshift.journal.base import (
    ORIGIN,
    Head,
    Health,
    Holder,
    Member,
    Message,
    Row,
    SignedHead,
    Stir,
    StoredSnapshot,
    Wave,
)
from dayshift.journal.lock import LOCK, WriterLock, living_holder
from dayshift.journal.stores import Access
from dayshift.journal.stores.files import FileInbox
from dayshift.journal.stores.reasons import (
    full_reason,
    malformed_reason,
    moved_reason,
)
from dayshift.journal.stores.sqlite_link import (
    DATABASE,
    SCHEMA,
    SCHEMA_LATER,
    TABLES,
    connect_writer,
    make,
    primary,
    read_only,
)
from dayshift.journal.stores.watching import poll, stirred
from dayshift.model.units import Clock
from dayshift.options import StrictOptions

SNAPSHOTS_KEPT = 2

_FIRST = "INSERT INTO records VALUES (?, ?, ?)"
_AFTER = (
    "INSERT INTO records SELECT ?, ?, ?"
    " WHERE (SELECT hash FROM records WHERE seq = ?) = ?"
)
_TABLES_NEEDED = frozenset({"records", "heads", "snapshots"})
_WAVE = "wave"
_MOVED = "moved"
_MALFORMED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

T = TypeVar("T")


class SqliteStore:
    """A `Store`. Built by `writer` (with the lock) or `reader` (any number of them)."""

    class Options(StrictOptions):
        """There are none: the file lies in the journal's folder."""

    def __init__(
        self, folder: Path, database: sqlite3.Connection, lock: WriterLock | None
    ) -> None:
        self._folder = folder
        self._db = database
        self._lock = lock
        self._lost = False
        self._inbox = FileInbox(folder)
        rows = _guard(lambda: database.execute(TABLES).fetchall())
        # Keys and notes came later: a journal without them is whole all the same.
        self._tables = {str(name) for (name,) in rows}
        if not self._tables >= _TABLES_NEEDED:
            self._tables = set()

    @classmethod
    def writer(cls, access: Access, folder: Path, lock: WriterLock) -> SqliteStore:
        """As `open_in`; the signature of all stores."""
        return cls.open_in(folder, lock)

    @classmethod
    def reader(cls, access: Access, folder: Path) -> SqliteStore | None:
        """Open for reading; changes no byte of the records, and needs no lock."""
        if not (folder / DATABASE).exists():
            return None
        return cls(folder, _guard(lambda: read_only(folder)), None)

    @classmethod
    def open_in(cls, folder: Path, lock: WriterLock) -> SqliteStore:
        """Open for writing, made if absent."""

        def start() -> sqlite3.Connection:
            if not (folder / DATABASE).exists():
                make(folder)
            database = connect_writer(folder / DATABASE)
            database.executescript(SCHEMA)
            with contextlib.suppress(sqlite3.OperationalError):
                # On a full disk an older journal goes on without these.
                database.executescript(SCHEMA_LATER)
            return database

        return cls(folder, _guard(start), lock)

    def lease(self, holder: Holder, after: Head) -> None:
        if self._lock is None:
            raise JournalHeld(moved_reason("this process only reads it"))
        if self.head() != after:
            raise JournalHeld(
                moved_reason(f"its head is not record {after.seq} any more")
            )
        self._lock.write(holder.epoch)

    @property
    def lost(self) -> bool:
        """Never: the lock ends with the process."""
        return False

    def leader(self) -> Holder | None:
        return living_holder(self._folder / LOCK)

    def append(self, rows: Sequence[Row], after: Head) -> None:
        if self._lost:
            raise JournalFull(full_reason("an earlier write was lost by the disk"))
        try:
            if len(rows) == 1:
                self._insert_after(rows[0], after)
            else:
                self._insert_batch(rows, after)
        except sqlite3.IntegrityError:
            raise JournalHeld(moved_reason(f"record {after.seq + 1} exists")) from None
        except sqlite3.Error as error:
            # After a failed write or sync nobody knows which pages the disk has; only
            # reading it anew tells, so this connection writes no more.
            self._lost = primary(error) == sqlite3.SQLITE_IOERR
            raise _translated(error) from error

    def _insert_after(self, row: Row, after: Head) -> None:
        values = (row.seq, bytes.fromhex(row.hash), row.data)
        if after == ORIGIN:
            self._db.execute(_FIRST, values)
            return
        compared = (after.seq, bytes.fromhex(after.hash))
        if self._db.execute(_AFTER, values + compared).rowcount != 1:
            raise JournalHeld(
                moved_reason(f"its head is not record {after.seq} any more")
            )

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
        found = self._one("records", sql)
        return Head(found[0], _bytes(found[1]).hex()) if found else ORIGIN

    def hash_at(self, seq: int) -> str | None:
        if seq == ORIGIN.seq:
            return ORIGIN.hash
        found = self._one("records", "SELECT hash FROM records WHERE seq = ?", seq)
        return _bytes(found[0]).hex() if found else None

    def read(self, after_seq: int) -> Iterator[Row]:
        sql = "SELECT seq, hash, data FROM records WHERE seq > ? ORDER BY seq"
        for seq, digest, data in self._all("records", sql, after_seq):
            yield Row(seq, _bytes(digest).hex(), _bytes(data))

    def put_head(self, signed: SignedHead) -> None:
        _guard(
            lambda: self._db.execute(
                "INSERT OR REPLACE INTO heads VALUES (?, ?, ?)", signed
            )
        )

    def heads(self) -> Iterator[SignedHead]:
        for row in self._all("heads", "SELECT * FROM heads ORDER BY seq"):
            yield SignedHead(row[0], _bytes(row[1]), _bytes(row[2]))

    def last_signed(self) -> SignedHead | None:
        sql = "SELECT * FROM heads ORDER BY seq DESC LIMIT 1"
        row = self._one("heads", sql)
        return SignedHead(row[0], _bytes(row[1]), _bytes(row[2])) if row else None

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
        for seq, digest, check, data in self._all("snapshots", sql):
            if hashlib.sha256(_bytes(data)).digest() == check:
                yield StoredSnapshot(seq, _bytes(digest).hex(), _bytes(data))

    def put_key(self, public_hex: str) -> None:
        sql = "INSERT OR IGNORE INTO keys VALUES (?)"
        _guard(lambda: self._db.execute(sql, (public_hex,)))
        self._tables.add("keys")

    def public_keys(self) -> tuple[str, ...]:
        found = self._all("keys", "SELECT public_hex FROM keys ORDER BY rowid")
        return tuple(str(row[0]) for row in found)

    def wave(self) -> Wave | None:
        found = self._note(_WAVE)
        return msgspec.json.decode(found, type=Wave) if found else None

    def take_wave(self, wave: Wave) -> Wave:
        had = self.wave()
        if had is not None and had.journal != wave.journal:
            return had
        self._put_note(_WAVE, msgspec.json.encode(wave))
        return wave

    def release_wave(self, journal: str) -> None:
        had = self.wave()
        if had is not None and had.journal == journal:
            self._put_note(_WAVE, b"")

    def moved_to(self) -> str:
        return self._note(_MOVED).decode()

    def set_moved(self, to: str) -> None:
        self._put_note(_MOVED, to.encode())

    def _note(self, name: str) -> bytes:
        found = self._one("notes", "SELECT value FROM notes WHERE name = ?", name)
        return _bytes(found[0]) if found else b""

    def _put_note(self, name: str, value: bytes) -> None:
        sql = "INSERT OR REPLACE INTO notes VALUES (?, ?)"
        _guard(lambda: self._db.execute(sql, (name, value)))
        self._tables.add("notes")

    def fault(self) -> str | None:
        """What SQLite finds wrong with its pages, or None."""
        found = str(
            _guard(lambda: self._db.execute("PRAGMA quick_check(1)").fetchone()[0])
        )
        return None if found == "ok" else found

    def room_bytes(self) -> int:
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize

    def health(self) -> Health:
        room = self.room_bytes()
        says = f"one file here, {room >> 20:,} MiB left on its disk"
        member = Member(str(self._folder / DATABASE), True, says)
        return Health("sqlite", (member,), room, "one controller, on this machine")

    def post(self, token: str, data: bytes) -> None:
        self._inbox.post(token, data)

    def inbox(self) -> tuple[Message, ...]:
        return self._inbox.read()

    def take(self, token: str) -> None:
        self._inbox.take(token)

    async def watch(
        self, head: Head, wanted: frozenset[Stir], clock: Clock, timeout_ms: int
    ) -> frozenset[Stir]:
        async def look() -> frozenset[Stir]:
            return stirred(self, head, wanted)

        return await poll(look, clock, timeout_ms)

    def close(self) -> None:
        self._db.close()

    def _one(self, table: str, sql: str, *values: int | str) -> Any:
        return next(iter(self._all(table, sql, *values)), None)

    def _all(self, table: str, sql: str, *values: int | str) -> Iterator[Any]:
        if table not in self._tables:
            return
        cursor = _guard(lambda: self._db.execute(sql, values))
        while rows := _guard(lambda: cursor.fetchmany(256)):
            yield from rows


def _bytes(value: Any) -> bytes:
    """A stored value as bytes, even where somebody put another type in its place."""
    return value if isinstance(value, bytes) else str(value).encode()


def _guard(work: Callable[[], T]) -> T:
    """Do `work`; SQLite's errors come out as the journal's."""
    try:
        return work()
    except sqlite3.Error as error:
        raise _translated(error) from error


def _translated(error: sqlite3.Error) -> JournalError:
    text = f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"
    if primary(error) in _MALFORMED:
        return JournalBroken(malformed_reason(DATABASE, text), 0)
    return JournalFull(full_reason(text))
