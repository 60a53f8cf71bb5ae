"""What only real BIRDs and their transit router can show: routes, leases, and lies."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import ValidationError

from dayshift.drivers.base import Dial
from dayshift.drivers.dials.bird import BirdDial
from dayshift.errors import DriverFault, DriverRetry, Refused
from dayshift.model.dial import Claim, Token
from tests.conformance.rigs import claim, context, token, with_dial
from tests.conformance.route_rigs import BER, BOTH, FRA, BirdDialRig
from tests.kit.daemons import eventually

pytestmark = pytest.mark.journey
LEASE_MS = 5_000


@pytest.fixture
def rig(birds: BirdDialRig) -> BirdDialRig:
    birds.reset()
    return birds


def altered(rig: BirdDialRig, **change: Any) -> Dial:
    place = rig.frame.network.place
    return BirdDial("anycast", {**rig.options, **change}, context(place))


def test_after_set_the_kernel_sends_nothing_to_the_drained_region(
    rig: BirdDialRig,
) -> None:
    async def check(dial: Dial) -> None:
        for setting, fed in ((BER, ["ber"]), (FRA, ["fra"]), (BOTH, ["fra", "ber"])):
            seen = (await dial.read()).instances[0].claim
            seq = seen.seq + 1 if seen else 1
            await dial.set(setting, token(claim(seq), seen))
            assert rig.frame.rests(*fed)

    with_dial(rig, check)


def test_the_page_brings_bfd_up_in_every_session(rig: BirdDialRig) -> None:
    def up() -> bool:
        found = rig.frame.router.ask("show", "bfd", "sessions")
        return len([one for one in found.splitlines() if " Up " in one]) == 4

    eventually(up, "BFD is up in both families of both regions")


def test_the_region_says_that_it_is_leaving_before_it_goes(rig: BirdDialRig) -> None:
    async def check() -> None:
        dial = altered(rig, shut_pause="3 s")
        write = asyncio.create_task(dial.set(BER, token(claim(1))))
        leaving = ["show", "route", "192.0.2.1/32", "all"]
        router = rig.frame.router
        while "(65535,0)" not in await asyncio.to_thread(router.ask, *leaving):
            assert not write.done()
        assert rig.frame.rests("ber")
        assert "via 10.0.1.2" in router.ask(*leaving)
        now = await dial.read()
        assert (now.fault, now.setting) == ("", None)
        assert [one.setting for one in now.instances] == [BOTH, BER]
        assert (await altered(rig).read()).fault, "nobody else knows that it is leaving"
        await write
        assert (await dial.read()).setting == BER
        assert "10.0.1.2" not in router.ask(*leaving)

    asyncio.run(check())


def test_a_lease_runs_as_long_as_it_is_renewed_and_no_route_moves(
    rig: BirdDialRig,
) -> None:
    def received() -> list[str]:
        text = rig.frame.router.ask("show", "protocols", "all", "fra4")
        return [one for one in text.splitlines() if "Import" in one and ":" in one]

    async def check(dial: Dial) -> None:
        assert isinstance(dial, BirdDial) and dial.describe().lease
        mine = claim(1)
        await dial.set(BER, token(mine), revert_to=BOTH, lease_ms=LEASE_MS)
        before, begun = received(), asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < begun + 8:
            await dial.renew(mine, LEASE_MS)
            reading = await dial.read()
            assert (reading.setting, reading.fault) == (BER, "")
            assert reading.expires_ms and reading.expires_ms > LEASE_MS // 2
            await asyncio.sleep(0.4)
        assert received() == before
        rig.frame.until("fra", "ber")
        reading = await dial.read()
        assert (reading.setting, reading.fault, reading.expires_ms) == (BOTH, "", None)
        for one in reading.instances:
            assert one.claim and one.claim.reverted and one.claim.same_write(mine)
        with pytest.raises(Refused):
            await dial.renew(mine, LEASE_MS)

    with_dial(rig, check)


def test_a_rung_that_is_not_renewed_goes_back_to_nothing(rig: BirdDialRig) -> None:
    async def check(dial: Dial) -> None:
        await dial.set(BER, token(claim(1)))
        await dial.set(BOTH, token(claim(2), claim(1)), BER, LEASE_MS)
        assert rig.frame.rests("fra", "ber")
        rig.frame.until("ber")
        assert (await dial.read()).setting == BER

    with_dial(rig, check)


def test_what_is_held_stays_though_a_lease_was_armed(rig: BirdDialRig) -> None:
    async def check(dial: Dial) -> None:
        await dial.set(BER, token(claim(1)), BOTH, LEASE_MS)
        await dial.hold(token(claim(2), claim(1)))
        await asyncio.sleep((LEASE_MS + 1_500) / 1_000)
        reading = await dial.read()
        assert (reading.setting, reading.expires_ms) == (BER, None)
        with pytest.raises(Refused):
            await dial.renew(claim(1), LEASE_MS)

    with_dial(rig, check)
    rig.restart()
    reading = with_dial(rig, lambda dial: dial.read())
    assert (reading.setting, reading.fault) == (BER, "")


def test_a_bird_that_restarts_under_a_lease_has_gone_back(rig: BirdDialRig) -> None:
    with_dial(rig, lambda dial: dial.set(BER, token(claim(1)), BOTH, 60_000))
    rig.restart()
    rig.frame.until("fra", "ber")
    reading = with_dial(rig, lambda dial: dial.read())
    assert (reading.setting, reading.fault) == (BOTH, "")
    assert all(one.claim and one.claim.reverted for one in reading.instances)


def test_nothing_is_withdrawn_while_nobody_else_is_announced(rig: BirdDialRig) -> None:
    """ber's BIRD answers and obeys, and its sessions are down."""
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
    with_dial(rig, lambda dial: dial.set(BER, token(claim(1))))
    assert rig.frame.rests("ber")


