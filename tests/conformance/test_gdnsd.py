"""What only a real gdnsd can show: thresholds, lines of others, its health checks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dayshift.drivers.agents.dial import RemoteDial
from dayshift.drivers.agents.link import AgentLink
from dayshift.drivers.base import PreparedDial
from dayshift.drivers.dials.gdnsd import GdnsdDial
from dayshift.drivers.dials.gdnsd_admin import AdminState
from dayshift.errors import DriverFault, DriverRetry, Refused
from dayshift.model.dial import ALL, DialKind, Fence, Setting
from dayshift.runtime.clock import RealClock
from tests.conformance.name_rigs import GdnsdRig
from tests.conformance.rigs import claim, context, row, token
from tests.kit.agents import AgentProcess, Authority
from tests.kit.daemons import eventually
from tests.kit.names import ADDRESSES, NAME, Gdnsd, ask

JOURNEY = pytest.mark.journey
LABEL = "www.shop.example."


@pytest.fixture
def rig(gdnsds: list[Gdnsd]) -> GdnsdRig:
    return GdnsdRig(gdnsds)


def dial_of(rig: GdnsdRig, **more: Any) -> GdnsdDial:
    """A dial over the first of them alone."""
    options = rig.options()
    options["instances"] = [{**options["instances"][0], **more.pop("instance", {})}]
    return GdnsdDial("dns", {**options, **more}, context(rig.servers[0].folder))


def switched(fra: int, ber: int) -> Setting:
    return Setting(DialKind.SWITCH, {ALL: {"fra": fra, "ber": ber}})


@JOURNEY
def test_users_are_answered_the_regions_that_are_in(
    rig: GdnsdRig, gdnsds: list[Gdnsd]
) -> None:
    one = gdnsds[0]

    async def check() -> None:
        dial = dial_of(rig)
        assert not isinstance(dial, PreparedDial)
        assert dial.describe().caching is None
        assert dial.describe().fence is Fence.MACHINE
        await dial.set(switched(0, 10_000), token(claim(1)))
        assert ask(one.port, NAME, "A") == sorted(ADDRESSES["ber"])
        assert dial.describe().propagation_ms == 300_000
        assert (await dial.read()).instances[0].lifetime_ms == 300_000
        for bad in (row(0), switched(0, 0), switched(5_000, 10_000)):
            with pytest.raises(Refused):
                await dial.set(bad, token(claim(2), claim(1)))
        lines = one.admin_state.read_text().splitlines()
        assert lines[0] == "# kept by hand"
        assert lines[1] == f"# dayshift {LABEL} {claim(1)}"
        assert lines[-1] == f"# dayshift {LABEL} end"
        await dial.set(switched(10_000, 10_000), token(claim(2), claim(1)))
        assert len(one.admin_state.read_text().splitlines()) == 3

    asyncio.run(check())


@JOURNEY
def test_a_drain_that_gdnsd_itself_undoes_is_found_in_its_answers(
    rig: GdnsdRig, gdnsds: list[Gdnsd]
) -> None:
    """It acknowledges: its states say DOWN. And it answers everything."""
    one = gdnsds[0]
    one.stop()
    one.configure(up_thresh="0.9")
    one.fresh()
    one.start()
    try:
        with pytest.raises(DriverRetry) as caught:
            dial = dial_of(rig, ack_timeout="4 s")
            asyncio.run(dial.set(switched(0, 10_000), token(claim(1))))
        reason = caught.value.reason
        assert reason.code == "NOT-ACKNOWLEDGED"
        assert (
            "told ber 100.00 %, fra 0.00 % and answers ber 100.00 %, fra 100.00 %"
            in (reason.because)
        )
    finally:
        one.stop()
        one.configure()


@JOURNEY
def test_what_its_own_lines_do_not_decide_is_no_setting(
    rig: GdnsdRig, gdnsds: list[Gdnsd]
) -> None:
    one = gdnsds[0]
    one.zone(f"{ADDRESSES['fra'][0]}/up => DOWN\n")
    one.start()
    reading = asyncio.run(dial_of(rig).read())
    assert reading.setting is None
    assert f"only {ADDRESSES['fra'][0]}/up of fra is forced down" in reading.fault
    reading = asyncio.run(dial_of(rig, service_type="http").read())
    assert "has no state" in reading.fault


@JOURNEY
def test_a_file_that_was_put_back_is_seen_with_its_old_claim(
    rig: GdnsdRig, gdnsds: list[Gdnsd]
) -> None:
    one = gdnsds[0]

    async def check() -> None:
        dial = dial_of(rig)
        await dial.set(switched(10_000, 10_000), token(claim(1)))
        old = one.admin_state.read_text()
        await dial.set(switched(0, 10_000), token(claim(2), claim(1)))
        one.admin_state.write_text(old)
        one.restart()
        reading = await dial.read()
        (instance,) = reading.instances
        assert (reading.setting, reading.fault) == (switched(10_000, 10_000), "")
        assert instance.claim == claim(1)

    asyncio.run(check())


@JOURNEY
def test_marks_that_somebody_edited_are_a_fault(
    rig: GdnsdRig, gdnsds: list[Gdnsd]
) -> None:
    one = gdnsds[0]
    one.zone(f"# dayshift {LABEL} mine now\n# dayshift {LABEL} end\n")
    one.start()
    reading = asyncio.run(dial_of(rig).read())
    assert "mine now" in reading.fault


@JOURNEY
def test_something_that_is_no_gdnsdctl_is_told(rig: GdnsdRig) -> None:
    for argv, word in (
        (["true"], "does not answer like gdnsdctl"),
        (["false"], "exit code 1"),
        (["/nowhere/gdnsdctl"], "/nowhere/gdnsdctl"),
    ):
        reading = asyncio.run(dial_of(rig, instance={"gdnsdctl": argv}).read())
        assert reading.setting is None and word in reading.fault


@JOURNEY
def test_behind_an_agent_it_goes_back_by_itself(
    rig: GdnsdRig, gdnsds: list[Gdnsd], tmp_path: Path
) -> None:
    options = rig.options()
    options["instances"] = options["instances"][:1]
    agent = AgentProcess(tmp_path, Authority(tmp_path / "ca"), "gdnsd", options)
    agent.start()
    try:
        link = AgentLink(agent.spec(), context(tmp_path))
        dial = RemoteDial("entry", DialKind.SWITCH, [link], RealClock())

        async def check() -> None:
            await dial.set(
                switched(0, 10_000),
                token(claim(1)),
                revert_to=switched(10_000, 10_000),
                lease_ms=4_000,
            )
            reading = await dial.read()
            assert (reading.setting, reading.fault) == (switched(0, 10_000), "")
            assert dial.describe().fence is Fence.DEVICE
            assert dial.describe().granularity_bp == 10_000
            with pytest.raises(Refused, match="NOT-PREPARED"):
                await dial.prepare(token(claim(2), claim(1)))
            await dial.close()

        asyncio.run(check())
        every = sorted(ADDRESSES["fra"] + ADDRESSES["ber"])
        eventually(
            lambda: ask(gdnsds[0].port, NAME, "A") == every, "the lease runs out"
        )
    finally:
        agent.stop()


def test_only_our_own_lines_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin_state"
    path.write_text("# one\n192.0.2.9/up => DOWN # ada\n")
    mine, other = AdminState(path, "a.example."), AdminState(path, "b.example.")
    mine.replace(mine.load(), ["192.0.2.1/up"], claim(1))
    other.replace(other.load(), [], claim(7))
    with path.open("a") as file:
        file.write("*/xmpp => UP\n")
    mine.replace(mine.load(), ["192.0.2.2/up"], claim(2))
    text = path.read_text()
    assert text.startswith("# one\n192.0.2.9/up => DOWN # ada\n")
    assert "192.0.2.1/up" not in text and "*/xmpp => UP\n" in text
    assert text.endswith(
        f"# dayshift a.example. {claim(2)}\n192.0.2.2/up => DOWN\n"
        "# dayshift a.example. end\n"
    )
    assert (mine.load().claim, other.load().claim) == (claim(2), claim(7))


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DriverFault) as caught:
        AdminState(tmp_path, "a.example.").load()
    assert caught.value.reason.code == "ADMIN-STATE-UNUSABLE"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"service_type": "*"}, "match"),
        ({"states": {"fra": ["a/b/c"]}}, "states names"),
        ({"states": {"fra": ["a/*"], "ber": ["a/b"]}}, "wildcard"),
        ({"states": {"fra": ["a/b"], "ber": ["a/b"]}}, "named twice"),
        ({"states": {"fra": [], "ber": ["a/b"]}}, "no state"),
        ({"instances": []}, "at least 1"),
        ({"kind": "split"}, "Extra inputs"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_options_that_cannot_be_meant_are_refused(
    change: dict[str, Any], word: str
) -> None:
    good = {
        "name": NAME,
        "addresses": ADDRESSES,
        "instances": [{"name": "ns1", "address": "192.0.2.53"}],
    }
    GdnsdDial.Options.model_validate(good)
    with pytest.raises(ValidationError) as caught:
        GdnsdDial.Options.model_validate({**good, **change})
    assert word in str(caught.value)
