"""The estate in memory counts exactly, and lies as told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dayshift.errors import DriverFault, DriverRetry
from dayshift.model.dial import Claim, Setting, Token, split
from dayshift.model.evidence import since
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.memory import (
    DialLie,
    MemoryDial,
    MemoryMeter,
    MemoryProbe,
    MeterLie,
    World,
)

HALF = {"fra": 5000, "ber": 5000}


def row(fra: int) -> Setting:
    return split({"fra": fra, "ber": 10_000 - fra})


def token(seq: int = 1, expected: Claim | None = None) -> Token:
    return Token(Claim("demo", "j1", 1, seq), ("fra", "ber"), expected)


def in_world(
    program: Callable[[World], Awaitable[None]], instances: int = 1, rps: int = 333
) -> None:
    async def run(clock: VirtualClock) -> None:
        await program(World(clock, HALF, rps, instances))

    run_virtual(run)


def test_every_request_is_counted_once_however_often_one_looks() -> None:
    async def check(world: World) -> None:
        dial, meter = MemoryDial("entry", world), MemoryMeter("edge", world)
        for step in range(100):
            await world.clock.sleep(7 + step % 3)
            await meter.read("fra")
        await world.clock.sleep(10_000 - world.clock.now().mono_ms)
        await dial.set(row(0), token())
        counts = [(await meter.read(region)).requests for region in HALF]
        assert counts == [1665, 1665]
        await world.clock.sleep(10_000)
        counts = [(await meter.read(region)).requests for region in HALF]
        assert counts == [1665, 1665 + 3330]
        assert (await meter.read("fra")).in_flight == 0

    in_world(check)


def test_harm_is_exact() -> None:
    async def check(world: World) -> None:
        place, meter = world["fra"], MemoryMeter("edge", world)
        place.error_ppm, place.slow_ppm = 50_000, 100_000
        before = await meter.read("fra")
        await world.clock.sleep(20_000)
        counts = since(before, await meter.read("fra"))
        assert counts and (counts.requests, counts.errors) == (2000, 100)
        assert counts.buckets[250_000] == 1800 and counts.buckets[500_000] == 2000
        place.up = False
        await world.clock.sleep(1_000)
        assert (await meter.read("fra")).errors == 200
        assert not (await MemoryProbe("probe", world).ask("fra")).ok

    in_world(check, rps=200)


@pytest.mark.parametrize(
    ("how", "fails", "after"),
    [
        (DialLie.NO_APPLY, False, [5000, 5000]),
        (DialLie.ERROR_BEFORE, True, [5000, 5000]),
        (DialLie.ERROR_AFTER, True, [0, 0]),
        (DialLie.PARTIAL, True, [0, 5000]),
        (DialLie.SILENT_PARTIAL, False, [0, 5000]),
        (DialLie.SLOW, False, [0, 0]),
        (DialLie.LATE, False, [5000, 5000]),
        (DialLie.SELF_REVERT, False, [0, 0]),
    ],
)
def test_a_dial_lies_as_told(how: DialLie, fails: bool, after: list[int]) -> None:
    async def check(world: World) -> None:
        dial = MemoryDial("entry", world)
        dial.lie(how, times=1, ms=400)
        if fails:
            with pytest.raises(DriverRetry):
                await dial.set(row(0), token())
        else:
            await dial.set(row(0), token())
        assert world.clock.now().mono_ms == (400 if how is DialLie.SLOW else 0)
        shown = (await dial.read()).instances
        assert [one.setting for one in shown] == [row(fra) for fra in after]
        await world.clock.sleep(401)
        setting = (await dial.read()).setting
        assert how is not DialLie.LATE or setting == row(0)
        assert how is not DialLie.SELF_REVERT or setting == row(5000)
        await dial.set(row(0), token())  # the same intent completes it
        await dial.set(row(1000), token(2, token().claim))
        assert (await dial.read()).setting == row(1000)

    in_world(check, instances=2)


@pytest.mark.parametrize(
    ("how", "after"), [(DialLie.HANG, 5000), (DialLie.HANG_AFTER, 0)]
)
def test_a_dial_that_never_comes_back(how: DialLie, after: int) -> None:
    async def check(world: World) -> None:
        dial = MemoryDial("entry", world)
        dial.lie(how)
        with pytest.raises(TimeoutError):
            await world.clock.within(5_000, dial.set(row(0), token()))
        assert (await dial.read()).setting == row(after)

    in_world(check)


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        (MeterLie.STALE, {"requests": 1000, "age": 5000, "series": "edge-fra-1"}),
        (MeterLie.FROZEN, {"requests": 1000, "age": 0, "series": "edge-fra-1"}),
        (MeterLie.NEGATIVE, {"requests": -1501, "age": 0, "series": "edge-fra-1"}),
        (MeterLie.RESET, {"requests": 500, "age": 0, "series": "edge-fra-1"}),
        (MeterLie.NEW_SERIES, {"requests": 500, "age": 0, "series": "edge-fra-1+"}),
        (MeterLie.HALF, {"requests": 750, "age": 0, "series": "edge-fra-1"}),
    ],
)
def test_a_meter_lies_as_told(how: MeterLie, shown: dict[str, Any]) -> None:
    async def check(world: World) -> None:
        meter = MemoryMeter("edge", world)
        await world.clock.sleep(10_000)
        meter.lie(how, "fra")
        await world.clock.sleep(5_000)
        reading = await meter.read("fra")
        age = world.clock.now().mono_ms - reading.at.mono_ms
        seen = {"requests": reading.requests, "age": age, "series": reading.series}
        assert seen == shown
        assert (await meter.read("ber")).requests == 1500
        meter.be_honest()
        assert (await meter.read("fra")).requests == 1500

    in_world(check, rps=200)


def test_a_meter_that_says_nothing() -> None:
    async def check(world: World) -> None:
        meter = MemoryMeter("edge", world)
        meter.lie(MeterLie.BLIND, "fra")
        with pytest.raises(DriverRetry):
            await meter.read("fra")
        meter.lie(MeterLie.FAULT, "fra")
        with pytest.raises(DriverFault):
            await meter.read("fra")
        meter.lie(MeterLie.HANG, "fra")
        with pytest.raises(TimeoutError):
            await world.clock.within(1_000, meter.read("fra"))

    in_world(check)


def test_stragglers_come_past_the_dial_and_are_told() -> None:
    async def check(world: World) -> None:
        dial, meter = MemoryDial("entry", world), MemoryMeter("edge", world)
        await dial.set(row(0), token())
        world["fra"].stray_rps = 3
        world["fra"].probe_rps = 2
        await world.clock.sleep(10_000)
        reading = await meter.read("fra")
        assert (reading.requests, reading.ignored["probe"]) == (30, 20)
        assert reading.residue[0].kind == "user"

    in_world(check)


def test_a_revert_happens_at_its_own_instant_not_when_one_looks() -> None:
    async def check(world: World) -> None:
        dial, meter = MemoryDial("entry", world, lease=True), MemoryMeter("edge", world)
        await dial.set(row(0), token(), revert_to=row(5000), lease_ms=4_000)
        await world.clock.sleep(10_000)
        assert (await meter.read("fra")).requests == 600
        assert (await dial.read()).setting == row(5000)

    in_world(check, rps=200)
