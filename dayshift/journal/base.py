"""What a store must do, and the nouns that stores and the chain share.

A store keeps rows; it knows neither records nor hashes. SQLite, etcd and PostgreSQL are
stores (`journal.stores`); everything above speaks only this protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from dayshift.model.units import Clock


class Head(NamedTuple):
    """The last record: where the next one is chained to."""

    seq: int
    hash: str


ORIGIN = Head(0, "0" * 64)
"""The head of a journal without any record."""


class Row(NamedTuple):
    """One stored record: its place, its hash, its canonical bytes."""

    seq: int
    hash: str
    data: bytes


class SignedHead(NamedTuple):
    """A head as it was signed: `note` names journal, sequence and hash."""

    seq: int
    note: bytes
    signature: bytes


class StoredSnapshot(NamedTuple):
    """A folded state, said to be that of the head (`seq`, `hash`)."""

    seq: int
    hash: str
    data: bytes


class Holder(msgspec.Struct, frozen=True):
    """Who writes a journal, and since when."""

    pid: int
    host: str
    user: str
    name: str
    since_wall_ms: int
    epoch: int = 0

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since_wall_ms / 1000, UTC)
        return (
            f"{self.name} (pid {self.pid}, user {self.user} on {self.host}, "
            f"since {since:%Y-%m-%d %H:%M:%S} UTC)"
        )


class Wave(msgspec.Struct, frozen=True):
    """Who has the estate's one wave token: a run of a journal, begun by `name`."""

    journal: str
    run: str
    name: str
    since_wall_ms: int

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since_wall_ms / 1000, UTC)
        return (
            f"run {self.run} of journal {self.journal[:12]}, begun by {self.name} "
            f"at {since:%Y-%m-%d %H:%M:%S} UTC"
        )


class Message(NamedTuple):
    """What somebody left for the leader; `token` names it."""

    token: str
    data: bytes


class Stir(StrEnum):
    """What a watcher may wait for: the head moved, the inbox has something, nobody
    leads."""

    HEAD = "head"
    INBOX = "inbox"
    VACANT = "vacant"


class Member(NamedTuple):
    """One member of a store, as it answered; `says` is for people."""

    name: str
    reachable: bool
    says: str


class Health(NamedTuple):
    """How a store is. `room_bytes` is None where the store cannot tell."""

    driver: str
    members: tuple[Member, ...]
    room_bytes: int | None
    says: str = ""


class Store(Protocol):
    """Where rows are durable.

    Holds: at most one writer succeeds. `append` compares the head, and whether this
    store still leads, and sets the head in one step; a new controller's first record
    is its lease, which moves the head, so whatever an older controller still sends
    compares against a head that is gone.

    Every call is bounded in time; a store that does not answer raises `JournalFull`.
    """

    # What anybody may ask.

    def head(self) -> Head: ...

    def hash_at(self, seq: int) -> str | None: ...

    def read(self, after_seq: int) -> Iterator[Row]:
        """Rows in order, from the first after `after_seq`, a page at a time."""
        ...

    def heads(self) -> Iterator[SignedHead]: ...

    def last_signed(self) -> SignedHead | None: ...

    def snapshots(self) -> Iterator[StoredSnapshot]:
        """Undamaged snapshots, newest first."""
        ...

    def public_keys(self) -> tuple[str, ...]:
        """Public keys of every controller that wrote here, in hexadecimal."""
        ...

    def leader(self) -> Holder | None: ...

    def wave(self) -> Wave | None:
        """Who has the estate's wave token, whatever journal of this store that is."""
        ...

    def moved_to(self) -> str:
        """Where this journal was moved to; empty if it lives here."""
        ...

    def fault(self) -> str | None:
        """What the store finds wrong with itself, or None."""
        ...

    def health(self) -> Health: ...

    def room_bytes(self) -> int | None: ...

    async def watch(
        self, head: Head, wanted: frozenset[Stir], clock: Clock, timeout_ms: int
    ) -> frozenset[Stir]:
        """Wait until something of `wanted` is so; empty after `timeout_ms`.

        Raises:
            JournalFull: the store does not answer.
        """
        ...

    def close(self) -> None:
        """Let go of connections, and of leadership."""
        ...

    # What anybody may leave.

    def post(self, token: str, data: bytes) -> None:
        """Leave a message for the leader; the same token replaces it."""
        ...

    def inbox(self) -> tuple[Message, ...]: ...

    def take(self, token: str) -> None:
        """Remove a message; one that is gone already is no error."""
        ...

    # What only the leader may do.

    def lease(self, holder: Holder, after: Head) -> None:
        """Become the writer of `holder.epoch`, if nobody is and the head is `after`.

        Raises:
            JournalHeld: somebody leads (named), or wrote meanwhile.
        """
        ...

    @property
    def lost(self) -> bool:
        """True once this store, which led, leads no more or cannot be sure to."""
        ...

    def append(self, rows: Sequence[Row], after: Head) -> None:
        """Make all rows durable, or none.

        Raises:
            JournalHeld: the head is not `after`, or another leads.
            JournalFull: the rows could not be made durable.
        """
        ...

    def put_head(self, signed: SignedHead) -> None: ...

    def put_snapshot(self, snapshot: StoredSnapshot) -> None:
        """Keep it, and drop all but the newest two."""
        ...

    def put_key(self, public_hex: str) -> None: ...

    def take_wave(self, wave: Wave) -> Wave:
        """Take the token if it is free or this journal's already; who has it now."""
        ...

    def release_wave(self, journal: str) -> None:
        """Give the token back if `journal` has it."""
        ...

    def set_moved(self, to: str) -> None:
        """Say that the journal goes on elsewhere (empty: here again)."""
        ...
