"""What a plan says of the order in which a region is left."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from dayshift.cli import plan_page
from dayshift.cli.plan import measure
from dayshift.model.dial import Abilities, Caching, DialKind, Fence
from dayshift.model.evidence import Side
from dayshift.model.plan import Measured
from dayshift.model.sight import MeterSight, PlaceSight, Sight
from dayshift.model.units import Instant
from tests.planted import plans

NOW = Instant(0, 0, "b")


def page(connected: dict[str, int] | None = None, names: Caching | None = None) -> str:
    plan = plans.layers()
    seen = {"shop": connected} if connected else {}
    plan = replace(plan, measured=Measured(NOW, {}, (), seen))
    able = {"dns": Abilities(DialKind.SPLIT, 1, False, Fence.DEVICE, 0, names)}
    return "\n".join(plan_page.lines(plan, able, ()))


def found(text: str, *parts: str) -> Sequence[str]:
    """The parts that are missing, wherever its lines are broken."""
    flat = " ".join(text.split())
    return [part for part in parts if part not in flat]


def test_order_and_what_connections_get() -> None:
    text = page({"ber": 40, "fra": 3})
    assert not found(
        text,
        "order shop: edge serves its users elsewhere, then dns, then anycast lead",
        "before anycast goes, users' connections (40 now) have 1 min to end",
    )


def test_a_route_alone_waits_for_nobody_and_says_so() -> None:
    plan = plans.wide()
    text = "\n".join(plan_page.lines(plan, {}, ()))
    assert not found(
        text,
        "then dns leads nobody there",
        "users' connections that are open when dns goes are not waited for",
    )
    assert "order  mail" not in text, "one dial has no order"


def test_when_the_last_cached_answer_dies() -> None:
    text = page(names=Caching(300_000, 30_000))
    assert not found(
        text,
        "caches keep its answers for 5 min",
        "lowered to 30 s, 4 min 30 s before",
        "the last cached answer dies 30 s",
    )
    fixed = page(names=Caching(60_000, 60_000))
    assert not found(fixed, "the last cached answer dies 1 min after it moved")


def test_no_line_is_too_long() -> None:
    text = page({"ber": 40}, Caching(300_000, 30_000))
    order = [line for line in text.splitlines() if "order" in line or "users'" in line]
    assert order and all(len(line) <= 88 for line in order), order


def test_connections_are_counted_by_marked_meters_alone() -> None:
    meters = (
        MeterSight("shop-entry", Side.USERS, 10, connections=500),
        MeterSight("shop-edge", Side.REGION, 10, connections=7),
    )
    sight = Sight(at=NOW, places=(PlaceSight("shop", "ber", meters),))
    assert measure(plans.layers(), sight).connected == {"shop": {"ber": 7}}
