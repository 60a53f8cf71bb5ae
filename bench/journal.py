"""Measures the journal: appends against bare SQLite, and a restart.

    python bench/journal.py [--appends 3000] [--records 100000] [--folder DIR]

Both sides insert rows of the same bytes, one per transaction, WAL, `synchronous=FULL`,
on the same disk, in alternating rounds of one run. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

from dayshift.journal.base import Head, Row
from dayshift.journal.chain import seal
from dayshift.journal.journal import Journal
from dayshift.journal.stores import Access
from dayshift.journal.stores.sqlite import SqliteStore
from dayshift.limits import SNAPSHOT_EVERY
from dayshift.model.dial import split
from dayshift.model.records import Action, ActionKind, Intent
from dayshift.runtime.clock import RealClock

RATIO_MIN = 0.70
RESTART_MS_MAX = 1_000
ROUNDS = 30
RUN = "0193589c-4b1f-7cc2-9d3e-0a1b2c3d4e5f"


def _body(number: int) -> Intent:
    """What is appended most: the intent to turn a dial."""
    setting = split({"fra": 10_000 - number % 10_000, "ber": number % 10_000})
    key = f"fra/drain/{number}"
    return Intent(
        Action(ActionKind.SET_DIAL, key, "edge", "fra", setting, setting, 30_000)
    )


def _bare(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(
        "CREATE TABLE records"
        " (seq INTEGER PRIMARY KEY, hash BLOB NOT NULL, data BLOB NOT NULL)"
    )
    return database


def appends(folder: Path, count: int) -> float:
    """Print records per second of both sides; return the median ratio of a round.

    Each round is a ratio of neighbours in time, so that a busy machine hits both.
    """
    bodies = [_body(number) for number in range(count)]
    rows, head = [], Head(0, "0" * 64)
    for body in bodies:
        row, _ = seal(head, RealClock().now(), 1, RUN, body)
        rows.append((row.seq, bytes.fromhex(row.hash), row.data))
        head = Head(row.seq, row.hash)
    journal = Journal.open(folder / "journal", "bench", RealClock(), "bench")
    bare = _bare(folder / "bare.db")
    size = count // ROUNDS
    ours, theirs = [], []
    for start in range(0, size * ROUNDS, size):
        part = slice(start, start + size)
        begin = time.perf_counter()
        for values in rows[part]:
            bare.execute("INSERT INTO records VALUES (?, ?, ?)", values)
        middle = time.perf_counter()
        for body in bodies[part]:
            journal.append(body, run=RUN)
        end = time.perf_counter()
        theirs.append(size / (middle - begin))
        ours.append(size / (end - middle))
    journal.close()
    bare.close()
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    row_bytes = statistics.mean(len(row[2]) for row in rows)
    print(f"row                {row_bytes:8.0f} bytes, one per transaction, FULL")
    print(f"bare SQLite        {statistics.median(theirs):8.0f} records/s (median)")
    print(f"journal            {statistics.median(ours):8.0f} records/s (median)")
    print(f"ratio              {ratio:8.2f} (target >= {RATIO_MIN:.2f})")
    return ratio


def _fill(folder: Path, count: int) -> None:
    """A journal of `count` records whose newest snapshot lies the usual way back, and
    whose writer was killed."""
    journal = Journal.open(folder, "bench", RealClock(), "bench")
    head = journal.head
    journal.close()
    bare = sqlite3.connect(folder / "journal.db", isolation_level=None)
    bare.execute("BEGIN")
    while head.seq < count:
        row: Row
        row, _ = seal(head, RealClock().now(), 1, RUN, _body(head.seq))
        bare.execute(
            "INSERT INTO records VALUES (?, ?, ?)",
            (row.seq, bytes.fromhex(row.hash), row.data),
        )
        head = Head(row.seq, row.hash)
    bare.execute("COMMIT")
    bare.close()
    journal = Journal.open(folder, "bench", RealClock(), "bench")
    journal.save_snapshot(count - SNAPSHOT_EVERY + 1, b"x" * 65_536)
    journal.close()


def restart(folder: Path, count: int) -> float:
    """Print the time until a restarted controller has read what it must fold."""
    _fill(folder, count)
    begin = time.perf_counter()
    journal = Journal.open(folder, "bench", RealClock(), "bench")
    opened = time.perf_counter()
    snapshot = journal.latest_snapshot()
    assert snapshot is not None
    tail = len(list(journal.records(snapshot[0])))
    end = time.perf_counter()
    journal.close()
    reader = SqliteStore.reader(Access(), folder)
    assert reader is not None
    pages = time.perf_counter()
    assert reader.fault() is None
    pages = time.perf_counter() - pages
    reader.close()
    megabytes = (folder / "journal.db").stat().st_size / 1e6
    took_ms = (end - begin) * 1_000
    print(f"journal of         {count:8d} records, {megabytes:.0f} MB")
    print(f"open               {(opened - begin) * 1_000:8.0f} ms (verified tail)")
    print(f"  of it page check {pages * 1_000:8.0f} ms")
    print(f"snapshot and tail  {(end - opened) * 1_000:8.0f} ms, {tail} records")
    print(f"restart            {took_ms:8.0f} ms (target <= {RESTART_MS_MAX} ms)")
    return took_ms


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--appends", type=int, default=3_000)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix=".bench-") as name:
        ratio = appends(Path(name), options.appends)
        print()
        took_ms = restart(Path(name) / "restart", options.records)
    return 0 if ratio >= RATIO_MIN and took_ms <= RESTART_MS_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
