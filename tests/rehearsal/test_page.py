"""The page of a campaign on a terminal of 80 columns."""

from __future__ import annotations

from msgspec.structs import replace

from dayshift.cli.rehearse_page import page
from dayshift.rehearsal import advice, summary
from dayshift.rehearsal.play import Hold, play
from tests.planted import plans


def test_no_line_is_broken_by_the_terminal() -> None:
    plan = plans.short()
    codes = ("NOT-AS-ASKED", "NO-ANSWER", "CAPACITY-EXCEEDED", "SURVIVOR-TROUBLE")
    holds = tuple(Hold(code, "draining", "fra", "", 1) for code in codes)
    seen = [replace(play(plan, seed).result, holds=holds) for seed in range(3)]
    found = summary.summarise(plan.digest, 3, seen)
    lines = page(found, advice.advise(plan, seen, found), "change.yaml")
    assert all(len(line) <= 80 for line in lines), lines
    assert all(any(f"{code} 3" in line for line in lines) for code in codes)
