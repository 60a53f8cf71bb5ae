"""The canonical form is RFC 8785's, for everything that a record may hold."""

from __future__ import annotations

import base64
import lzma
import math
import random

import msgspec
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from dayshift.errors import Bug, Reason
from dayshift.journal.audit import audit
from dayshift.journal.base import ORIGIN
from dayshift.journal.chain import read_link, seal
from dayshift.journal.codec import INTEGER_MAX, canonical, decode_record
from dayshift.journal.journal import Journal
from dayshift.journal.reader import JournalReader
from dayshift.limits import RECORD_BYTES_MAX, UNPACKED_BYTES_MAX
from dayshift.model.dial import Claim, split
from dayshift.model.records import (
    Action,
    ActionKind,
    AnyBody,
    Held,
    Intent,
    Observed,
    Outcome,
    OutcomeKind,
    Requested,
)
from dayshift.model.units import Instant

# Text of every plane, for RFC 8785 sorts by UTF-16 unit: U+1F600 before U+FF5E.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [
        "\U0001f600",
        "～",
        "\ufb33",
        "\u2028",
        '"\\/\b\f\n\r\t\x00\x1f\x7f',
        "1e5",
        ":1.5",
    ]
)
integers = st.integers(-INTEGER_MAX, INTEGER_MAX)
values = st.recursive(
    st.none() | st.booleans() | integers | texts,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=6)
    ),
    max_leaves=20,
)
AT = Instant(1, 1, "b")


class VirtualNow:
    """A clock that stands still."""

    def now(self):
        return AT


trees = st.dictionaries(texts, values, max_size=6)


@given(trees)
def test_canonical_form_is_that_of_rfc8785(tree):
    assert canonical(tree) == rfc8785.dumps(tree)


@given(st.dictionaries(integers, values, max_size=6))
def test_integer_keys_become_text_and_are_sorted_as_text(tree):
    assert canonical(tree) == rfc8785.dumps({str(key): tree[key] for key in tree})


def test_struct_fields_and_tag_are_sorted_too():
    action = Action(ActionKind.SET_DIAL, "k", "edge", setting=split({"ber": 10_000}))
    body = Intent(action)
    assert canonical(body) == rfc8785.dumps(msgspec.to_builtins(body))


floats = st.floats() | st.sampled_from(
    [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e16, 1e-9, 5e300, 1.0]
)


@given(trees, floats, st.lists(st.sampled_from(["list", "dict"]), max_size=3))
def test_a_float_anywhere_is_refused(tree, number, wraps):
    found: object = number
    for wrap in wraps:
        found = [1, found] if wrap == "list" else {"in": found}
    with pytest.raises(Bug):
        canonical({**tree, "x": found})


@given(floats)
def test_a_float_in_a_typed_field_is_refused(number):
    with pytest.raises(Bug):
        canonical(Held(Reason("A", "b"), region=number))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        INTEGER_MAX + 1,
        -INTEGER_MAX - 1,
        2**70,
        "\ud800",
        {"\udc00": 1},
        {1: "a", "1": "b"},
        {1.5: 1},
        {None: 1},
        {True: 1},
        {(1, 2): 1},
        pytest.param(object(), id="an-object"),
    ],
    ids=repr,
)
def test_what_readers_could_read_differently_is_refused(value):
    with pytest.raises(Bug):
        canonical({"x": value})


def test_the_largest_integers_are_written():
    tree = {"x": INTEGER_MAX, "y": -INTEGER_MAX}
    assert canonical(tree) == rfc8785.dumps(tree)


claims = st.builds(Claim, texts, texts, integers, integers)
bodies: st.SearchStrategy[AnyBody] = st.one_of(
    st.builds(Observed, trees),
    st.builds(
        Requested, texts, texts, st.dictionaries(texts, texts, max_size=4), texts
    ),
    st.builds(
        Outcome,
        texts,
        st.sampled_from(OutcomeKind),
        reason=st.none() | st.builds(Reason, texts, texts),
        claim=st.none() | claims,
    ),
)


