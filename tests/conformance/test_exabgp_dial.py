"""What only real ExaBGPs can show: forgotten routes, late answers, and lies."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dayshift.drivers.base import Dial
from dayshift.drivers.dials.exabgp import ExabgpDial
from dayshift.drivers.dials.exabgp_pipe import Answer, ExabgpPipe
from dayshift.errors import DriverFault, DriverRetry
from tests.conformance.rigs import claim, context, token, with_dial
from tests.conformance.route_rigs import BER, BOTH, ExabgpDialRig, on
from tests.kit.anycast import PREFIXES, snippet
from tests.kit.daemons import eventually

pytestmark = pytest.mark.journey


@pytest.fixture
def rig(exabgps: ExabgpDialRig) -> ExabgpDialRig:
    exabgps.reset()
    return exabgps


def altered(rig: ExabgpDialRig, **change: Any) -> Dial:
    place = rig.frame.network.place
    return ExabgpDial("anycast", {**rig.options, **change}, context(place))


def seen(rig: ExabgpDialRig, prefix: str) -> bool:
    """True when the transit router's kernel sends to fra."""
    return bool({"10.0.1.2", "fd00:1::2"} & set(rig.frame.network.kernel(prefix)))


def test_the_region_says_that_it_is_leaving_before_it_goes(rig: ExabgpDialRig) -> None:
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


def test_one_that_forgot_its_routes_is_not_drained(rig: ExabgpDialRig) -> None:
    """Restarted without the replay: its file says on, and nobody hears of it."""
    one = rig.exabgps[0]
    whole = one.routes.read_text()
    one.stop()
    one.routes.write_text("# nothing\n")
    one.start()
    one.routes.write_text(whole)
    rig.frame.until("ber")
    reading = with_dial(rig, lambda dial: dial.read())
    assert reading.mixed
    assert "has nothing of fra-1, which should announce 192.0.2.1/32" in reading.fault

    async def nothing_to_hold(dial: Dial) -> None:
        with pytest.raises(DriverFault):
            await dial.hold(token(claim(1)))

    with_dial(rig, nothing_to_hold)


def test_one_that_restarts_with_an_old_file_is_back_and_named(
    rig: ExabgpDialRig,
) -> None:
    with_dial(rig, lambda dial: dial.set(BER, token(claim(1))))
    one = rig.exabgps[0]
    one.stop()
    one.routes.write_text(snippet("exabgp", "exabgp-file"))
    one.start()
    rig.frame.until("fra", "ber")
    reading = with_dial(rig, lambda dial: dial.read())
    assert reading.mixed
    assert [one.claim for one in reading.instances] == [None, claim(1)]
    assert [one.setting for one in reading.instances] == [BOTH, BER]


def test_one_of_two_prefixes_that_comes_back_is_named(rig: ExabgpDialRig) -> None:
    """Somebody announces one of them again."""

    async def check(dial: Dial) -> None:
        await dial.set(BER, token(claim(1)))
        rig.exabgps[0].say(rig.lines("fra", "announce")[1])
        await asyncio.to_thread(
            eventually, lambda: seen(rig, PREFIXES[1]), "it is back"
        )
        one = (await dial.read()).instances[0]
        assert one.setting is None
        assert "adj-rib-out to fd00:1::1 of fra-1 has 2001:db8::1/128" in one.fault

    with_dial(rig, check)


def test_what_it_would_announce_with_its_session_up_is_not_withdrawn(
    rig: ExabgpDialRig,
) -> None:
    """No router has the route, and still the region is not out."""
    with_dial(rig, lambda dial: dial.set(BER, token(claim(1))))
    rig.frame.network.link("fra", "down")
    try:
        rig.exabgps[0].say(*rig.lines("fra", "announce"))

        async def check(dial: Dial) -> str:
            while not (fault := (await dial.read()).fault):
                pass
            return fault

        assert rig.frame.rests("ber")
        assert "adj-rib-out to 10.0.1.1 of fra-1" in with_dial(rig, check)
    finally:
        rig.frame.network.link("fra", "up")
    rig.frame.until("fra", "ber")


