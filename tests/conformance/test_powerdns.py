"""What only a real PowerDNS can show: transactions, Lua, and answers that lie."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from pydantic import ValidationError

from dayshift.drivers.dials.names.pool import Pool
from dayshift.drivers.dials.names.sampling import WINDOW, Sample, surprise_log10
from dayshift.drivers.dials.powerdns import PowerdnsDial
from dayshift.drivers.dials.powerdns_lua import lua_records, lua_shown
from dayshift.errors import DriverFault, DriverRetry, Refused
from dayshift.model.dial import Claim, DialKind, Fence, Token
from tests.conformance.name_rigs import (
    STEER,
    LuaRig,
    PowerdnsRig,
    lua_zone,
)
from tests.conformance.rigs import REGIONS, claim, context, row, token, with_dial
from tests.kit.names import (
    ADDRESSES,
    NAME,
    PowerDns,
    ReadOnlyPowerDns,
    ask,
    name_servers,
    zone_text,
)

JOURNEY = pytest.mark.journey
RIGS = pytest.mark.parametrize("kind", [PowerdnsRig, LuaRig], ids=["plain", "lua"])


def dial_of(rig: PowerdnsRig, *which: int, **more: Any) -> PowerdnsDial:
    options = rig.options()
    options["authorities"] = [options["authorities"][one] for one in which]
    return PowerdnsDial("dns", {**options, **more}, context(rig.servers[0].folder))


@JOURNEY
def test_one_patch_changes_all_or_nothing(powerdnses: list[PowerDns]) -> None:
    """What the page says of transactions: the first part is good, the second is not."""
    PowerdnsRig(powerdnses)
    one = powerdnses[0]
    sets = [
        {
            "name": name,
            "type": kind,
            "ttl": 1,
            "changetype": "REPLACE",
            "records": [{"content": content, "disabled": False}],
        }
        for name, kind, content in (
            (f"_dayshift.{NAME}", "TXT", '"half"'),
            (NAME, "A", "no address"),
        )
    ]
    assert one.call("PATCH", "", {"rrsets": sets}).status_code == 422
    assert one.claim() == ""
    assert len(ask(one.port, NAME, "A")) == 10


@JOURNEY
@RIGS
def test_of_two_journals_one_is_told_who_was_first(
    powerdnses: list[PowerDns], kind: type[PowerdnsRig]
) -> None:
    rig = kind(powerdnses)
    holders = {"j1": "ada-laptop", "j2": "eve-laptop"}

    async def check() -> None:
        dials = [rig.dial(), rig.dial()]
        tokens = [
            Token(Claim("demo", name, 1, 3, who), REGIONS, None, first=True)
            for name, who in holders.items()
        ]
        ends = await asyncio.gather(
            *(d.hold(t) for d, t in zip(dials, tokens, strict=True)),
            return_exceptions=True,
        )
        refused = [(n, end) for n, end in enumerate(ends) if end is not None]
        assert len(refused) == 1
        number, error = refused[0]
        first = tokens[1 - number].claim
        assert isinstance(error, Refused), error
        assert first.holder in str(error)
        reading = await dials[0].read()
        assert [one.claim for one in reading.instances] == [first] * 2
        for dial in dials:
            await dial.close()

    asyncio.run(check())


@JOURNEY
@RIGS
def test_an_api_that_is_not_of_what_answers_is_found_out(
    powerdnses: list[PowerDns], kind: type[PowerdnsRig]
) -> None:
    """It acknowledges everything, and users are answered by another one."""
    rig = kind(powerdnses)
    options = rig.options()
    (lying,) = options["authorities"][1:]
    lying["api"] = powerdnses[0].api
    dial = dial_of(rig, 0, authorities=[lying], ack_timeout="200 ms")

    async def check() -> None:
        with pytest.raises(DriverRetry) as caught:
            await dial.set(row(0), token(claim(1)))
        reason = caught.value.reason
        assert reason.code == "NOT-ACKNOWLEDGED"
        assert "ns2" in reason.what and "fra 0.00 %" in reason.what
        if kind is LuaRig:
            assert f"{claim(1)}, its answers show None" in reason.because
        else:
            assert "ber 50.00 %, fra 50.00 % under None" in reason.what
        assert powerdnses[0].claim() == str(claim(1))
        assert powerdnses[1].claim() == ""
        await dial.close()

    asyncio.run(check())


@JOURNEY
def test_answers_that_do_not_fit_the_weights_are_a_fault(
    powerdnses: list[PowerDns],
) -> None:
    """The claim is right, and what users are answered is still the old."""
    rig = LuaRig(powerdnses)
    stands = str(claim(1))
    for one, fra in zip(powerdnses, (2_500, 9_000), strict=True):
        one.zone(lua_zone({"fra": fra, "ber": 10_000 - fra}, stands))
    options = rig.options()
    options["authorities"][1]["api"] = powerdnses[0].api
    dial = dial_of(rig, 0, authorities=options["authorities"], samples=100)

    async def check() -> None:
        honest, lying = (await dial.read()).instances
        assert (honest.setting, honest.fault) == (row(2_500), "")
        assert "weights give ber 75.00 %, and" in lying.fault
        await dial.close()

    asyncio.run(check())


@JOURNEY
@RIGS
def test_a_database_that_was_put_back_is_seen_with_its_old_claim(
    powerdnses: list[PowerDns], kind: type[PowerdnsRig]
) -> None:
    rig, one = kind(powerdnses), powerdnses[0]

    async def change(seq: int, fra: int) -> None:
        dial = dial_of(rig, 0)
        await dial.set(row(fra), token(claim(seq), claim(seq - 1) if seq > 1 else None))
        await dial.close()

    asyncio.run(change(1, 5_000))
    old = one.saved()
    one.start()
    asyncio.run(change(2, 0))
    one.put_back(old)
    one.start()

    async def check() -> None:
        dial = dial_of(rig, 0)
        reading = await dial.read()
        assert (reading.setting, reading.fault) == (row(5_000), "")
        assert reading.instances[0].claim == claim(1)
        await dial.close()

    asyncio.run(check())


@JOURNEY
@pytest.mark.parametrize(
    ("line", "records"),
    [
        ("www 300 LUA A \"ifportup(443, {'192.0.2.1', '198.51.100.1'})\"\n", "lua"),
        ("www 300 LUA A \"pickwrandom({{5,'203.0.113.7'}})\"\n", "lua"),
        ("www 300 A 192.0.2.1\n", "lua"),
        ("www 300 LUA A \"pickwrandom({{5,'192.0.2.1'}})\"\n", "plain"),
    ],
    ids=["other-lua", "other-address", "plain-beside", "lua-beside"],
)
def test_what_is_somebody_elses_is_never_overwritten(
    powerdnses: list[PowerDns], line: str, records: str
) -> None:
    rig = LuaRig(powerdnses)
    one = powerdnses[0]
    one.zone(zone_text({"fra": 1, "ber": 1} if records == "plain" else {}) + line)
    before = one.call("GET", f"?rrset_name={NAME}").json()["rrsets"]

    async def check() -> None:
        dial = dial_of(rig, 0, records=records)
        with pytest.raises(DriverFault) as caught:
            await dial.set(row(0), token(claim(1)))
        assert caught.value.reason.code.startswith("STRANGE-")
        await dial.close()

    asyncio.run(check())
    assert one.call("GET", f"?rrset_name={NAME}").json()["rrsets"] == before
    assert one.claim() == ""


@JOURNEY
def test_a_key_or_a_zone_that_is_not_known_is_a_fault(
    powerdnses: list[PowerDns],
) -> None:
    rig = PowerdnsRig(powerdnses)

    async def check(**more: Any) -> None:
        dial = dial_of(rig, 0, **more)
        with pytest.raises(DriverFault) as caught:
            await dial.set(row(0), token(claim(1)))
        assert caught.value.reason.code in ("API-REFUSED", "NOT-AN-AUTHORITY")
        assert "another-key" not in str(caught.value)
        await dial.close()

    asyncio.run(check(api_key="another-key"))
    asyncio.run(check(zone="example."))
    assert powerdnses[0].claim() == ""


@JOURNEY
def test_a_backend_that_cannot_be_changed_is_a_fault() -> None:
    with name_servers({"ns3": ReadOnlyPowerDns}) as (one,):
        assert isinstance(one, PowerDns)
        rig = PowerdnsRig([one])
        before = ask(one.port, NAME, "A")

        async def check() -> None:
            dial = dial_of(rig, 0)
            assert (await dial.read()).setting == row(5000)
            with pytest.raises(DriverFault) as caught:
                await dial.set(row(0), token(claim(1)))
            assert caught.value.reason.code == "API-REFUSED"
            assert (await dial.read()).setting == row(5000)
            await dial.close()

        asyncio.run(check())
        assert ask(one.port, NAME, "A") == before and len(before) == 10


@JOURNEY
def test_the_fence_reaches_as_far_as_is_vouched_for(powerdnses: list[PowerDns]) -> None:
    rig = PowerdnsRig(powerdnses)
    for more, fence in (({}, Fence.MACHINE), ({"one_machine": True}, Fence.DEVICE)):
        assert dial_of(rig, 0, **more).describe().fence is fence


@JOURNEY
def test_lifetimes_of_lua_records_are_lowered_and_restored(
    powerdnses: list[PowerDns],
) -> None:
    async def check(dial: Any) -> None:
        await dial.prepare(token(claim(1)))
        assert {one.lifetime_ms for one in (await dial.read()).instances} == {5_000}
        await dial.set(row(1), token(claim(2), claim(1)))
        await dial.restore(token(claim(3), claim(2)))
        reading = await dial.read()
        assert {one.lifetime_ms for one in reading.instances} == {300_000}
        assert (reading.setting, reading.fault) == (row(1), "")

    with_dial(LuaRig(powerdnses), check)


def test_weights_are_written_and_read_the_same() -> None:
    addresses = {"fra": [*ADDRESSES["fra"][:2], "2001:db8::1"],
                 "ber": [*ADDRESSES["ber"][:3], "2001:db8::2"]}  # fmt: skip
    pool = Pool(addresses, DialKind.SPLIT)
    for fra in (0, 1, 3_333, 5_000, 9_999, 10_000):
        records = lua_records(pool, row(fra))
        assert lua_shown(pool, records).setting == row(fra)
        assert ("192.0.2.1" in records[0]) is (fra > 0)
    by_hand = [
        "A \"pickwrandom({ {1, '192.0.2.1'} , {3, '198.51.100.1'} })\"",
        "AAAA \"pickwrandom({{25,'2001:DB8:0::1'},{75,'2001:db8::2'}})\"",
    ]
    assert lua_shown(pool, by_hand).setting == row(2_500)
    assert (
        "disagree" in lua_shown(pool, [by_hand[0], by_hand[1].replace("75", "5")]).fault
    )
    assert "each of" in lua_shown(pool, by_hand[:1]).fault
    assert "two" in lua_shown(pool, [*by_hand, by_hand[0]]).fault
    assert "no region" in lua_shown(pool, [by_hand[0].replace("1'", "9'")]).fault


def test_a_share_of_none_or_all_is_wrong_at_the_first_other_answer() -> None:
    sample = Sample()
    assert sample.fault(row(0), claim(1), ["ber"] * 50) == ""
    fault = sample.fault(row(0), claim(1), ["fra"])
    assert fault == "its weights give ber 100.00 %, and 50 of 51 answers were of it"
    assert sample.fault(row(10_000), claim(2), ["fra"]) == ""


def test_the_sample_finds_what_it_says_it_finds() -> None:
    """What the page says of a whole window; and the right share is not surprising."""
    for share, really in ((5_000, 5_700), (5_000, 4_300), (500, 850), (500, 200)):
        hits = WINDOW * really // 10_000
        assert surprise_log10(hits, WINDOW, share) >= 6 + math.log10(2)
        assert surprise_log10(WINDOW * share // 10_000, WINDOW, share) < 0
    assert surprise_log10(0, WINDOW, 1) < 6


def test_the_test_is_a_martingale() -> None:
    """Mean one under the share, so that looking often gives no more false alarms."""
    for share in (500, 5_000, 9_900):
        p = share / 10_000
        mean = sum(
            math.comb(20, k)
            * p**k
            * (1 - p) ** (20 - k)
            * 10 ** surprise_log10(k, 20, share)
            for k in range(21)
        )
        assert mean == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"records": "lua", "kind": "switch"}, "Lua records weigh"),
        ({"records": "Lua"}, "plain"),
        ({"authorities": [{"name": "a", "address": "192.0.2.53"}]}, "has an api"),
        ({"samples": 1}, "greater than or equal to 10"),
        ({"key": "x"}, "Extra inputs"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_options_that_cannot_be_meant_are_refused(
    change: dict[str, Any], word: str
) -> None:
    api = "http://192.0.2.53:8081"
    good = {
        **STEER,
        "authorities": [{"name": "ns1", "address": "192.0.2.53", "api": api}],
        "api_key": "file:key",
    }
    PowerdnsDial.Options.model_validate(good)
    with pytest.raises(ValidationError) as caught:
        PowerdnsDial.Options.model_validate({**good, **change})
    assert word in str(caught.value)
