"""Journals of several controllers over one shared store, each with its own folder."""

from __future__ import annotations

import shutil

import pytest

from dayshift.errors import JournalBroken, JournalHeld, Refused
from dayshift.journal.audit import audit
from dayshift.journal.findings import HEAD, MARK
from dayshift.journal.signing import public_keys
from dayshift.journal.stores.pointer import recall
from dayshift.model.dial import Claim
from dayshift.model.records import Lease, Merged
from tests.journal.desk import phased
from tests.stores.backing import Backing


def test_controllers_take_turns(backing: Backing) -> None:
    """Each signs with a key of its own; all signatures are believed everywhere."""
    for epoch, who in enumerate(("a", "b", "a", "c"), 1):
        with backing.journal(who) as journal:
            assert journal.epoch == epoch
            journal.append(phased(f"by {who}"), run="run-1")
            journal.sign_head()
    with backing.read("nobody") as reader:
        leases = [one.body for one in reader.records() if isinstance(one.body, Lease)]
        assert [one.holder for one in leases] == ["a", "b", "a", "c"]
        assert [one.epoch for one in leases] == [1, 2, 3, 4]
    report = audit(backing.folder("nobody"), access=backing.access)
    assert report.ok, report.bad
    assert report.checked == 9 and report.signatures >= 4
    assert len(report.keys) == (3 if backing.shared else 1)


def test_a_second_controller_is_told_who_leads(backing: Backing) -> None:
    with backing.journal("a") as first:
        first.append(phased())
        assert not first.lost
        with pytest.raises(JournalHeld, match=r"a \(pid") as caught:
            backing.journal("b")
        code = "JOURNAL-LED" if backing.shared else "JOURNAL-HELD"
        assert caught.value.reason.code == code
        with backing.read("b") as reader:
            holder = reader.writer()
            assert holder is not None and (holder.name, holder.epoch) == ("a", 1)
    backing.journal("b").close()
    with backing.read("b") as reader:
        assert reader.writer() is None


def test_a_witness_that_was_overtaken_is_no_damage(shared: Backing) -> None:
    with shared.journal("a") as journal:
        journal.append(phased())
    with shared.journal("b") as journal:
        for number in range(5):
            journal.append(phased(str(number)))
    shared.journal("a").close()
    shared.journal("b").close()


def test_a_witness_ahead_of_the_store_refuses(backing: Backing) -> None:
    """The store was restored from an older copy: here, a witness from the future."""
    with backing.journal("a") as journal:
        for number in range(5):
            journal.append(phased(str(number)))
        journal_id, seq = journal.journal_id, journal.head.seq
    ahead = [Claim(backing.estate, journal_id, 1, seq + 7)]
    with pytest.raises(JournalBroken, match=f"record {seq}.*knows {seq + 7}"):
        backing.journal("a", claims=ahead)
    with backing.journal("a") as journal:
        journal.append(phased())


def test_witnesses_of_a_store_that_was_emptied_refuse(shared: Backing) -> None:
    with shared.journal("a") as journal:
        journal.append(phased())
    other = Backing(shared.base, shared.access.store)
    with pytest.raises(JournalBroken, match="JOURNAL-GONE") as caught:
        other.journal("a")
    assert "dayshift journal move" in caught.value.reason.next


def test_another_history_behind_our_witness_refuses(shared: Backing) -> None:
    other = shared.beside("second")
    with other.journal("x") as journal:
        for number in range(9):
            journal.append(phased(str(number)))
    with shared.journal("a") as journal:
        for number in range(3):
            journal.append(phased(str(number)))
    for name in (HEAD, MARK):
        shutil.copy(shared.folder("a") / name, other.folder("x") / name)
    with pytest.raises(JournalBroken, match="JOURNAL-FORKED"):
        other.journal("x")


def test_the_folder_remembers_its_store(backing: Backing) -> None:
    backing.journal("a").close()
    noted = recall(backing.folder("a"))
    if not backing.shared:
        assert noted is None
    else:
        assert noted is not None
        assert (noted.estate, noted.store) == (backing.estate, backing.access.store)


def test_emergency_entries_are_merged_behind_what_others_wrote(
    backing: Backing,
) -> None:
    """The store was gone for `a`; `b` led meanwhile; `a` brings its entries home."""
    first = backing.journal("a")
    first.append(phased("stored"))
    first.append_emergency(phased("in need"), run="r")
    first.close()
    if backing.shared:
        with backing.journal("b") as second:
            second.append(phased("meanwhile"))
    with backing.journal("a") as journal:
        assert not journal.stranded
        records = list(journal.records())
    merged = [one for one in records if isinstance(one.body, Merged)]
    assert len(merged) == 1
    whys = [one.body.why for one in records if hasattr(one.body, "why")]
    middle = ["meanwhile"] if backing.shared else []
    assert whys == ["stored", *middle, "in need"]
    assert audit(backing.folder("a"), access=backing.access).ok


def test_one_wave_in_the_estate(backing: Backing) -> None:
    """Two journals of one estate in one store exclude each other."""
    with backing.journal("a") as first:
        first.take_wave("run-1", "ada")
        first.take_wave("run-1", "ada")
        if backing.shared:
            with backing.beside("second").journal("x") as second:
                with pytest.raises(Refused, match="WAVE-TAKEN") as caught:
                    second.take_wave("run-2", "grace")
                assert "run-1" in caught.value.reason.what
                assert "ada" in caught.value.reason.what
                second.release_wave()
    with backing.journal("a") as first:
        first.take_wave("run-1", "ada again")
        first.release_wave()
        assert first.wave() is None


def test_keys_of_all_controllers_are_in_the_store(backing: Backing) -> None:
    for who in ("a", "b"):
        backing.journal(who).close()
    ours = public_keys(backing.folder("a"))
    with backing.read("c") as reader:
        assert set(ours) <= set(reader._store.public_keys())


def test_a_snapshot_shortens_a_restart_elsewhere(backing: Backing) -> None:
    with backing.journal("a") as journal:
        for number in range(30):
            journal.append(phased(str(number)))
        journal.save_snapshot(25, b"x" * 1_500_000)
    with backing.journal("b") as journal:
        found = journal.latest_snapshot()
        assert found == (25, b"x" * 1_500_000)
        assert next(journal.records(25)).seq == 26