def test_one_that_hangs_moves_nothing(rig: ExabgpDialRig) -> None:
    one = rig.exabgps[0]

    async def hanging(dial: Dial) -> None:
        assert "no answer" in (await dial.read()).fault
        with pytest.raises(DriverRetry):
            await dial.set(BER, token(claim(1)))

    one.daemon.freeze()
    try:
        with_dial(rig, hanging)
    finally:
        one.daemon.thaw()
    with_dial(rig, lambda dial: dial.set(BOTH, token(claim(2), claim(1))))
    reading = with_dial(rig, lambda dial: dial.read())
    assert (reading.fault, reading.setting) == ("", BOTH)


def test_answers_that_nobody_waited_for_are_not_believed(rig: ExabgpDialRig) -> None:
    """Each conversation was given up, and its answers come in the next one."""
    one = rig.exabgps[0]
    pipe = ExabgpPipe("fra-1", one.pipe, context(rig.frame.network.place))
    table, withdraw = "show adj-rib out", rig.lines("fra", "withdraw")

    async def answered(*commands: str) -> list[Answer]:
        while True:
            with suppress(DriverRetry):
                return await pipe.ask(*commands)

    async def check() -> None:
        assert len((await answered(table))[0].lines) == 2
        for _ in range(3):
            one.daemon.freeze()
            one.say(table, "version", "nonsense", table)
            with pytest.raises(DriverRetry):
                await pipe.ask(table)
            one.daemon.thaw()
        told = await answered("nonsense", *withdraw, table)
        assert [one.accepted for one in told] == [False, True, True, True]
        assert not any(one.lines for one in told)

    asyncio.run(check())


def test_many_readers_at_a_time_all_hear_their_own_answers(rig: ExabgpDialRig) -> None:
    async def check() -> None:
        dials = [altered(rig) for _ in range(4)]
        found = await asyncio.gather(*(one.read() for one in dials))
        for reading in found:
            assert reading.setting == BOTH or "no answer" in reading.fault
        assert any(reading.setting == BOTH for reading in found)

    asyncio.run(check())


def test_the_same_write_again_is_sent_again(rig: ExabgpDialRig) -> None:
    """A neighbour that lost an announcement has it after the next write."""
    place = context(rig.frame.network.place)

    async def sent() -> int:
        pipe = ExabgpPipe("fra-1", rig.exabgps[0].pipe, place)
        (answer,) = await pipe.ask("show neighbor 10.0.1.1 summary")
        return int(answer.lines[-1].split()[-2])

    async def check(dial: Dial) -> None:
        await dial.set(BOTH, token(claim(1)))
        before = await sent()
        await dial.set(BOTH, token(claim(2), claim(1)))
        assert await sent() > before

    with_dial(rig, check)


def test_nothing_is_withdrawn_while_nobody_else_is_announced(
    rig: ExabgpDialRig,
) -> None:
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


def test_a_neighbour_that_it_does_not_have_is_told(rig: ExabgpDialRig) -> None:
    first, second = rig.options["speakers"]

    async def check() -> None:
        dial = altered(rig, speakers=[{**first, "ipv4": ["10.0.1.9"]}, second])
        with pytest.raises(DriverFault) as caught:
            await dial.set(on("fra", "ber"), token(claim(1)))
        assert "neighbor 10.0.1.9 announce" in str(caught.value.reason)

    asyncio.run(check())


def test_pipes_that_are_not_there_are_named(rig: ExabgpDialRig, tmp_path: Path) -> None:
    first, second = rig.options["speakers"]
    other = {**first, "pipe": str(tmp_path / "none")}

    async def check() -> None:
        reading = await altered(rig, speakers=[other, second]).read()
        assert str(tmp_path / "none.in") in reading.fault

    asyncio.run(check())


def test_options_that_cannot_be_meant_are_refused(rig: ExabgpDialRig) -> None:
    ExabgpDial.Options.model_validate(rig.options)
    first, second = rig.options["speakers"]
    changes: list[dict[str, Any]] = [
        {"next_hops": []},
        {"ipv6": []},
        {"file": second["file"]},
        {"pipe": second["pipe"]},
    ]
    for change in changes:
        with pytest.raises(ValidationError):
            ExabgpDial.Options.model_validate(
                {**rig.options, "speakers": [{**first, **change}, second]}
            )


def test_without_a_router_that_answers_for_itself_nothing_is_proven(
    rig: ExabgpDialRig,
) -> None:
    with pytest.raises(ValidationError, match="peers"):
        ExabgpDial.Options.model_validate({**rig.options, "peers": []})
