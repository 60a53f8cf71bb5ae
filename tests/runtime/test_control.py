"""The control socket: one for a directory, and nobody takes it from whoever has it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from dayshift.errors import Refused
from dayshift.model.records import Answered
from dayshift.runtime.control import ControlServer, served_by
from dayshift.runtime.frame import Frame


class Nobody:
    """Takes no request; only who listens is asked here."""

    def __init__(self) -> None:
        self.watchers: set[asyncio.Queue[Frame]] = set()

    async def ask(self, verb: str, person: str, args: Mapping[str, str]) -> Answered:
        raise AssertionError(verb)


def test_a_refused_listener_leaves_the_first_one_reachable(tmp_path: Path) -> None:
    async def program() -> None:
        path = tmp_path / "control.sock"
        first = ControlServer(path, Nobody(), "c-fra")
        await first.start()
        second = ControlServer(path, Nobody(), "another")
        with pytest.raises(Refused, match="CONTROLLER-HERE"):
            await second.start()
        await second.close()
        assert await served_by(path) == "c-fra"
        await first.close()
        assert not path.exists()

    asyncio.run(program())