def test_a_filter_that_ignores_the_variable_is_never_believed(rig: BirdDialRig) -> None:
    """The BIRD acknowledges, shows the mark, and goes on announcing."""
    bird = rig.birds[0]
    honest = bird.config.read_text()
    bird.config.write_text(honest.replace("if DAYSHIFT_ANNOUNCE = 0 then reject;", ""))
    bird.ask("configure")
    try:

        async def check() -> None:
            dial = altered(rig, settle="300 ms")
            with pytest.raises(DriverRetry) as caught:
                await dial.set(BER, token(claim(1)))
            because = caught.value.reason.because
            assert caught.value.reason.code == "NOT-PROPAGATED"
            assert "adj-out" in because and "fra-1" in because
            assert "192.0.2.1/32" in because and "announce nothing" in because
            reading = await dial.read()
            assert reading.setting is None and reading.mixed
            assert reading.instances[0].setting == BOTH

        asyncio.run(check())
    finally:
        bird.config.write_text(honest)
        bird.ask("configure")


def test_a_filter_that_obeys_for_one_of_two_prefixes_has_no_setting(
    rig: BirdDialRig,
) -> None:
    bird = rig.birds[0]
    honest = bird.config.read_text()
    half = "if DAYSHIFT_ANNOUNCE = 0 && net.type = NET_IP4 then reject;"
    bird.config.write_text(
        honest.replace("if DAYSHIFT_ANNOUNCE = 0 then reject;", half)
    )
    bird.ask("configure")
    try:

        async def check() -> None:
            dial = altered(rig, settle="300 ms")
            with pytest.raises(DriverRetry):
                await dial.set(BER, token(claim(1)))
            one = (await dial.read()).instances[0]
            assert one.setting is None and "2001:db8::1/128" in one.fault

        asyncio.run(check())
    finally:
        bird.config.write_text(honest)
        bird.ask("configure")


def test_one_that_goes_back_by_itself_shows_both_values(rig: BirdDialRig) -> None:
    """Somebody's `configure undo`: the claim is gone from BIRD, and in the file."""

    async def check() -> None:
        dial = altered(rig, shut_pause=0)
        await dial.set(BER, token(claim(1)))
        rig.birds[0].ask("configure", "undo")
        rig.frame.until("fra", "ber")
        reading = await dial.read()
        assert reading.mixed and reading.instances[0].setting == BOTH
        assert str(claim(1)) in reading.fault and "it runs by" in reading.fault
        with pytest.raises(DriverFault):
            await dial.hold(token(claim(2), claim(1)))

    asyncio.run(check())


