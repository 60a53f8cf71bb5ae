"""Each planted bug is found by the rehearsal at the seed that is written down; without
it the same seed is clean. `python -m tests.planted.search` writes them down anew."""

from __future__ import annotations

import statistics

import pytest

from dayshift.rehearsal.checkers import INVARIANTS
from tests.planted.frame import Mutant
from tests.planted.mutants import MUTANTS
from tests.planted.search import PAGE, page, table

FOUND = table()


@pytest.mark.rehearsal
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    found = FOUND[mutant.name]
    assert mutant.seen_by(found.seed) == found.checkers, (
        f"{mutant.says}: run `python -m tests.planted.search {mutant.name}`"
    )
    assert mutant.invariant in found.checkers
    assert mutant.is_clean(found.seed), mutant.violations(found.seed)


def test_every_invariant_has_several_planted_bugs() -> None:
    numbers = [INVARIANTS[one.invariant][0] for one in MUTANTS if not one.incident]
    assert all(numbers.count(number) >= 2 for number in range(19)), numbers


def test_every_bug_has_its_own_name() -> None:
    assert len({one.name for one in MUTANTS}) == len(MUTANTS)


def test_half_of_the_bugs_are_found_soon() -> None:
    assert len(MUTANTS) >= 60
    assert set(FOUND) == {one.name for one in MUTANTS}
    assert statistics.median(one.seed + 1 for one in FOUND.values()) <= 200


def test_the_page_shows_what_is_planted() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(FOUND)
