"""Whole passes over real routes and real names: a change, a drain and a return."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conformance.route_rigs import BER, BOTH, BirdDialRig
from tests.kit.anycast import PREFIXES, REGIONS, bird_transit
from tests.kit.daemons import eventually
from tests.kit.envoys import free_ports
from tests.kit.names import KEY, NAME, ZONE, Bind, name_servers
from tests.kit.steered import Region, Steered, Users

pytestmark = [pytest.mark.journey, pytest.mark.timeout(400)]
RATE = 60
DOOR = 8_000
NO_QUESTIONS = ("--yes", "--plain", "--exit-when-held")
ADDRESSES = {
    region: [f"127.0.{number}.{n}" for n in range(1, 11)]
    for number, region in enumerate(REGIONS, 1)
}


class Lie(NamedTuple):
    """The device of a drained region goes back to what it was and keeps the claim."""

    tell: Callable[[], None]
    mend: Callable[[], None]


def passes(one: Steered, users: Users, lie: Lie | None = None) -> int:
    """A change, then out and back by hand; how many requests were lost on the way."""
    eventually(lambda: set(users.answers()) == set(REGIONS), "both regions have users")
    begun = users.seen()
    told = typed(one, "check") + typed(one, "run", "change.yaml", *NO_QUESTIONS)
    told += typed(one, "drain", "fra", *NO_QUESTIONS)
    drained = users.seen()
    eventually(lambda: users.seen() > drained + RATE, "users go on")
    assert set(users.answers(drained)) == {"ber"}
    told += typed(one, "check")
    back = ["return", "fra", *NO_QUESTIONS]
    if lie:
        lie.tell()
        held = one.dayshift(*back)
        assert held.returncode != 0
        for word in ("HELD", "DRIFT", "anycast", "fra 100.00 %", "fra 0.00 %"):
            assert word in held.stdout
        lie.mend()
        back = ["retry", *NO_QUESTIONS]
    told += typed(one, *back)
    assert "cannot be read" not in told, "a false alarm"
    returned = users.seen()
    eventually(
        lambda: set(users.answers(returned)) >= set(REGIONS), "fra has users again"
    )
    typed(one, "audit")
    answers = users.answers(begun)
    print(f"\n{dict(answers)}")
    return sum(count for who, count in answers.items() if who not in REGIONS)


def typed(one: Steered, *words: str) -> str:
    """What `dayshift` says to these words, which it carries out."""
    done = one.dayshift(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def regions(*found: Region) -> Iterator[None]:
    try:
        for one in found:
            one.start()
        yield
    finally:
        for one in found:
            one.stop()


@contextmanager
def users(*words: Any, inside: list[str]) -> Iterator[Users]:
    log, *rest = words
    found = Users(log, inside, *map(str, rest))
    try:
        yield found
    finally:
        found.end()


def test_a_change_a_drain_and_a_return_by_routes(tmp_path: Path) -> None:
    with bird_transit(tmp_path) as frame:
        rig = BirdDialRig(frame)
        inside = frame.network.inside
        found = [
            Region(
                tmp_path,
                region,
                [
                    f"{PREFIXES[0].split('/')[0]}:{DOOR}",
                    f"[{PREFIXES[1].split('/')[0]}]:{DOOR}",
                    f"10.0.{number}.2:{DOOR}",
                ],
                inside(region),
            )
            for number, region in enumerate(REGIONS, 1)
        ]
        dial = {
            "name": "anycast",
            "kind": "switch",
            "driver": "bird",
            "options": {**rig.options, "shut_pause": "500 ms"},
        }
        probes = {
            region: f"http://10.0.{number}.2:{DOOR}/"
            for number, region in enumerate(REGIONS, 1)
        }
        near = inside("transit")
        one = Steered(tmp_path, found, dial, probes, {}, near)
        addresses = [prefix.split("/")[0] for prefix in PREFIXES]
        log = tmp_path / "users.log"
        back = partial(rig.tamper, 0, BOTH)
        lie = Lie(back, partial(rig.tamper, 0, BER))

        try:
            rig.reset()
            with (
                regions(*found),
                users(log, RATE, DOOR, *addresses, inside=near) as crowd,
            ):
                assert passes(one, crowd, lie) <= 2
            assert frame.rests(*REGIONS)
        finally:
            rig.close()


def zone() -> str:
    lines = [
        f"$ORIGIN {ZONE}",
        f"@ 300 SOA ns1.{ZONE} ops.{ZONE} 1 3600 60 604800 1",
        f"@ 300 NS ns1.{ZONE}",
        "ns1 300 A 127.0.0.1",
        *(f"www 1 A {one}" for listed in ADDRESSES.values() for one in listed),
    ]
    return "\n".join(lines) + "\n"


def test_a_change_a_drain_and_a_return_by_names(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    found = [
        Region(tmp_path, name, [f"{one}:{port}" for one in listed], ())
        for name, listed in ADDRESSES.items()
    ]
    probes = {name: f"http://{listed[0]}:{port}/" for name, listed in ADDRESSES.items()}
    policy = {"drain": ["20 %", "0 %"], "ramp": ["10 %", "50 %"]}
    with name_servers({"ns1": Bind}) as (server,):
        server.zone(zone())
        server.start()
        dial = {
            "name": "dns",
            "kind": "split",
            "driver": "rfc2136",
            "options": {
                "zone": ZONE,
                "name": NAME,
                "addresses": ADDRESSES,
                "ttl": "1 s",
                "ttl_low": "1 s",
                "tsig": {"name": "dayshift.", "secret": f"file:{tmp_path / 'key'}"},
                "authorities": [
                    {"name": "ns1", "address": "127.0.0.1", "port": server.port}
                ],
            },
        }
        (tmp_path / "key").write_text(KEY)
        (tmp_path / "key").chmod(0o600)
        one = Steered(tmp_path, found, dial, probes, policy)
        log = tmp_path / "users.log"
        with (
            regions(*found),
            users(log, RATE, port, "dns", NAME, server.port, inside=[]) as crowd,
        ):
            assert passes(one, crowd) == 0