def test_one_that_restarts_with_an_old_file_lost_its_claim(rig: BirdDialRig) -> None:
    old = rig.birds[0].defines.read_text()
    with_dial(rig, lambda dial: dial.set(BER, token(claim(1))))
    rig.birds[0].stop()
    rig.birds[0].defines.write_text(old)
    rig.birds[0].start()
    rig.frame.until("fra", "ber")

    async def check(dial: Dial) -> None:
        reading = await dial.read()
        assert reading.mixed and reading.instances[0].claim is None
        with pytest.raises(Refused):
            await dial.set(BER, token(claim(2), claim(1)))

    with_dial(rig, check)


def test_a_transit_router_that_still_routes_is_named_with_both_values(
    rig: BirdDialRig,
) -> None:
    """Its kernel keeps a route that its table has not."""
    network = rig.frame.network
    route = ["192.0.2.1/32", "via", "10.0.1.2", "metric", "5"]
    with_dial(rig, lambda dial: dial.set(BER, token(claim(1))))
    network.run("transit", "ip", "route", "add", *route)
    try:
        reading = with_dial(rig, lambda dial: dial.read())
        assert reading.instances[0].setting is None
        assert "layer fib of transit has 192.0.2.1/32 of fra-1" in reading.fault
        assert "announce nothing" in reading.fault
    finally:
        network.run("transit", "ip", "route", "del", *route)


def test_a_transit_router_that_does_not_answer_is_a_fault(rig: BirdDialRig) -> None:
    async def check() -> None:
        dial = altered(rig, peers=[{**rig.frame.peer, "command": ["/bin/false"]}])
        reading = await dial.read()
        assert reading.setting == BOTH and "peer transit" in reading.fault

    asyncio.run(check())


def test_a_configuration_that_bird_refuses_is_put_back(rig: BirdDialRig) -> None:
    bird = rig.birds[0]
    honest = bird.config.read_text()
    bird.config.write_text(honest + "\nnonsense;\n")
    before = bird.defines.read_text()
    try:

        async def check(dial: Dial) -> None:
            with pytest.raises(DriverFault) as caught:
                await dial.set(BER, token(claim(1)))
            assert "does not accept" in caught.value.reason.what
            assert "nonsense" in caught.value.reason.because or "syntax" in str(
                caught.value
            )

        with_dial(rig, check)
        assert bird.defines.read_text() == before
        assert rig.frame.rests("fra", "ber")
    finally:
        bird.config.write_text(honest)


def test_two_journals_at_the_same_moment_and_one_is_told_who_was_first(
    rig: BirdDialRig,
) -> None:
    async def check(one: Dial) -> None:
        other = rig.dial()
        tokens = [
            Token(Claim("demo", journal, 1, 3, who), ("fra", "ber"), None, first=True)
            for journal, who in (("j1", "ada"), ("j2", "eve"))
        ]
        ends = await asyncio.gather(
            one.set(BER, tokens[0]), other.set(FRA, tokens[1]), return_exceptions=True
        )
        refused = [n for n, end in enumerate(ends) if isinstance(end, Refused)]
        assert len(refused) == 1 and len([end for end in ends if end is None]) == 1
        winner = tokens[1 - refused[0]].claim
        assert winner.holder in str(ends[refused[0]])
        for instance in (await one.read()).instances:
            assert instance.claim == winner
        await other.close()

    with_dial(rig, check)


@pytest.mark.parametrize(
    "change",
    [
        {"regions": ["fra"]},
        {"regions": ["fra", "fra"]},
        {"prefixes": []},
        {"prefixes": ["0.0.0.0/0"]},
        {"prefixes": ["192.0.2.1/24"]},
        {"speakers": []},
        {"peer": []},
        {"shut_pause": "soon"},
    ],
    ids=json.dumps,
)
def test_options_that_cannot_be_meant_are_refused(
    rig: BirdDialRig, change: dict[str, Any]
) -> None:
    BirdDial.Options.model_validate(rig.options)
    with pytest.raises(ValidationError):
        BirdDial.Options.model_validate({**rig.options, **change})
