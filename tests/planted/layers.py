"""Bugs about the order in which a region is left and entered."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dayshift.core.desk import Desk
from dayshift.model.plan import Stage
from dayshift.model.records import ActionKind
from tests.planted import plans
from tests.planted.frame import CALM, Mutant, Patch, without_checks, wraps

NO_ORDER: Patch = without_checks(ActionKind.SET_DIAL, "order_reason")


def _outer_first(desk: Desk, key: str, revert: Any = None) -> bool:
    zero = desk.route.drain[-1]
    return desk.take(replace(zero, moves=zero.moves[::-1]), key, revert)


@wraps
def _inner_first(former: Any) -> Any:
    def take(desk: Desk, stage: Stage, key: str, revert: Any = None) -> bool:
        if key.startswith("rung/"):
            stage = replace(stage, moves=stage.moves[::-1])
        return bool(former(desk, stage, key, revert))

    return take


@wraps
def _prepared_at_once(former: Any) -> Any:
    def prepared(desk: Desk) -> bool:
        ready = former(desk)
        return ready or any(one.code == "CACHED" for one in desk.waiting)

    return prepared


LAYERS = (
    Mutant(
        "nobody-waits",
        "inside-out",
        "a route goes while users are connected, who are reset",
        (("dayshift.core.layers._connected", lambda *args: False),),
        CALM,
        plan=plans.layers,
    ),
    Mutant(
        "lifetimes-as-usual",
        "inside-out",
        "names move while caches keep their answers as long as ever",
        (("dayshift.core.layers.prepared", lambda desk: True),),
        CALM,
        plan=plans.layers,
    ),
    Mutant(
        "lowered-too-late",
        "inside-out",
        "names move as soon as their lifetime is lowered, with older answers about",
        (("dayshift.core.layers.prepared", _prepared_at_once),),
        CALM,
        plan=plans.layers,
    ),
    Mutant(
        "never-restored",
        "inside-out",
        "answers live shorter for ever after",
        (("dayshift.core.layers.restored", lambda desk: True),),
        CALM,
        plan=plans.layers,
    ),
    Mutant(
        "outer-first",
        "inside-out",
        "names and routes leave a region that still serves its users",
        (("dayshift.core.layers.left", _outer_first), NO_ORDER),
        CALM,
        plan=plans.layers,
    ),
    Mutant(
        "served-before-led",
        "inside-out",
        "a region is to serve users before anything leads them there",
        (
            ("dayshift.core.layers.entered", lambda *args: True),
            ("dayshift.core.desk.Desk.take", _inner_first),
            NO_ORDER,
        ),
        CALM,
        plan=plans.layers,
    ),
)
