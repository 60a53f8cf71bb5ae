"""A journal as anyone may read it, while its writer goes on.

Every record is verified as it is read. Nothing is written here, not even a lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from dayshift.errors import Reason, Refused
from dayshift.journal.base import ORIGIN, Head, SignedHead
from dayshift.journal.chain import broken_link, read_link
from dayshift.journal.emergency import (
    EMERGENCY,
    EmergencyDamaged,
    EmergencyLog,
    read_emergency,
)
from dayshift.journal.findings import LOCK, emergency_state, snapshot_base
from dayshift.journal.lock import Holder, living_holder
from dayshift.journal.recovery import Emergency
from dayshift.journal.sqlite import DATABASE, SqliteStore
from dayshift.model.dial import Claim
from dayshift.model.records import Genesis, Record


class JournalView:
    """What writer and readers have in common: records, head, snapshots."""

    def __init__(self, folder: Path, store: SqliteStore) -> None:
        self.folder = folder
        self._store = store
        genesis = next(self._verified(ORIGIN), None)
        if genesis is None or not isinstance(genesis.body, Genesis):
            raise broken_link(1, "is no genesis")
        self.journal_id = genesis.body.journal
        self.estate = genesis.body.estate

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
    def room_bytes(self) -> int:
        """How much the disk of the journal can still take."""
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
        if emergency_state(self._store, log) is Emergency.CHAINED:
            return log
        return None

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
        """Who writes it now, as far as this machine can tell."""
        return living_holder(self.folder / LOCK)

    def claim_reason(self, claim: Claim) -> Reason | None:
        """Why a dial's claim shows that this journal lost its end, or None.

        Why: acting on a journal that forgot what it did would do it again.
        Holds: a claim of this journal never names a record that is not in it.
        """
        if claim.journal != self.journal_id or claim.seq <= self.head.seq:
            return None
        return Reason(
            "JOURNAL-BEHIND",
            f"a dial holds the claim of record {claim.seq}; "
            f"this journal ends at record {self.head.seq}",
            because="an older copy of the journal was restored, or its end was cut off",
            so="nothing moved; the dial keeps what it has",
            next="bring back the newest copy of the journal's whole directory",
        )

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
    def open(cls, folder: Path) -> JournalReader:
        """Open for reading.

        Raises:
            Refused: there is no journal.
            JournalBroken: it cannot be read.
        """
        store = SqliteStore.reader(folder) if (folder / DATABASE).exists() else None
        if store is None or store.head() == ORIGIN:
            raise Refused(absent_reason(folder))
        return cls(folder, store)


def absent_reason(folder: Path) -> Reason:
    """Why there is nothing to read."""
    return Reason(
        "JOURNAL-ABSENT",
        f"there is no journal in {folder}",
        because="no controller has run there yet",
        so="there is nothing to show",
        next="`dayshift run`, or name the right state directory",
    )
