"""The story as the command line can learn it: from a controller, or from the journal.

Reads only. Whether anybody watches the run is part of what is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

from msgspec.structs import replace

from dayshift.cli.everywhere import ESTATE_FILE
from dayshift.core.state import JournalState
from dayshift.errors import DayshiftError, Reason, Refused
from dayshift.journal.reader import JournalReader, JournalView
from dayshift.model.records import RunOpened
from dayshift.runtime import control, wiring
from dayshift.runtime.clock import RealClock
from dayshift.runtime.frame import Frame
from dayshift.runtime.glance import claims_reason
from dayshift.runtime.session import Workspace, load
from dayshift.runtime.settings.load import load_estate
from dayshift.surfaces.events import event_of
from dayshift.surfaces.nouns import Event, Story
from dayshift.surfaces.story import tell

NOBODY = (ConnectionError, FileNotFoundError)
"""What the control socket answers where no controller listens."""
ANSWER_MS = 5_000
TELL_MS = 200


class Teller:
    """Tells frame after frame; reads from the journal only what is new."""

    def __init__(self, journal: JournalView) -> None:
        self._journal = journal
        self._seq = 0
        self._events: list[Event] = []

    def events(self, seq: int) -> list[Event]:
        """The timeline of the last run, up to record `seq`."""
        if seq > self._seq:
            for record in self._journal.records(self._seq):
                self._seq = record.seq
                if isinstance(record.body, RunOpened):
                    self._events.clear()
                event = event_of(record)
                if event is not None:
                    self._events.append(event)
        return self._events

    def story(self, frame: Frame) -> Story:
        """What one frame of a controller amounts to."""
        state, sight = frame.state, frame.sight
        events = self.events(state.seq)
        return tell(state, sight, frame.decision, events, sight.at)


def peek(workspace: Workspace) -> JournalState | None:
    """What the journal amounts to, or None where there is none.

    Raises:
        JournalBroken: it cannot be read as it is.
    """
    with (
        suppress(Refused),
        JournalReader.open(workspace.state_dir, workspace.access()) as reader,
    ):
        return load(reader)
    return None


async def now(workspace: Workspace) -> Story:
    """The present story; from the journal where no controller runs or it is stuck."""
    story = await _told(workspace)
    return replace(story, warnings=story.warnings or await _warnings(workspace, story))


async def _told(workspace: Workspace) -> Story:
    try:
        frames = control.frames(workspace.socket, once=True)
        frame = await RealClock().within(ANSWER_MS, anext(frames, None))
    except NOBODY:
        return unwatched(workspace)
    except TimeoutError:
        return replace(unwatched(workspace), silent=True)
    if frame is None:
        return unwatched(workspace)
    with JournalReader.open(workspace.state_dir, workspace.access()) as reader:
        return Teller(reader).story(frame)


async def _warnings(workspace: Workspace, story: Story) -> tuple[Reason, ...]:
    """What the dials say of this journal, where no controller reads them for a run."""
    if any(one.instances for one in story.dials):
        return ()
    with suppress(DayshiftError):
        state = peek(workspace)
        if state is not None:
            path = workspace.base / ESTATE_FILE
            estate = load_estate(path, wiring.options_of)
            reason = await claims_reason(workspace, estate, state, RealClock())
            return () if reason is None else (reason,)
    return ()


def unwatched(workspace: Workspace) -> Story:
    """Where things stand by the journal alone: nobody looks at the world."""
    at = RealClock().now()
    try:
        reader = JournalReader.open(workspace.state_dir, workspace.access())
    except Refused:
        fresh = JournalState(estate=workspace.base.name)
        return tell(fresh, None, None, (), at, watched=False)
    with reader:
        state = load(reader)
        return tell(state, None, None, Teller(reader).events(state.seq), at, False)


async def stories(workspace: Workspace) -> AsyncIterator[Story]:
    """The controller's stories until it ends, at a pace that can be read.

    Raises:
        ConnectionError, FileNotFoundError: no controller runs here.
        TimeoutError: one lives, and does not answer.
    """
    clock = RealClock()
    frames = control.frames(workspace.socket)
    first = await clock.within(ANSWER_MS, anext(frames, None))
    if first is None:
        raise ConnectionError("the controller ended before it told anything")
    with JournalReader.open(workspace.state_dir, workspace.access()) as reader:
        teller = Teller(reader)
        story = teller.story(first)
        warned = await _warnings(workspace, story)
        yield replace(story, warnings=story.warnings or warned)
        async for frame in frames:
            story = teller.story(frame)
            seen = any(one.instances for one in story.dials)
            yield story if seen else replace(story, warnings=warned)
            await clock.sleep(TELL_MS)