@given(bodies, texts, st.integers(0, INTEGER_MAX), st.integers(0, INTEGER_MAX))
def test_a_record_reads_back_as_it_was_returned(body, run, wall_ms, epoch):
    at = Instant(wall_ms, 0, "boot")
    row, record = seal(ORIGIN, at, epoch, run, body)
    assert read_link(ORIGIN, row) == record
    assert (record.body, record.run, record.at, record.epoch) == (body, run, at, epoch)
    assert row.data == rfc8785.dumps(msgspec.json.decode(row.data))


def test_what_a_writer_gets_back_is_what_a_reader_gets():
    """Tuples in an open field come back as lists: live and replayed state agree."""
    row, record = seal(ORIGIN, Instant(1, 1, "b"), 1, "", Observed({"x": (1, 2)}))
    assert record.body == Observed({"x": [1, 2]})
    assert read_link(ORIGIN, row).body == record.body


def test_a_body_that_could_not_be_read_back_is_refused():
    broken = Observed(sight=[1])  # type: ignore[arg-type]
    with pytest.raises(Bug, match="observed record could not be read back"):
        seal(ORIGIN, Instant(1, 1, "b"), 1, "", broken)


def noise(length: int) -> str:
    """Text that hardly becomes shorter."""
    return random.Random(length).randbytes(length // 2).hex()


def test_a_record_has_a_longest_length():
    with pytest.raises(Bug, match=f"limit {RECORD_BYTES_MAX}"):
        seal(ORIGIN, AT, 1, "", Observed({"x": noise(4 * RECORD_BYTES_MAX)}))
    with pytest.raises(Bug, match=f"limit {UNPACKED_BYTES_MAX}"):
        seal(ORIGIN, AT, 1, "", Observed({"x": "x" * UNPACKED_BYTES_MAX}))


@settings(max_examples=20, deadline=None)
@given(trees, st.integers(0, 3))
def test_a_long_body_is_packed_and_nobody_notices(tree, times):
    body = Observed({"x": tree, "pad": ["abc" * 100_000] * times, "none": None})
    row, record = seal(ORIGIN, AT, 1, "run", body)
    long = times * 300_000 > RECORD_BYTES_MAX - 200_000
    assert record.body == body and len(row.data) <= RECORD_BYTES_MAX
    assert record == read_link(ORIGIN, row)
    assert long or record.min_reader == 1, "an old reader could have read it"


def packed(body: bytes, kind: str = "observed") -> bytes:
    """A record as a liar packs it."""
    text = base64.b64encode(body).decode()
    fields = {"body": {"kind": kind, "packed": text}, "epoch": 1, "min_reader": 2}
    at = {"boot_id": "b", "mono_ms": 1, "wall_ms": 1}
    rest = {"at": at, "prev": "0" * 64, "run": "", "seq": 1, "v": 1}
    return canonical({**fields, **rest})


GOOD = b'{"kind":"observed","sight":{"x":1}}'


@pytest.mark.parametrize(
    "data",
    [
        packed(GOOD),
        packed(lzma.compress(GOOD)[:-1]),
        packed(lzma.compress(GOOD) + b"more"),
        packed(lzma.compress(GOOD), kind="planned"),
        packed(lzma.compress(b"{}")),
        packed(lzma.compress(b" " * (UNPACKED_BYTES_MAX + 1))),
        packed(b""),
    ],
    ids=["plain", "cut", "more", "another kind", "no body", "bomb", "empty"],
)
def test_what_is_packed_wrongly_is_no_record(data):
    assert decode_record(packed(lzma.compress(GOOD))).body == Observed({"x": 1})
    with pytest.raises(ValueError):
        decode_record(data)


def test_a_packed_record_survives_a_journal_and_its_audit(tmp_path):
    long = Observed({"rows": [{"fra": 5_000, "ber": 5_000}] * 60_000})
    with Journal.open(tmp_path, "demo", VirtualNow(), "test") as journal:
        journal.append(long, Observed({"n": 1}))
    with JournalReader.open(tmp_path) as reader:
        bodies = [one.body for one in reader.records()]
    assert bodies[2:4] == [long, Observed({"n": 1})]
    assert audit(tmp_path).ok
