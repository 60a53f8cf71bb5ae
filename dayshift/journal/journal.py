"""The journal as its one writer has it: append, sign, snapshot.

Here the parts meet: store, codec, chain, lock, signatures, emergency file. What a
record means, and when to write one, is the core's.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from dayshift.errors import Bug, JournalError, JournalFull, Refused
from dayshift.journal.base import (
    ORIGIN,
    Head,
    Row,
    SignedHead,
    Store,
    StoredSnapshot,
    Wave,
)
from dayshift.journal.chain import seal
from dayshift.journal.codec import decode_record
from dayshift.journal.durable import make_folder, sync_folder
from dayshift.journal.emergency import (
    EMERGENCY,
    EmergencyFile,
    EmergencyLog,
    merged_rows,
)
from dayshift.journal.findings import HEAD, MARK, Examination, examine
from dayshift.journal.lock import LOCK, WriterLock
from dayshift.journal.reader import JournalView
from dayshift.journal.recovery import Doing
from dayshift.journal.refusals import (
    stranded_reason,
    unwritable_reason,
    wave_taken_reason,
)
from dayshift.journal.sealed import Sealer, note_of
from dayshift.journal.signing import HeadNote, Signer, pack
from dayshift.journal.slots import open_slots
from dayshift.journal.stores import HERE, Access, note_store, open_writer
from dayshift.model.dial import Claim
from dayshift.model.glass import next_epoch
from dayshift.model.points import NOWHERE, Point, Points
from dayshift.model.records import AnyBody, Genesis, Lease, Record
from dayshift.model.units import Clock


class Journal(JournalView):
    """The one writer's journal. Use `open`; appends are one at a time."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        lock: WriterLock,
        clock: Clock,
        points: Points = NOWHERE,
    ) -> None:
        super().__init__(folder, store)
        self._lock = lock
        self._clock = clock
        self._points = points
        self._stored = store.head()
        self._unstored: Head | None = None
        self._epoch = self._stored_epoch()
        self._signer = Signer(folder)
        if self._signer.public_hex not in store.public_keys():
            with contextlib.suppress(JournalFull):
                store.put_key(self._signer.public_hex)
        self._signed: SignedHead | None = None
        self._mark = open_slots(folder / MARK)
        self._head_file = open_slots(folder / HEAD)
        self._emergency = EmergencyFile(folder / EMERGENCY, points)
        self._sealer = Sealer(folder, self._signer)
        sync_folder(folder)

    @classmethod
    def open(
        cls,
        folder: Path,
        estate: str,
        clock: Clock,
        holder: str,
        claims: Sequence[Claim] = (),
        journal_id: str = "",
        points: Points = NOWHERE,
        access: Access = HERE,
        controller: str = "",
        jobs: str = "",
    ) -> Journal:
        """Become the writer: recover what was left, then begin a new epoch.

        Args:
            holder: who this is, for people.
            claims: claims read from dials; one ahead of the journal refuses.
            journal_id: what to call a new journal; drawn at random if empty.
            access: the store of the records; all else of a journal lies in `folder`.
            controller: its name in the estate, if it has one.
            jobs: where steps that it begins leave their records.

        Raises:
            JournalHeld: another process is the writer, or another controller leads.
            JournalBroken: the recovery table refuses; `seq` is where, if known.
            JournalFull: there is no room to make a journal, or its store is gone.
            Refused: it is another estate's, or was moved away.
        """
        with contextlib.ExitStack() as undo:
            try:
                make_folder(folder)
                lock = WriterLock.take(folder / LOCK, holder, clock.now())
                if lock is None:
                    raise examine(folder, estate, lock, claims, access).refusal()
                undo.callback(lock.release, clean=False)
                points.at(Point.LOCKED)
                seen = _examined(folder, estate, lock, claims, access)
                store = open_writer(access, folder, lock)
                undo.callback(store.close)
                epoch = _next_epoch(store, seen)
                store.lease(replace(lock.holder, epoch=epoch), seen.head)
                if seen.head == ORIGIN:
                    _create(store, estate, clock, journal_id)
                journal = cls(folder, store, lock, clock, points)
                journal._lead(Lease(epoch, holder, controller, jobs), seen, access)
            except OSError as error:
                raise JournalFull(unwritable_reason(folder, error)) from error
            undo.pop_all()
            return journal

    def _lead(self, lease: Lease, seen: Examination, access: Access) -> None:
        note_store(self.folder, self.estate, access)
        if seen.cell.doing is Doing.RESET:
            self._emergency.reset()
        if seen.cell.doing is Doing.MERGE and seen.log is not None:
            try:
                self._merge(seen.log)
            except JournalFull:
                self._unstored = seen.log.end
        self._epoch = lease.epoch
        self._points.at(Point.LEADING)
        try:
            self.append(lease)
        except JournalFull:
            if access.shared:
                # Of a shared store the next one would lead under the same epoch.
                raise
            self.append_emergency(lease)
        self._points.at(Point.LED)

    def _merge(self, log: EmergencyLog) -> None:
        rows = merged_rows(log, self._stored, self._clock.now(), self._stored_epoch())
        self._points.at(Point.MERGING)
        self._keep(rows)
        self._points.at(Point.MERGED)
        self._emergency.reset()

    def _stored_epoch(self) -> int:
        """The epoch of the last stored record."""
        return _epoch_at(self._store, self._stored)

    @property
    def head(self) -> Head:
        """The last record, emergency entries included."""
        return self._unstored or self._stored

    @property
    def epoch(self) -> int:
        """This controller's fencing number."""
        return self._epoch

    def outrank(self, epoch: int, holder: str) -> tuple[Record, ...]:
        """Lead under an epoch above `epoch`, which this journal never saw."""
        self._epoch = next_epoch(max(epoch, self._epoch))
        return self.append(Lease(self._epoch, holder))

    @property
    def stranded(self) -> bool:
        """True while entries lie in the emergency file: only it takes more, until the
        journal is closed and opened again with room on the disk."""
        return self._unstored is not None

    def append(self, *bodies: AnyBody, run: str = "") -> tuple[Record, ...]:
        """Make the records durable, all or none, and return them as they were written.

        Raises:
            JournalFull: nothing was appended (or nobody can tell: after an error of the
                disk the next `open` finds out); safe verbs use `append_emergency`.
            JournalHeld: another controller leads.
            Bug: a body that no reader could read.
        """
        if not bodies:
            return ()
        if self._unstored is not None:
            raise JournalFull(stranded_reason(self._unstored))
        rows, records = self._sealed(bodies, run)
        self._keep(rows)
        return records

    def append_emergency(self, *bodies: AnyBody, run: str = "") -> tuple[Record, ...]:
        """Make records durable in the emergency file. For verbs that make things safe,
        after `append` raised `JournalFull`.

        Raises:
            JournalFull: not even this file has room.
        """
        if not bodies:
            return ()
        rows, records = self._sealed(bodies, run)
        self._points.at(Point.STRANDING)
        self._emergency.append(rows)
        self._points.at(Point.STRANDED)
        self._unstored = Head(rows[-1].seq, rows[-1].hash)
        return records

    def _sealed(
        self, bodies: Sequence[AnyBody], run: str
    ) -> tuple[list[Row], tuple[Record, ...]]:
        now = self._clock.now()
        head = self.head
        rows: list[Row] = []
        records: list[Record] = []
        for body in bodies:
            row, record = seal(head, now, self._epoch, run, body)
            rows.append(row)
            records.append(record)
            head = Head(row.seq, row.hash)
        return rows, tuple(records)

    def _keep(self, rows: Sequence[Row]) -> None:
        self._store.append(rows, self._stored)
        self._stored = Head(rows[-1].seq, rows[-1].hash)
        # Not synced: after a power cut it may be older, never newer, than the head.
        with contextlib.suppress(OSError):
            self._mark.write(_mark_of(self._stored), durable=False)

    def sign_head(self) -> SignedHead:
        """Vouch for every record so far. Signs nothing twice.

        The file comes first: it was given its room, and so works on a full disk.
        """
        if self._signed is None or self._signed.seq != self._stored.seq:
            note = HeadNote(
                self.estate,
                self._stored.hash,
                self.journal_id,
                self._stored.seq,
                self._clock.now().wall_ms,
            )
            signed = self._signer.sign(note)
            with contextlib.suppress(OSError):
                self._head_file.write(pack(signed), durable=True)
            self._points.at(Point.HEAD_FILED)
            with contextlib.suppress(JournalFull):
                self._store.put_head(signed)
            self._points.at(Point.HEAD_SIGNED)
            self._signed = signed
        return self._signed

    @property
    def lost(self) -> bool:
        """True once this controller leads no more: every append would be refused."""
        return self._store.lost

    def takes_records(self) -> bool:
        """Whether the store takes something now, asked by giving it the last signed
        head again: whoever has nothing to write would not notice that it cannot."""
        if self.lost or self.stranded:
            return False
        with contextlib.suppress(JournalError):
            if self._signed is not None:
                self._store.put_head(self._signed)
            return True
        return False

    def take_wave(self, run: str, name: str) -> None:
        """Take the estate's one wave token for `run`, or keep it.

        Why: two journals of one estate, both whole, could take out two regions.
        Holds: of all runs in this store, one of this estate is in flight.

        Raises:
            Refused: another journal's run has it; the reason names it.
        """
        mine = Wave(self.journal_id, run, name, self._clock.now().wall_ms)
        has = self._store.take_wave(mine)
        if has.journal != self.journal_id:
            raise Refused(wave_taken_reason(self.estate, has))

    def release_wave(self, journal: str = "") -> None:
        """Give the token back; without having it nothing happens.

        Args:
            journal: another one that is lost for good; empty: this one.
        """
        self._store.release_wave(journal or self.journal_id)

    def seal(self, payload: Callable[[], bytes]) -> None:
        """Keep `payload` as what break-glass shall know; a full disk is no error."""
        mine = self._lock.holder
        note = note_of(self, mine, self._clock, self.head, self._epoch)
        self._sealer.keep(note, payload())

    def save_snapshot(self, seq: int, data: bytes) -> None:
        """Keep the state folded up to record `seq`; it is believed for this chain only.

        Raises:
            JournalFull: it could not be kept. Nothing is lost: it can be folded again.
        """
        if self._unstored is not None:
            return
        digest = self._store.hash_at(seq)
        if digest is None:
            raise Bug(f"a snapshot of record {seq}; the journal ends at {self._stored}")
        self._store.put_snapshot(StoredSnapshot(seq, digest, data))

    def close(self) -> None:
        """Sign, fold the write-ahead log, let the next writer in."""
        try:
            self.sign_head()
        finally:
            self.let_go(clean=True)

    def let_go(self, clean: bool) -> None:
        """Close and sign nothing; not `clean`: as when a process is killed."""
        self._store.close()
        self._emergency.close()
        self._sealer.close()
        self._head_file.close()
        self._mark.close()
        self._lock.release(clean=clean)


