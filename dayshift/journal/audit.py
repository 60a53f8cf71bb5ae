"""Verifies a journal from its bytes alone, and names the first record that is bad.

Knows nothing of what records mean: a journal of a newer Dayshift can be audited as
well. Works on a copy, on a read-only medium, and beside a running writer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from dayshift.errors import JournalBroken, Refused
from dayshift.journal.base import ORIGIN, Head, Row, SignedHead, Store
from dayshift.journal.chain import check_row
from dayshift.journal.emergency import EMERGENCY, EmergencyDamaged, read_emergency
from dayshift.journal.findings import HEAD, MARK, known_keys
from dayshift.journal.reader import absent_reason
from dayshift.journal.sidelog import ERASED, side_fault
from dayshift.journal.signing import read_note, unpack
from dayshift.journal.slots import read_slots
from dayshift.journal.stores import HERE, Access, open_reader


class Bad(msgspec.Struct, frozen=True):
    """The first record that is not what was written, and what is wrong with it."""

    seq: int
    kind: str
    what: str

    def __str__(self) -> str:
        return f"record {self.seq} ({self.kind}) {self.what}"


class AuditReport(msgspec.Struct, frozen=True):
    """What was checked, and what was found. `head` is the last good record.

    `side_faults` are files that do not match their hash; `side_erased` those that are
    not there, which is no fault: they may be erased.
    """

    journal: str
    estate: str
    checked: int
    head: Head
    runs: tuple[str, ...]
    signatures: int
    keys: tuple[str, ...]
    bad: Bad | None
    side_checked: int
    side_erased: tuple[str, ...]
    side_faults: tuple[str, ...]
    emergency_entries: int

    @property
    def ok(self) -> bool:
        return self.bad is None and not self.side_faults


def audit(
    folder: Path, keys: tuple[str, ...] = (), access: Access = HERE
) -> AuditReport:
    """Check every record, signature and side-log file of the journal in `folder`.

    Args:
        keys: public keys in hexadecimal that the caller knows from elsewhere; those
            that lie beside the journal count only if none are given.

    Raises:
        Refused: there is no journal.
        JournalFull: its store does not answer.
    """
    check = _Audit(folder, keys, access)
    check.run()
    faults = [bad for bad in (check.bad, check.bad_head) if bad is not None]
    return AuditReport(
        journal=check.journal,
        estate=check.estate,
        checked=check.head.seq,
        head=check.head,
        runs=tuple(check.runs),
        signatures=check.signatures,
        keys=check.keys,
        bad=min(faults, key=lambda bad: bad.seq, default=None),
        side_checked=check.side_checked,
        side_erased=tuple(check.side_erased),
        side_faults=tuple(check.side_faults),
        emergency_entries=check.emergency_entries,
    )


class _Audit:
    """One pass over the records, in order."""

    def __init__(self, folder: Path, keys: tuple[str, ...], access: Access) -> None:
        self.folder = folder
        self.access = access
        self.keys = keys
        self.journal = self.estate = ""
        self.head = ORIGIN
        self.runs: dict[str, None] = {}
        self.bad: Bad | None = None
        self.bad_head: Bad | None = None
        self.signatures = 0
        self.side_checked = 0
        self.side_erased: list[str] = []
        self.side_faults: list[str] = []
        self.emergency_entries = 0
        self._expected: dict[int, str] = {}
        self._proven = 0
        # Read first: a running writer may append while the records are checked.
        mark = read_slots(folder / MARK)
        self._known = int(mark.split(b" ")[0]) if mark else 0

    def run(self) -> None:
        try:
            store = open_reader(self.access, self.folder)
        except JournalBroken as error:
            self._blame(Bad(1, "page", error.reason.what))
            return
        if store is None:
            raise Refused(absent_reason(self.folder))
        try:
            self.keys = self.keys or known_keys(self.folder, store)
            self._collect_heads(store)
            self._check_records(store)
            self._check_emergency()
        except JournalBroken as error:
            self._blame(Bad(self.head.seq + 1, "page", error.reason.what))
        finally:
            store.close()
        self._check_end()

    def _blame(self, bad: Bad) -> None:
        self.bad = self.bad or bad

    def _blame_head(self, bad: Bad) -> None:
        if self.bad_head is None or bad.seq < self.bad_head.seq:
            self.bad_head = bad

    def _collect_heads(self, store: Store) -> None:
        """What records must hash to, from every signature that holds."""
        for signed in self._signed_heads(store):
            note = read_note(signed, self.keys)
            if note is None or note.seq != signed.seq:
                text = "is not signed by a key of this journal"
                self._blame_head(Bad(signed.seq, "signed-head", text))
            else:
                self.signatures += 1
                self._expected[note.seq] = note.hash

    def _signed_heads(self, store: Store) -> Iterator[SignedHead]:
        yield from store.heads()
        payload = read_slots(self.folder / HEAD)
        signed = unpack(payload) if payload else None
        if signed is not None:
            yield signed

    def _check_records(self, store: Store) -> None:
        for row in store.read(0):
            bad, kind, fields = _check_row(self.head, row)
            if bad is not None:
                self._blame(bad)
                return
            expected = self._expected.get(row.seq)
            if expected == row.hash:
                self._proven = row.seq
            elif expected is not None:
                text = f"is not the one that was signed; rewritten since {self._proven}"
                self._blame(Bad(row.seq, kind, text))
                return
            self.head = Head(row.seq, row.hash)
            self._note_down(kind, fields)

    def _note_down(self, kind: str, fields: dict[str, Any]) -> None:
        body = fields["body"]
        if kind == "genesis":
            self.journal, self.estate = body["journal"], body["estate"]
        if fields.get("run"):
            self.runs[fields["run"]] = None
        if kind == "side-log":
            self.side_checked += 1
            fault = side_fault(self.folder, body["sha256"])
            if fault == ERASED:
                self.side_erased.append(body["name"])
            elif fault:
                self.side_faults.append(f"{body['name']} {fault}")

    def _check_emergency(self) -> None:
        try:
            log = read_emergency(self.folder / EMERGENCY)
        except EmergencyDamaged as error:
            self._blame(Bad(self.head.seq + 1, "emergency", str(error)))
            return
        if log is not None and log.base == self.head:
            self.emergency_entries = len(log.rows)

    def _check_end(self) -> None:
        """Nothing that was signed or acknowledged may lie beyond the last record."""
        if self.bad is not None:
            return
        known = max(self._expected, default=self._known)
        known = max(known, self._known)
        if known > self.head.seq:
            text = f"is missing; records up to {known} were written"
            self._blame(Bad(self.head.seq + 1, "unknown", text))


def _check_row(prev: Head, row: Row) -> tuple[Bad | None, str, dict[str, Any]]:
    """What is wrong with the record in `row` after `prev`; its kind and its fields."""
    fault = check_row(prev, row)
    try:
        fields = msgspec.json.decode(row.data, type=dict[str, Any])
        kind = str(fields["body"]["kind"])
    except (ValueError, LookupError, TypeError):
        fields, kind = {}, "unknown"
    missing = row.seq != prev.seq + 1
    seq = prev.seq + 1 if missing else row.seq
    return (
        (Bad(seq, "unknown" if missing else kind, fault) if fault else None),
        kind,
        fields,
    )
