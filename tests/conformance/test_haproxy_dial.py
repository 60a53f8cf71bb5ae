"""Dial `haproxy` against real HAProxys that reload, forget, lie and are shared."""

from __future__ import annotations

import http.cookiejar
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from dayshift.drivers.base import Dial
from dayshift.drivers.dials.haproxy import HaproxyDial
from dayshift.drivers.dials.haproxy_weights import weights_of
from dayshift.drivers.files import locked
from dayshift.errors import DriverFault, DriverRetry, Refused
from dayshift.model.dial import DialReading, Fence
from dayshift.model.points import Point
from tests.conformance.haproxy_rigs import DrawnRig, HaproxyRig, WeighedRig
from tests.conformance.rigs import claim, context, row, token, with_dial
from tests.kit.crash import Died
from tests.kit.daemons import eventually
from tests.kit.haproxies import HALF_MAP, Entry, Haproxys
from tests.kit.liar import Liar

pytestmark = pytest.mark.journey
RIGS = pytest.mark.parametrize("kind", [DrawnRig, WeighedRig])
Make = Callable[[Haproxys], HaproxyRig]
DRAIN = token(claim(2), claim(1))


def read(rig: HaproxyRig) -> DialReading:
    return with_dial(rig, lambda dial: dial.read())


def write(rig: HaproxyRig, fra: int, seq: int = 1) -> None:
    expected = claim(seq - 1) if seq > 1 else None
    with_dial(rig, lambda dial: dial.set(row(fra), token(claim(seq), expected)))


def answers(port: int, count: int = 40) -> set[str]:
    """Which regions answered `count` requests, each on a connection of its own."""
    url = f"http://127.0.0.1:{port}/"
    return {
        urllib.request.urlopen(url, timeout=10).read().decode() for _ in range(count)
    }


def port(rig: HaproxyRig, entry: Entry) -> int:
    return entry.drawn if isinstance(rig, DrawnRig) else entry.weighed


@RIGS
def test_users_go_where_the_dial_says_also_after_reload_and_restart(
    haproxys: Haproxys, kind: Make
) -> None:
    rig = kind(haproxys)
    assert answers(port(rig, haproxys.entries[0])) == {"fra", "ber"}
    write(rig, 0)
    for happens in (lambda: None, haproxys.entries[0].reload, rig.restart):
        happens()
        reading = read(rig)
        assert (reading.setting, reading.fault) == (row(0), "")
        assert {one.claim for one in reading.instances} == {claim(1)}
        for one in haproxys.entries:
            assert answers(port(rig, one)) == {"ber"}


def test_a_reload_with_the_old_map_is_drift_and_refuses_the_next_write(
    haproxys: Haproxys,
) -> None:
    rig = DrawnRig(haproxys)
    write(rig, 0)
    entry = haproxys.entries[0]
    entry.map.write_text(HALF_MAP)
    assert "says" in read(rig).fault  # the file is not what runs
    entry.reload()
    reading = read(rig)
    assert reading.mixed and reading.instances[0].setting == row(5000)
    assert reading.instances[0].claim is None
    with pytest.raises(Refused, match="the claim is gone"):
        write(rig, 0, 2)


def test_a_restart_without_the_state_is_seen_and_asserted_again(
    haproxys: Haproxys,
) -> None:
    rig = WeighedRig(haproxys)
    write(rig, 0)
    entry = haproxys.entries[0]
    entry.stop()
    entry.state.write_text("")
    entry.start()
    reading = read(rig)
    assert reading.mixed and "says" in reading.fault
    assert reading.instances[0].setting == row(5000)
    assert reading.instances[0].claim == claim(1)
    write(rig, 0, 2)
    assert (read(rig).setting, read(rig).fault) == (row(0), "")
    rig.restart()
    assert (read(rig).setting, read(rig).fault) == (row(0), "")


def test_a_haproxy_that_was_away_comes_back_drained(haproxys: Haproxys) -> None:
    rig = WeighedRig(haproxys)
    write(rig, 2500)
    rig.stop(1)
    with pytest.raises(DriverRetry):
        write(rig, 0, 2)
    rig.start(1)
    assert answers(haproxys.entries[1].weighed) == {"ber"}
    assert (read(rig).setting, read(rig).fault) == (row(0), "")


