"""Every cell of the recovery table, with real files that were really damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dayshift.errors import JournalBroken, JournalError, JournalHeld, Refused
from dayshift.journal.recovery import TABLE
from dayshift.model.dial import Claim
from dayshift.model.records import Merged
from tests.journal import damage
from tests.journal.damage import OPENED, REFUSED, State
from tests.journal.desk import edit, open_journal, phased, read_all, written

SHARED_ONLY = "JOURNAL-LED"
"""The cell that no file of one folder can lead to: see `tests/stores`."""


def _name(state: State | str) -> str:
    return getattr(state, "__name__", str(state))


def test_every_cell_of_the_table_has_a_case():
    cells = {*OPENED.values(), *REFUSED.values(), SHARED_ONLY}
    assert {cell.code for cell in TABLE} == cells


@pytest.mark.parametrize(("state", "code"), OPENED.items(), ids=_name)
def test_what_is_whole_is_opened(state, code, tmp_path, monkeypatch):
    folder = tmp_path / "journal"
    state(folder)
    used = _spy(monkeypatch)
    with open_journal(folder) as journal:
        assert used == [code]
        journal.append(phased("goes on"))
        records = list(journal.records())
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    open_journal(folder).close()


@pytest.mark.parametrize(("state", "code"), REFUSED.items(), ids=_name)
def test_what_is_not_whole_is_refused_and_left_alone(state, code, tmp_path):
    folder = tmp_path / "journal"
    left_open = state(folder)
    before = _evidence(folder)
    with pytest.raises((JournalError, Refused)) as caught:
        open_journal(folder)
    assert caught.value.reason.code == code
    assert caught.value.reason.because and caught.value.reason.next
    assert _evidence(folder) == before
    with pytest.raises((JournalError, Refused), match=code):
        open_journal(folder)
    assert isinstance(caught.value, JournalHeld) == (code == "JOURNAL-HELD")
    if left_open is not None:
        left_open.close()


def _spy(monkeypatch) -> list[str]:
    """Which cells are used; the decision itself stays the real one."""
    from dayshift.journal import findings

    used: list[str] = []
    decide = findings.recovery.decide

    def noted(found):
        cell = decide(found)
        used.append(cell.code)
        return cell

    monkeypatch.setattr(findings.recovery, "decide", noted)
    return used


def _evidence(folder: Path) -> dict[str, bytes]:
    """Every file with something in it, but for what SQLite's readers share."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.stat().st_size and not path.name.endswith("-shm")
    }


def test_the_broken_record_is_named(tmp_path):
    folder = tmp_path / "journal"
    damage.record_flipped(folder)
    with pytest.raises(JournalBroken) as caught:
        open_journal(folder)
    assert caught.value.seq == 5
    assert "record 5 hashes to" in caught.value.reason.what


def test_what_is_missing_is_said_with_both_numbers(tmp_path):
    folder = tmp_path / "journal"
    damage.end_deleted(folder)
    with pytest.raises(JournalBroken) as caught:
        open_journal(folder)
    assert caught.value.seq == 6
    assert "it ends at record 5" in caught.value.reason.what
    assert "knows 7" in caught.value.reason.what


def test_a_claim_at_a_dial_is_a_witness_too(tmp_path):
    """Database and witnesses restored together: only the dial still knows."""
    folder, copy = tmp_path / "journal", tmp_path / "copy"
    written(folder)
    shutil.copytree(folder, copy)
    written(folder)
    head = read_all(folder)[-1]
    journal_id = read_all(folder)[0].body.journal
    shutil.rmtree(folder)
    copy.rename(folder)
    claim = Claim("demo", journal_id, 2, head.seq)
    with pytest.raises(JournalBroken, match="JOURNAL-BEHIND") as caught:
        open_journal(folder, claims=[claim])
    assert str(claim) in caught.value.reason.what
    open_journal(folder, claims=[Claim("demo", "another", 9, 999)]).close()


def test_a_claim_of_an_emergency_entry_is_no_loss(tmp_path):
    folder = tmp_path / "journal"
    damage.stranded(folder)
    with open_journal(folder, claims=[Claim("demo", "j-1", 1, 5)]) as journal:
        assert any(isinstance(one.body, Merged) for one in journal.records())


def test_only_what_follows_the_newest_snapshot_is_verified_at_open(tmp_path):
    """What lies before it is found by the audit; a restart stays short."""
    folder = tmp_path / "journal"
    with open_journal(folder) as journal:
        for number in range(5):
            journal.append(phased(f"append {number}"))
        journal.save_snapshot(7, b"state")
    edit(folder, "UPDATE records SET data = x'00' WHERE seq = 4")
    open_journal(folder).close()
    edit(folder, "UPDATE records SET data = x'00' WHERE seq = 8")
    with pytest.raises(JournalBroken, match="record 8"):
        open_journal(folder)
