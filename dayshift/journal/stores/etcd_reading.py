"""Reads a journal in etcd, waits for it, and leaves messages for its leader."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import msgspec
from pydantic import Field, field_validator

from dayshift.errors import JournalBroken
from dayshift.journal.base import (
    ORIGIN,
    Head,
    Health,
    Holder,
    Message,
    Row,
    SignedHead,
    Stir,
    StoredSnapshot,
    Wave,
)
from dayshift.journal.signing import unpack
from dayshift.journal.stores import Access
from dayshift.journal.stores import etcd_layout as at
from dayshift.journal.stores.etcd_gateway import Gateway, Tls, b64
from dayshift.journal.stores.etcd_health import etcd_health, etcd_room
from dayshift.journal.stores.files import check_message
from dayshift.journal.stores.paging import ROWS_FIRST, rows_next
from dayshift.journal.stores.reasons import malformed_reason
from dayshift.model.units import Clock, elapsed_ms
from dayshift.options import Millis, StrictOptions

SNAPSHOTS_KEPT = 2
INBOX_MAX = 256
WATCH_AGAIN_MS = 300


class EtcdReader:
    """The part of the store that changes nothing but the inbox."""

    class Options(StrictOptions):
        """`endpoints` are tried in turn; `password` is a reference to a secret.

        `quota_mib` is what etcd's --quota-backend-bytes says, for the guard of room:
        etcd itself does not tell.
        """

        endpoints: list[str] = Field(min_length=1, max_length=9)
        prefix: str = Field(default="/dayshift", pattern=r"^/[A-Za-z0-9._/-]*$")
        journal: str = Field(default="main", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
        ca: str = ""
        cert: str = ""
        key: str = ""
        user: str = ""
        password: str = ""
        lease: Millis = Field(default=3_000, ge=2_000, le=60_000)
        timeout: Millis = Field(default=2_000, ge=500, le=10_000)
        quota_mib: int = Field(default=2_048, ge=16)

        @field_validator("endpoints")
        @classmethod
        def _urls(cls, endpoints: list[str]) -> list[str]:
            for one in endpoints:
                if not one.startswith(("http://", "https://")):
                    raise ValueError(f"`{one}` is not https://host:port")
            return endpoints

    def __init__(self, access: Access) -> None:
        options = self.Options.model_validate(access.store.options)
        clock = access.need_clock()

        def file(name: str) -> Path | None:
            return access.base_dir / name if name else None

        def login() -> tuple[str, str]:
            return options.user, access.secret(options.password)

        self._options = options
        self._at = at.Layout(options.prefix, access.estate, options.journal)
        self._etcd = Gateway(
            options.endpoints,
            Tls(file(options.ca), file(options.cert), file(options.key)),
            clock,
            options.timeout,
            login if options.user else None,
        )
        self._clock = clock

    @classmethod
    def reader(cls, access: Access, folder: Path) -> Self:
        """For reading, and for leaving messages."""
        return cls(access)

    # What anybody may ask.

    def head(self) -> Head:
        found = self._value(self._at.head)
        if not found:
            return ORIGIN
        try:
            return at.read_head(found)
        except ValueError:
            reason = malformed_reason("the head in etcd", repr(found[:80]))
            raise JournalBroken(reason, 0) from None

    def hash_at(self, seq: int) -> str | None:
        if seq == ORIGIN.seq:
            return ORIGIN.hash
        if not 0 < seq <= self.head().seq:
            return None
        found = self._value(self._at.record(seq))
        return found[: at.HASH_BYTES].hex() if found else None

    def read(self, after_seq: int) -> Iterator[Row]:
        end = self._at.record(self.head().seq + 1)
        for entry in self._pages(self._at.record(after_seq + 1), end):
            yield at.read_row(entry)

    def heads(self) -> Iterator[SignedHead]:
        for entry in self._pages(self._at.signed, at.after(self._at.signed)):
            signed = unpack(entry.value)
            seq = at.seq_of(entry.key)
            # One that is no signed head any more is told apart by its signature.
            yield signed._replace(seq=seq) if signed else SignedHead(seq, b"", b"")

    def last_signed(self) -> SignedHead | None:
        return unpack(self._value(self._at.signed_last))

    def snapshots(self) -> Iterator[StoredSnapshot]:
        found = self._below(self._at.snapshots, SNAPSHOTS_KEPT + 8)
        for entry in reversed(found):
            with contextlib.suppress(msgspec.DecodeError):
                note = msgspec.json.decode(entry.value, type=at.SnapshotNote)
                seq = at.seq_of(entry.key)
                begin = self._at.chunks(seq)
                chunks = self._pages(begin, at.after(begin))
                data = b"".join(one.value for one in chunks)
                if hashlib.sha256(data).hexdigest() == note.sha256:
                    yield StoredSnapshot(seq, note.hash, data)

    def public_keys(self) -> tuple[str, ...]:
        found = self._below(self._at.keys, 0)
        oldest_first = sorted(found, key=lambda one: one.made)
        return tuple(one.key.rpartition("/")[2] for one in oldest_first)

    def leader(self) -> Holder | None:
        found = self._value(self._at.leader)
        return msgspec.json.decode(found, type=Holder) if found else None

    def wave(self) -> Wave | None:
        found = self._value(self._at.wave)
        return msgspec.json.decode(found, type=Wave) if found else None

    def moved_to(self) -> str:
        return self._value(self._at.moved).decode()

    def fault(self) -> str | None:
        return None

    def health(self) -> Health:
        return etcd_health(self._etcd, self._options.quota_mib << 20)

    def room_bytes(self) -> int | None:
        return etcd_room(self._etcd, self._options.quota_mib << 20)

    async def watch(
        self, head: Head, wanted: frozenset[Stir], clock: Clock, timeout_ms: int
    ) -> frozenset[Stir]:
        begun = clock.now()
        while True:
            seen, revision = await asyncio.to_thread(self._look, head, wanted)
            left = timeout_ms - elapsed_ms(begun, clock.now())
            if seen or left <= 0:
                return seen
            try:
                await clock.within(left, self._next_event(revision + 1))
            except TimeoutError:
                return frozenset()
            except (httpx.HTTPError, msgspec.DecodeError):
                await clock.sleep(min(left, WATCH_AGAIN_MS))

    def _look(self, head: Head, wanted: frozenset[Stir]) -> tuple[frozenset[Stir], int]:
        """What of `wanted` is so, and as of which revision."""
        asked = [
            at.get(self._at.head),
            at.get(self._at.leader),
            at.get_below(self._at.inbox, 1, keys_only=True),
        ]
        answer = self._etcd.call("/v3/kv/txn", {"success": asked})
        heads, leaders, inbox = (at.entries(one) for one in answer["responses"])
        now = at.read_head(heads[0].value) if heads else ORIGIN
        so = {Stir.HEAD: now != head, Stir.INBOX: inbox, Stir.VACANT: not leaders}
        seen = frozenset(one for one in wanted if so[one])
        return seen, int(answer["header"]["revision"])

    async def _next_event(self, revision: int) -> None:
        """Return when anything that a watcher may wait for changes."""
        wanted = {
            "key": b64(self._at.live),
            "range_end": b64(at.after(self._at.live)),
            "start_revision": str(revision),
        }
        stream = self._etcd.stream("/v3/watch", {"create_request": wanted})
        async with contextlib.aclosing(stream) as answers:
            async for answer in answers:
                if answer.get("events") or answer.get("canceled"):
                    return

    def close(self) -> None:
        self._etcd.close()

    # What anybody may leave.

    def post(self, token: str, data: bytes) -> None:
        check_message(token, data)
        key = self._at.inbox + token
        self._etcd.call("/v3/kv/put", {"key": b64(key), "value": b64(data)})

    def inbox(self) -> tuple[Message, ...]:
        found = self._below(self._at.inbox, INBOX_MAX)
        oldest_first = sorted(found, key=lambda one: one.made)
        begin = len(self._at.inbox)
        return tuple(Message(one.key[begin:], one.value) for one in oldest_first)

    def take(self, token: str) -> None:
        self._etcd.call("/v3/kv/deleterange", {"key": b64(self._at.inbox + token)})

    def _value(self, key: str) -> bytes:
        answer = self._etcd.call("/v3/kv/range", {"key": b64(key)})
        found = at.entries(answer)
        return found[0].value if found else b""

    def _below(self, prefix: str, limit: int) -> list[at.Entry]:
        body = at.get_below(prefix, limit)["request_range"]
        return at.entries(self._etcd.call("/v3/kv/range", body))

    def _pages(self, key: str, end: str) -> Iterator[at.Entry]:
        """Entries from `key` to before `end`, a bounded part of them at a time."""
        rows = ROWS_FIRST
        while key < end:
            body = {"key": b64(key), "range_end": b64(end), "limit": str(rows)}
            answer = self._etcd.call("/v3/kv/range", body)
            found = at.entries(answer)
            yield from found
            if not found or not answer.get("more"):
                return
            key = found[-1].key + "\0"
            rows = rows_next(rows, sum(len(one.value) for one in found))
