"""A run whose agents are of another version, in virtual time: refused before anything
moves, and the versions of every preflight stand in the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dayshift.errors import DriverRetry, Reason
from dayshift.model import records as r
from dayshift.model.records import RunResult
from dayshift.model.sight import AgentSight
from dayshift.model.speech import Speech
from tests.kit.clock import VirtualClock, run_virtual
from tests.kit.rig import Rig
from tests.simulation.witness import Shift

OURS, NEWER = Speech("0.2.0", 2), Speech("0.3.0", 3)


class MemoryAgent:
    """An agent that says which version it is, or nothing."""

    def __init__(self, speech: Speech | None) -> None:
        self.speech = speech

    async def attest(self) -> AgentSight:
        if self.speech is None:
            raise DriverRetry(Reason("AGENT-AWAY", "it is away"), 500)
        return AgentSight("edge", self.speech, OURS)

    async def close(self) -> None:
        """It has no stream."""


def shifted(place: Path, speech: Speech | None) -> Shift:
    """A whole run with one such agent."""

    async def program(clock: VirtualClock) -> Shift:
        rig = Rig(clock, place / "journal")
        rig.agents = {"edge": MemoryAgent(speech)}
        await clock.sleep(5_000)
        shift = Shift(rig)
        await shift.to_the_end()
        await shift.leave()
        return shift

    return run_virtual(program)


def bodies(shift: Shift, kind: type[Any]) -> list[Any]:
    with shift.rig.read() as journal:
        found = [one.body for one in journal.records()]
    return [one for one in found if isinstance(one, kind)]


def test_another_version_is_refused_before_anything_moves(tmp_path: Path) -> None:
    shift = shifted(tmp_path, NEWER)
    (end,) = bodies(shift, r.RunClosed)
    assert end.result is RunResult.REFUSED
    assert end.why.startswith("AGENT-VERSION: agent edge is Dayshift 0.3.0")
    assert "on the controllers" in end.why
    assert not shift.rig.dial.writes


@pytest.mark.parametrize("speech", [OURS, None], ids=["ours", "away"])
def test_the_same_version_or_an_agent_of_no_dial_stops_nothing(
    speech: Speech | None, tmp_path: Path
) -> None:
    shift = shifted(tmp_path, speech)
    assert [one.result for one in bodies(shift, r.RunClosed)] == [RunResult.DONE]
    kept = [
        one.sight["agents"]
        for one in bodies(shift, r.Observed)
        if one.sight.get("agents")
    ]
    assert bool(kept) is (speech is OURS)
    assert all(one["edge"]["theirs"]["version"] == "0.2.0" for one in kept)
