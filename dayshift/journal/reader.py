"""A journal as anyone may read it, while its writer goes on.

Every record is verified as it is read. Nothing is written here, not even a lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from dayshift.errors import Reason, Refused
from dayshift.journal.base import (
    ORIGIN,
    Head,
    Health,
    Holder,
    Message,
    SignedHead,
    Stir,
    Store,
    Wave,
)
from dayshift.journal.chain import broken_link, read_link
from dayshift.journal.emergency import (
    EMERGENCY,
    EmergencyDamaged,
    EmergencyLog,
    read_emergency,
)
from dayshift.journal.findings import snapshot_base, unmerged
from dayshift.journal.recovery import Emergency
from dayshift.journal.stores import HERE, Access, open_reader
from dayshift.model.records import Genesis, Record
from dayshift.model.units import Clock


class JournalView:
    """What writer and readers have in common: records, head, snapshots."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self._store = store
        self.journal_id, self.estate = self._identity()

    def _identity(self) -> tuple[str, str]:
        """Which journal this is, and of which estate."""
        genesis = next(self._verified(ORIGIN), None)
        if genesis is None or not isinstance(genesis.body, Genesis):
            raise broken_link(1, "is no genesis")
        return genesis.body.journal, genesis.body.estate

    @property
    def head(self) -> Head:
        """The last record, emergency entries included."""
        log = self._waiting()
        return log.end if log else self._store.head()

    @property
    def epoch(self) -> int:
        """The epoch of the last record."""
        last = [record.epoch for record in self.records(max(0, self.head.seq - 1))]
        return last[-1]

    @property
    def room_bytes(self) -> int | None:
        """How much the store can still take; None where it cannot tell."""
        return self._store.room_bytes()

    def records(self, after_seq: int = 0) -> Iterator[Record]:
        """Verified records in order, emergency entries last.

        Raises:
            JournalBroken: a record that is not the one that was written.
            JournalNewer: a record that only a newer Dayshift may read.
        """
        digest = self._store.hash_at(after_seq)
        if digest is not None:
            yield from self._verified(Head(after_seq, digest))
        log = self._waiting()
        if log is not None:
            yield from (one for one in log.records if one.seq > after_seq)

    def _verified(self, base: Head) -> Iterator[Record]:
        for row in self._store.read(base.seq):
            yield read_link(base, row)
            base = Head(row.seq, row.hash)

    def _waiting(self) -> EmergencyLog | None:
        """Emergency entries of this journal that were not merged yet."""
        try:
            log = read_emergency(self.folder / EMERGENCY)
        except EmergencyDamaged as error:
            raise broken_link(self._store.head().seq + 1, f"is lost: {error}") from None
        state, rest = unmerged(self._store, log)
        return rest if state is Emergency.CHAINED else None

    def latest_snapshot(self) -> tuple[int, bytes] | None:
        """The newest snapshot that belongs to this chain, as (sequence, data)."""
        base = snapshot_base(self._store)
        for one in self._store.snapshots():
            if one.seq == base.seq:
                return one.seq, one.data
        return None

    def signed_heads(self) -> Iterator[SignedHead]:
        """Every head that was signed, oldest first."""
        return self._store.heads()

    def writer(self) -> Holder | None:
        """Who leads now, as far as this machine can tell."""
        return self._store.leader()

    def wave(self) -> Wave | None:
        """Who has the estate's wave token."""
        return self._store.wave()

    def health(self) -> Health:
        """How the store is: its members, its room."""
        return self._store.health()

    async def watch(
        self,
        wanted: frozenset[Stir],
        clock: Clock,
        timeout_ms: int,
        head: Head = ORIGIN,
    ) -> frozenset[Stir]:
        """Wait until something of `wanted` is so; empty after `timeout_ms`.

        Args:
            head: the last record that the caller knows, for `Stir.HEAD`.
        """
        return await self._store.watch(head, wanted, clock, timeout_ms)

    def post(self, token: str, data: bytes) -> None:
        """Leave a message for the leader, from wherever the store can be reached."""
        self._store.post(token, data)

    def inbox(self) -> tuple[Message, ...]:
        """What was left for the leader and not taken yet."""
        return self._store.inbox()

    def take(self, token: str) -> None:
        """Remove a message; one that is gone already is no error."""
        self._store.take(token)

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class JournalReader(JournalView):
    """The journal for `status`, `report` and whoever else only looks."""

    @classmethod
    def open(cls, folder: Path, access: Access = HERE) -> JournalReader:
        """Open for reading.

        Raises:
            Refused: there is no journal.
            JournalBroken: it cannot be read.
            JournalFull: its store does not answer.
        """
        store = open_reader(access, folder)
        if store is None:
            raise Refused(absent_reason(folder))
        try:
            if store.head() == ORIGIN:
                raise Refused(absent_reason(folder))
            return cls(folder, store)
        except BaseException:
            store.close()
            raise


def absent_reason(folder: Path) -> Reason:
    """Why there is nothing to read."""
    return Reason(
        "JOURNAL-ABSENT",
        f"there is no journal in {folder}",
        because="no controller has run there yet",
        so="there is nothing to show",
        next="`dayshift run`, or name the right state directory",
    )
