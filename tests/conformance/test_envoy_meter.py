"""What only a real Envoy can show: its own errors, several of them, typos, the log."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from dayshift.drivers.base import Meter
from dayshift.drivers.meters.envoy import EnvoyMeter
from dayshift.errors import DriverFault
from dayshift.model.evidence import since
from tests.conformance.rigs import (
    REGIONS,
    EnvoyDialRig,
    EnvoyMeterRig,
    context,
    get,
    with_meter,
)
from tests.kit.envoys import Envoys

pytestmark = pytest.mark.journey


class EntryRig(EnvoyMeterRig):
    """The users' side: both entries, summed."""

    def meter(self) -> Meter:
        return self.built(self.envoys.entry_options())

    def built(self, options: dict[str, Any]) -> Meter:
        return EnvoyMeter("entry", options, context(self.envoys.place))


class Given(EntryRig):
    """A meter with options of its own."""

    def __init__(self, envoys: Envoys, **region: Any) -> None:
        super().__init__(envoys)
        self._options = {"regions": {"fra": region}}

    def meter(self) -> Meter:
        return self.built(self._options)


def test_two_entries_are_summed_and_both_must_answer(envoys: Envoys) -> None:
    EnvoyDialRig(envoys)

    async def check(meter: Meter) -> None:
        before = [await meter.read(region) for region in REGIONS]
        for port in envoys.entry_ports:
            for _ in range(8):
                assert get(port) == 200
        after = [await meter.read(region) for region in REGIONS]
        grown = [since(*pair) for pair in zip(before, after, strict=True)]
        assert sum(one.requests for one in grown if one) == 16
        assert len(after[0].series.split()) == 2

    with_meter(EntryRig(envoys), check)


def test_what_an_envoy_answers_itself_is_an_error_once(envoys: Envoys) -> None:
    """A dead region: no connection, so `upstream_rq_total` never moves."""
    EnvoyDialRig(envoys)
    envoys.edges["ber"].stop()
    try:

        async def check(meter: Meter) -> None:
            before = [await meter.read(region) for region in REGIONS]
            statuses = [get(envoys.entry_ports[0]) for _ in range(20)]
            after = [await meter.read(region) for region in REGIONS]
            fra, ber = (since(*pair) for pair in zip(before, after, strict=True))
            assert fra and ber
            assert statuses.count(503) == ber.errors == ber.requests > 0
            assert (fra.requests, fra.errors) == (statuses.count(200), 0)

        with_meter(EntryRig(envoys), check)
    finally:
        envoys.edges["ber"].start()


@pytest.mark.parametrize(
    "region", [{"cluster": "ap"}, {"cluster": "app", "ignored": {"probe": "app_prob"}}]
)
def test_a_cluster_that_is_not_there_is_a_fault_with_a_way_out(
    envoys: Envoys, region: dict[str, Any]
) -> None:
    rig = Given(envoys, admin=envoys.edges["fra"].admin, **region)

    async def check(meter: Meter) -> None:
        with pytest.raises(DriverFault) as caught:
            await meter.read("fra")
        assert caught.value.reason.code == "CLUSTER-UNKNOWN"
        assert "app, app_probe" in caught.value.reason.because

    with_meter(rig, check)


def test_a_page_that_is_no_admin_page_is_told(envoys: Envoys) -> None:
    port = envoys.edge_ports["fra"]
    rig = Given(envoys, admin=f"http://127.0.0.1:{port}", cluster="app")

    async def check(meter: Meter) -> None:
        with pytest.raises(DriverFault) as caught:
            await meter.read("fra")
        assert caught.value.reason.code == "NOT-AN-ENVOY"

    with_meter(rig, check)


def test_a_read_is_quick_enough_for_five_a_second(envoys: Envoys) -> None:
    async def check(meter: Meter) -> None:
        await meter.read("fra")
        begun = time.monotonic()
        for _ in range(20):
            await meter.read("fra")
        assert (time.monotonic() - begun) / 20 < 0.1

    with_meter(EnvoyMeterRig(envoys), check)


def test_the_access_log_tells_who_still_comes(envoys: Envoys) -> None:
    rig = EnvoyMeterRig(envoys)

    async def check(meter: Meter) -> None:
        await meter.read("fra")
        rig.send("fra", 3)
        rig.send("fra", 2, probe=True)
        seen: dict[tuple[str, str], int] = {}
        for _ in range(40):
            for one in (await meter.read("fra")).residue:
                key = (one.client, one.kind)
                seen[key] = seen.get(key, 0) + one.requests
            if sum(seen.values()) >= 5:
                break
            await asyncio.sleep(0.05)
        assert seen == {("127.0.0.1", "user"): 3, ("127.0.0.1", "probe"): 2}

    with_meter(rig, check)
