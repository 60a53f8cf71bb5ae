"""The audit finds every tampering, and names the first record that is bad."""

from __future__ import annotations

import shutil

import msgspec
import pytest

from dayshift.errors import Refused
from dayshift.journal.audit import audit
from dayshift.journal.base import Head
from dayshift.journal.chain import record_hash, seal
from dayshift.journal.codec import canonical
from dayshift.journal.stores import Access
from dayshift.journal.stores.sqlite import SqliteStore
from dayshift.model.units import Instant
from tests.journal.desk import edit, flip, kill, open_journal, phased, written


@pytest.fixture
def folder(tmp_path):
    """Nine records; the heads 4 and 9 are signed."""
    folder = tmp_path / "journal"
    with open_journal(folder, journal_id="j-1") as journal:
        for number in range(7):
            journal.append(phased(f"append {number}"), run=f"run-{number % 2}")
            if journal.head.seq == 4:
                journal.sign_head()
    return folder


def rows(folder):
    store = SqliteStore.reader(Access(), folder)
    found = list(store.read(0))
    store.close()
    return found


def put(folder, seq, data, digest=""):
    """Replace a record's bytes; its stored hash as well, if given."""
    edit(folder, "UPDATE records SET data = ? WHERE seq = ?", data, seq)
    if digest:
        edit(
            folder,
            "UPDATE records SET hash = ? WHERE seq = ?",
            bytes.fromhex(digest),
            seq,
        )


def changed(row, **changes):
    fields = {**msgspec.json.decode(row.data), **changes}
    data = canonical(fields)
    return data, record_hash(fields["body"]["kind"], data)


def test_an_intact_journal(folder):
    report = audit(folder)
    assert report.ok and report.bad is None
    assert (report.journal, report.estate) == ("j-1", "demo")
    assert report.checked == 9 and report.head.seq == 9
    assert report.runs == ("run-0", "run-1")
    assert report.signatures == 3  # 4 and 9 in the database, 9 in its own file
    assert len(report.keys) == 1
    assert msgspec.json.decode(msgspec.json.encode(report))["checked"] == 9


def test_no_journal_is_a_refusal(tmp_path):
    with pytest.raises(Refused, match="JOURNAL-ABSENT"):
        audit(tmp_path)


def test_it_works_beside_a_running_writer_and_after_a_kill(tmp_path):
    journal = open_journal(tmp_path / "journal")
    journal.append(phased())
    assert audit(tmp_path / "journal").checked == 3
    journal.append_emergency(phased("in need"))
    kill(journal)
    report = audit(tmp_path / "journal")
    assert report.ok and (report.checked, report.emergency_entries) == (3, 1)


def test_it_changes_nothing(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    audit(folder)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name: after[name] for name in before} == before


def edited(folder):
    data = rows(folder)[5].data
    put(folder, 6, data.replace(b"append 3", b"append 4"))
    return 6, "phased", "was changed"


def edited_and_rehashed(folder):
    data, digest = changed(rows(folder)[5], run="run-9")
    put(folder, 6, data, digest)
    return 7, "phased", "does not follow record 6: that was replaced"


def rewritten_to_the_end(folder):
    """A forger without the key rehashes everything from record 6 on."""
    prev = rows(folder)[4].hash
    for row in rows(folder)[5:]:
        data, prev = changed(row, prev=prev, run="run-9")
        put(folder, row.seq, data, prev)
    return 9, "phased", "is not the one that was signed; rewritten since 4"


def spelled_differently(folder):
    data = rows(folder)[5].data + b" "
    put(folder, 6, data, record_hash("phased", data))
    return 6, "phased", "is not in canonical form"


def deleted(folder):
    edit(folder, "DELETE FROM records WHERE seq = 6")
    return 6, "unknown", "is missing; record 7 stands in its place"


def deleted_and_renumbered(folder):
    edit(folder, "DELETE FROM records WHERE seq = 6")
    for seq in (7, 8, 9):
        edit(folder, "UPDATE records SET seq = ? WHERE seq = ?", seq - 1, seq)
    return 6, "phased", "says that it is record 7"


def reordered(folder):
    for old, new in ((6, 99), (7, 6), (99, 7)):
        edit(folder, "UPDATE records SET seq = ? WHERE seq = ?", new, old)
    return 6, "phased", "says that it is record 7"


def inserted(folder):
    five = rows(folder)[4]
    for seq in (9, 8, 7, 6):
        edit(folder, "UPDATE records SET seq = ? WHERE seq = ?", seq + 1, seq)
    forged, _ = seal(
        Head(5, five.hash), Instant(1, 1, "b"), 1, "run-1", phased("forged")
    )
    digest = bytes.fromhex(forged.hash)
    edit(folder, "INSERT INTO records VALUES (6, ?, ?)", digest, forged.data)
    return 7, "phased", "says that it is record 6: moved or inserted"


