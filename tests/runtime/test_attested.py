"""Which version the agents are: asked by the observer, judged before anything moves,
shown by `check`. Real TLS; the other version is the test's own word."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from dayshift.agent import server as agent_server
from dayshift.cli import checking
from dayshift.core import attested, keeping
from dayshift.core.state import JournalState
from dayshift.core.watch import Watch
from dayshift.drivers.agents import messages as m
from dayshift.drivers.agents.link import OURS
from dayshift.drivers.agents.names import Role
from dayshift.drivers.base import WorkOrder
from dayshift.model.estate import AgentSpec
from dayshift.model.records import Phase
from dayshift.model.sight import AgentSight, Sight
from dayshift.model.speech import Speech
from dayshift.runtime.observer import Observer
from dayshift.runtime.wiring import Drivers
from tests.kit.play import Play, estate
from tests.kit.streams import Pair, played


def no_work(region: str, step: str) -> WorkOrder:
    raise AssertionError


async def look(pair: Pair, watch: Watch, port: int) -> Sight:
    drivers = Drivers(agents={"edge": pair.link(port)})
    empty = JournalState()
    observer = Observer(watch.estate, drivers, watch, pair.ours, lambda: empty, no_work)
    await observer.once()
    await drivers.close()
    return watch.sight(empty, pair.ours.now())


def test_the_observer_asks_every_agent_and_the_guard_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deed(pair: Pair) -> None:
        watch, port = Watch(replace(estate(), services=())), await pair.listen()
        sight = await look(pair, watch, port)
        assert attested.agents_reason(sight) is None
        found = checking._agent("edge", sight)
        assert found.reason is None and f"protocol {m.PROTOCOL}" in found.says
        assert found.says.endswith("certificate 1 day"), found.says
        monkeypatch.setattr(agent_server, "OURS", Speech("9.0.0", m.PROTOCOL + 1))
        sight = await look(pair, watch, port)
        reason = attested.agents_reason(sight)
        assert reason is not None and reason.code == "AGENT-VERSION"
        assert checking._agent("edge", sight).reason == reason

    played(tmp_path, deed)


def test_one_that_does_not_answer_is_told_of_as_away(tmp_path: Path) -> None:
    async def deed(pair: Pair) -> None:
        watch, port = Watch(replace(estate(), services=())), await pair.listen()
        assert (await look(pair, watch, port)).agents["edge"].ours == OURS
        pair.authority.revoke(Role.AGENT, "edge")
        sight = await look(pair, watch, port)
        assert sight.agents == {} and attested.agents_reason(sight) is None
        reason = checking._agent("edge", sight).reason
        assert reason is not None and reason.code == "AGENT-AWAY"

    played(tmp_path, deed)


def test_a_plan_keeps_its_digest_until_a_revocation_list_is_named() -> None:
    """Approvals given before an upgrade are of the same plan after it."""
    without = AgentSpec("edge", "fra", "https://edge:1", "ca", "cert", "key")
    assert b"revoked" not in msgspec.json.encode(without)
    named = replace(without, revoked="revoked.pem")
    for one in (without, named):
        written = msgspec.json.encode(one)
        assert msgspec.json.decode(written, type=AgentSpec) == one


def test_the_journal_keeps_the_versions_of_the_preflight_alone() -> None:
    play = Play(estate())
    seen = {"edge": AgentSight("edge", Speech("0.1.0", 2), Speech("0.1.0", 2))}
    play.bend = lambda sight: replace(sight, agents=seen)
    play.until(lambda one: one.here.phase is Phase.PREFLIGHT)
    assert keeping.kept(play.state, play.bend(play.sight())).agents == seen
    play.until(lambda one: one.here.phase is Phase.DRAINING)
    assert keeping.kept(play.state, play.bend(play.sight())).agents == {}
