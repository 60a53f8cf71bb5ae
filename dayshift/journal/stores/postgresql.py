"""Store `postgresql`: shared by several controllers, in a schema of a database.

Leadership is a row that ends by the server's own clock; every append is one statement
that compares that row and the head and writes, so a leader whose row ended can write
nothing. Polling serves for waiting: a controller looks four times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, LiteralString, Self

import msgspec
from psycopg.errors import UndefinedTable

from dayshift.errors import DayshiftError, JournalFull, JournalHeld, Refused
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
from dayshift.journal.lock import WriterLock
from dayshift.journal.stores import Access
from dayshift.journal.stores import postgresql_sql as q
from dayshift.journal.stores.files import check_message
from dayshift.journal.stores.keeper import Keeper
from dayshift.journal.stores.paging import ROWS_FIRST, rows_next
from dayshift.journal.stores.postgresql_link import Link
from dayshift.journal.stores.postgresql_options import PostgresqlOptions, link_to
from dayshift.journal.stores.reasons import (
    led_reason,
    moved_reason,
    no_tables_reason,
    unsure_reason,
)
from dayshift.journal.stores.watching import poll
from dayshift.model.units import Clock

SNAPSHOTS_KEPT = 2
ROOM = "its disk is unknown here: PostgreSQL does not tell; watch it at the server"


class PostgresqlStore:
    """A `Store` in PostgreSQL 13 or newer."""

    Options = PostgresqlOptions

    def __init__(self, access: Access) -> None:
        self._access = access
        self._options = PostgresqlOptions.model_validate(access.store.options)
        self._name = (access.estate, self._options.journal)
        self._link = link_to(access, self._options)
        self._watching: Link | None = None
        self._renewing: Link | None = None
        self._keeper: Keeper | None = None
        self._nonce = ""
        self._unsure: Head | None = None

    @classmethod
    def reader(cls, access: Access, folder: Path) -> Self:
        """For reading, and for leaving messages."""
        return cls(access)

    @classmethod
    def writer(cls, access: Access, folder: Path, lock: WriterLock) -> Self:
        """For leading, once `lease` succeeds; its tables are made if absent."""
        store = cls(access)
        store._make_tables()
        return store

    def _make_tables(self) -> None:
        try:
            self._link.rows(q.EXISTS)
        except UndefinedTable:
            with contextlib.suppress(Refused):
                self._link.rows(q.SCHEMA)  # perhaps there already, made for us
            for statement in q.TABLES.split(";"):
                self._link.rows(statement)
        self._link.rows(q.ROW, (*self._name, bytes.fromhex(ORIGIN.hash)))

    # What anybody may ask.

    def head(self) -> Head:
        found = self._rows(q.HEAD)
        return Head(found[0][0], found[0][1].hex()) if found else ORIGIN

    def hash_at(self, seq: int) -> str | None:
        if seq == ORIGIN.seq:
            return ORIGIN.hash
        found = self._rows(q.HASH_AT, seq)
        return found[0][0].hex() if found else None

    def read(self, after_seq: int) -> Iterator[Row]:
        for seq, digest, data in self._pages(q.PAGE, after_seq):
            yield Row(seq, digest.hex(), data)

    def heads(self) -> Iterator[SignedHead]:
        for row in self._pages(q.HEADS, 0):
            yield SignedHead(*row)

    def last_signed(self) -> SignedHead | None:
        found = self._rows(q.LAST_HEAD)
        return SignedHead(*found[0]) if found else None

    def snapshots(self) -> Iterator[StoredSnapshot]:
        for seq, digest, check, data in self._rows(q.SNAPSHOTS):
            if hashlib.sha256(data).digest() == check:
                yield StoredSnapshot(seq, digest.hex(), data)

    def public_keys(self) -> tuple[str, ...]:
        return tuple(row[0] for row in self._rows(q.KEYS))

    def leader(self) -> Holder | None:
        found = self._rows(q.LEADER)
        return msgspec.json.decode(found[0][0], type=Holder) if found else None

    def wave(self) -> Wave | None:
        found = self._ask(q.WAVE, (self._access.estate,))
        return msgspec.json.decode(found[0][0], type=Wave) if found else None

    def moved_to(self) -> str:
        found = self._rows(q.MOVED)
        return str(found[0][0]) if found else ""

    def fault(self) -> str | None:
        return None

    def room_bytes(self) -> int | None:
        return None

    def health(self) -> Health:
        probe = link_to(self._access, self._options)
        members = tuple(
            Member(one, fault is None, fault or "takes writes, durable as asked")
            for one, fault in probe.each_host().items()
        )
        up = sum(one.reachable for one in members)
        says = f"{up} of {len(members)} hosts take writes; {ROOM}"
        return Health("postgresql", members, None, says)

    async def watch(
        self, head: Head, wanted: frozenset[Stir], clock: Clock, timeout_ms: int
    ) -> frozenset[Stir]:
        self._watching = link = self._watching or link_to(self._access, self._options)

        async def look() -> frozenset[Stir]:
            return await asyncio.to_thread(self._stirred, link, head, wanted)

        return await poll(look, clock, timeout_ms)

    def _stirred(
        self, link: Link, head: Head, wanted: frozenset[Stir]
    ) -> frozenset[Stir]:
        try:
            found = link.rows(q.LIVE, self._name)
        except UndefinedTable:
            found = []
        seq, digest, led, left = found[0] if found else (0, b"", False, False)
        now = Head(seq, digest.hex()) if seq else ORIGIN
        so = {Stir.HEAD: now != head, Stir.INBOX: left, Stir.VACANT: not led}
        return frozenset(one for one in wanted if so[one])

    def close(self) -> None:
        if self._keeper is not None:
            self._keeper.stop()
            if not self._keeper.lost:
                with contextlib.suppress(DayshiftError):
                    self._link.rows(q.LEAVE, (*self._name, self._nonce))
            self._keeper = None
        for link in (self._link, self._watching, self._renewing):
            if link is not None:
                link.close()

    # What anybody may leave.

    def post(self, token: str, data: bytes) -> None:
        check_message(token, data)
        try:
            self._link.rows(q.POST, (*self._name, token, data))
        except UndefinedTable:
            raise Refused(no_tables_reason("postgresql")) from None

    def inbox(self) -> tuple[Message, ...]:
        return tuple(Message(*row) for row in self._rows(q.INBOX))

    def take(self, token: str) -> None:
        self._rows(q.TAKE, token)

    # What only the leader may do.

    def lease(self, holder: Holder, after: Head) -> None:
        nonce, mine = secrets.token_hex(16), msgspec.json.encode(holder)
        asked = self._access.now()
        compared = (after.seq, bytes.fromhex(after.hash), nonce)
        values = (mine, nonce, self._options.lease, *self._name, *compared)
        if not self._link.rows(q.LEAD, values):
            other = self.leader()
            text = f"its head is not record {after.seq} any more"
            raise JournalHeld(led_reason(other) if other else moved_reason(text))
        self._nonce = nonce
        self._renewing = link_to(self._access, self._options)
        clock = self._access.need_clock()
        self._keeper = Keeper(self._renew, self._options.lease, clock, asked)

    def _renew(self) -> bool:
        assert self._renewing is not None
        values = (self._options.lease, *self._name, self._nonce)
        return bool(self._renewing.rows(q.RENEW, values))

    @property
    def lost(self) -> bool:
        return self._keeper is not None and self._keeper.lost

    def append(self, rows: Sequence[Row], after: Head) -> None:
        self._check_leading()
        end = Head(rows[-1].seq, rows[-1].hash)
        try:
            written = self._as_leader(
                q.APPEND,
                seq=after.seq,
                hash=bytes.fromhex(after.hash),
                end_seq=end.seq,
                end_hash=bytes.fromhex(end.hash),
                seqs=[row.seq for row in rows],
                hashes=[bytes.fromhex(row.hash) for row in rows],
                datas=[row.data for row in rows],
            )
            if not written:
                self._explain(after, end)
        except JournalFull:
            self._unsure = self._unsure or end
            raise
        self._unsure = None

    def _explain(self, after: Head, end: Head) -> None:
        """Nothing was written now: because it was before, or why not at all."""
        now = self.head()
        if now == end:
            return  # an earlier sending of this very batch landed
        if self._unsure is not None and now == self._unsure:
            raise JournalFull(unsure_reason(now.seq))
        if now != after and self._as_leader(q.LEADING):
            text = f"its head is not record {after.seq} any more"
            raise JournalHeld(moved_reason(text))
        raise JournalHeld(led_reason(self.leader()))

    def _check_leading(self) -> None:
        if self._keeper is None:
            raise JournalHeld(moved_reason("this process only reads it"))
        if self._keeper.lost:
            raise JournalHeld(led_reason(self.leader()))

    def put_head(self, signed: SignedHead) -> None:
        self._as_leader(q.PUT_HEAD, **signed._asdict())

    def put_snapshot(self, snapshot: StoredSnapshot) -> None:
        seq, digest, data = snapshot
        check = hashlib.sha256(data).digest()
        what = {"hash": bytes.fromhex(digest), "sha256": check, "data": data}
        self._as_leader(q.PUT_SNAPSHOT, seq=seq, **what)
        if self._as_leader(q.LEADING):
            values = (*self._name, *self._name, SNAPSHOTS_KEPT)
            self._link.rows(q.DROP_SNAPSHOTS, values)

    def put_key(self, public_hex: str) -> None:
        self._as_leader(q.PUT_KEY, key=public_hex)

    def take_wave(self, wave: Wave) -> Wave:
        self._check_leading()
        mine = msgspec.json.encode(wave)
        while True:
            if self._as_leader(q.TAKE_WAVE, owner=wave.journal, wave=mine):
                return wave
            had = self.wave()
            if had is not None and had.journal != wave.journal:
                if self._as_leader(q.LEADING):
                    return had
                raise JournalHeld(led_reason(self.leader()))
            if not self._as_leader(q.LEADING):
                raise JournalHeld(led_reason(self.leader()))

    def release_wave(self, journal: str) -> None:
        self._link.rows(q.RELEASE_WAVE, (self._access.estate, journal))

    def set_moved(self, to: str) -> None:
        self._as_leader(q.SET_MOVED, to=to)

    def _as_leader(self, text: LiteralString, **values: object) -> bool:
        """Run a statement that writes only if this store still leads."""
        estate, journal = self._name
        named = {"estate": estate, "journal": journal, "nonce": self._nonce}
        return bool(self._link.rows(text, named | values))

    def _rows(self, text: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        return self._ask(text, (*self._name, *values))

    def _ask(
        self, text: LiteralString, values: tuple[object, ...]
    ) -> list[tuple[Any, ...]]:
        """Rows of a statement; none where no table was made yet."""
        try:
            return self._link.rows(text, values)
        except UndefinedTable:
            return []

    def _pages(self, text: LiteralString, after_seq: int) -> Iterator[tuple[Any, ...]]:
        rows = ROWS_FIRST
        while found := self._rows(text, after_seq, rows):
            yield from found
            after_seq = found[-1][0]
            rows = rows_next(rows, sum(len(row[1]) + len(row[2]) for row in found))
