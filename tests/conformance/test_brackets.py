"""Bracket `exec` on real commands."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dayshift.drivers.brackets.exec import ExecBracket
from dayshift.errors import DriverFault, DriverRetry
from tests.kit.driving import real_context, script

SILENCE = """
case $1 in
  enter) echo "$DAYSHIFT_RUN $DAYSHIFT_REGION $DAYSHIFT_BRACKET" > open ;;
  leave) rm -f open ;;
  read) test -e open ;;
esac
"""


def a_bracket(place: Path, text: str = SILENCE, **options: object) -> ExecBracket:
    word = script(place, "silence", text)
    given = {verb: [word, verb] for verb in ("enter", "leave", "read")}
    return ExecBracket("silence", {**given, **options}, real_context(place))


def test_entering_twice_is_entering_once(tmp_path: Path) -> None:
    bracket = a_bracket(tmp_path)

    async def use() -> list[bool]:
        seen = [await bracket.is_open()]
        await bracket.enter("0197", "fra")
        await bracket.enter("0197", "fra")
        seen.append(await bracket.is_open())
        await bracket.leave("0197", "fra")
        await bracket.leave("0197", "fra")
        return [*seen, await bracket.is_open()]

    assert asyncio.run(use()) == [False, True, False]


def test_the_commands_know_what_for(tmp_path: Path) -> None:
    asyncio.run(a_bracket(tmp_path).enter("0197", "fra"))
    assert (tmp_path / "open").read_text() == "0197 fra silence\n"


def test_neither_open_nor_closed_is_a_fault(tmp_path: Path) -> None:
    bracket = a_bracket(tmp_path, "echo no answer from the alert manager; exit 2")
    with pytest.raises(DriverFault, match="expected 0 open, 1 closed"):
        asyncio.run(bracket.is_open())
    with pytest.raises(DriverFault, match="no answer from the alert manager"):
        asyncio.run(bracket.enter("0197", "fra"))


def test_a_command_that_hangs_is_tried_again(tmp_path: Path) -> None:
    bracket = a_bracket(tmp_path, "sleep 20", answer_limit="150 ms")
    with pytest.raises(DriverRetry, match="within 150 ms"):
        asyncio.run(bracket.leave("0197", "fra"))
