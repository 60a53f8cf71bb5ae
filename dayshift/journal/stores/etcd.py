"""Store `etcd`: shared by several controllers, through etcd's JSON gateway.

Leadership is a key bound to a lease; every write compares that key's lease, and the
head, in the transaction that writes. A batch too large for one transaction is laid down
beyond the head first, where nobody reads, and becomes true with the head.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from dayshift.errors import DayshiftError, JournalFull, JournalHeld, Reason
from dayshift.journal.base import (
    ORIGIN,
    Head,
    Holder,
    Row,
    SignedHead,
    StoredSnapshot,
    Wave,
)
from dayshift.journal.lock import WriterLock
from dayshift.journal.signing import pack
from dayshift.journal.stores import Access
from dayshift.journal.stores import etcd_layout as at
from dayshift.journal.stores.etcd_reading import SNAPSHOTS_KEPT, EtcdReader
from dayshift.journal.stores.keeper import RENEWALS_PER_LEASE, Keeper
from dayshift.journal.stores.reasons import led_reason, moved_reason, unsure_reason

Json = at.Json


class EtcdStore(EtcdReader):
    """A `Store` in etcd 3.4 or newer."""

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        self._lease = ""
        self._mine = b""
        self._keeper: Keeper | None = None
        self._room: int | None = None
        self._unsure: Head | None = None
        self._spoiled = False

    @classmethod
    def writer(cls, access: Access, folder: Path, lock: WriterLock) -> Self:
        """For leading, once `lease` succeeds."""
        return cls(access)

    def close(self) -> None:
        if self._keeper is not None:
            self._keeper.stop()
            if not self._keeper.lost:
                self._revoke()
            self._keeper = None
        super().close()

    def room_bytes(self) -> int | None:
        """As the lease's thread saw it last: nobody waits for it."""
        return self._room if self._keeper else super().room_bytes()

    def lease(self, holder: Holder, after: Head) -> None:
        asked = self._clock.now()
        self._mine = msgspec.json.encode(holder)
        wanted = {"TTL": str(-(-self._options.lease // 1000))}
        self._lease = str(self._etcd.call("/v3/lease/grant", wanted)["ID"])
        try:
            answer = self._txn(
                [at.is_absent(self._at.leader), at.is_head(self._at.head, after)],
                [at.put(self._at.leader, self._mine, self._lease)],
                [at.get(self._at.leader)],
            )
        except DayshiftError:
            # It may still arrive, and must not keep everybody waiting for nobody.
            self._revoke()
            raise
        if not answer.get("succeeded"):
            leaders = at.entries(answer["responses"][0])
            # Sent twice, its second sending finds what the first one wrote.
            if not leaders or leaders[0].lease != self._lease:
                self._revoke()
                raise JournalHeld(self._refusal(leaders, after))
        self._room = super().room_bytes()
        self._keeper = Keeper(self._renew, self._options.lease, self._clock, asked)

    def _revoke(self) -> None:
        with contextlib.suppress(DayshiftError):
            limit = self._options.lease // RENEWALS_PER_LEASE
            self._etcd.call("/v3/lease/revoke", {"ID": self._lease}, limit)

    def _renew(self) -> bool:
        limit = self._options.lease // RENEWALS_PER_LEASE
        answer = self._etcd.call("/v3/lease/keepalive", {"ID": self._lease}, limit)
        alive = int(answer.get("result", {}).get("TTL", 0)) > 0
        if alive:
            with contextlib.suppress(DayshiftError):
                self._room = super().room_bytes()
        return alive

    @property
    def lost(self) -> bool:
        return self._keeper is not None and self._keeper.lost

    def append(self, rows: Sequence[Row], after: Head) -> None:
        self._check_leading()
        end = Head(rows[-1].seq, rows[-1].hash)
        portions = list(at.batches(rows))
        try:
            for portion in portions[:-1]:
                self._write(portion, after, after)
            self._write(portions[-1], after, end)
        except JournalFull:
            self._unsure = end
            # What was laid down beyond the head may still arrive, and must not meet
            # other rows laid down there.
            self._spoiled = len(portions) > 1
            raise
        self._unsure = None

    def _write(self, rows: Sequence[Row], after: Head, then: Head) -> None:
        """Lay rows down; they count once the head (`then`) covers them."""
        puts = [at.put(self._at.record(row.seq), at.row_value(row)) for row in rows]
        if then != after:
            puts.append(at.put(self._at.head, at.head_value(then)))
        answer = self._txn(
            [
                at.has_lease(self._at.leader, self._lease),
                at.is_head(self._at.head, after),
            ],
            puts,
            [at.get(self._at.leader), at.get(self._at.head)],
        )
        if answer.get("succeeded"):
            return
        leaders, heads = (at.entries(one) for one in answer["responses"])
        now = at.read_head(heads[0].value) if heads else ORIGIN
        if then != after and now == then:
            return  # an earlier sending of this very batch landed
        if self._unsure is not None and now == self._unsure:
            raise JournalFull(unsure_reason(now.seq))
        raise JournalHeld(self._refusal(leaders, after))

    def _refusal(self, leaders: list[at.Entry], after: Head) -> Reason:
        """Who is in the way: another leader, or whoever moved the head."""
        if (leaders and leaders[0].lease == self._lease) or (
            not leaders and not self._keeper
        ):
            return moved_reason(f"its head is not record {after.seq} any more")
        other = msgspec.json.decode(leaders[0].value, type=Holder) if leaders else None
        return led_reason(other)

    def _check_leading(self) -> None:
        if self._keeper is None:
            raise JournalHeld(moved_reason("this process only reads it"))
        if self._keeper.lost:
            raise JournalHeld(led_reason(self.leader()))
        if self._spoiled and self._unsure is not None:
            raise JournalFull(unsure_reason(self._unsure.seq))

    def put_head(self, signed: SignedHead) -> None:
        value = pack(signed)
        self._as_leader(
            at.put(self._at.signed_at(signed.seq), value),
            at.put(self._at.signed_last, value),
        )

    def put_snapshot(self, snapshot: StoredSnapshot) -> None:
        seq, digest, data = snapshot
        starts = range(0, len(data), at.CHUNK_BYTES)
        for number, start in enumerate(starts):
            key = f"{self._at.chunks(seq)}{number:06d}"
            self._as_leader(at.put(key, data[start : start + at.CHUNK_BYTES]))
        note = at.SnapshotNote(digest, hashlib.sha256(data).hexdigest(), len(starts))
        self._as_leader(at.put(self._at.snapshot(seq), msgspec.json.encode(note)))
        kept = [at.seq_of(one.key) for one in self._below(self._at.snapshots, 0)]
        for old in kept[:-SNAPSHOTS_KEPT]:
            self._as_leader(
                at.delete(self._at.snapshot(old)),
                at.delete_below(self._at.chunks(old)),
            )

    def put_key(self, public_hex: str) -> None:
        self._as_leader(at.put(self._at.keys + public_hex, b""))

    def take_wave(self, wave: Wave) -> Wave:
        self._check_leading()
        mine = at.put(self._at.wave, msgspec.json.encode(wave))
        ours = at.has_lease(self._at.leader, self._lease)
        while True:
            answer = self._txn(
                [ours, at.is_absent(self._at.wave)], [mine], [at.get(self._at.wave)]
            )
            if answer.get("succeeded"):
                return wave
            found = at.entries(answer["responses"][0])
            if not found:
                self._check_leading()
                continue
            had = msgspec.json.decode(found[0].value, type=Wave)
            if had.journal != wave.journal:
                return had
            still = at.is_made(self._at.wave, found[0].made)
            if self._txn([ours, still], [mine], []).get("succeeded"):
                return wave
            self._check_leading()

    def release_wave(self, journal: str) -> None:
        had = self.wave()
        if had is not None and had.journal == journal:
            still = at.has_value(self._at.wave, msgspec.json.encode(had))
            self._txn([still], [at.delete(self._at.wave)], [])

    def set_moved(self, to: str) -> None:
        if to:
            self._as_leader(at.put(self._at.moved, to.encode()))
        else:
            self._as_leader(at.delete(self._at.moved))

    def _as_leader(self, *work: Json) -> None:
        """Write, if this store still leads; a stale leader's extras are let fall."""
        self._txn([at.has_lease(self._at.leader, self._lease)], list(work), [])

    def _txn(self, compare: list[Json], then: list[Json], other: list[Json]) -> Json:
        body = {"compare": compare, "success": then, "failure": other}
        return self._etcd.call("/v3/kv/txn", body)
