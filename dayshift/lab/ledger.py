"""The shop's database: orders, sessions and the slots of the nightly job.

It stands for a database that lies outside both regions. Nothing in it hides a mistake:
an order written twice is there twice, and so is a slot.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import msgspec

SLOT_S = 2
"""The nightly job of the lab has a night every two seconds."""
CATCH_UP_SLOTS_MAX = 60

_TABLES = """
CREATE TABLE IF NOT EXISTS orders (id TEXT, region TEXT, version TEXT, at_ms INTEGER);
CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, user TEXT);
CREATE TABLE IF NOT EXISTS slots
    (slot INTEGER, region TEXT, version TEXT, at_ms INTEGER);
"""


class JobCount(msgspec.Struct, frozen=True):
    """The nightly job: slots that should have run, and what became of them.

    `latest_ms` is how late the latest slot ran.
    """

    slots: int = 0
    missing: int = 0
    duplicate: int = 0
    latest_ms: int = 0
    by_region: dict[str, int] = {}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def connect(path: Path) -> sqlite3.Connection:
    """Open the database; several processes write, each statement is one transaction."""
    base = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    base.execute("PRAGMA journal_mode=WAL")
    base.execute("PRAGMA synchronous=NORMAL")
    return base


def create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    base = connect(path)
    base.executescript(_TABLES)
    base.close()


class Ledger:
    """What the application does with the database."""

    def __init__(self, path: Path, region: str, version: str) -> None:
        self._base = connect(path)
        self._region = region
        self._version = version

    def add_order(self, order: str) -> None:
        """A plain insert: a repeated order must be visible as two."""
        self._base.execute(
            "INSERT INTO orders VALUES (?, ?, ?, ?)",
            (order, self._region, self._version, now_ms()),
        )

    def add_session(self, token: str, user: str) -> None:
        self._base.execute("INSERT INTO sessions VALUES (?, ?)", (token, user))

    def user_of(self, token: str) -> str | None:
        row = self._base.execute(
            "SELECT user FROM sessions WHERE token = ?", (token,)
        ).fetchone()
        return str(row[0]) if row else None

    def due_slot(self) -> int | None:
        """The oldest slot that has not run, or None.

        Why: a slot that fell into a handing-over is caught up by the next holder. After
        a longer absence only the newest are, and the others are seen as missing.
        """
        latest = int(time.time()) // SLOT_S
        last = self._base.execute("SELECT MAX(slot) FROM slots").fetchone()[0]
        if last is None:
            return latest
        due = max(int(last) + 1, latest - CATCH_UP_SLOTS_MAX)
        return due if due <= latest else None

    def add_slot(self, slot: int) -> None:
        self._base.execute(
            "INSERT INTO slots VALUES (?, ?, ?, ?)",
            (slot, self._region, self._version, now_ms()),
        )

    def close(self) -> None:
        self._base.close()


def order_counts(path: Path, prefix: str) -> dict[str, int]:
    """How often each order whose id starts with `prefix` is in the database."""
    base = connect(path)
    rows = base.execute(
        "SELECT id, COUNT(*) FROM orders WHERE substr(id, 1, ?) = ? GROUP BY id",
        (len(prefix), prefix),
    ).fetchall()
    base.close()
    return {str(order): int(count) for order, count in rows}


def job_count(path: Path, from_ms: int, to_ms: int) -> JobCount:
    """Judge the nightly job over the slots that lie wholly within the time given.

    The slot in which the time ends may still be run by its holder, so it is left out.
    """
    first = -(-from_ms // (SLOT_S * 1000))
    last = to_ms // (SLOT_S * 1000) - 2
    base = connect(path)
    rows = base.execute(
        "SELECT slot, region, at_ms FROM slots WHERE slot BETWEEN ? AND ?",
        (first, last),
    ).fetchall()
    base.close()
    ran = [int(slot) for slot, _, _ in rows]
    regions = [str(region) for _, region, _ in rows]
    return JobCount(
        slots=max(0, last - first + 1),
        missing=len(set(range(first, last + 1)) - set(ran)),
        duplicate=len(ran) - len(set(ran)),
        latest_ms=max((at - slot * SLOT_S * 1000 for slot, _, at in rows), default=0),
        by_region={name: regions.count(name) for name in sorted(set(regions))},
    )
