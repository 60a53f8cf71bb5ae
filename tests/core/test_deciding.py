"""Which meter decides: one table, each row a service's meters and who wins."""

from __future__ import annotations

import pytest

from dayshift.core.deciding import deciding, look_ms
from dayshift.limits import OBSERVE_MS
from dayshift.model.estate import DriverRef, MeterSpec, Service
from dayshift.model.evidence import Side

BOTH = ("fra", "ber")


def meter(
    name: str,
    every_ms: int = 0,
    users: str = "",
    side: Side = Side.USERS,
    gate: bool = True,
) -> MeterSpec:
    return MeterSpec(name, side, DriverRef("test"), BOTH, gate, users, every_ms)


def service(*meters: MeterSpec) -> Service:
    return Service("shop", {"fra": 5000, "ber": 5000}, {}, (), meters, ())


TABLE = [
    ("no meter", (), {}),
    ("only one", (meter("entry"),), {"shop": "entry"}),
    ("the fastest", (meter("prom", 15_000), meter("edge", 1_000)), {"shop": "edge"}),
    ("each look is fastest", (meter("edge", 1_000), meter("a")), {"shop": "a"}),
    (
        "each look is no faster than the look itself",
        (meter("first", OBSERVE_MS), meter("second")),
        {"shop": "first"},
    ),
    (
        "as if asked more often than looked",
        (meter("a"), meter("b", OBSERVE_MS // 2)),
        {"shop": "b"},
    ),
    ("a tie", (meter("a", 1_000), meter("b", 1_000)), {"shop": "a"}),
    (
        "the region's own never decides",
        (meter("own", 200, side=Side.REGION), meter("prom", 15_000)),
        {"shop": "prom"},
    ),
    ("kept from the gate", (meter("a", gate=False), meter("b", 9_000)), {"shop": "b"}),
    ("nobody may", (meter("a", gate=False), meter("b", side=Side.REGION)), {}),
    (
        "each class for itself",
        (
            meter("all", 15_000),
            meter("vip-slow", 60_000, "vip"),
            meter("vip", 15_000, "vip"),
            meter("guests", 1_000, "guests"),
        ),
        {"shop": "all", "shop/vip": "vip", "shop/guests": "guests"},
    ),
]


@pytest.mark.parametrize(
    ("meters", "wanted"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_who_decides(meters: tuple[MeterSpec, ...], wanted: dict[str, str]) -> None:
    found = deciding(service(*meters))
    assert {stream: spec.name for stream, spec in found.items()} == wanted


def test_a_meter_without_an_interval_is_read_at_each_look() -> None:
    assert look_ms(meter("a")) == OBSERVE_MS
    assert look_ms(meter("a", 15_000)) == 15_000