def truncated(folder):
    edit(folder, "DELETE FROM records WHERE seq > 6")
    return 7, "unknown", "is missing; records up to 9 were written"


def truncated_with_its_signatures(folder):
    edit(folder, "DELETE FROM records WHERE seq > 6")
    edit(folder, "DELETE FROM heads WHERE seq > 6")
    return 7, "unknown", "is missing; records up to 9 were written"


def truncated_but_for_one_witness(folder, witness):
    truncated_with_its_signatures(folder)
    (folder / ("mark" if witness == "head" else "head")).unlink()
    return 7, "unknown", "is missing; records up to 9 were written"


def signature_forged(folder):
    edit(folder, "UPDATE heads SET signature = ? WHERE seq = 4", b"\0" * 64)
    return 4, "signed-head", "is not signed by a key of this journal"


def note_forged(folder):
    edit(folder, "UPDATE heads SET note = replace(note, 'demo', 'dem0')")
    return 4, "signed-head", "is not signed by a key of this journal"


def signed_head_moved(folder):
    edit(folder, "UPDATE heads SET seq = 5 WHERE seq = 4")
    return 5, "signed-head", "is not signed by a key of this journal"


def head_file_forged(folder):
    written(folder.with_name("other"))
    shutil.copy(folder.with_name("other") / "head", folder / "head")
    return 7, "signed-head", "is not signed by a key of this journal"


def hash_retyped(folder):
    edit(folder, "UPDATE records SET hash = 'text' WHERE seq = 3")
    return 3, "phased", "was changed"


def genesis_replaced(folder):
    data, digest = changed(
        rows(folder)[0], body={"kind": "genesis", "journal": "j-2", "estate": "demo"}
    )
    put(folder, 1, data, digest)
    return 2, "lease", "does not follow record 1"


@pytest.mark.parametrize(
    "tamper",
    [
        edited,
        edited_and_rehashed,
        rewritten_to_the_end,
        spelled_differently,
        deleted,
        deleted_and_renumbered,
        reordered,
        inserted,
        truncated,
        truncated_with_its_signatures,
        signature_forged,
        note_forged,
        signed_head_moved,
        head_file_forged,
        hash_retyped,
        genesis_replaced,
    ],
    ids=lambda tamper: tamper.__name__,
)
def test_the_first_bad_record_is_named(folder, tamper):
    seq, kind, says = tamper(folder)
    report = audit(folder)
    assert not report.ok
    assert (report.bad.seq, report.bad.kind) == (seq, kind)
    assert says in report.bad.what
    assert str(report.bad).startswith(f"record {seq} ({kind}) ")


@pytest.mark.parametrize("witness", ["head", "mark"])
def test_one_witness_is_enough_to_miss_the_end(folder, witness):
    seq, _, says = truncated_but_for_one_witness(folder, witness)
    report = audit(folder)
    assert report.bad is not None
    assert report.bad.seq == seq and says in report.bad.what


def test_every_flipped_byte_of_every_record_is_found(tmp_path):
    """In the file itself, below SQLite."""
    folder = tmp_path / "journal"
    written(folder, appends=3)
    path = folder / "journal.db"
    whole = path.read_bytes()
    flips = 0
    for row in rows(folder):
        start = whole.index(row.data)
        for at in range(start, start + len(row.data)):
            flip(path, at, bit=1 << (at % 8))
            report = audit(folder)
            assert report.bad is not None, (row.seq, at - start)
            assert report.bad.seq == row.seq, (row.seq, at - start, report.bad)
            flip(path, at, bit=1 << (at % 8))
            flips += 1
    assert flips > 1_000
    assert path.read_bytes() == whole


def test_damaged_pages_are_a_finding_not_a_crash(folder):
    path = folder / "journal.db"
    whole = path.read_bytes()
    for start in range(0, len(whole), 4096):
        path.write_bytes(whole[:start] + b"\xff" * 64 + whole[start + 64 :])
        report = audit(folder)
        assert report.bad is None or report.bad.seq >= 1
        if start == 0:
            assert report.bad is not None and report.bad.kind == "page"


def test_keys_known_from_elsewhere_outrank_those_beside_the_journal(folder, tmp_path):
    """Somebody who rewrote all of it, keys included, is found by the old key."""
    known = audit(folder).keys
    assert audit(folder, keys=known).ok
    forged = tmp_path / "forged"
    with open_journal(forged, journal_id="j-1") as journal:
        journal.append(phased("never happened"))
    assert audit(forged).ok
    report = audit(forged, keys=known)
    assert report.bad is not None and report.bad.kind == "signed-head"
