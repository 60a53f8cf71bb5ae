"""Journals that move: from every kind of store to every other, and through a file."""

from __future__ import annotations

import shutil

import pytest

from dayshift.errors import JournalBroken, JournalError, JournalHeld, Refused
from dayshift.journal.audit import audit
from dayshift.journal.moving import export_journal, import_journal, move_journal
from dayshift.model.records import Lease
from tests.journal.desk import phased
from tests.stores.backing import Backing


def fill(backing: Backing, appends: int = 300) -> None:
    for who in ("a", "b"):
        with backing.journal(who) as journal:
            batch = [phased(f"{who} {number}") for number in range(appends)]
            journal.append(*batch, run="run-1")
            journal.sign_head()
    with backing.journal("a") as journal:
        journal.save_snapshot(appends, b"state")


def quiet(seq: int) -> None:
    assert seq >= 0


def records(backing: Backing) -> list[object]:
    with backing.read("anybody") as reader:
        return list(reader.records())


def test_through_a_file_into_any_store(backing: Backing, other: Backing) -> None:
    fill(backing)
    other.estate = backing.estate
    if backing.shared and other.access.store == backing.access.store:
        other = backing.beside("second")
    file = backing.base / "copy.journal"
    wrote = export_journal(backing.folder("a"), backing.access, file, quiet)
    with pytest.raises(Refused, match="FILE-EXISTS"):
        export_journal(backing.folder("a"), backing.access, file, quiet)
    for _ in range(2):  # what is there already is no obstacle
        got = import_journal(
            file, other.folder("x"), other.access, "ada", other.clock, quiet
        )
        assert got == wrote
    assert records(other) == records(backing)
    report = audit(other.folder("x"), access=other.access)
    assert report.ok, report.bad
    assert report.signatures >= 2
    with other.journal("x") as journal:
        assert journal.epoch == 4
        journal.append(phased("goes on"))
    assert audit(other.folder("x"), access=other.access).ok
    with pytest.raises(Refused, match="STORE-NOT-EMPTY"):
        import_journal(file, other.folder("x"), other.access, "ada", other.clock, quiet)


def test_a_file_that_was_changed_or_cut_is_refused(
    local: Backing, other: Backing
) -> None:
    fill(local, appends=40)
    other.estate = local.estate
    file = local.base / "copy.journal"
    export_journal(local.folder("a"), local.access, file, quiet)
    whole = file.read_bytes()

    def bring(data: bytes) -> None:
        file.write_bytes(data)
        import_journal(file, other.folder("x"), other.access, "ada", other.clock, quiet)

    at = whole.index(b"a 7")
    with pytest.raises(JournalBroken) as caught:
        bring(whole[:at] + b"b" + whole[at + 1 :])
    assert caught.value.seq == 10
    with pytest.raises(Refused, match="FILE-NOT-A-JOURNAL"):
        bring(whole[:-30])
    with pytest.raises(Refused, match="FILE-NOT-A-JOURNAL"):
        bring(whole[: whole.rindex(b"\nE ") + 1])
    with pytest.raises(Refused, match="FILE-NOT-A-JOURNAL"):
        bring(b"something else\n")
    bring(whole)
    assert len(records(other)) == len(records(local))


def test_moving_from_any_store_to_any_other(pair: tuple[Backing, Backing]) -> None:
    backing, other = pair
    fill(backing)
    folder = backing.folder("a")
    with backing.journal("a") as journal:
        journal.take_wave("run-1", "ada")
    before = records(backing)

    def move(source: Backing, target: Backing) -> None:
        move_journal(folder, source.access, target.access, "ada", source.clock, quiet)

    move(backing, other)
    with pytest.raises(Refused, match="JOURNAL-MOVED-AWAY"):
        backing.journal("a")
    with pytest.raises(Refused, match="JOURNAL-ABSENT"):
        move(backing, other)
    other.only = folder
    with other.journal("a") as journal:
        assert list(journal.records())[:-1] == before
        assert journal.epoch == 5
        assert journal.latest_snapshot() == (300, b"state")
        wave = journal.wave()
        assert wave is not None and wave.run == "run-1"
        journal.append(phased("elsewhere"))
    assert audit(folder, access=other.access).ok
    move(other, backing)
    with backing.journal("a") as journal:
        assert journal.epoch == 6
    assert audit(folder, access=backing.access).ok


def test_nothing_is_moved_while_somebody_leads(pair: tuple[Backing, Backing]) -> None:
    backing, other = pair
    fill(backing, appends=3)
    with backing.journal("a"), pytest.raises(JournalHeld):
        move_journal(
            backing.folder("b"), backing.access, other.access, "x", other.clock, quiet
        )
    with backing.journal("a") as journal:
        leases = [one for one in journal.records() if isinstance(one.body, Lease)]
        assert len(leases) == 5


def test_a_move_of_a_broken_chain_stops_there(
    local: Backing, other_shared: Backing
) -> None:
    from tests.journal.desk import edit

    fill(local, appends=30)
    other_shared.estate = local.estate
    edit(local.folder("a"), "UPDATE records SET data = x'00' WHERE seq = 9")
    with pytest.raises(JournalBroken) as caught:
        move_journal(
            local.folder("a"),
            local.access,
            other_shared.access,
            "ada",
            other_shared.clock,
            quiet,
        )
    assert caught.value.seq == 9
    shutil.rmtree(local.folder("a"))
    with pytest.raises((Refused, JournalError)):
        move_journal(
            local.folder("a"),
            local.access,
            other_shared.access,
            "x",
            other_shared.clock,
            quiet,
        )