@RIGS
def test_what_others_do_to_the_running_one_is_a_fault(
    haproxys: Haproxys, kind: Make
) -> None:
    rig = kind(haproxys)
    write(rig, 2500)
    entry = haproxys.entries[1]
    if isinstance(rig, DrawnRig):
        entry.ask(f"set map {entry.map} 0:2499 be_ber")
    else:
        entry.ask("set server pool/fra state maint")
    reading = read(rig)
    assert reading.instances[1].setting == row(0) and "says" in reading.fault
    assert reading.mixed


@RIGS
@pytest.mark.parametrize("liars", [1, 2])
def test_a_device_that_acknowledges_and_does_nothing(
    haproxys: Haproxys, tmp_path: Path, kind: Make, liars: int
) -> None:
    rig = kind(haproxys)
    write(rig, 2500)
    options = rig.options()
    entries = haproxys.entries[2 - liars :]
    sockets = [tmp_path / one.place.name for one in entries]
    for instance in options["instances"][2 - liars :]:
        instance["socket"] = str(tmp_path / instance["name"])
    lost = r"commit map|set server"
    cheats = [
        Liar(path, one.socket, lost) for path, one in zip(sockets, entries, strict=True)
    ]
    for one in cheats:
        one.__enter__()
    try:
        dial = HaproxyDial("entry", options, context(haproxys.place))
        with_dial(_Made(dial), lambda one: one.set(row(0), DRAIN))
    finally:
        for one in cheats:
            one.__exit__()
    reading = read(rig)
    assert reading.setting != row(0) and "says" in reading.fault
    assert reading.mixed is (liars == 1)
    assert reading.instances[1].setting == rig.row(2500)


class _Made:
    """A rig around one dial."""

    def __init__(self, dial: Dial) -> None:
        self.dial = lambda: dial


@RIGS
def test_a_crash_half_way_is_seen_and_completed(haproxys: Haproxys, kind: Make) -> None:
    rig = kind(haproxys)
    write(rig, 2500)

    class Dying:
        def at(self, point: Point) -> None:
            assert point is Point.HALF_APPLIED
            raise Died(point)

        async def reach(self, point: Point, action: Any = None) -> None: ...

    where = msgspec.structs.replace(context(haproxys.place), points=Dying())
    dial = HaproxyDial("entry", rig.options(), where)
    with pytest.raises(Died):
        with_dial(_Made(dial), lambda one: one.set(row(0), DRAIN))
    reading = read(rig)
    assert [one.setting for one in reading.instances] == [row(0), rig.row(2500)]
    assert [one.claim for one in reading.instances] == [claim(2), claim(1)]
    write(rig, 0, 2)
    assert read(rig).setting == row(0)


def test_another_process_that_writes_is_waited_for(haproxys: Haproxys) -> None:
    rig = DrawnRig(haproxys)
    with (
        locked(haproxys.entries[1].map) as mine,
        pytest.raises(DriverRetry, match="another process"),
    ):
        assert mine
        write(rig, 0)
    write(rig, 0)


def test_pinned_users_stay_while_draining_and_move_when_it_is_held(
    haproxys: Haproxys,
) -> None:
    rig = WeighedRig(haproxys)
    more = {"pinned": True, "grace": "3 s"}
    dial = HaproxyDial("entry", rig.options() | more, context(haproxys.place))
    url = f"http://127.0.0.1:{haproxys.entries[0].weighed}/"
    users = [_user() for _ in range(20)]
    pinned = [one for one in users if one(url) == "fra"]
    assert pinned

    async def drain(one: Dial) -> None:
        await one.set(row(0), token(claim(1)))
        assert (await one.read()).setting == row(0)
        with pytest.raises(DriverRetry, match="pinned users have") as early:
            await one.hold(DRAIN)
        assert 0 < early.value.after_ms <= 3_000

    with_dial(_Made(dial), drain)
    assert {one(url) for one in pinned} == {"fra"}
    assert _user()(url) == "ber"

    def held() -> bool:
        try:
            with_dial(_Made(dial), lambda one: one.hold(DRAIN))
        except DriverRetry:
            return False
        return True

    eventually(held, "the grace is over")
    assert {one(url) for one in pinned} == {"ber"}
    write(rig, 5000, 3)
    assert answers(haproxys.entries[0].weighed) == {"fra", "ber"}


