"""Random bits of a whole journal, in every store: the audit notices each, and names the
first record that is bad."""

from __future__ import annotations

import os
import random

import pytest

from dayshift.journal.audit import audit
from dayshift.journal.base import Row
from dayshift.journal.stores.etcd_gateway import b64
from dayshift.journal.stores.etcd_layout import row_value
from tests.journal.desk import edit, phased
from tests.stores.backing import Backing

FLIPS = int(os.environ.get("DAYSHIFT_FLIPS", "120"))


def put_row(backing: Backing, row: Row) -> None:
    """Write bytes into the store below everything that would refuse."""
    kind = backing.access.store.driver
    digest = bytes.fromhex(row.hash)
    if kind == "sqlite":
        sql = "UPDATE records SET hash = ?, data = ? WHERE seq = ?"
        edit(backing.folder("a"), sql, digest, row.data, row.seq)
        return
    store = backing.reader()
    if kind == "etcd":
        key = store._at.record(row.seq)  # type: ignore[attr-defined]
        body = {"key": b64(key), "value": b64(row_value(row))}
        store._etcd.call("/v3/kv/put", body)  # type: ignore[attr-defined]
    else:
        sql = (
            "UPDATE {s}.records SET hash = %s, data = %s WHERE estate = %s AND seq = %s"
        )
        values = (digest, row.data, backing.estate, row.seq)
        store._link.rows(sql, values)  # type: ignore[attr-defined]
    store.close()


def test_every_flipped_bit_is_noticed_and_named(backing: Backing) -> None:
    seed = int(os.environ.get("DAYSHIFT_SEED", "20261125"))
    chance = random.Random(seed)
    with backing.journal("a") as journal:
        for number in range(40):
            journal.append(phased(f"append {number}"))
            if number % 9 == 0:
                journal.sign_head()
    folder = backing.folder("a")
    assert audit(folder, access=backing.access).ok
    reader = backing.reader()
    whole = list(reader.read(0))
    reader.close()
    for flip in range(FLIPS):
        row = chance.choice(whole)
        raw = bytearray(bytes.fromhex(row.hash) + row.data)
        bit = chance.randrange(8 * len(raw))
        raw[bit // 8] ^= 1 << bit % 8
        put_row(backing, Row(row.seq, raw[:32].hex(), bytes(raw[32:])))
        report = audit(folder, access=backing.access)
        assert report.bad is not None, (seed, flip, row.seq, bit)
        assert report.bad.seq == row.seq, (seed, flip, row.seq, bit, report.bad)
        put_row(backing, row)
    assert audit(folder, access=backing.access).ok


@pytest.mark.journey
def test_a_head_set_back_is_missed_by_the_witnesses(shared: Backing) -> None:
    with shared.journal("a") as journal:
        for number in range(9):
            journal.append(phased(f"append {number}"))
        earlier = list(journal.records())[5]
    store = shared.reader()
    if shared.access.store.driver == "etcd":
        key = store._at.head  # type: ignore[attr-defined]
        value = f"{earlier.seq} {earlier.hash}"
        store._etcd.call("/v3/kv/put", {"key": b64(key), "value": b64(value)})  # type: ignore[attr-defined]
    else:
        sql = "DELETE FROM {s}.records WHERE estate = %s AND seq > %s"
        store._link.rows(sql, (shared.estate, earlier.seq))  # type: ignore[attr-defined]
    report = audit(shared.folder("a"), access=shared.access)
    assert report.bad is not None and report.bad.seq == earlier.seq + 1
