"""Journals for the tests of the journal: a clock that ticks, a few ways to write."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from dayshift.journal.journal import Journal
from dayshift.journal.reader import JournalReader
from dayshift.journal.stores.sqlite import DATABASE
from dayshift.model.records import Phase, Phased, Record
from dayshift.model.units import Instant

ESTATE = "demo"


class TickingClock:
    """Each look at it is a millisecond later. The journal only ever looks."""

    def __init__(self, wall_ms: int = 1_700_000_000_000) -> None:
        self._wall_ms = wall_ms

    def now(self) -> Instant:
        self._wall_ms += 1
        return Instant(self._wall_ms, self._wall_ms - 1_600_000_000_000, "boot")

    async def sleep(self, ms: int) -> None:
        raise AssertionError("the journal never sleeps")

    async def within(self, ms, work):
        raise AssertionError("the journal never waits")


def open_journal(folder: Path, **more) -> Journal:
    more.setdefault("estate", ESTATE)
    return Journal.open(folder, clock=TickingClock(), holder="test", **more)


def phased(why: str = "") -> Phased:
    return Phased("fra", Phase.SERVING, Phase.PREFLIGHT, why)


def written(folder: Path, appends: int = 5, what: str = "append") -> None:
    """A journal of `appends` records after genesis and lease, closed."""
    with open_journal(folder) as journal:
        for number in range(appends):
            journal.append(phased(f"{what} {number}"), run="run-1")


def kill(journal: Journal) -> None:
    """Leave behind what kill -9 does: nothing signed, the log not folded.

    The files are copied while the journal is open, and put back after it was closed.
    """
    folder = journal.folder
    copy = folder.with_name(folder.name + ".killed")
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*-shm"))
    journal.close()
    shutil.rmtree(folder)
    copy.rename(folder)


def read_all(folder: Path) -> list[Record]:
    with JournalReader.open(folder) as reader:
        return list(reader.records())


def edit(folder: Path, sql: str, *values: object) -> None:
    """Tamper with the database as its owner could."""
    database = sqlite3.connect(folder / DATABASE, isolation_level=None)
    database.execute(sql, values)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def rows(folder: Path) -> list[tuple[int, bytes, bytes]]:
    """Every record as its database has it: number, hash, data."""
    database = sqlite3.connect(folder / DATABASE)
    found = database.execute("SELECT seq, hash, data FROM records ORDER BY seq")
    every = found.fetchall()
    database.close()
    return every


def flip(path: Path, at: int, bit: int = 1) -> None:
    """Flip a bit of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= bit
    path.write_bytes(data)
