"""Looks at a journal's directory before anything is opened for writing.

Here is found out what `recovery` decides on. Only reads: a refused journal lies there
afterwards as it lay before, for whoever must find out what happened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from dayshift.errors import JournalBroken, JournalError, JournalHeld, Refused
from dayshift.journal import recovery
from dayshift.journal.base import ORIGIN, Head, Store
from dayshift.journal.chain import broken_link, read_link
from dayshift.journal.codec import INTEGER_MAX, decode_record
from dayshift.journal.emergency import (
    EMERGENCY,
    EmergencyDamaged,
    EmergencyLog,
    read_emergency,
)
from dayshift.journal.lock import LOCK, WriterLock, read_holder
from dayshift.journal.recovery import (
    Cell,
    Chain,
    Database,
    Emergency,
    Findings,
    Lock,
    Wal,
    Witness,
)
from dayshift.journal.signing import public_keys, read_note, unpack
from dayshift.journal.slots import read_slots
from dayshift.journal.stores import Access, open_reader
from dayshift.model.dial import Claim
from dayshift.model.records import Genesis, Merged

HEAD = "head"
MARK = "mark"
WAL = "journal.db-wal"


class Examination(NamedTuple):
    """What was found, what the table says, and where: for the one who refuses."""

    findings: Findings
    cell: Cell
    detail: str
    seq: int
    log: EmergencyLog | None
    head: Head
    epoch: int

    def refusal(self) -> JournalError | Refused:
        reason = self.cell.reason(self.detail)
        if self.findings.lock is not Lock.FREE:
            return JournalHeld(reason)
        if self.findings.database in (Database.FOREIGN, Database.MOVED):
            return Refused(reason)
        return JournalBroken(reason, self.seq)


class _Saying(NamedTuple):
    """A head that something beside the database remembers; `hash` may be unknown."""

    who: str
    seq: int
    hash: str | None


class _Found(msgspec.Struct):
    """Findings as they are gathered; a fresh directory at first."""

    lock: Lock = Lock.FREE
    database: Database = Database.MISSING
    chain: Chain = Chain.WHOLE
    witness: Witness = Witness.NONE
    emergency: Emergency = Emergency.ABSENT
    head: Head = ORIGIN
    journal: str = ""
    detail: str = ""
    seq: int = 0
    log: EmergencyLog | None = None
    epoch: int = 0


def examine(
    folder: Path,
    estate: str,
    lock: WriterLock | None,
    claims: Sequence[Claim],
    access: Access,
) -> Examination:
    """Find out what lies in `folder` and in its store; `lock` is None when another
    process holds it.

    Raises:
        JournalFull: the store does not answer.
    """
    found = _Found()
    if lock is None:
        found.lock = Lock.HELD
        found.detail = str(read_holder(folder / LOCK) or "it is just starting")
    else:
        store = _open_store(folder, access, found)
        try:
            if store is not None:
                _look_at_leader(store, access, found)
                _look_inside(store, estate, found)
            _look_at_emergency(folder, store, found)
            _look_at_witnesses(folder, store, claims, found)
        finally:
            if store is not None:
                store.close()
    findings = Findings(
        found.lock,
        found.database,
        Wal.FOLDED if access.shared else _wal(folder, lock),
        found.chain,
        found.witness,
        found.emergency,
    )
    cell = recovery.decide(findings)
    return Examination(
        findings, cell, found.detail, found.seq, found.log, found.head, found.epoch
    )


def _wal(folder: Path, lock: WriterLock | None) -> Wal:
    path = folder / WAL
    if path.exists() and path.stat().st_size:
        return Wal.PRESENT
    killed = lock is not None and lock.previous is not None
    return Wal.GONE if killed else Wal.FOLDED


def _open_store(folder: Path, access: Access, found: _Found) -> Store | None:
    try:
        store = open_reader(access, folder)
        if store is None:
            return None
        found.database = Database.EMPTY
        fault = store.fault()
    except JournalBroken as error:
        _malformed(found, error.reason.what)
        return None
    if fault is not None:
        _malformed(found, fault)
        store.close()
        return None
    return store


def _malformed(found: _Found, detail: str) -> None:
    found.database, found.detail = Database.MALFORMED, detail


def _look_at_leader(store: Store, access: Access, found: _Found) -> None:
    """Of a store in the folder itself the folder's lock has told."""
    leader = store.leader() if access.shared else None
    if leader is not None:
        found.lock, found.detail = Lock.LED, str(leader)


def _look_inside(store: Store, estate: str, found: _Found) -> None:
    found.head = store.head()
    if found.head == ORIGIN:
        return
    found.database = Database.SOUND
    if to := store.moved_to():
        found.database, found.detail = Database.MOVED, f"to {to}"
        return
    try:
        genesis = read_link(ORIGIN, next(store.read(0))).body
        if not isinstance(genesis, Genesis):
            raise broken_link(1, "is no genesis")
        found.journal = genesis.journal
        if genesis.estate != estate:
            found.database = Database.FOREIGN
            found.detail = f"it is of {genesis.estate}, this is {estate}"
        found.epoch = _verify_tail(store, found.head)
    except JournalBroken as error:
        found.detail, found.seq = error.reason.what, error.seq
        if error.seq:
            found.chain = Chain.BROKEN
        else:
            found.database = Database.MALFORMED


