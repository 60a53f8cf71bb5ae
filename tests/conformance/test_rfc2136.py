"""What only real DNS servers can show: fences, followers, caches and lies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.query
import dns.tsigkeyring
import dns.update
import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from dayshift.drivers.agents.dial import RemoteDial
from dayshift.drivers.agents.link import AgentLink
from dayshift.drivers.base import PreparedDial
from dayshift.drivers.dials.rfc2136 import Rfc2136Dial
from dayshift.errors import DriverFault, DriverRetry, Refused
from dayshift.model.dial import ALL, Caching, Claim, DialKind, Setting, Token
from dayshift.model.points import Point
from dayshift.runtime.clock import RealClock
from tests.conformance.name_rigs import STEER, authorities
from tests.conformance.rigs import REGIONS, claim, context, row, token
from tests.kit.agents import AgentProcess, Authority
from tests.kit.crash import DieAt, Died
from tests.kit.names import (
    ADDRESSES,
    KEY,
    NAME,
    ZONE,
    Bind,
    NameServer,
    Unbound,
    ask,
    dns_port,
    name_servers,
    zone_text,
)

JOURNEY = pytest.mark.journey
OTHER_KEY = "YW5vdGhlci1rZXktdGhhdC1pcy1ub3Qta25vd24tdGhlcmU="


@pytest.fixture(params=["bind", "knot"])
def one(request: pytest.FixtureRequest, updated: list[NameServer]) -> NameServer:
    """One primary with its own zone, started."""
    server = updated[["bind", "knot"].index(request.param)]
    server.fresh()
    server.start()
    return server


@pytest.fixture(scope="module")
def primary_and_follower() -> Iterator[list[NameServer]]:
    with name_servers({"primary": Bind}) as (primary,):
        follower = Bind(primary.folder / "follower", "follower", follows=primary)
        try:
            yield [primary, follower]
        finally:
            follower.stop()


def options(*servers: NameServer, **more: Any) -> dict[str, Any]:
    return {
        **STEER,
        "authorities": authorities(list(servers)),
        "tsig": {"name": "dayshift.", "secret": KEY},
        **more,
    }


def dial_of(*servers: NameServer, **more: Any) -> Rfc2136Dial:
    return Rfc2136Dial("dns", options(*servers, **more), context(servers[0].folder))


def by_hand(server: NameServer, fra: int, text: str = "") -> None:
    """Somebody else's update of the same name."""
    update = dns.update.UpdateMessage(ZONE)
    update.use_tsig(dns.tsigkeyring.from_text({"dayshift.": KEY}))
    listed = {"fra": fra, "ber": 10 - fra}
    every = [one for r, count in listed.items() for one in ADDRESSES[r][:count]]
    update.replace(NAME, 300, "A", *every)
    if text:
        update.replace(f"_dayshift.{NAME}", 1, "TXT", f'"{text}"')
    answer = dns.query.tcp(update, "127.0.0.1", port=server.port, timeout=5)
    assert answer.rcode() == dns.rcode.NOERROR


@JOURNEY
def test_users_are_answered_what_was_set(one: NameServer) -> None:
    asyncio.run(dial_of(one).set(row(3000), token(claim(1))))
    found = ask(one.port, NAME, "A")
    assert sorted(ADDRESSES["fra"][:3] + ADDRESSES["ber"][:7]) == found
    asyncio.run(dial_of(one).set(row(0), token(claim(2), claim(1))))
    assert ask(one.port, NAME, "A") == sorted(ADDRESSES["ber"])


