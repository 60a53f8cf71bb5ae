"""What only a real Envoy can show: rejection, overrides, deaf files, and users."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from dayshift.drivers.base import Dial
from dayshift.drivers.dials.envoy import EnvoyDial
from dayshift.errors import DriverFault, DriverRetry, Refused
from dayshift.model.dial import Claim, Token
from tests.conformance.rigs import (
    REGIONS,
    EnvoyDialRig,
    claim,
    context,
    get,
    row,
    token,
    with_dial,
)
from tests.kit.envoys import Envoys, routes

BROKEN = {"match": {"safe_regex": {"regex": "("}}, "direct_response": {"status": 200}}


class Altered(EnvoyDialRig):
    """The rig, with options of its own."""

    def __init__(self, envoys: Envoys, change: Callable[[Any], None]) -> None:
        super().__init__(envoys)
        self._options = envoys.dial_options()
        change(self._options)

    def dial(self) -> Dial:
        return EnvoyDial("entry", self._options, context(self.envoys.place))


@pytest.mark.journey
def test_after_set_no_request_enters_the_drained_region(envoys: Envoys) -> None:
    rig = EnvoyDialRig(envoys)

    def arrived() -> int:
        text = envoys.entries[0].get(
            "/stats?filter=cluster.region_fra.upstream_rq_total"
        )
        return int(text.split(":")[1])

    async def check(dial: Dial) -> None:
        for _ in range(20):
            get(envoys.entry_ports[0])
        assert arrived() > 0
        await dial.set(row(0), token(claim(1)))
        before = arrived()
        statuses = {get(envoys.entry_ports[0]) for _ in range(50)}
        statuses |= {get(envoys.entry_ports[0], "/api/x") for _ in range(20)}
        assert (statuses, arrived() - before) == ({200}, 0)
        assert get(envoys.entry_ports[0], "/static/x") == 204

    with_dial(rig, check)


@pytest.mark.journey
def test_a_rejected_file_is_put_back_and_the_good_state_named(envoys: Envoys) -> None:
    rig = EnvoyDialRig(envoys)

    async def check(dial: Dial) -> None:
        await dial.set(row(2500), token(claim(1)))
        path = envoys.rds_file(0)
        document = json.loads(path.read_text())
        document["resources"][0]["virtual_hosts"][0]["routes"].insert(0, BROKEN)
        path.write_text(json.dumps(document))  # in place: the Envoy does not notice
        with pytest.raises(DriverFault) as caught:
            await dial.set(row(0), token(claim(2), claim(1)))
        assert caught.value.reason.code == "ENVOY-REJECTED"
        assert str(claim(1)) in caught.value.reason.so
        assert json.loads(path.read_text())["version_info"] == str(claim(1))
        reading = await dial.read()
        assert reading.mixed
        assert [one.setting for one in reading.instances] == [row(2500), row(0)]

    with_dial(rig, check)


@pytest.mark.journey
def test_an_override_at_run_time_is_a_fault(envoys: Envoys) -> None:
    rig = EnvoyDialRig(envoys)
    envoys.entries[1].post("/runtime_modify?some.key=1")
    try:
        reading = with_dial(rig, lambda dial: dial.read())
        assert [bool(one.fault) for one in reading.instances] == [False, True]
        assert "admin_overrides_active" in reading.fault
    finally:
        envoys.entries[1].post("/runtime_modify?some.key=")


@pytest.mark.journey
def test_a_file_that_would_bring_back_something_else_is_a_fault(envoys: Envoys) -> None:
    rig = EnvoyDialRig(envoys)
    envoys.rds_file(0).write_text(
        json.dumps(routes(REGIONS, weight=50)).replace(
            '"weight": 50', '"weight": 10', 1
        )
    )
    reading = with_dial(rig, lambda dial: dial.read())
    assert [one.setting for one in reading.instances] == [row(5000)] * 2
    assert "its file says" in reading.instances[0].fault
    assert not reading.instances[1].fault


@pytest.mark.journey
def test_a_file_that_the_envoy_does_not_watch_is_never_acknowledged(
    envoys: Envoys,
) -> None:
    other = envoys.place / "unwatched.json"
    other.write_text(json.dumps(routes(REGIONS)))

    def change(options: Any) -> None:
        options["instances"] = [{**options["instances"][0], "rds_file": str(other)}]
        options["ack_timeout"] = "100 ms"

    async def check(dial: Dial) -> None:
        with pytest.raises(DriverRetry) as caught:
            await dial.set(row(0), token(claim(1)))
        assert caught.value.reason.code == "NOT-ACKNOWLEDGED"
        assert "by-hand" in caught.value.reason.what

    with_dial(Altered(envoys, change), check)


@pytest.mark.journey
def test_a_lock_that_another_process_holds_is_waited_for(envoys: Envoys) -> None:
    def change(options: Any) -> None:
        options["ack_timeout"] = "60 ms"

    async def check(dial: Dial) -> None:
        assert isinstance(dial, EnvoyDial)
        with dial._instances[1].file.locked(), pytest.raises(DriverRetry) as caught:
            await dial.set(row(0), token(claim(1)))
        assert caught.value.reason.code == "DIAL-LOCKED"
        assert (await dial.read()).setting == row(5000)

    with_dial(Altered(envoys, change), check)


@pytest.mark.journey
def test_unknown_routes_and_a_page_that_is_no_envoy_are_told(envoys: Envoys) -> None:
    def unknown(options: Any) -> None:
        options["route_config"] = "entrance"

    def no_envoy(options: Any) -> None:
        port = envoys.edge_ports["fra"]
        for one in options["instances"]:
            one["admin"] = f"http://127.0.0.1:{port}"

    for change, word in ((unknown, "entrance"), (no_envoy, "no routes")):
        rig = Altered(envoys, change)
        reading = with_dial(rig, lambda dial: dial.read())
        assert reading.setting is None and word in reading.fault


@pytest.mark.parametrize(
    "change",
    [
        {"clusters": {}},
        {"clusters": {"fra": "one", "ber": "one"}},
        {"instances": []},
        {"route": "entry"},
        {"ack_timeout": "soon"},
    ],
    ids=lambda one: next(iter(one)),
)
def test_options_that_cannot_be_meant_are_refused(change: dict[str, Any]) -> None:
    good = {
        "route_config": "entry",
        "clusters": {"fra": "a", "ber": "b"},
        "instances": [{"name": "one", "rds_file": "x", "admin": "http://127.0.0.1:1"}],
    }
    EnvoyDial.Options.model_validate(good)
    with pytest.raises(ValidationError):
        EnvoyDial.Options.model_validate({**good, **change})


@pytest.mark.journey
def test_two_journals_at_the_same_moment_and_one_is_told_who_was_first(
    envoys: Envoys,
) -> None:
    """On files that nobody ever claimed, through a dial of each."""
    rig = EnvoyDialRig(envoys)
    holders = {"j1": "ada-laptop", "j2": "eve-laptop"}

    async def check(one: Dial) -> None:
        other = rig.dial()
        tokens = [
            Token(Claim("demo", name, 1, 3, who), REGIONS, None, first=True)
            for name, who in holders.items()
        ]
        ends = await asyncio.gather(
            *(d.hold(t) for d, t in zip((one, other), tokens, strict=True)),
            return_exceptions=True,
        )
        refused = [(n, end) for n, end in enumerate(ends) if end is not None]
        assert len(refused) == 1
        number, error = refused[0]
        first = tokens[1 - number].claim
        assert isinstance(error, Refused)
        assert first.journal in str(error) and first.holder in str(error)
        for instance in (await one.read()).instances:
            assert instance.claim == first
        await other.close()

    with_dial(rig, check)
