"""What Dayshift's journal says about a run, as instants to lay the users' view against.

The only place where the lab looks at Dayshift. The journal is read, never written, and
a lab without one (by hand) has no story.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from dayshift.errors import JournalError, Refused
from dayshift.journal.reader import JournalReader
from dayshift.lab.view import Marks, PassMarks
from dayshift.model import records as r
from dayshift.model.dial import ALL

STATE_DIR = ".dayshift"


class Story(msgspec.Struct, frozen=True):
    """The last run: its id, its marks, when it retreated and why it is held."""

    run: str
    marks: Marks
    retreats_ms: dict[str, int] = {}
    held: str = ""


def last_run(directory: Path) -> Story | None:
    """The story of the run that was opened last in a lab's directory, or None."""
    try:
        reader = JournalReader.open(directory / STATE_DIR)
        return tell(reader.records())
    except (JournalError, Refused):
        return None


def tell(records: Iterable[r.Record]) -> Story | None:
    """Fold records into the story of the run that was opened last."""
    story: Story | None = None
    for record in records:
        if isinstance(record.body, r.RunOpened):
            story = Story(record.run, Marks(record.at.wall_ms, record.at.wall_ms))
        elif story is not None and record.run == story.run:
            story = _with(story, record.body, record.at.wall_ms)
    return story


def _with(story: Story, body: r.AnyBody, at_ms: int) -> Story:
    match body:
        case r.Phased(region=region, new=new):
            held = "" if new is r.Phase.DRAINING else story.held
            marks = _phased(story.marks, region, new, at_ms)
            return msgspec.structs.replace(story, marks=marks, held=held)
        case r.Intent(action=action):
            return msgspec.structs.replace(
                story, marks=_steered(story.marks, action, at_ms)
            )
        case r.Retreating(region=region):
            again = {region: at_ms} | story.retreats_ms
            return msgspec.structs.replace(story, retreats_ms=again)
        case r.Held(reason=reason):
            return msgspec.structs.replace(
                story, held=str(reason), marks=_ended(story.marks, at_ms)
            )
        case r.RunClosed():
            return msgspec.structs.replace(story, marks=_ended(story.marks, at_ms))
        case _:
            return story


def _phased(marks: Marks, region: str, new: r.Phase, at_ms: int) -> Marks:
    field = {
        r.Phase.DRAINING: "drain_ms",
        r.Phase.EMPTY: "empty_ms",
        r.Phase.RETURNING: "return_ms",
        r.Phase.DONE: "done_ms",
        r.Phase.DONE_PARTIAL: "done_ms",
    }.get(new)
    return _marked(marks, region, field, at_ms) if field else marks


def _steered(marks: Marks, action: r.Action, at_ms: int) -> Marks:
    """Note the first decision that takes a region to zero."""
    if action.kind is not r.ActionKind.SET_DIAL or action.setting is None:
        return marks
    row = action.setting.rows.get(ALL, {})
    for one in marks.passes:
        if one.drain_ms and row.get(one.region) == 0:
            marks = _marked(marks, one.region, "zero_ms", at_ms)
    return marks


def _marked(marks: Marks, region: str, field: str, at_ms: int) -> Marks:
    """`marks` with the instant set, unless that was reached before."""
    found = {one.region: one for one in marks.passes}
    one = found.get(region, PassMarks(region))
    if not getattr(one, field):
        found[region] = msgspec.structs.replace(one, **{field: at_ms})
    passes = tuple(found.values())
    return Marks(marks.start_ms, max(marks.end_ms, at_ms), passes)


def _ended(marks: Marks, at_ms: int) -> Marks:
    return msgspec.structs.replace(marks, end_ms=at_ms)
