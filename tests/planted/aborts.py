"""Bugs of an abort: it lets go, is not heard, stops half-way, or does not say what it
left (invariant 15)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dayshift.core.desk import Desk
from dayshift.core.guards import _show
from dayshift.model import records as r
from dayshift.model.records import Phase, RunResult
from tests.planted import plans
from tests.planted.frame import Mutant, Storm, wraps


def _just_close(desk: Desk) -> None:
    desk.records.append(r.RunClosed(RunResult.ABORTED, "aborted on request"))


@wraps
def _deaf(former: Any) -> Any:
    """An abort is granted, and the run goes on."""

    def go_on(desk: Desk) -> None:
        desk.run = replace(desk.run, aborting=False)
        former(desk)

    return go_on


@wraps
def _first_dial(former: Any) -> Any:
    """A retreat is over once the first dial is back."""

    def take(self: Desk, stage: Any, key: str, revert: Any = None) -> bool:
        if key.startswith("retreat/"):
            stage = replace(stage, moves=stage.moves[:1])
        return bool(former(self, stage, key, revert))

    return take


def _names_and_leaves(desk: Desk) -> None:
    """An abort says of every dial how it stands, and takes nothing back."""
    shown = {name: one.setting for name, one in desk.sight.dials.items()}
    words = (
        f"dial {name} shows {_show(one)}, expected {_show(desk.plan.baseline[name])}"
        for name, one in sorted(shown.items())
    )
    why = f"aborted on request; not touched: {'; '.join(words)}"
    desk.records.append(r.RunClosed(RunResult.ABORTED, why))


@wraps
def _first_dial_named(former: Any) -> Any:
    return lambda *args: former(*args)[:1]


TWO_DRIFT = (
    Storm("dial-drifts", Phase.PREFLIGHT, 900_000, 1, region=1),
    Storm("dial-drifts", Phase.PREFLIGHT, 900_000, 1, region=1, after_ms=20),
    Storm("person-aborts", Phase.PREFLIGHT, within_ms=1, region=1, after_ms=15_000),
)
ABORTS = (
    Mutant(
        "abort-lets-go",
        "abort-converges",
        "an abort closes the run and leaves the shares as they are",
        (("dayshift.core.decide._abort", _just_close),),
    ),
    Mutant(
        "abort-unheard",
        "abort-converges",
        "an abort is granted, and the run goes on",
        (("dayshift.core.decide._go_on", _deaf),),
        (Storm("person-aborts", Phase.EMPTYING, within_ms=2_000),),
    ),
    Mutant(
        "abort-half-way",
        "abort-converges",
        "an abort is over once the first dial is back",
        (("dayshift.core.desk.Desk.take", _first_dial),),
        (Storm("person-aborts", Phase.EMPTYING, within_ms=2_000),),
        plan=plans.two_services,
    ),
    Mutant(
        "abort-only-names",
        "abort-converges",
        "an abort says how each dial stands, and takes back none of its own",
        (("dayshift.core.decide._abort", _names_and_leaves),),
        (Storm("person-aborts", Phase.EMPTYING, within_ms=2_000),),
    ),
    Mutant(
        "abort-names-one",
        "abort-converges",
        "of several dials that others moved, an abort names the first",
        (("dayshift.core.guards.out_of_place", _first_dial_named),),
        TWO_DRIFT,
        plans.two_services,
    ),
)
