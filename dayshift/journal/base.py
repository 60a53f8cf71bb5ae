"""What a store must do, and the nouns that stores and the chain share.

A store keeps rows; it knows neither records nor hashes. SQLite is one; etcd and
PostgreSQL can be others, for everything above speaks only this protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol


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


class Store(Protocol):
    """Where rows are durable.

    Holds: at most one writer succeeds. `append` compares the head and sets it in
    one step; a new controller's first record is its lease, which moves the head, so
    whatever an older controller still sends compares against a head that is gone.
    """

    def lease(self, epoch: int) -> None:
        """Become the writer of `epoch`, or raise `JournalHeld`."""
        ...

    def append(self, rows: Sequence[Row], after: Head) -> None:
        """Make all rows durable, or none.

        Raises:
            JournalHeld: the head is not `after`; somebody else wrote.
            JournalFull: the rows could not be made durable.
        """
        ...

    def head(self) -> Head: ...

    def hash_at(self, seq: int) -> str | None: ...

    def read(self, after_seq: int) -> Iterator[Row]:
        """Rows in order, from the first after `after_seq`."""
        ...

    def put_head(self, signed: SignedHead) -> None: ...

    def heads(self) -> Iterator[SignedHead]: ...

    def put_snapshot(self, snapshot: StoredSnapshot) -> None:
        """Keep it, and drop all but the newest two."""
        ...

    def snapshots(self) -> Iterator[StoredSnapshot]:
        """Undamaged snapshots, newest first."""
        ...

    def room_bytes(self) -> int: ...

    def close(self) -> None: ...
