"""Golden runs, short enough to read: a change here is a change of what Dayshift does.

Review the difference, then write the new one with `DAYSHIFT_TELL=1 pytest
tests/transcripts`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dayshift.journal.reader import JournalReader
from tests.kit.rig import Rig
from tests.simulation.witness import Deed, Shift, watch
from tests.transcripts.telling import tell

HERE = Path(__file__).parent
LINES_MAX = 120


async def good(shift: Shift) -> None:
    await shift.until(shift.closed)


async def bad(shift: Shift) -> None:
    """The release is bad: the gate holds, a person aborts."""
    await shift.until(shift.held)
    await shift.clock.sleep(3_000)
    await shift.ask("abort")
    await shift.until(shift.closed)


def break_release(rig: Rig) -> None:
    rig.bad_release = True


def leave_alone(rig: Rig) -> None:
    return None


@pytest.mark.parametrize(
    ("name", "deed", "prepare"),
    [("good", good, leave_alone), ("bad", bad, break_release)],
)
def test_a_transcript(name: str, deed: Deed, prepare, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shift = watch(tmp_path, deed, prepare)
    assert shift.faults() == []
    with JournalReader.open(shift.rig.folder) as view:
        told = tell(view.records())
    golden = HERE / f"{name}.txt"
    if os.environ.get("DAYSHIFT_TELL"):
        golden.write_text(told, encoding="utf-8")
    assert told == golden.read_text(encoding="utf-8")
    assert told.count("\n") <= LINES_MAX
