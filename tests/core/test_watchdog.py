"""When people are called because nobody watches a region that is out."""

from __future__ import annotations

import pytest

from dayshift.model.records import Phase
from dayshift.runtime.watchdog import silent_reason
from tests.kit.play import Play


@pytest.mark.parametrize(
    ("phase", "calls"),
    [
        (Phase.PREFLIGHT, False),
        (Phase.DRAINING, True),
        (Phase.WORKING, True),
        (Phase.VALIDATING, True),
        (Phase.RETURNING, True),
        (Phase.SOAKING, False),
    ],
)
def test_only_a_region_that_is_out_calls_people(phase: Phase, calls: bool) -> None:
    run = Play().until_phase(phase).run
    assert bool(silent_reason(run, False, 60_000, 30_000)) is calls
    assert silent_reason(run, True, 60_000, 30_000) is None
    assert silent_reason(run, False, 10_000, 30_000) is None


def test_no_run_calls_nobody() -> None:
    assert silent_reason(None, False, 60_000, 30_000) is None
