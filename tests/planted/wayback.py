"""Bugs of the way back: rungs that nobody proved, and verdicts of nobody (invariants 2
and 8). Each was stopped by a guard behind it, which is out as well where named."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dayshift.core.desk import Desk
from dayshift.model.evidence import VerdictKind
from dayshift.model.records import Phase
from tests.planted import plans
from tests.planted.frame import CALM, Mutant, Patch, Storm, wraps
from tests.planted.proofs import in_phase


@wraps
def _blind_is_green(former: Any) -> Any:
    """No news is good news."""

    def verdict(self: Any, *args: Any) -> Any:
        given, _ = former(self, *args)
        if given is not None and given.kind is VerdictKind.BLIND:
            return replace(given, kind=VerdictKind.PASS), 0
        return given, 0

    return verdict


@wraps
def _unmeasured_fits(former: Any) -> Any:
    """A load that nobody measured is none."""

    def reason(*args: Any, **named: Any) -> Any:
        found = former(*args, **named)
        return None if found is not None and found.code == "BLIND" else found

    return reason


def _first_rung_is_enough(desk: Desk, former: Any) -> None:
    """The pass counts as over once a few users are back."""
    if desk.here.index < 0:
        former(desk)
    else:
        desk.phase(Phase.SOAKING)


FIRST_RUNG: Patch = in_phase(Phase.RETURNING, _first_rung_is_enough)
WAYBACK = (
    Mutant(
        "done-at-first-rung",
        "one-region",
        "the next region leaves while the last one has a few of its users, and no soak "
        "puts them back",
        (
            FIRST_RUNG,
            ("dayshift.core.coming_back._full_share_stands", lambda *args: True),
        ),
        CALM,
        plans.two_services,
    ),
    Mutant(
        "soaked-from-first-rung",
        "blind-is-not-green",
        "the soak puts back a share that was never climbed to",
        (FIRST_RUNG,),
        CALM,
        plans.two_services,
    ),
    Mutant(
        "no-news-is-good-news",
        "blind-is-not-green",
        "a gate that sees nothing passes, and a load that nobody measured fits",
        (
            ("dayshift.core.judging.Judging.verdict", _blind_is_green),
            ("dayshift.core.guards.capacity_reason", _unmeasured_fits),
        ),
        (Storm("meter-silent", Phase.CATCHING_UP, 120_000, 1),),
        plans.long_validation,
    ),
)
