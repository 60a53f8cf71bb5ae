"""What only real FRRs and their transit router can show: saved claims, and lies."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dayshift.drivers.base import Dial
from dayshift.drivers.dials.frr import FrrDial
from dayshift.errors import DriverFault, DriverRetry, Refused
from dayshift.model.dial import Fence
from tests.conformance.rigs import claim, context, token, with_dial
from tests.conformance.route_rigs import BER, BOTH, FrrDialRig, page_options
from tests.kit.anycast import Frame

pytestmark = pytest.mark.journey


@pytest.fixture
def rig(frrs: FrrDialRig) -> FrrDialRig:
    frrs.reset()
    return frrs


def altered(rig: FrrDialRig, **change: Any) -> Dial:
    place = rig.frame.network.place
    return FrrDial("anycast", {**rig.options, **change}, context(place))


def test_the_region_says_that_it_is_leaving_and_the_kernel_obeys(
    rig: FrrDialRig,
) -> None:
    async def check() -> None:
        dial = altered(rig, shut_pause="2500 ms")
        assert (dial.describe().lease, dial.describe().fence) == (False, Fence.MACHINE)
        write = asyncio.create_task(dial.set(BER, token(claim(1))))
        ask = "show bgp ipv4 unicast 192.0.2.1/32 json"
        router = rig.frame.router
        while "gracefulShutdown" not in await asyncio.to_thread(router.ask, ask):
            assert not write.done()
        assert "ANYCAST permit" in rig.frrs[0].saved.read_text()
        await write
        assert rig.frame.rests("ber")
        assert "ANYCAST deny" in rig.frrs[0].saved.read_text()
        await dial.set(BOTH, token(claim(2), claim(1)))
        assert rig.frame.rests("fra", "ber")
        assert "gracefulShutdown" not in router.ask(ask)

    asyncio.run(check())


def test_nothing_is_withdrawn_while_nobody_else_is_announced(rig: FrrDialRig) -> None:
    rig.frame.network.link("ber", "down")
    try:
        rig.frame.until("fra")

        async def check() -> None:
            dial = altered(rig, settle="300 ms")
            with pytest.raises(DriverRetry) as caught:
                await dial.set(BER, token(claim(1)))
            assert caught.value.reason.code == "LAST-ROUTE"
            assert rig.frame.rests("fra")

        asyncio.run(check())
    finally:
        rig.frame.network.link("ber", "up")
    rig.frame.until("fra", "ber")


def test_a_neighbour_that_goes_past_the_map_is_never_believed(rig: FrrDialRig) -> None:
    """One of two families obeys: half of it is done, and both values are named."""
    fra, past = rig.frrs[0], ["configure terminal", "router bgp 65001"]
    past += ["address-family ipv6 unicast"]
    again = ["end", "clear bgp ipv6 unicast fd00:1::1 soft out"]
    fra.ask(*past, "no neighbor fd00:1::1 route-map ANYCAST out", *again)
    try:

        async def check() -> None:
            dial = altered(rig, settle="300 ms")
            with pytest.raises(DriverRetry) as caught:
                await dial.set(BER, token(claim(1)))
            because = caught.value.reason.because
            assert caught.value.reason.code == "NOT-PROPAGATED"
            assert "adj-out to fd00:1::1 of fra-1 has 2001:db8::1/128" in because
            assert "announce nothing" in because
            assert (await dial.read()).instances[0].setting is None

        asyncio.run(check())
    finally:
        fra.ask(*past, "neighbor fd00:1::1 route-map ANYCAST out", *again)


def test_one_that_restarts_with_an_old_configuration_lost_its_claim(
    rig: FrrDialRig,
) -> None:
    old = rig.frrs[0].saved.read_text()
    with_dial(rig, lambda dial: dial.set(BER, token(claim(1))))
    rig.frrs[0].stop()
    rig.frrs[0].saved.write_text(old)
    rig.frrs[0].start()
    rig.frame.until("fra", "ber")

    async def check(dial: Dial) -> None:
        reading = await dial.read()
        assert reading.mixed and reading.instances[0].claim is None
        with pytest.raises(Refused):
            await dial.set(BER, token(claim(2), claim(1)))

    with_dial(rig, check)


def test_an_entry_without_a_mark_is_told(rig: FrrDialRig) -> None:
    rig.frrs[0].ask(
        "configure terminal", "route-map ANYCAST permit 10", "description x"
    )
    reading = with_dial(rig, lambda dial: dial.read())
    assert "no mark in the description of route-map ANYCAST 10" in reading.fault

    async def check(dial: Dial) -> None:
        with pytest.raises(DriverFault):
            await dial.set(BER, token(claim(1)))

    with_dial(rig, check)
    assert rig.frame.rests("fra", "ber")


def test_a_version_that_is_not_known_is_refused_before_anything_moves(
    rig: FrrDialRig,
) -> None:
    """Its JSON is FRR's, its version an older one's."""
    old = Path(rig.frame.network.place, "old-vtysh")
    real = " ".join(rig.frrs[0].command)
    old.write_text(
        '#!/bin/sh\ncase "$*" in *"show version"*) echo "FRRouting 7.2 (x)";;\n'
        f'*) exec {real} "$@";; esac\n'
    )
    old.chmod(0o755)
    first, second = rig.options["speakers"]

    async def check() -> None:
        dial = altered(rig, speakers=[{**first, "command": [str(old)]}, second])
        with pytest.raises(DriverFault) as caught:
            await dial.set(BER, token(claim(1)))
        assert "FRRouting 7.2" in caught.value.reason.what
        assert rig.frame.rests("fra", "ber")

    asyncio.run(check())


@pytest.mark.parametrize(
    "change",
    [
        {"regions": ["fra"]},
        {"speakers": []},
        {"speakers": [{"name": "fra-1", "region": "fra"}]},
        {"timers": 3},
    ],
    ids=json.dumps,
)
def test_options_that_cannot_be_meant_are_refused(
    frrs: FrrDialRig, change: dict[str, Any]
) -> None:
    frame: Frame = frrs.frame
    options = page_options("frr", frame)
    FrrDial.Options.model_validate(options)
    with pytest.raises(ValidationError):
        FrrDial.Options.model_validate({**options, **change})
