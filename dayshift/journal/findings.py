"""Looks at a journal's directory before anything is opened for writing.

Here is found out what `recovery` decides on. Only reads: a refused journal lies there
afterwards as it lay before, for whoever must find out what happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from dayshift.errors import JournalBroken, JournalError, JournalHeld, Refused
from dayshift.journal import recovery
from dayshift.journal.base import ORIGIN, Head
from dayshift.journal.chain import broken_link, read_link
from dayshift.journal.codec import decode_record
from dayshift.journal.emergency import (
    EMERGENCY,
    EmergencyDamaged,
    EmergencyLog,
    read_emergency,
)
from dayshift.journal.lock import WriterLock, read_holder
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
from dayshift.journal.sqlite import DATABASE, WAL, SqliteStore
from dayshift.model.dial import Claim
from dayshift.model.records import Genesis, Merged

LOCK = "lock"
HEAD = "head"
MARK = "mark"


class Examination(NamedTuple):
    """What was found, what the table says, and where: for the one who refuses."""

    findings: Findings
    cell: Cell
    detail: str
    seq: int
    log: EmergencyLog | None

    def refusal(self) -> JournalError | Refused:
        reason = self.cell.reason(self.detail)
        if self.findings.lock is Lock.HELD:
            return JournalHeld(reason)
        if self.findings.database is Database.FOREIGN:
            return Refused(reason)
        return JournalBroken(reason, self.seq)


class _Saying(NamedTuple):
    """A head that something beside the database remembers; `hash` may be unknown."""

    who: str
    seq: int
    hash: str | None


class _Found(msgspec.Struct):
    """Findings as they are gathered; a fresh directory at first."""

    database: Database = Database.MISSING
    chain: Chain = Chain.WHOLE
    witness: Witness = Witness.NONE
    emergency: Emergency = Emergency.ABSENT
    head: Head = ORIGIN
    journal: str = ""
    detail: str = ""
    seq: int = 0
    log: EmergencyLog | None = None


def examine(
    folder: Path, estate: str, lock: WriterLock | None, claims: Sequence[Claim]
) -> Examination:
    """Find out what lies in `folder`; `lock` is None when another process holds it."""
    found = _Found()
    if lock is None:
        found.detail = str(read_holder(folder / LOCK) or "it is just starting")
    else:
        store = _open_store(folder, found)
        try:
            if store is not None:
                _look_inside(store, estate, found)
            _look_at_emergency(folder, store, found)
            _look_at_witnesses(folder, store, claims, found)
        finally:
            if store is not None:
                store.close()
    findings = Findings(
        Lock.HELD if lock is None else Lock.FREE,
        found.database,
        _wal(folder, lock),
        found.chain,
        found.witness,
        found.emergency,
    )
    cell = recovery.decide(findings)
    return Examination(findings, cell, found.detail, found.seq, found.log)


def _wal(folder: Path, lock: WriterLock | None) -> Wal:
    path = folder / WAL
    if path.exists() and path.stat().st_size:
        return Wal.PRESENT
    killed = lock is not None and lock.previous is not None
    return Wal.GONE if killed else Wal.FOLDED


def _open_store(folder: Path, found: _Found) -> SqliteStore | None:
    path = folder / DATABASE
    if not path.exists():
        return None
    found.database = Database.EMPTY
    try:
        store = SqliteStore.reader(folder)
        fault = store.page_fault()
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


def _look_inside(store: SqliteStore, estate: str, found: _Found) -> None:
    found.head = store.head()
    if found.head == ORIGIN:
        return
    found.database = Database.SOUND
    try:
        genesis = read_link(ORIGIN, next(store.read(0))).body
        if not isinstance(genesis, Genesis):
            raise broken_link(1, "is no genesis")
        found.journal = genesis.journal
        if genesis.estate != estate:
            found.database = Database.FOREIGN
            found.detail = f"it is of {genesis.estate}, this is {estate}"
        _verify_tail(store)
    except JournalBroken as error:
        found.detail, found.seq = error.reason.what, error.seq
        if error.seq:
            found.chain = Chain.BROKEN
        else:
            found.database = Database.MALFORMED


def _verify_tail(store: SqliteStore) -> None:
    """Every link since the newest snapshot; those before it are the audit's."""
    head = snapshot_base(store)
    for row in store.read(head.seq):
        read_link(head, row)
        head = Head(row.seq, row.hash)


def snapshot_base(store: SqliteStore) -> Head:
    """The head of the newest snapshot that belongs to this chain; else the origin."""
    for snapshot in store.snapshots():
        if store.hash_at(snapshot.seq) == snapshot.hash:
            return Head(snapshot.seq, snapshot.hash)
    return ORIGIN


def _look_at_emergency(folder: Path, store: SqliteStore | None, found: _Found) -> None:
    path = folder / EMERGENCY
    if not path.exists():
        return
    try:
        log = read_emergency(path)
    except EmergencyDamaged as error:
        found.emergency = Emergency.DAMAGED
        found.detail = found.detail or str(error)
        return
    found.emergency = emergency_state(store, log)
    found.log = log
    if log is not None and found.emergency is Emergency.FOREIGN:
        found.detail = found.detail or (
            f"its first entry follows record {log.base.seq}, {log.base.hash[:16]}…"
        )


def emergency_state(store: SqliteStore | None, log: EmergencyLog | None) -> Emergency:
    """How the entries of an emergency file stand to this store."""
    if log is None:
        return Emergency.READY
    if store is None or store.hash_at(log.base.seq) != log.base.hash:
        return Emergency.FOREIGN
    for row in store.read(log.base.seq):
        body = decode_record(row.data).body
        if isinstance(body, Merged) and body.head == log.end.hash:
            return Emergency.SPENT
    return Emergency.CHAINED


def _look_at_witnesses(
    folder: Path,
    store: SqliteStore | None,
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
    store: SqliteStore | None,
    claims: Sequence[Claim],
    found: _Found,
) -> Iterator[_Saying]:
    if mark := read_slots(folder / MARK):
        seq, _, digest = mark.decode("ascii").partition(" ")
        yield _Saying("the mark of the last append", int(seq), digest)
    signed = [unpack(read_slots(folder / HEAD) or b"")]
    signed += list(store.heads())[-1:] if store else []
    keys = public_keys(folder)
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
