"""Links: what holds, and what is said when one does not."""

from __future__ import annotations

import msgspec
import pytest

from dayshift.errors import JournalBroken, JournalNewer
from dayshift.journal.base import ORIGIN, Head, Row
from dayshift.journal.chain import read_link, record_hash, seal, verify_link
from dayshift.journal.codec import READER, canonical
from dayshift.model.records import Genesis, Observed
from dayshift.model.units import Instant

AT = Instant(1_700_000_000_000, 1, "boot")
FIRST, _ = seal(ORIGIN, AT, 0, "", Genesis("j", "demo"))
HEAD = Head(FIRST.seq, FIRST.hash)
SECOND, _ = seal(HEAD, AT, 1, "run", Observed({"x": 1}))


def reforge(row: Row, **changes: object) -> Row:
    """The row with other fields, rehashed as a forger would."""
    fields = {**msgspec.json.decode(row.data), **changes}
    data = canonical(fields)
    kind = str(fields["body"]["kind"])  # type: ignore[index]
    return Row(row.seq, record_hash(kind, data), data)


def test_a_link_that_holds_has_no_reason():
    assert verify_link(ORIGIN, FIRST) is None
    assert verify_link(HEAD, SECOND) is None


def test_the_hash_covers_everything_but_itself():
    fields = msgspec.json.decode(SECOND.data)
    assert sorted(fields) == [
        "at",
        "body",
        "epoch",
        "min_reader",
        "prev",
        "run",
        "seq",
        "v",
    ]
    changed = {"epoch": 2, "run": "other", "v": 2, "prev": "f" * 64, "seq": 3}
    for name, value in changed.items():
        assert reforge(SECOND, **{name: value}).hash != SECOND.hash, name


def test_the_kind_is_in_the_hash():
    assert record_hash("observed", SECOND.data) != record_hash("intent", SECOND.data)


@pytest.mark.parametrize(
    ("prev", "row", "says"),
    [
        (ORIGIN, SECOND, "record 1 is missing; record 2 stands after it"),
        (HEAD, Row(2, SECOND.hash, b"{}"), "record 2 cannot be read"),
        (HEAD, Row(2, SECOND.hash, b"\xff"), "record 2 cannot be read"),
        (HEAD, Row(2, "0" * 64, SECOND.data), "not to the stored 0000"),
        (HEAD, reforge(SECOND, seq=7), "says that it is record 7"),
        (HEAD, reforge(SECOND, prev="f" * 64), "follows ffffffffffffffff…, but"),
        (HEAD, reforge(SECOND, body={"kind": "unheard-of"}), "cannot be read"),
    ],
)
def test_a_link_that_does_not_hold_says_why(prev, row, says):
    reason = verify_link(prev, row)
    assert reason is not None
    assert reason.code == "JOURNAL-BROKEN"
    assert says in reason.what
    with pytest.raises(JournalBroken) as caught:
        read_link(prev, row)
    assert caught.value.seq == prev.seq + 1


@pytest.mark.parametrize("body", [{"kind": "observed", "sight": {}}, {"kind": "later"}])
def test_a_record_for_a_newer_reader_is_refused(body):
    newer = reforge(SECOND, min_reader=READER + 1, body=body)
    says = rf"asks for reader {READER + 1} \(this Dayshift is {READER}\)"
    with pytest.raises(JournalNewer, match=says):
        read_link(HEAD, newer)


def test_a_newer_record_that_old_readers_may_read_is_read():
    record = read_link(HEAD, reforge(SECOND, v=2, later="unknown field"))
    assert (record.v, record.body) == (2, Observed({"x": 1}))
