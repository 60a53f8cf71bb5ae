"""Each planted bug is found by the rehearsal; without it the same seed is clean."""

from __future__ import annotations

import pytest

from dayshift.rehearsal.checkers import INVARIANTS
from tests.planted.frame import Mutant
from tests.planted.mutants import MUTANTS


@pytest.mark.rehearsal
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    seed = mutant.find(20)
    assert seed is not None, mutant.says
    assert mutant.is_clean(seed), (seed, mutant.violations(seed))


def test_every_invariant_has_a_planted_bug() -> None:
    numbers = {INVARIANTS[one.invariant][0] for one in MUTANTS}
    assert numbers == set(range(1, 19))
