"""The journal when its store is gone: the sealed bundle stands for what was.

Every append goes to the emergency file, chained to the bundle's head, under an epoch
that outranks regular controllers until the next of them merges the entries. Nothing
here asks the store anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from dayshift.errors import JournalFull, JournalHeld, Reason, Refused
from dayshift.journal.base import (
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
from dayshift.journal.durable import make_folder, sync_folder
from dayshift.journal.emergency import (
    EMERGENCY,
    EmergencyDamaged,
    EmergencyFile,
    EmergencyLog,
    read_emergency,
)
from dayshift.journal.journal import Journal
from dayshift.journal.lock import LOCK, WriterLock, read_holder
from dayshift.journal.sealed import Sealed
from dayshift.journal.signing import HeadNote
from dayshift.model.glass import break_epoch
from dayshift.model.points import NOWHERE, Points
from dayshift.model.records import AnyBody, Record
from dayshift.model.units import Clock


class GoneStore:
    """A `Store` that holds nothing but what the bundle says of it.

    Holds: no append succeeds, so nothing can be taken for stored.
    """

    def __init__(self, sealed: Sealed, state: bytes, base: Head) -> None:
        self._heads = {sealed.note.head.seq: sealed.note.hash, base.seq: base.hash}
        self._base = base
        self._state = StoredSnapshot(sealed.note.seq, sealed.note.hash, state)

    def head(self) -> Head:
        return self._base

    def hash_at(self, seq: int) -> str | None:
        return self._heads.get(seq)

    def read(self, after_seq: int) -> Iterator[Row]:
        return iter(())

    def heads(self) -> Iterator[SignedHead]:
        return iter(())

    def last_signed(self) -> SignedHead | None:
        return None

    def snapshots(self) -> Iterator[StoredSnapshot]:
        yield self._state

    def public_keys(self) -> tuple[str, ...]:
        return ()

    def leader(self) -> Holder | None:
        return None

    def wave(self) -> Wave | None:
        return None

    def moved_to(self) -> str:
        return ""

    def fault(self) -> str | None:
        return None

    def health(self) -> Health:
        return Health("gone", (), 0, "the store could not be reached")

    def room_bytes(self) -> int | None:
        return None

    async def watch(
        self, head: Head, wanted: frozenset[Stir], clock: Clock, timeout_ms: int
    ) -> frozenset[Stir]:
        await clock.sleep(timeout_ms)
        return frozenset()

    def close(self) -> None:
        return None

    def post(self, token: str, data: bytes) -> None:
        raise _gone()

    def inbox(self) -> tuple[Message, ...]:
        return ()

    def take(self, token: str) -> None:
        return None

    def lease(self, holder: Holder, after: Head) -> None:
        raise _gone()

    @property
    def lost(self) -> bool:
        return False

    def append(self, rows: Sequence[Row], after: Head) -> None:
        raise _gone()

    def put_head(self, signed: SignedHead) -> None:
        raise _gone()

    def put_snapshot(self, snapshot: StoredSnapshot) -> None:
        raise _gone()

    def put_key(self, public_hex: str) -> None:
        raise _gone()

    def take_wave(self, wave: Wave) -> Wave:
        return wave

    def release_wave(self, journal: str) -> None:
        return None

    def set_moved(self, to: str) -> None:
        raise _gone()


class GlassJournal(Journal):
    """The one writer on this machine while the store is gone."""

    def __init__(
        self,
        folder: Path,
        store: GoneStore,
        lock: WriterLock,
        clock: Clock,
        sealed: Sealed,
        machine: str,
        points: Points = NOWHERE,
    ) -> None:
        self._bundle = sealed.note
        self.machine = machine
        super().__init__(folder, store, lock, clock, points)

    @classmethod
    def break_open(
        cls,
        folder: Path,
        sealed: Sealed,
        state: bytes,
        clock: Clock,
        holder: str,
        points: Points = NOWHERE,
        machine: str = "",
    ) -> GlassJournal:
        """Become the writer here, from a bundle that was verified.

        Args:
            state: the folded state in the bundle, as a snapshot has it.
            machine: what to call this machine, if not by its own name.

        Raises:
            JournalHeld: a process here is the writer; it is alive and can be asked.
            JournalFull: not even the files that were given their room can be written.
            Refused: what lies in the emergency file does not follow the bundle.
        """
        with contextlib.ExitStack() as undo:
            try:
                make_folder(folder)
                lock = WriterLock.take(folder / LOCK, holder, clock.now())
                if lock is None:
                    raise JournalHeld(_held(folder))
                undo.callback(lock.release, clean=False)
                log = _following(folder, sealed)
                base = log.base if log else sealed.note.head
                store = GoneStore(sealed, state, base)
                name = machine or lock.holder.host
                journal = cls(folder, store, lock, clock, sealed, name, points)
                journal._begin(log)
            except OSError as error:
                raise JournalFull(_unwritable(folder, error)) from error
            undo.pop_all()
            return journal

    def _begin(self, log: EmergencyLog | None) -> None:
        last = self._bundle.epoch
        if log is None:
            self._emergency.reset()
        else:
            self._unstored = log.end
            last = max(last, *(one.epoch for one in log.records))
        self._epoch = break_epoch(last, self.machine)

    def _identity(self) -> tuple[str, str]:
        return self._bundle.journal, self._bundle.estate

    def _stored_epoch(self) -> int:
        return self._bundle.epoch

    def append(self, *bodies: AnyBody, run: str = "") -> tuple[Record, ...]:
        """As `append_emergency`: there is nothing else to append to."""
        return self.append_emergency(*bodies, run=run)

    def sign_head(self) -> SignedHead:
        """Sign, and keep it nowhere: entries get other numbers when they are merged."""
        head, now = self.head, self._clock.now()
        note = HeadNote(self.estate, head.hash, self.journal_id, head.seq, now.wall_ms)
        return self._signer.sign(note)

    def save_snapshot(self, seq: int, data: bytes) -> None:
        """Entries are few, and folded again at the next open."""

    def seal(self, payload: Callable[[], bytes]) -> None:
        """The bundle stays the one that the entries follow."""

    def close(self) -> None:
        """Let the next writer in; whether the last regular one was killed stays
        written in the lock, for its recovery."""
        self.let_go(clean=self._lock.previous is None)


def _following(folder: Path, sealed: Sealed) -> EmergencyLog | None:
    """Entries of before that go on from the bundle; None if there are none.

    Entries that end before the bundle were merged before it was sealed.

    Raises:
        Refused: others lie there.
    """
    try:
        log = read_emergency(folder / EMERGENCY)
    except EmergencyDamaged as error:
        raise Refused(_strange(folder, str(error))) from None
    if log is None or log.end.seq < sealed.note.seq:
        return None
    heads = {log.base, *(Head(row.seq, row.hash) for row in log.rows)}
    if sealed.note.head in heads:
        return log
    raise Refused(
        _strange(
            folder,
            f"its first entry follows record {log.base.seq}, the bundle ends at "
            f"{sealed.note.seq}",
        )
    )


def _gone() -> JournalFull:
    return JournalFull(
        Reason(
            "STORE-GONE",
            "the journal's store could not be reached; the glass is broken",
            because="it is not asked again until the next command",
            so="only the emergency journal takes records",
            next="end this; the next controller merges it when the store is back",
        )
    )


def _held(folder: Path) -> Reason:
    holder = read_holder(folder / LOCK)
    return Reason(
        "JOURNAL-HELD",
        f"a controller is alive here ({holder or 'it is just starting'})",
        because="a living controller is asked, never gone around",
        so="nothing was written and nothing moved",
        next="`dayshift status` says what it does; `dayshift abort` reaches it; end it "
        "if it is stuck, then ask again",
    )


def _strange(folder: Path, why: str) -> Reason:
    return Reason(
        "EMERGENCY-FOREIGN",
        f"the emergency journal in {folder} does not go on from the bundle: {why}",
        because="entries of before must not be lost, and are not known to the bundle",
        so="nothing was written and nothing moved",
        next="use another machine, or move the file `emergency` aside (keep it: it is "
        "merged later)",
    )


def _unwritable(folder: Path, error: OSError) -> Reason:
    return Reason(
        "JOURNAL-FULL",
        f"the files in {folder} that were set aside cannot be written ({error})",
        because="their disk is gone or read-only, or they belong to another user",
        so="nothing was written and nothing moved",
        next="use another machine that has a bundle (`dayshift seal show`)",
    )


def entries(folder: Path) -> tuple[EmergencyLog, bytes] | None:
    """What was done with broken glass here and is not merged, as bytes for a file.

    Raises:
        Refused: it cannot be read any more.
    """
    try:
        log = read_emergency(folder / EMERGENCY)
    except EmergencyDamaged as error:
        raise Refused(_strange(folder, str(error))) from None
    if log is None:
        return None
    return log, msgspec.msgpack.encode([tuple(row) for row in log.rows])


def bring(folder: Path, sealed: Sealed, holder: str, clock: Clock) -> int:
    """Lay another machine's entries into this folder, for the next `open` to merge;
    returns how many.

    Raises:
        JournalHeld: a controller is alive here.
        Refused: entries of this machine lie here already.
    """
    fields = msgspec.msgpack.decode(sealed.payload, type=list[tuple[int, str, bytes]])
    rows = [Row(*one) for one in fields]
    make_folder(folder)
    lock = WriterLock.take(folder / LOCK, holder, clock.now())
    if lock is None:
        raise JournalHeld(_held(folder))
    try:
        if entries(folder) is not None:
            raise Refused(_occupied(folder))
        file = EmergencyFile(folder / EMERGENCY)
        try:
            sync_folder(folder)
            file.reset()
            file.append(rows)
        finally:
            file.close()
    finally:
        lock.release(clean=lock.previous is None)
    return len(rows)


def _occupied(folder: Path) -> Reason:
    return Reason(
        "EMERGENCY-OCCUPIED",
        f"{folder} has entries of its own that are not merged",
        because="they would be lost",
        so="nothing was written",
        next="`dayshift seal now` merges them first",
    )
