"""The agent in virtual time and its file: leases, fences, what is refused and where."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from dayshift.agent import guards, schema, settings, unit
from dayshift.agent.keeper import AGE_MS_MAX, Keeper
from dayshift.agent.ledger import Entry, Lease, Ledger
from dayshift.errors import DriverRetry, Refused, SettingsInvalid
from dayshift.model.dial import parse_claim
from dayshift.model.units import Clock, Instant
from tests.conformance.rigs import claim, row, token
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.memory import DialLie, MemoryDial, World

HALF, ZERO = row(5_000), row(0)
RULES = guards.Rules(("fra", "ber"))


def keeper(clock: Clock, place: Path, dial: MemoryDial) -> Keeper:
    ledger = Ledger(place)
    place.mkdir(exist_ok=True)
    return Keeper(dial, RULES, ledger, clock, lambda text: None)


def dial_of(clock: Clock) -> MemoryDial:
    return MemoryDial("entry", World(clock, {"fra": 5_000, "ber": 5_000}, 0))


def test_a_lease_goes_back_to_the_millisecond_and_is_marked(tmp_path: Path) -> None:
    async def program(clock: VirtualClock) -> None:
        dial = dial_of(clock)
        one = keeper(clock, tmp_path / "s", dial)
        tending = asyncio.create_task(one.tend())
        await one.set(ZERO, token(claim(1)), HALF, 30_000)
        await clock.sleep(20_000)
        await one.renew(claim(1), 30_000)
        await clock.sleep(29_999)
        assert (await one.read())[0].setting == ZERO
        await clock.sleep(2)
        reading = (await one.read())[0]
        assert reading.setting == HALF and reading.expires_ms is None
        assert reading.claim == replace(claim(1), reverted=True)
        with pytest.raises(Refused, match="no lease is armed"):
            await one.renew(claim(1), 30_000)
        await one.set(ZERO, token(claim(2), reading.claim))
        tending.cancel()

    run_virtual(program)


def test_a_device_that_is_away_at_expiry_is_tried_until_it_answers(
    tmp_path: Path,
) -> None:
    async def program(clock: VirtualClock) -> None:
        dial = dial_of(clock)
        one = keeper(clock, tmp_path / "s", dial)
        tending = asyncio.create_task(one.tend())
        await one.set(ZERO, token(claim(1)), HALF, 1_000)
        dial.lie(DialLie.ERROR_BEFORE)
        await clock.sleep(5_000)
        assert "its lease ran out" in (await one.read())[0].fault
        dial.be_honest()
        await clock.sleep(1_000)
        reading = (await one.read())[0]
        assert reading.setting == HALF and not reading.fault
        tending.cancel()

    run_virtual(program)


def test_a_request_that_lay_about_while_it_slept_moves_nothing(tmp_path: Path) -> None:
    async def program(clock: VirtualClock) -> None:
        dial = dial_of(clock)
        one = keeper(clock, tmp_path / "s", dial)
        as_of = clock.now()
        await clock.sleep(AGE_MS_MAX)
        await one.set(ZERO, token(claim(1)), as_of=as_of)
        await clock.sleep(1)
        with pytest.raises(DriverRetry, match="5001 ms ago"):
            await one.set(HALF, token(claim(2), claim(1)), as_of=as_of)
        clock.reboot()
        with pytest.raises(DriverRetry, match="before this machine booted"):
            await one.set(HALF, token(claim(2), claim(1)), as_of=as_of)
        assert (await one.read())[0].setting == ZERO

    run_virtual(program)


def test_a_device_that_never_answers_does_not_keep_what_is_armed(
    tmp_path: Path,
) -> None:
    async def program(clock: VirtualClock) -> None:
        dial = dial_of(clock)
        one = keeper(clock, tmp_path / "s", dial)
        tending = asyncio.create_task(one.tend())
        await one.set(ZERO, token(claim(1)), HALF, 10_000)
        dial.lie(DialLie.HANG, times=1)
        with pytest.raises(DriverRetry, match="no answer within"):
            await one.hold(token(claim(2), claim(1)))
        await clock.sleep(5_100)
        assert (await one.read())[0].setting == HALF
        tending.cancel()

    run_virtual(program)


@pytest.mark.parametrize("lost", ["answer", "write"])
def test_a_write_whose_end_nobody_knows_is_armed_after_a_kill(
    lost: str, tmp_path: Path
) -> None:
    how = DialLie.ERROR_AFTER if lost == "answer" else DialLie.ERROR_BEFORE

    async def program(clock: VirtualClock) -> None:
        dial = dial_of(clock)
        one = keeper(clock, tmp_path / "s", dial)
        dial.lie(how, times=1)
        with pytest.raises(DriverRetry):
            await one.set(ZERO, token(claim(1)), HALF, 10_000)
        again = keeper(clock, tmp_path / "s", dial)
        tending = asyncio.create_task(again.tend())
        await clock.sleep(10_001)
        assert (await again.read())[0].setting == HALF
        with pytest.raises(Refused, match="newer claim"):
            await again.set(ZERO, token(claim(0)))
        tending.cancel()

    run_virtual(program)


@pytest.mark.parametrize(
    ("boot", "wall_ms", "left"),
    [("a", 0, 7_000), ("b", 4_000, 6_000), ("b", 10_001, 0), ("b", -1, 0)],
    ids=["same boot", "reboot", "reboot, over", "the wall went back"],
)
def test_how_long_a_lease_still_runs(boot: str, wall_ms: int, left: int) -> None:
    armed = Instant(1_000_000, 50, "a")
    lease = Lease(HALF, armed, 10_000)
    assert lease.left_ms(Instant(1_000_000 + wall_ms, 3_050, boot)) == left


def test_two_agents_never_share_a_state(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    first.open()
    with pytest.raises(Refused, match="another agent"):
        second.open()
    first.close()
    second.open()
    second.save("entry", Entry(claim=claim(3)))
    assert second.load("entry").claim == claim(3)
    assert second.forget("entry") and second.load("entry") == Entry()
    second.close()


def test_a_mark_is_read_back_from_a_device() -> None:
    for one in (claim(1), replace(claim(1), holder="a")):
        for mark in (one, replace(one, reverted=True)):
            assert parse_claim(str(mark)) == mark
    assert parse_claim("ds1:demo:j1:1:1::other") is None


GOOD = {
    "name": "edge",
    "estate": "demo",
    "listen": "127.0.0.1:7443",
    "tls": {"ca": "ca.pem", "cert": "a.pem", "key": "a.key"},
    "dials": {
        "entry": {
            "driver": "envoy",
            "options": {
                "route_config": "r",
                "clusters": {"fra": "f", "ber": "b"},
                "instances": [
                    {"name": "a", "rds_file": "rds.json", "admin": "http://127.0.0.1:1"}
                ],
            },
            "regions": ["fra", "ber"],
        }
    },
}
BAD = {
    "every address": ({"listen": "0.0.0.0:7443"}, "LISTEN-ALL"),
    "a key that is none": ({"lissten": "x"}, "KEY-UNKNOWN"),
    "no dial": ({"dials": {}}, "VALUE-INVALID"),
    "a driver that is none": (
        {"dials": {"entry": {"driver": "envoi", "regions": ["fra"]}}},
        "DRIVER-UNKNOWN",
    ),
    "a group of strangers": (
        {
            "dials": {
                "entry": {
                    **GOOD["dials"]["entry"],  # type: ignore[index]
                    "never_zero_together": [["fra", "par"]],
                }
            }
        },
        "REGION-UNKNOWN",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_in_its_file_is_told_with_the_line(
    case: str, tmp_path: Path
) -> None:
    change, code = BAD[case]
    path = tmp_path / "agent.yaml"
    path.write_text(json.dumps({**GOOD, **change}, indent=1))
    with pytest.raises(SettingsInvalid) as found:
        settings.load(path)
    reason = found.value.reasons[0]
    assert reason.code == code and "agent.yaml:" in reason.what and reason.next


def test_what_it_may_touch_is_printed_whole(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(json.dumps(GOOD))
    agent = settings.load(path)
    told = "\n".join(unit.privileges(agent, path))
    assert "runs        no command" in told
    for word in ("127.0.0.1:7443", "rds.json", "a.key", "http://127.0.0.1:1", "entry"):
        assert word in told
    text = unit.systemd(agent, path)
    assert "NoNewPrivileges=yes" in text and f"ReadWritePaths={tmp_path}\n" in text


def test_a_command_that_a_dial_runs_is_printed_and_never_writable(
    tmp_path: Path,
) -> None:
    options = {
        "name": "www.shop.example",
        "addresses": {"fra": ["192.0.2.1"], "ber": ["198.51.100.1"]},
        "instances": [
            {
                "name": "ns1",
                "address": "192.0.2.53",
                "admin_state": "/var/lib/gdnsd/admin_state",
                "gdnsdctl": ["/usr/bin/gdnsdctl", "-c", "/etc/gdnsd"],
            }
        ],
    }
    dial = {"driver": "gdnsd", "options": options, "regions": ["fra", "ber"]}
    path = tmp_path / "agent.yaml"
    path.write_text(json.dumps({**GOOD, "dials": {"dns": dial}}))
    agent = settings.load(path)
    told = unit.privileges(agent, path)
    assert "runs        /usr/bin/gdnsdctl -c /etc/gdnsd -o states" in told
    assert "runs        no command" not in told
    text = unit.systemd(agent, path)
    assert "ReadWritePaths=/var/lib/gdnsd\n" in text
    assert "ReadWritePaths=/etc\n" not in text and "=/usr/bin" not in text


def test_the_shipped_schema_is_current() -> None:
    assert schema.PATH.read_text() == schema.text()