def _examined(
    folder: Path, estate: str, lock: WriterLock, claims: Sequence[Claim], access: Access
) -> Examination:
    """What lies there, if it may be led; a new journal has its first witness then."""
    seen = examine(folder, estate, lock, claims, access)
    if seen.cell.doing is Doing.REFUSE:
        raise seen.refusal()
    if seen.head == ORIGIN:
        _mark_origin(folder)
    return seen


def _create(store: Store, estate: str, clock: Clock, journal_id: str) -> None:
    name = journal_id or secrets.token_hex(16)
    row, _ = seal(ORIGIN, clock.now(), 0, "", Genesis(name, estate))
    store.append([row], ORIGIN)


def _mark_origin(folder: Path) -> None:
    """Leave a witness before the first record, so that a lost database is noticed."""
    mark = open_slots(folder / MARK)
    mark.write(_mark_of(ORIGIN), durable=True)
    mark.close()


def _mark_of(head: Head) -> bytes:
    return f"{head.seq} {head.hash}".encode()


def _epoch_at(store: Store, head: Head) -> int:
    if head == ORIGIN:
        return 0
    return decode_record(next(store.read(head.seq - 1)).data).epoch


def _next_epoch(store: Store, seen: Examination) -> int:
    """Above every epoch that wrote, in the store or in the emergency file."""
    strayed = seen.log.records[-1].epoch if seen.log else 0
    return next_epoch(max(_epoch_at(store, seen.head), seen.epoch, strayed))