def _user() -> Callable[[str], str]:
    """A browser with cookies of its own."""
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(jar)
    return lambda url: browser.open(url, timeout=10).read().decode()


def test_what_weights_cannot_say_is_refused(haproxys: Haproxys) -> None:
    rig = WeighedRig(haproxys)
    with pytest.raises(Refused, match="finer than weights"):
        write(rig, 25)
    write(rig, 50)
    assert read(rig).setting == row(50)


def test_a_stray_server_that_takes_users_is_a_fault(haproxys: Haproxys) -> None:
    rig = WeighedRig(haproxys)
    one = rig.options() | {"servers": {"fra": "fra"}}
    dial = HaproxyDial("entry", one, context(haproxys.place))
    reading = with_dial(_Made(dial), lambda one: one.read())
    assert "ber takes traffic and is no region's server" in reading.fault


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"map": {"fra": "be_fra", "ber": "be_none"}}, "be_ber, which is no region's"),
        ({"map": {"fra": "be_fra", "ber": "be_ber", "par": "p"}}, "no backend p"),
        ({"map": {}, "backend": "pool", "servers": {"fra": "x"}}, "no server x"),
        ({"map": {}, "backend": "nix", "servers": {"fra": "x"}}, "Can't find backend"),
    ],
)
def test_options_that_do_not_fit_this_haproxy(
    haproxys: Haproxys, change: dict[str, Any], words: str
) -> None:
    rig = DrawnRig(haproxys)
    dial = HaproxyDial("entry", rig.options() | change, context(haproxys.place))
    reading = with_dial(_Made(dial), lambda one: one.read())
    assert words in reading.fault


def test_a_map_that_no_rule_uses(haproxys: Haproxys, tmp_path: Path) -> None:
    rig = DrawnRig(haproxys)
    options = rig.options()
    options["instances"][0]["file"] = str(tmp_path / "other.map")
    (tmp_path / "other.map").write_text(HALF_MAP)
    dial = HaproxyDial("entry", options, context(haproxys.place))
    assert "knows no map" in with_dial(_Made(dial), lambda one: one.read()).fault
    with pytest.raises(DriverFault):
        with_dial(_Made(dial), lambda one: one.set(row(0), token(claim(1))))
    assert read(rig).setting == row(5000)


INSTANCE = {"name": "a", "socket": "s", "file": "f"}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"map": {"fra": "a"}, "backend": "b", "servers": {"fra": "a"}},
        {"backend": "b"},
        {"map": {"fra": "a"}, "pinned": True},
        {"map": {"fra": "a", "ber": "a"}},
        {"map": {"fra": "a"}, "instances": [INSTANCE, INSTANCE]},
        {"map": {"fra": "a"}, "instances": []},
        {"map": {"fra": "a"}, "shell": True},
    ],
)
def test_options_are_strict(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HaproxyDial.Options.model_validate({"instances": [INSTANCE], **wrong})


def test_who_vouches_for_one_machine(haproxys: Haproxys) -> None:
    rig = DrawnRig(haproxys)
    for more, fence in (({}, Fence.MACHINE), ({"one_machine": True}, Fence.DEVICE)):
        dial = HaproxyDial("entry", rig.options() | more, context(haproxys.place))
        assert dial.describe().fence is fence


def test_weights_are_exact_or_none() -> None:
    assert weights_of({"fra": 50, "ber": 9950}) == {"fra": 1, "ber": 199}
    assert weights_of({"a": 3334, "b": 3333, "c": 3333}) is None
    for share in range(0, 10_001, 50):
        weights = weights_of({"fra": share, "ber": 10_000 - share})
        assert weights is not None and max(weights.values()) <= 256
        whole = sum(weights.values())
        assert weights["fra"] * 10_000 == share * whole
