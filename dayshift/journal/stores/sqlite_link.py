"""The database file of store `sqlite`: how it is made and opened. No rows, no records.

Made whole or not at all, opened for writing with every commit synced, and opened for
reading in a way that changes none of its bytes.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from dayshift.journal.durable import sync_folder

DATABASE = "journal.db"
WAL = "journal.db-wal"
BUSY_SECONDS = 1.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY, hash BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS heads (
    seq INTEGER PRIMARY KEY, note BLOB NOT NULL, signature BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS snapshots (
    seq INTEGER PRIMARY KEY, hash BLOB NOT NULL, sha256 BLOB NOT NULL,
    data BLOB NOT NULL);
"""
SCHEMA_LATER = """
CREATE TABLE IF NOT EXISTS keys (public_hex TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""
TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"


def read_only(folder: Path) -> sqlite3.Connection:
    """A connection that cannot write; without a log where nobody can write."""
    path = (folder / DATABASE).resolve().as_uri()
    database = _connect_reader(f"{path}?mode=ro")
    try:
        database.execute(TABLES)
    except sqlite3.OperationalError as error:
        database.close()
        wal = folder / WAL
        log_bytes = wal.stat().st_size if wal.exists() else 0
        if primary(error) != sqlite3.SQLITE_CANTOPEN or log_bytes:
            raise
        return _connect_reader(f"{path}?immutable=1")
    return database


def make(folder: Path) -> None:
    """A database without a record, there whole or not at all.

    Why: SQLite makes one in several steps, and rolls back what a power cut left half
    done only for whoever may write, which looking at a journal must not.
    """
    draft = folder / f"{DATABASE}.new"
    for one in folder.glob(f"{draft.name}*"):
        one.unlink()
    with contextlib.closing(connect_writer(draft)) as database:
        database.executescript(SCHEMA + SCHEMA_LATER)
    draft.replace(folder / DATABASE)
    sync_folder(folder)


def connect_writer(path: Path) -> sqlite3.Connection:
    """A connection whose every commit is on the disk when it returns."""
    database = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,  # the caller may append from a thread
    )
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    return database


def _connect_reader(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri,
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def primary(error: sqlite3.Error) -> int:
    """SQLite's code of an error, without what it adds."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
