"""The recovery table has one answer for everything that can be found."""

from __future__ import annotations

from itertools import product

import pytest

from dayshift.journal.recovery import (
    TABLE,
    Chain,
    Database,
    Doing,
    Emergency,
    Findings,
    Lock,
    Wal,
    Witness,
    decide,
)

EVERY = [
    Findings(*one) for one in product(Lock, Database, Wal, Chain, Witness, Emergency)
]


def test_every_finding_meets_exactly_one_cell():
    wrong = [
        (found, len(cells))
        for found in EVERY
        if len(cells := [cell for cell in TABLE if cell.holds(found)]) != 1
    ]
    assert len(EVERY) == 3 * 6 * 3 * 2 * 5 * 6
    assert wrong == []


@pytest.mark.parametrize("cell", TABLE, ids=lambda cell: cell.code)
def test_every_cell_can_be_reached_and_every_refusal_says_why(cell):
    assert any(cell.holds(found) for found in EVERY)
    if cell.doing is Doing.REFUSE:
        assert cell.what and cell.because and cell.next


def test_nothing_is_opened_that_lost_records():
    """Holds: a journal is written only if its lock is ours, its tail verifies, it has
    all that its witnesses know, and no emergency entry would be left behind."""
    for found in EVERY:
        doing = decide(found).doing
        if doing is Doing.REFUSE:
            continue
        assert found.lock is Lock.FREE
        assert found.witness in (Witness.NONE, Witness.LEVEL, Witness.AHEAD)
        if doing is Doing.CREATE:
            assert found.database in (Database.MISSING, Database.EMPTY)
            assert found.emergency in (Emergency.ABSENT, Emergency.READY)
        else:
            assert found.database is Database.SOUND
            assert found.chain is Chain.WHOLE
            assert found.emergency not in (Emergency.FOREIGN, Emergency.DAMAGED)
