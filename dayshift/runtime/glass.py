"""A session with broken glass: the real orchestrator over the sealed bundle.

Begins where the store cannot be reached, ends with entries that the next controller
merges. Which verbs may do this, and how a person is asked, is the command line's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from dayshift.core.state import JournalState
from dayshift.core.steering import served
from dayshift.errors import JournalHeld, Reason, Refused
from dayshift.journal.glass import GlassJournal
from dayshift.journal.sealed import Sealed
from dayshift.model import records as r
from dayshift.model.dial import Setting
from dayshift.model.estate import Estate
from dayshift.model.glass import is_glass
from dayshift.model.plan import Plan
from dayshift.model.sight import Sight
from dayshift.runtime.clock import RealClock
from dayshift.runtime.sealing import Contents
from dayshift.runtime.session import Session, Workspace, holder

LOCK_MS = 6_000
"""How long a controller that just looks for its store may keep the folder."""
RETRY_MS = 100


class GlassSession(Session):
    """One break-glass, from open to close."""

    unreachable = (OSError, Refused)
    """Also where a controller serves that waits for its store: it keeps its socket."""
    watched = False

    @classmethod
    def break_open(
        cls, workspace: Workspace, sealed: Sealed, contents: Contents
    ) -> GlassSession:
        """Become the one writer of this machine.

        Raises:
            JournalHeld: a controller is alive here, and stays.
            JournalFull: not even the files set aside can be written.
            Refused: earlier entries here do not go on from this bundle.
        """
        state = msgspec.json.encode(contents.state)
        clock, left_ms = RealClock(), LOCK_MS
        while True:
            try:
                journal = GlassJournal.break_open(
                    workspace.state_dir, sealed, state, clock, holder()
                )
                return cls(workspace, journal)
            except JournalHeld:
                if left_ms <= 0:
                    raise
                left_ms -= RETRY_MS
                asyncio.run(clock.sleep(RETRY_MS))

    def overtake(self, sealed: Sealed, plan: Plan, person: str, reason: str) -> None:
        """Write down who acts, from which bundle, and begin `plan`; a run that is open
        waits, held, unless it is this very one of an earlier break-glass."""
        run = self.state.open_run
        goes_on = (
            run is not None
            and self.state.glass is not None
            and self.state.plan.verb is plan.verb
            and [one.region for one in run.passes]
            == [one.region for one in plan.passes]
        )
        journal = self.journal
        assert isinstance(journal, GlassJournal)
        note = sealed.note
        self.append(
            r.GlassBroken(
                epoch=journal.epoch,
                machine=journal.machine,
                person=person,
                reason=reason,
                seq=note.seq,
                sealed_wall_ms=note.wall_ms,
                goes_on=goes_on,
            )
        )
        if not goes_on:
            self.begin(plan, person)


def lost_epochs(state: JournalState, sight: Sight) -> dict[str, int]:
    """The break-glass epochs at the dials that this journal does not know, by dial."""
    return {
        dial: one.claim.epoch
        for dial, reading in sorted(sight.dials.items())
        for one in reading.instances
        if one.claim is not None
        and (one.claim.estate, one.claim.journal) == (state.estate, state.journal)
        and is_glass(one.claim.epoch)
        and one.claim.epoch not in state.glasses
    }


def give_up(
    session: Session, estate: Estate, sight: Sight, person: str, reason: str
) -> tuple[str, ...]:
    """Take what the dials show for what a lost machine did; returns who is out.

    Raises:
        Refused: a dial cannot be read, or shows what no dial may.
    """
    lost = lost_epochs(session.state, sight)
    settings = {
        name: reading.setting
        for name, reading in sight.dials.items()
        if reading.setting is not None and not reading.fault
    }
    for dial in lost:
        if dial not in settings or settings[dial].fault():
            raise Refused(_unreadable(dial))
    drained = _drained(estate, settings)
    session.lead_above(max(lost.values()))
    adopted = [
        r.Adopted(dial, settings[dial], sight.dials[dial].instances[0].claim)
        for dial in lost
    ]
    given = [
        r.GlassAdopted(epoch, person, reason, drained)
        for epoch in sorted(set(lost.values()))
    ]
    session.append(*adopted, *given)
    return drained


def _drained(estate: Estate, settings: Mapping[str, Setting]) -> tuple[str, ...]:
    """Regions that usually have users and now have none."""
    out = []
    for region in estate.region_names():
        rows = [
            (one, served(one, settings))
            for one in estate.moving()
            if one.shares.get(region)
        ]
        if rows and all(row is not None and not row.get(region) for _, row in rows):
            out.append(region)
    return tuple(out)


def _unreadable(dial: str) -> Reason:
    return Reason(
        "DIAL-UNREACHABLE",
        f"dial {dial} cannot be read as one setting now",
        because="what it shows would become what the journal expects",
        so="nothing was adopted",
        next="let it answer (`dayshift check`), then again",
    )
