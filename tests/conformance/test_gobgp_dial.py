"""What only real GoBGPs can show: routes that are forgotten, and lies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from dayshift.drivers.base import Dial
from dayshift.drivers.dials.gobgp import GobgpDial
from dayshift.errors import DriverFault, DriverRetry
from tests.conformance.rigs import claim, context, token, with_dial
from tests.conformance.route_rigs import BER, BOTH, GobgpDialRig

pytestmark = pytest.mark.journey


@pytest.fixture
def rig(gobgps: GobgpDialRig) -> GobgpDialRig:
    gobgps.reset()
    return gobgps


def altered(rig: GobgpDialRig, **change: Any) -> Dial:
    place = rig.frame.network.place
    return GobgpDial("anycast", {**rig.options, **change}, context(place))


def test_the_region_says_that_it_is_leaving_before_it_goes(rig: GobgpDialRig) -> None:
    async def check() -> None:
        dial = altered(rig, shut_pause="1500 ms")
        write = asyncio.create_task(dial.set(BER, token(claim(1))))
        ask = ["show", "route", "192.0.2.1/32", "all"]
        while "(65535,0)" not in await asyncio.to_thread(rig.frame.router.ask, *ask):
            assert not write.done()
        await write
        assert rig.frame.rests("ber")
        await dial.set(BOTH, token(claim(2), claim(1)))
        assert rig.frame.rests("fra", "ber")
        assert "(65535,0)" not in rig.frame.router.ask(*ask)

    asyncio.run(check())


def test_one_that_forgot_its_routes_is_not_drained(rig: GobgpDialRig) -> None:
    """Restarted without the replay: its file says on, and nobody hears of it."""
    rig.gobgps[0].stop()
    rig.gobgps[0].start(replay=False)
    rig.frame.until("ber")
    reading = with_dial(rig, lambda dial: dial.read())
    assert reading.mixed
    assert "has nothing of fra-1, which should announce 192.0.2.1/32" in reading.fault

    async def nothing_to_hold(dial: Dial) -> None:
        with pytest.raises(DriverFault):
            await dial.hold(token(claim(1)))

    with_dial(rig, nothing_to_hold)


def test_one_of_two_prefixes_that_stays_is_named(rig: GobgpDialRig) -> None:
    """Somebody adds one of them again."""

    async def check(dial: Dial) -> None:
        await dial.set(BER, token(claim(1)))
        add = "global rib add -a ipv6 2001:db8::1/128 nexthop fd00:1::2 origin igp"
        rig.gobgps[0].ask(*add.split())
        one = (await dial.read()).instances[0]
        assert one.setting is None
        assert "adj-out to fd00:1::1 of fra-1 has 2001:db8::1/128" in one.fault

    with_dial(rig, check)


def test_nothing_is_withdrawn_while_nobody_else_is_announced(rig: GobgpDialRig) -> None:
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


def test_options_that_cannot_be_meant_are_refused(rig: GobgpDialRig) -> None:
    GobgpDial.Options.model_validate(rig.options)
    first, second = rig.options["speakers"]
    for change in ({"next_hops": []}, {"ipv6": []}, {"file": second["file"]}):
        with pytest.raises(ValidationError):
            GobgpDial.Options.model_validate(
                {**rig.options, "speakers": [{**first, **change}, second]}
            )
