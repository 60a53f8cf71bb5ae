"""Carries a journal from store to store, or through a file, with its chain whole.

Records, signed heads and public keys go as they are: byte for byte, every link checked
on the way. A file is lines of text, one for each thing, and says at its end what it
must hold.

    dayshift-journal 1 ESTATE
    K KEY
    S SEQ SIGNATURE NOTE
    R SEQ HASH RECORD
    E SEQ HASH
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from dayshift.errors import Reason, Refused
from dayshift.journal.base import ORIGIN, Head, Row, SignedHead, Store
from dayshift.journal.chain import broken_link, check_row
from dayshift.limits import RECORD_BYTES_MAX

MAGIC = b"dayshift-journal 1 "
LINE_BYTES_MAX = RECORD_BYTES_MAX + 256
BATCH_ROWS = 256
BATCH_BYTES = 1_048_576
Progress = Callable[[int], None]
"""Told the number of records that were carried so far."""


def verified(rows: Iterable[Row]) -> Iterator[Row]:
    """The same rows, each a whole link after the one before.

    Raises:
        JournalBroken: one is not; `seq` names it.
    """
    head = ORIGIN
    for row in rows:
        fault = check_row(head, row)
        if fault:
            raise broken_link(row.seq, fault)
        head = Head(row.seq, row.hash)
        yield row


def write_file(
    file: BinaryIO, estate: str, keys: Iterable[str], store: Store, progress: Progress
) -> Head:
    """Write a journal into `file`; its head."""
    file.write(MAGIC + estate.encode() + b"\n")
    for key in keys:
        file.write(b"K %s\n" % key.encode())
    for signed in store.heads():
        if b"\n" in signed.note:
            continue  # no head of ours: its own audit names it
        told = (signed.seq, signed.signature.hex().encode(), signed.note)
        file.write(b"S %d %s %s\n" % told)
    head = ORIGIN
    for row in verified(store.read(0)):
        file.write(b"R %d %s %s\n" % (row.seq, row.hash.encode(), row.data))
        head = Head(row.seq, row.hash)
        progress(row.seq)
    file.write(b"E %d %s\n" % (head.seq, head.hash.encode()))
    return head


class JournalFile:
    """A journal in a file, read from its begin to its end once."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        first = self._line()
        if not first.startswith(MAGIC):
            raise Refused(_no_journal(name, "it does not begin as one"))
        self.estate = first[len(MAGIC) :].decode(errors="replace")
        self.keys: list[str] = []
        self.heads: list[SignedHead] = []
        self._next = self._read_above()

    def _line(self) -> bytes:
        line = self._file.readline(LINE_BYTES_MAX)
        if line and not line.endswith(b"\n"):
            raise Refused(
                _no_journal(self._name, "it was cut off, or a line is endless")
            )
        return line.rstrip(b"\n")

    def _read_above(self) -> bytes:
        """Keys and signed heads; the first line after them."""
        try:
            while (line := self._line())[:2] in (b"K ", b"S "):
                if line.startswith(b"K "):
                    self.keys.append(line[2:].decode("ascii"))
                else:
                    _, seq, signature, note = line.split(b" ", 3)
                    signed = bytes.fromhex(signature.decode("ascii"))
                    self.heads.append(SignedHead(int(seq), note, signed))
        except ValueError as error:
            raise Refused(_no_journal(self._name, str(error))) from None
        return line

    def rows(self) -> Iterator[Row]:
        """Every record, not yet verified; the end of the file is."""
        line, last = self._next, ORIGIN
        try:
            while line.startswith(b"R "):
                _, seq, digest, data = line.split(b" ", 3)
                row = Row(int(seq), digest.decode("ascii"), data)
                last = Head(row.seq, row.hash)
                yield row
                line = self._line()
            if line.split(b" ") != [b"E", b"%d" % last.seq, last.hash.encode()]:
                text = f"its end does not name record {last.seq}, its last one"
                raise Refused(_no_journal(self._name, text))
        except ValueError as error:
            raise Refused(_no_journal(self._name, str(error))) from None


def pour(
    rows: Iterable[Row],
    heads: Iterable[SignedHead],
    keys: Iterable[str],
    into: Store,
    progress: Progress,
) -> Head:
    """Append to `into`, which leads, what it does not have yet; its head then.

    Holds: what `into` has already is the beginning of what comes, or nothing is
    appended.

    Raises:
        Refused: `into` holds something else, or more.
    """
    had = head = into.head()
    batch: list[Row] = []
    size = seen = 0
    for row in verified(rows):
        seen = row.seq
        if row.seq == had.seq and row.hash != had.hash:
            raise Refused(_other(had, f"there it is {row.hash[:16]}…"))
        if row.seq <= had.seq:
            continue
        batch.append(row)
        size += len(row.data)
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            head, size = _append(into, batch, head), 0
            progress(head.seq)
    if seen < had.seq:
        raise Refused(_other(had, f"what should be brought ends at {seen}"))
    head = _append(into, batch, head)
    for key in keys:
        into.put_key(key)
    for signed in heads:
        into.put_head(signed)
    progress(head.seq)
    return head


def _append(into: Store, batch: list[Row], head: Head) -> Head:
    if batch:
        into.append(batch, head)
        head = Head(batch[-1].seq, batch[-1].hash)
        batch.clear()
    return head


def arrived_reason(wanted: Head, found: Head) -> Reason | None:
    """Why a journal did not arrive whole, or None."""
    if wanted == found:
        return None
    return Reason(
        "JOURNAL-NOT-ARRIVED",
        f"record {wanted.seq} was brought, but the store ends at {found.seq}",
        because="the store was written by somebody else meanwhile",
        so="the journal stays where it was",
        next="see who leads (`dayshift status`), then do it again",
    )


def _other(had: Head, text: str) -> Reason:
    return Reason(
        "STORE-NOT-EMPTY",
        f"the store holds another journal up to record {had.seq}: {text}",
        because="a journal is brought into an empty store, or behind its own beginning",
        so="nothing was written there",
        next="name another `journal:` (prefix, schema or journal), or empty the store",
    )


def _no_journal(name: str, text: str) -> Reason:
    return Reason(
        "FILE-NOT-A-JOURNAL",
        f"{name} is no whole journal: {text}",
        because="`dayshift journal export` writes such a file, to its end",
        so="what came before that was checked, and lies in the store where it was new",
        next="bring the whole file, or export again",
    )
