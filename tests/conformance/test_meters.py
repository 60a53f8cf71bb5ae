"""What every meter must do, whatever it reads."""

from __future__ import annotations

import asyncio

import pytest

from dayshift.drivers.base import Meter
from dayshift.errors import DriverFault, DriverRetry
from dayshift.model.evidence import Counts, MeterReading, since
from tests.conformance.rigs import MeterRig, with_meter


async def grown(meter: Meter, before: MeterReading, region: str = "fra") -> Counts:
    counts = since(before, await meter.read(region))
    assert counts is not None
    return counts


def test_counts_grow_by_exactly_what_was_sent(meter_rig: MeterRig) -> None:
    async def check(meter: Meter) -> None:
        fra, ber = await meter.read("fra"), await meter.read("ber")
        meter_rig.send("fra", 7)
        meter_rig.send("fra", 3, path="/error")
        counts = await grown(meter, fra)
        assert (counts.requests, counts.errors) == (10, 3)
        assert (await grown(meter, ber, "ber")).requests == 0

    with_meter(meter_rig, check)


def test_probes_are_counted_but_not_as_users(meter_rig: MeterRig) -> None:
    async def check(meter: Meter) -> None:
        before = await meter.read("fra")
        meter_rig.send("fra", 5, probe=True)
        meter_rig.send("fra", 2)
        counts = await grown(meter, before)
        assert (counts.requests, counts.ignored["probe"]) == (2, 5)

    with_meter(meter_rig, check)


def test_latency_buckets_hold_every_request(meter_rig: MeterRig) -> None:
    async def check(meter: Meter) -> None:
        await asyncio.sleep(0.3)  # what was sent before reaches the buckets late
        before = await meter.read("fra")
        meter_rig.send("fra", 4)
        with meter_rig.slow("fra"):
            pass
        for _ in range(40):
            counts = await grown(meter, before)
            bounds = sorted(counts.buckets)
            heights = [counts.buckets[le] for le in bounds]
            if not meter_rig.timed:
                assert not bounds and counts.requests == 5
                return
            if heights and heights[-1] == 5:
                break
            await asyncio.sleep(0.05)
        assert heights == sorted(heights) and heights[-1] == 5
        assert counts.buckets[250_000] >= 4

    with_meter(meter_rig, check)


def test_a_request_on_its_way_is_in_flight(meter_rig: MeterRig) -> None:
    async def check(meter: Meter) -> None:
        before = await meter.read("fra")
        with meter_rig.slow("fra"):
            assert (await meter.read("fra")).in_flight == before.in_flight + 1
            assert (await meter.read("ber")).in_flight == 0
        assert (await meter.read("fra")).in_flight == before.in_flight
        assert (await grown(meter, before)).requests == 1

    with_meter(meter_rig, check)


def test_a_restart_is_a_new_series_also_with_higher_counts(meter_rig: MeterRig) -> None:
    async def check(meter: Meter) -> None:
        first = await meter.read("fra")
        assert (await meter.read("fra")).series == first.series
        meter_rig.restart("fra")
        meter_rig.send("fra", first.requests + 1)
        second = await meter.read("fra")
        assert second.series != first.series
        assert since(first, second) is None

    with_meter(meter_rig, check)


def test_another_process_sees_the_same_series(meter_rig: MeterRig) -> None:
    first = with_meter(meter_rig, lambda meter: meter.read("ber"))
    second = with_meter(meter_rig, lambda meter: meter.read("ber"))
    assert since(first, second) is not None


def test_a_source_that_is_away_is_blind_not_zero(meter_rig: MeterRig) -> None:
    meter_rig.stop("fra")
    try:

        async def check(meter: Meter) -> None:
            with pytest.raises(DriverRetry):
                await meter.read("fra")
            assert (await meter.read("ber")).requests >= 0

        with_meter(meter_rig, check)
    finally:
        meter_rig.start("fra")
    assert with_meter(meter_rig, lambda meter: meter.read("fra")).requests >= 0


def test_a_region_that_is_not_measured_is_a_fault(meter_rig: MeterRig) -> None:
    async def check(meter: Meter) -> None:
        with pytest.raises(DriverFault):
            await meter.read("par")

    with_meter(meter_rig, check)