def _verify_tail(store: Store, end: Head) -> int:
    """Every link from the newest snapshot to `end`; those before it are the audit's.

    What another controller wrote behind `end` meanwhile is not looked at: whoever wants
    to lead compares the head when it takes the lease.

    Returns the newest epoch there: merged entries, of an older one, may be last.
    """
    head = snapshot_base(store, end.seq)
    epoch = 0
    for row in store.read(max(0, head.seq - 1)):
        if row.seq > end.seq:
            break
        if row.seq > head.seq:
            epoch = max(epoch, read_link(head, row).epoch)
            head = Head(row.seq, row.hash)
        else:
            with contextlib.suppress(ValueError):
                epoch = decode_record(row.data).epoch
    if head != end:
        text = f"is missing or another; the store names {end.seq} ({end.hash[:16]}…)"
        raise broken_link(min(head.seq + 1, end.seq), f"{text} as last")
    return epoch


def snapshot_base(store: Store, until: int = INTEGER_MAX) -> Head:
    """The head of the newest snapshot that belongs to this chain and is not behind
    record `until`; else the origin."""
    for snapshot in store.snapshots():
        if snapshot.seq <= until and store.hash_at(snapshot.seq) == snapshot.hash:
            return Head(snapshot.seq, snapshot.hash)
    return ORIGIN


def _look_at_emergency(folder: Path, store: Store | None, found: _Found) -> None:
    path = folder / EMERGENCY
    if not path.exists():
        return
    try:
        log = read_emergency(path)
    except EmergencyDamaged as error:
        found.emergency = Emergency.DAMAGED
        found.detail = found.detail or str(error)
        return
    found.emergency, found.log = unmerged(store, log)
    if log is not None and found.emergency is Emergency.FOREIGN:
        found.detail = found.detail or (
            f"its first entry follows record {log.base.seq}, {log.base.hash[:16]}…"
        )


def known_keys(folder: Path, store: Store | None) -> tuple[str, ...]:
    """The keys whose signatures count: those kept here, and those of controllers
    elsewhere, which travel with a shared journal."""
    ours = public_keys(folder)
    theirs = store.public_keys() if store else ()
    return (*ours, *(one for one in theirs if one not in ours))


def unmerged(
    store: Store | None, log: EmergencyLog | None
) -> tuple[Emergency, EmergencyLog | None]:
    """How the entries of an emergency file stand to this store, and those that it does
    not have yet.

    Why: a merge may land although nobody heard of it; the controller goes on in the
    file then, behind entries that must not be chained again.
    """
    if log is None:
        return Emergency.READY, None
    if store is None or store.hash_at(log.base.seq) != log.base.hash:
        return Emergency.FOREIGN, log
    places = {row.hash: number for number, row in enumerate(log.rows, 1)}
    merged = 0
    for row in store.read(log.base.seq):
        body = decode_record(row.data).body
        if isinstance(body, Merged):
            merged = max(merged, places.get(body.head, 0))
    rest = log.after(merged)
    return (Emergency.SPENT, None) if rest is None else (Emergency.CHAINED, rest)


def _look_at_witnesses(
    folder: Path,
    store: Store | None,
    claims: Sequence[Claim],
    found: _Found,
) -> None:
    sayings = list(_sayings(folder, store, claims, found))
    if not sayings:
        return
    newest = max(saying.seq for saying in sayings)
    found.witness = Witness.LEVEL if newest >= found.head.seq else Witness.AHEAD
    for saying in sayings:
        if saying.seq > _end_for(saying, found):
            found.witness, found.seq = Witness.BEHIND, found.head.seq + 1
            found.detail = found.detail or (
                f"it ends at record {found.head.seq}; {saying.who} knows {saying.seq}"
            )
            return
    for saying in sayings:
        if saying.hash and store and store.hash_at(saying.seq) != saying.hash:
            found.witness, found.seq = Witness.FORKED, saying.seq
            found.detail = found.detail or (
                f"record {saying.seq} is not the one that {saying.who} knows"
            )
            return


def _end_for(saying: _Saying, found: _Found) -> int:
    """Claims may stem from emergency entries; what lies in our directory does not."""
    if saying.hash is None and found.log and found.emergency is Emergency.CHAINED:
        return max(found.head.seq, found.log.end.seq)
    return found.head.seq


def _sayings(
    folder: Path,
    store: Store | None,
    claims: Sequence[Claim],
    found: _Found,
) -> Iterator[_Saying]:
    if mark := read_slots(folder / MARK):
        seq, _, digest = mark.decode("ascii").partition(" ")
        yield _Saying("the mark of the last append", int(seq), digest)
    signed = [unpack(read_slots(folder / HEAD) or b"")]
    signed += [store.last_signed()] if store else []
    keys = known_keys(folder, store)
    for one in signed:
        if one is None:
            continue
        note = read_note(one, keys)
        if note is not None:
            yield _Saying("the signed head", note.seq, note.hash)
        elif keys:
            yield _Saying("a head that none of its keys signed", one.seq, "unsigned")
    for claim in claims:
        if claim.journal == found.journal:
            yield _Saying(f"the claim {claim} at a dial", claim.seq, None)
