"""Where everything of a journal lies in etcd, and the requests that reach it.

Pure: keys and JSON for the gateway, nothing is sent from here.

    PREFIX/ESTATE/wave                     the wave token, of all journals of the estate
    PREFIX/ESTATE/JOURNAL/live/head        `SEQ HASH`: only what it covers is written
    PREFIX/ESTATE/JOURNAL/live/leader      who leads, bound to the leader's lease
    PREFIX/ESTATE/JOURNAL/live/inbox/TOKEN
    PREFIX/ESTATE/JOURNAL/record/SEQ       32 bytes of hash, then the record
    PREFIX/ESTATE/JOURNAL/signed/SEQ       a signed head; `signed-last` repeats the last
    PREFIX/ESTATE/JOURNAL/snapshot/SEQ     what belongs to the chunks
    PREFIX/ESTATE/JOURNAL/chunk/SEQ/N
    PREFIX/ESTATE/JOURNAL/key/HEX          a controller's public key
    PREFIX/ESTATE/JOURNAL/moved            where the journal went
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from dayshift.journal.base import ORIGIN, Head, Row
from dayshift.journal.stores.etcd_gateway import b64, unb64

Json = dict[str, Any]
HASH_BYTES = 32
TXN_OPS_MAX = 100
"""Below etcd's default of 128 operations in one transaction."""
TXN_BYTES_MAX = 1_200_000
"""Below etcd's default of 1.5 MiB for one request; one record always fits."""
CHUNK_BYTES = 524_288


class Entry(NamedTuple):
    """A key's value, when it was made, and the lease that it ends with."""

    key: str
    value: bytes
    made: int
    lease: str


class SnapshotNote(msgspec.Struct, frozen=True):
    """What the chunks of a snapshot must add up to."""

    hash: str
    sha256: str
    chunks: int


class Layout:
    """The keys of one journal."""

    def __init__(self, prefix: str, estate: str, journal: str) -> None:
        above = f"{prefix.rstrip('/')}/{estate}/"
        self.root = f"{above}{journal}/"
        self.wave = f"{above}wave"
        self.live = f"{self.root}live/"
        self.head = f"{self.live}head"
        self.leader = f"{self.live}leader"
        self.inbox = f"{self.live}inbox/"
        self.signed = f"{self.root}signed/"
        self.signed_last = f"{self.root}signed-last"
        self.snapshots = f"{self.root}snapshot/"
        self.keys = f"{self.root}key/"
        self.moved = f"{self.root}moved"

    def record(self, seq: int) -> str:
        return f"{self.root}record/{seq:012d}"

    def signed_at(self, seq: int) -> str:
        return f"{self.signed}{seq:012d}"

    def snapshot(self, seq: int) -> str:
        return f"{self.snapshots}{seq:012d}"

    def chunks(self, seq: int) -> str:
        return f"{self.root}chunk/{seq:012d}/"


def seq_of(key: str) -> int:
    """The sequence number at the end of a key."""
    return int(key.rpartition("/")[2])


def head_value(head: Head) -> bytes:
    """The head as its key holds it."""
    return f"{head.seq} {head.hash}".encode()


def read_head(value: bytes) -> Head:
    """A head from `head_value`.

    Raises:
        ValueError: it is none.
    """
    seq, _, digest = value.decode("ascii").partition(" ")
    return Head(int(seq), digest)


def row_value(row: Row) -> bytes:
    """A row as its key holds it."""
    return bytes.fromhex(row.hash) + row.data


def read_row(entry: Entry) -> Row:
    """A row from its entry."""
    value = entry.value
    return Row(seq_of(entry.key), value[:HASH_BYTES].hex(), value[HASH_BYTES:])


def batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Rows in portions that one transaction can take."""
    begin = size = 0
    for at, row in enumerate(rows):
        more = len(row.data) + 200
        if at > begin and (size + more > TXN_BYTES_MAX or at - begin >= TXN_OPS_MAX):
            yield rows[begin:at]
            begin, size = at, 0
        size += more
    yield rows[begin:]


def put(key: str, value: bytes, lease: str = "0") -> Json:
    """Write a key, bound to a lease if one is named."""
    return {"request_put": {"key": b64(key), "value": b64(value), "lease": lease}}


def get(key: str) -> Json:
    """Read a key."""
    return {"request_range": {"key": b64(key)}}


def get_below(prefix: str, limit: int, keys_only: bool = False) -> Json:
    """Read the first `limit` keys (0: all) that begin with `prefix`."""
    return {
        "request_range": {
            "key": b64(prefix),
            "range_end": b64(after(prefix)),
            "limit": str(limit),
            "keys_only": keys_only,
        }
    }


def delete(key: str) -> Json:
    """Remove a key."""
    return {"request_delete_range": {"key": b64(key)}}


def delete_below(prefix: str) -> Json:
    """Remove every key that begins with `prefix`."""
    end = b64(after(prefix))
    return {"request_delete_range": {"key": b64(prefix), "range_end": end}}


def after(prefix: str) -> str:
    """The first key behind all those that begin with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def is_head(key: str, head: Head) -> Json:
    """The head is still this one."""
    if head == ORIGIN:
        return is_absent(key)
    return has_value(key, head_value(head))


def has_value(key: str, value: bytes) -> Json:
    """The key holds exactly this."""
    return {"target": "VALUE", "key": b64(key), "value": b64(value)}


def is_absent(key: str) -> Json:
    """The key is not there."""
    return {"target": "CREATE", "key": b64(key), "create_revision": "0"}


def has_lease(key: str, lease: str) -> Json:
    """The key ends with this lease: whoever put it there still leads."""
    return {"target": "LEASE", "key": b64(key), "lease": lease}


def is_made(key: str, revision: int) -> Json:
    """It is still the one that was made at `revision`, overwritten or not."""
    return {"target": "CREATE", "key": b64(key), "create_revision": str(revision)}


def entries(answer: Json) -> list[Entry]:
    """What a range, alone or in a transaction, gave."""
    found = answer.get("response_range", answer)
    return [
        Entry(
            unb64(one["key"]).decode(),
            unb64(one.get("value", "")),
            int(one.get("create_revision", 0)),
            str(one.get("lease", "0")),
        )
        for one in found.get("kvs", ())
    ]
