"""Links between records: each names the hash of the one before it.

Here lives what a link is and why one does not hold. Pure: bytes in, records out.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from dayshift.errors import Bug, JournalBroken, JournalNewer, Reason
from dayshift.journal.base import Head, Row
from dayshift.journal.codec import canonical, decode_record, encode_record, kind_of
from dayshift.model.records import AnyBody, Record
from dayshift.model.units import Instant

_DOMAIN = b"dayshift/record/1/"
_loose = msgspec.json.Decoder(dict[str, Any])


def record_hash(kind: str, data: bytes) -> str:
    """SHA-256 over domain, kind and bytes.

    Why: with the kind in front, no bytes can be passed off as another kind of thing
    that Dayshift hashes or signs.
    """
    return hashlib.sha256(_DOMAIN + kind.encode() + b"\0" + data).hexdigest()


def seal(
    prev: Head, at: Instant, epoch: int, run: str, body: AnyBody
) -> tuple[Row, Record]:
    """Chain `body` to `prev`: the row to store and the record as it will be read."""
    seq = prev.seq + 1
    data, record = encode_record(prev.hash, seq, at, epoch, run, body)
    row = Row(seq, record_hash(kind_of(body), data), data)
    force_setattr(record, "hash", row.hash)
    return row, record


def read_link(prev: Head, row: Row) -> Record:
    """Return the record in `row`, which must follow `prev`.

    Holds: a record that comes out of here is the one that was written after `prev`.

    Raises:
        JournalBroken: the link does not hold.
        JournalNewer: the record asks for a newer Dayshift.
    """
    if row.seq != prev.seq + 1:
        raise broken_link(prev.seq + 1, f"is missing; record {row.seq} stands after it")
    try:
        record = decode_record(row.data)
    except ValueError as error:
        raise broken_link(row.seq, f"cannot be read: {error}") from None
    found = record_hash(kind_of(record.body), row.data)
    if found != row.hash:
        raise broken_link(
            row.seq, f"hashes to {found[:16]}…, not to the stored {row.hash[:16]}…"
        )
    if record.seq != row.seq:
        raise broken_link(row.seq, f"says that it is record {record.seq}")
    if record.prev != prev.hash:
        raise broken_link(
            row.seq,
            f"follows {record.prev[:16]}…, but record {prev.seq} is {prev.hash[:16]}…",
        )
    force_setattr(record, "hash", row.hash)
    return record


def check_row(prev: Head, row: Row) -> str:
    """What is wrong with the bytes in `row` as the record after `prev`, or nothing.

    Knows nothing of what records mean: those of a newer Dayshift are checked as well.
    """
    if row.seq != prev.seq + 1:
        return f"is missing; record {row.seq} stands in its place"
    try:
        fields = _loose.decode(row.data)
        kind = str(fields["body"]["kind"])
        plain = canonical(fields) == row.data
    except (ValueError, LookupError, TypeError, Bug) as error:
        return f"cannot be read: {error}"
    found = record_hash(kind, row.data)
    if found != row.hash:
        return f"was changed: it hashes to {found[:16]}…, stored is {row.hash[:16]}…"
    if not plain:
        return "is not in canonical form"
    if fields.get("seq") != row.seq:
        return f"says that it is record {fields.get('seq')}: moved or inserted"
    if fields.get("prev") != prev.hash:
        return (
            f"does not follow record {prev.seq}: that was replaced or removed, "
            "or this one inserted"
        )
    return ""


def verify_link(prev: Head, row: Row) -> Reason | None:
    """Why `row` does not follow `prev`, or None."""
    try:
        read_link(prev, row)
    except (JournalBroken, JournalNewer) as error:
        return error.reason
    return None


def broken_link(seq: int, what: str) -> JournalBroken:
    """The error of a record that is not what was written."""
    return JournalBroken(
        Reason(
            "JOURNAL-BROKEN",
            f"record {seq} {what}",
            because="the stored bytes are not those that were written",
            so="nothing is decided from this journal",
            next="`dayshift audit`, then bring back the newest intact copy",
        ),
        seq,
    )