@JOURNEY
def test_the_server_itself_refuses_who_looked_before_another_wrote(
    one: NameServer,
) -> None:
    """Both writers looked, then both wrote: the prerequisites let one of them in."""

    async def check() -> None:
        dials = [dial_of(one), dial_of(one)]
        tokens = [
            Token(Claim("demo", name, 1, 3, who), REGIONS, None, first=True)
            for name, who in (("j1", "ada"), ("j2", "eve"))
        ]
        ends = await asyncio.gather(
            *(d.set(row(0), t) for d, t in zip(dials, tokens, strict=True)),
            return_exceptions=True,
        )
        refused = [(n, end) for n, end in enumerate(ends) if end is not None]
        assert len(refused) == 1
        number, error = refused[0]
        first = tokens[1 - number].claim
        assert isinstance(error, Refused), error
        assert first.journal in str(error) and first.holder in str(error)
        reading = await dials[0].read()
        assert [i.claim for i in reading.instances] == [first]

    asyncio.run(check())


@JOURNEY
def test_a_claim_that_came_after_the_look_refuses_by_prerequisite(
    one: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between look and message: nothing but the server can compare there."""
    dial = dial_of(one)
    authority: Any = dial._authorities[0]
    send = authority._send

    async def overtaken(update: Any) -> Any:
        by_hand(one, 5, str(claim(9, epoch=7)))
        return await send(update)

    monkeypatch.setattr(authority, "_send", overtaken)
    with pytest.raises(Refused) as caught:
        asyncio.run(dial.set(row(0), token(claim(1))))
    assert caught.value.reason.code == "CLAIM-REFUSED"
    assert "epoch 7" in caught.value.reason.what
    assert one.claim() == str(claim(9, epoch=7))
    assert len(ask(one.port, NAME, "A")) == 10


@JOURNEY
def test_records_that_changed_after_the_look_are_not_overwritten(
    one: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    dial = dial_of(one)
    authority: Any = dial._authorities[0]
    send = authority._send

    async def overtaken(update: Any) -> Any:
        by_hand(one, 4)
        return await send(update)

    monkeypatch.setattr(authority, "_send", overtaken)
    with pytest.raises(DriverRetry) as caught:
        asyncio.run(dial.set(row(0), token(claim(1))))
    assert caught.value.reason.code == "CHANGED-MEANWHILE"
    assert (one.claim(), len(ask(one.port, NAME, "A"))) == ("", 10)


@JOURNEY
@pytest.mark.parametrize(
    ("tsig", "word"),
    [
        ({"name": "dayshift.", "secret": OTHER_KEY}, "UPDATE-REFUSED"),
        ({"name": "somebody.", "secret": KEY}, "UPDATE-REFUSED"),
        ({"name": "dayshift.", "secret": "not base 64!"}, "TSIG-UNUSABLE"),
    ],
    ids=["secret", "name", "no-key"],
)
def test_a_key_that_may_not_is_a_fault_and_nothing_moves(
    one: NameServer, tsig: dict[str, str], word: str
) -> None:
    with pytest.raises(DriverFault) as caught:
        asyncio.run(dial_of(one, tsig=tsig).set(row(0), token(claim(1))))
    assert caught.value.reason.code == word
    assert OTHER_KEY not in str(caught.value)
    assert (one.claim(), len(ask(one.port, NAME, "A"))) == ("", 20)


@JOURNEY
def test_an_address_of_nobody_is_a_fault_and_is_kept(one: NameServer) -> None:
    one.zone(zone_text({"fra": 1, "ber": 1}) + "www 300 A 203.0.113.7\n")
    one.start()

    async def check() -> None:
        dial = dial_of(one)
        reading = await dial.read()
        assert reading.setting is None and "203.0.113.7" in reading.fault
        with pytest.raises(DriverFault) as caught:
            await dial.set(row(0), token(claim(1)))
        assert caught.value.reason.code == "STRANGE-ADDRESS"
        assert "203.0.113.7" in ask(one.port, NAME, "A")

    asyncio.run(check())


@JOURNEY
def test_a_follower_answers_what_its_primary_was_told(
    primary_and_follower: list[NameServer],
) -> None:
    primary, follower = start(primary_and_follower)
    dial = following(primary, follower)

    async def check() -> None:
        await dial.set(row(0), token(claim(1)))
        reading = await dial.read()
        assert (reading.setting, reading.fault) == (row(0), "")
        assert [i.claim for i in reading.instances] == [claim(1)] * 2
        assert ask(follower.port, NAME, "A") == sorted(ADDRESSES["ber"])

    asyncio.run(check())


@JOURNEY
def test_a_follower_that_does_not_follow_is_named_with_both_values(
    primary_and_follower: list[NameServer],
) -> None:
    """It serves on from what it has, and is told of changes by nobody."""
    primary, follower = start(primary_and_follower)
    dial = following(primary, follower, ack_timeout="300 ms")
    assert isinstance(primary, Bind)
    primary.deaf()

    async def check() -> None:
        with pytest.raises(DriverRetry) as caught:
            await dial.set(row(0), token(claim(1)))
        reason = caught.value.reason
        assert reason.code == "NOT-ACKNOWLEDGED"
        assert "follower shows ber 50.00 %, fra 50.00 % under None" in reason.what
        assert "instead of ber 100.00 %, fra 0.00 %" in reason.what
        reading = await dial.read()
        assert reading.mixed
        assert [i.setting for i in reading.instances] == [row(0), row(5000)]

    asyncio.run(check())


@JOURNEY
def test_a_zone_that_was_put_back_is_seen_with_its_old_claim(one: NameServer) -> None:
    async def check() -> None:
        dial = dial_of(one)
        await dial.set(row(5000), token(claim(1)))
        before = zone_text({"fra": 5, "ber": 5}, one.claim())
        await dial.set(row(0), token(claim(2), claim(1)))
        one.zone(before)
        one.start()
        reading = await dial.read()
        (instance,) = reading.instances
        assert (instance.setting, instance.claim) == (row(5000), claim(1))
        by_hand(one, 3)
        reading = await dial.read()
        assert (reading.setting, reading.fault) == (row(3000), "")

    asyncio.run(check())


@JOURNEY
def test_a_claim_record_that_is_no_claim_is_a_fault(one: NameServer) -> None:
    by_hand(one, 5, "hands off, ada")
    reading = asyncio.run(dial_of(one).read())
    assert reading.setting == row(5000)
    assert "hands off, ada" in reading.fault


@pytest.fixture(params=[0, 60], ids=["honest", "keeps-for-a-minute"])
def cache(
    request: pytest.FixtureRequest, updated: list[NameServer]
) -> Iterator[Unbound]:
    """A resolver before the BIND, which has answers that live one second."""
    one = updated[0]
    one.zone(zone_text({"fra": 10, "ber": 10}, ttl=1))
    one.start()
    found = Unbound(one.folder / "cache", "cache", one, request.param)
    found.start()
    yield found
    found.stop()


@JOURNEY
def test_a_resolver_may_be_old_for_as_long_as_the_answer_lives(
    updated: list[NameServer], cache: Unbound
) -> None:
    resolvers = [{"name": "office", "address": "127.0.0.1", "port": cache.port}]
    dial = dial_of(updated[0], resolvers=resolvers, ttl="1 s", ttl_low="1 s")

    async def check() -> None:
        assert len(ask(cache.port, NAME, "A", recurse=True)) == 20
        await dial.set(row(0), token(claim(1)))
        reading = await dial.read()
        assert (reading.setting, reading.fault) == (row(0), "")
        while not (reading := await dial.read()).fault:
            if ask(cache.port, NAME, "A", recurse=True) == sorted(ADDRESSES["ber"]):
                break
            await asyncio.sleep(0.1)
        if cache.keeps_s:
            assert "office" in reading.instances[1].instance
            assert "still answers 192.0.2.1, " in reading.fault
            assert "ber 100.00 %, fra 0.00 %" in reading.fault
            await dial.set(row(5000), token(claim(2), claim(1)))
        reading = await dial.read()
        assert reading.fault == "" and reading.setting is not None

    asyncio.run(check())


@JOURNEY
def test_a_resolver_that_does_not_answer_is_blind_and_not_right(
    one: NameServer,
) -> None:
    nobody = {"name": "office", "address": "127.0.0.1", "port": dns_port()}
    reading = asyncio.run(dial_of(one, resolvers=[nobody]).read())
    assert reading.setting is None and "office" in reading.fault


@JOURNEY
def test_lifetimes_are_lowered_and_restored_and_move_nobody(one: NameServer) -> None:
    async def check() -> None:
        dial = dial_of(one, ttl_low="2 s")
        assert isinstance(dial, PreparedDial)
        assert dial.describe().caching == Caching(300_000, 2_000)
        assert dial.describe().propagation_ms == 300_000
        await dial.prepare(token(claim(1)))
        (found,) = (await dial.read()).instances
        assert (found.lifetime_ms, found.claim) == (2_000, claim(1))
        assert found.setting == row(5000)
        assert dial.describe().propagation_ms == 2_000
        await dial.set(row(0), token(claim(2), claim(1)))
        (found,) = (await dial.read()).instances
        assert (found.lifetime_ms, found.setting) == (2_000, row(0))
        await dial.restore(token(claim(3), claim(2)))
        (found,) = (await dial.read()).instances
        assert (found.lifetime_ms, found.setting) == (300_000, row(0))
        with pytest.raises(Refused):
            await dial.prepare(token(claim(2), claim(2)))

    asyncio.run(check())


@JOURNEY
def test_behind_an_agent_it_does_the_same_and_goes_back_by_itself(
    one: NameServer, tmp_path: Path
) -> None:
    key = tmp_path / "dayshift.key"
    key.write_text(KEY)
    given = options(one, tsig={"name": "dayshift.", "secret": f"file:{key}"})
    agent = AgentProcess(tmp_path, Authority(tmp_path / "ca"), "rfc2136", given)
    agent.start()

    async def check() -> None:
        link = AgentLink(agent.spec(), context(tmp_path))
        dial = RemoteDial("entry", DialKind.SPLIT, [link], RealClock())
        await dial.prepare(token(claim(1)))
        (found,) = (await dial.read()).instances
        assert (found.lifetime_ms, found.claim) == (5_000, claim(1))
        assert dial.describe().caching == Caching(300_000, 5_000)
        await dial.set(row(0), token(claim(2), claim(1)), row(5000), 3_000)
        assert (await dial.read()).setting == row(0)
        for _ in range(300):
            if (await dial.read()).setting == row(5000):
                break
            await asyncio.sleep(0.1)
        (found,) = (await dial.read()).instances
        assert found.claim is not None and found.claim.reverted
        await dial.restore(token(claim(3), found.claim))
        (found,) = (await dial.read()).instances
        assert (found.lifetime_ms, found.setting) == (300_000, row(5000))
        await dial.close()

    try:
        asyncio.run(check())
    finally:
        agent.stop()


@JOURNEY
def test_regions_can_be_in_or_out_with_all_they_have(one: NameServer) -> None:
    def switched(fra: int, ber: int) -> Setting:
        return Setting(DialKind.SWITCH, {ALL: {"fra": fra, "ber": ber}})

    async def check() -> None:
        dial = dial_of(one, kind="switch")
        assert dial.describe().granularity_bp == 10_000
        assert (await dial.read()).setting == switched(10_000, 10_000)
        await dial.set(switched(0, 10_000), token(claim(1)))
        assert ask(one.port, NAME, "A") == sorted(ADDRESSES["ber"])
        for bad in (row(0), switched(0, 0), switched(1, 10_000)):
            with pytest.raises(Refused):
                await dial.set(bad, token(claim(2), claim(1)))
        by_hand(one, 3)
        reading = await dial.read()
        assert reading.setting is None and "neither on nor off" in reading.fault

    asyncio.run(check())


@JOURNEY
def test_what_a_dead_controller_left_half_done_is_mixed_and_completed(
    updated: list[NameServer],
) -> None:
    for one in updated:
        one.fresh()
        one.start()

    async def check() -> None:
        where = replace(context(updated[0].folder), points=DieAt(Point.HALF_APPLIED))
        dying = Rfc2136Dial("dns", options(*updated), where)
        with pytest.raises(Died):
            await dying.set(row(0), token(claim(1)))
        dial = dial_of(*updated)
        reading = await dial.read()
        assert reading.mixed
        assert [one.claim for one in reading.instances] == [claim(1), None]
        with pytest.raises(DriverFault):
            await dial.hold(token(claim(2), claim(1)))
        await dial.set(row(0), Token(claim(2), REGIONS, claim(1), first=True))
        reading = await dial.read()
        assert (reading.setting, reading.fault) == (row(0), "")

    asyncio.run(check())


@JOURNEY
def test_both_families_move_together_or_are_a_fault(one: NameServer) -> None:
    addresses = {
        "fra": ["192.0.2.1", "2001:db8:1::1"],
        "ber": ["198.51.100.1", "2001:db8:2::1"],
    }
    one.zone(
        zone_text({"fra": 1, "ber": 1})
        + "www 300 AAAA 2001:db8:1::1\nwww 300 AAAA 2001:db8:2::1\n"
    )
    one.start()

    async def check() -> None:
        dial = dial_of(one, addresses=addresses)
        assert dial.describe().granularity_bp == 10_000
        assert (await dial.read()).setting == row(5000)
        await dial.set(row(0), token(claim(1)))
        assert ask(one.port, NAME, "A") == ["198.51.100.1"]
        assert ask(one.port, NAME, "AAAA") == ["2001:db8:2::1"]
        by_hand(one, 1)
        reading = await dial.read()
        assert reading.setting is None and reading.fault
        with pytest.raises(Refused):
            await dial.set(row(2500), token(claim(2), claim(1)))

    asyncio.run(check())


def start(servers: list[NameServer]) -> tuple[NameServer, NameServer]:
    primary, follower = servers
    follower.stop()
    for one in servers:
        one.configure()
        one.fresh()
        one.start()
    return primary, follower


def following(primary: NameServer, follower: NameServer, **more: Any) -> Rfc2136Dial:
    listed = authorities([primary, follower])
    listed[1]["updates"] = False
    return dial_of(primary, authorities=listed, **more)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"addresses": {"fra": ["192.0.2.1"], "ber": []}}, "has no address"),
        ({"addresses": {"fra": ["192.0.2.1"]}}, "at least 2"),
        ({"addresses": {"fra": ["192.0.2.1"], "ber": ["192.0.2.1"]}}, "listed for"),
        ({"addresses": {"fra": ["192.0.2.1"], "ber": ["::1"]}}, "AAAA"),
        ({"addresses": {"fra": ["edge.example"], "ber": ["::1"]}}, "IPv4 or IPv6"),
        ({"name": "www.other.example"}, "not in zone"),
        ({"name": "*.shop.example"}, "wildcard"),
        ({"kind": "forward"}, "forward"),
        ({"ttl": "1500 ms"}, "whole seconds"),
        ({"ttl": "3 s"}, "above ttl"),
        ({"authorities": []}, "at least 1"),
        ({"authorities": [{"name": "a", "address": "ns.example"}]}, "IPv4 or IPv6"),
        ({"tsig": {"name": "k.", "secret": "env:K", "algorithm": "hmac-md5"}}, "hmac"),
        ({"server": "ns1"}, "Extra inputs"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_options_that_cannot_be_meant_are_refused(
    change: dict[str, Any], word: str
) -> None:
    good = {
        **STEER,
        "authorities": [{"name": "ns1", "address": "192.0.2.53"}],
        "tsig": {"name": "dayshift.", "secret": "file:key"},
    }
    Rfc2136Dial.Options.model_validate(good)
    with pytest.raises(ValidationError) as caught:
        Rfc2136Dial.Options.model_validate({**good, **change})
    assert word in str(caught.value)
