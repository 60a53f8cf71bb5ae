"""Opens what a verb works on: the files, the journal, the drivers, the one run.

Embedded mode: whoever opens a session is the controller until it closes. Verbs that
find another controller go through `runtime.control` instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import socket
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from dayshift.core import planner, review
from dayshift.core.fold import fold
from dayshift.core.state import JournalState, RunState
from dayshift.drivers.base import Context
from dayshift.errors import JournalFull, Reason, Refused
from dayshift.journal.journal import Journal
from dayshift.journal.reader import JournalView
from dayshift.journal.stores import Access
from dayshift.model import records as r
from dayshift.model.estate import Change, Estate
from dayshift.model.plan import Plan, Verb
from dayshift.model.points import NOWHERE, Point, Points
from dayshift.model.units import Clock, Entropy
from dayshift.runtime import watchdog, wiring
from dayshift.runtime.clock import RealClock, SystemEntropy
from dayshift.runtime.control import ControlServer
from dayshift.runtime.frame import Frame
from dayshift.runtime.locating import access_to, locate
from dayshift.runtime.naming import controller_name, jobs_id
from dayshift.runtime.orchestrator import Orchestrator
from dayshift.runtime.pace import USUAL, Pace
from dayshift.runtime.sealing import pack
from dayshift.runtime.secrets import Secrets

Around = tuple[tuple[r.AnyBody, ...], tuple[r.AnyBody, ...]]

STATE_DIR = ".dayshift"
SOCKET = "control.sock"
LOST_MS = 500
CLOSE_MS = 5_000
"""A driver that does not let go for so long keeps no leader from stepping down."""
BRIEF_MAX = 60
"""So much of a value is shown when it differs."""


@dataclass(frozen=True)
class Workspace:
    """Where an estate's file lies; its journal and jobs lie beside it."""

    base: Path

    @property
    def state_dir(self) -> Path:
        return self.base / STATE_DIR

    @property
    def socket(self) -> Path:
        return self.state_dir / SOCKET

    def access(self) -> Access:
        """How the journal of this directory is reached."""
        return locate(self.base, self.state_dir)


class Session:
    """One controller's hold on the journal, from open to close."""

    unreachable: tuple[type[Exception], ...] = ()
    """Errors of the control socket that do not stop it."""
    watched = True
    """Whether a watchdog can follow its journal."""
    pace: Pace = USUAL
    sampling = True
    """Whether samples are kept for the report."""

    def __init__(
        self, workspace: Workspace, journal: Journal, points: Points = NOWHERE
    ) -> None:
        self.workspace = workspace
        self.journal = journal
        self.state = load(journal)
        self.clock: Clock = RealClock()
        self.entropy: Entropy = SystemEntropy()
        self.points = points

    @classmethod
    def open(
        cls, workspace: Workspace, estate: Estate, points: Points = NOWHERE
    ) -> Session:
        """Become the one writer of the estate's journal.

        Raises:
            JournalHeld: another process is; the reason names it.
            JournalBroken: the journal does not verify.
            JournalFull: its store does not answer.
        """
        access = access_to(workspace.base, estate.name, estate.journal)
        session = cls.open_at(workspace, access, points, controller_name(estate))
        session.seal(estate)
        return session

    @classmethod
    def reopen(cls, workspace: Workspace, state: JournalState) -> Session:
        """As `open`, for verbs that go on with what the journal holds already."""
        access = replace(workspace.access(), estate=state.estate)
        name = controller_name(state.plan.estate) if state.run else ""
        return cls.open_at(workspace, access, controller=name)

    @classmethod
    def open_at(
        cls,
        workspace: Workspace,
        access: Access,
        points: Points = NOWHERE,
        controller: str = "",
    ) -> Session:
        """As `open`, for whoever knows how the journal is reached."""
        journal = Journal.open(
            workspace.state_dir,
            access.estate,
            RealClock(),
            holder(),
            points=points,
            access=access,
            controller=controller,
            jobs=jobs_id(workspace.state_dir, SystemEntropy()),
        )
        return cls(workspace, journal, points)

    def seal(self, estate: Estate) -> None:
        """Keep what is known now for whoever must act when the store is gone."""
        self.journal.seal(lambda: pack(estate, self.state))

    def close(self) -> None:
        self.journal.close()

    def begin(
        self,
        plan: Plan,
        person: str,
        break_glass: bool = False,
        asked: Around = ((), ()),
    ) -> None:
        """Open a run of `plan`, or find it open already.

        Args:
            break_glass: an emergency; a full disk must not be in its way.
            asked: what is written before and after, in one go with the opening: the
                request that asked for it, and its answer.

        Raises:
            Refused: another plan's run is open, or the plan has faults.
        """
        run = self.state.open_run
        if run is not None:
            if run.digest != plan.digest:
                raise Refused(changed(self.state.plan, plan))
            self.append(*asked[0], *asked[1], run=run.run)
            return
        found = review.faults(plan)
        if found:
            raise Refused(found[0])
        opening = (r.Planned(plan), r.RunOpened(plan.digest, person))
        bodies = (*asked[0], *opening, *asked[1])
        run_id = self.entropy.run_id()
        self.points.at(Point.OPENING)
        try:
            self.journal.take_wave(run_id, person)
            self.append(*bodies, run=run_id)
        except JournalFull:
            if not break_glass:
                raise
            self._fold(self.journal.append_emergency(*bodies, run=run_id))
        self.points.at(Point.OPENED)

    def approve(self, digest: str, person: str, reason: str) -> None:
        """Write down an approval; the run may not even exist yet."""
        self.append(r.Approved(digest, person, reason))

    def note(self, verb: str, person: str, args: Mapping[str, str]) -> None:
        """Write down a request that is always granted and moves nothing, granted."""
        token = self.entropy.token()
        assert self.state.run is not None
        self.append(
            r.Requested(verb, person, dict(args), token),
            r.Answered(token, True),
            run=self.state.run.run,
        )

    def lead_above(self, epoch: int) -> None:
        """Lead under an epoch above one that this journal never saw."""
        self._fold(self.journal.outrank(epoch, holder()))

    def append(self, *bodies: r.AnyBody, run: str = "") -> None:
        """Write down what belongs to no decision; only while no run is conducted."""
        self._fold(self.journal.append(*bodies, run=run))

    def _fold(self, written: tuple[r.Record, ...]) -> None:
        for record in written:
            self.state = fold(self.state, record)

    async def run(
        self,
        on_frame: Callable[[Frame], None],
        leave_when_held: bool = False,
        request: tuple[str, str, Mapping[str, str]] | None = None,
        on_start: Callable[[Orchestrator], None] = lambda orchestrator: None,
    ) -> RunState:
        """Run the open run in the foreground, reachable through the control socket."""
        async with self.conducting(on_frame) as orchestrator:
            on_start(orchestrator)
            server = ControlServer(self.workspace.socket, orchestrator)
            with contextlib.suppress(*self.unreachable):
                await server.start()
            going = asyncio.create_task(orchestrator.go(leave_when_held, request))
            lost = asyncio.create_task(self._until_lost())
            try:
                await asyncio.wait({going, lost}, return_when=FIRST_COMPLETED)
                if not going.done():
                    raise JournalFull(_lost())
                return going.result()
            finally:
                for task in (going, lost):
                    task.cancel()
                await asyncio.gather(going, lost, return_exceptions=True)
                await server.close()

    async def _until_lost(self) -> None:
        """Until another may lead. Whoever cannot write any more must not keep this
        machine from those who break the glass."""
        while not self.journal.lost:
            await self.clock.sleep(LOST_MS)

    @asynccontextmanager
    async def conducting(
        self, on_frame: Callable[[Frame], None]
    ) -> AsyncIterator[Orchestrator]:
        """The open run's orchestrator with its drivers; the state is its own meanwhile.

        Raises:
            Refused: no run is open.
        """
        if self.state.open_run is None:
            raise Refused(Reason("NO-RUN", "no run is open", next="`dayshift run`"))
        drivers = self.drivers(self.state.plan.estate, self.state.plan.change)
        orchestrator = Orchestrator(
            self.journal,
            self.state,
            drivers,
            self.clock,
            self.entropy,
            on_frame,
            self.points,
            self.pace,
            self.sampling,
        )
        if self.state.plan.estate.notify and self.watched:
            watchdog.start(self.workspace.state_dir)
        try:
            yield orchestrator
        finally:
            self.state = orchestrator.state
            with contextlib.suppress(TimeoutError):
                await self.clock.within(CLOSE_MS, drivers.close())

    def drivers(self, estate: Estate, change: Change | None) -> wiring.Drivers:
        """Every driver of the estate, with its context."""
        given = context(self.workspace, estate, self.clock, self.points)
        return wiring.wire(estate, change, given)


def _lost() -> Reason:
    return Reason(
        "LEAD-LOST",
        "this controller leads no more: its lease could not be renewed in time",
        because="the journal's store does not answer, or another controller leads",
        so="it ends here; the shares stay as they are",
        next="`dayshift status`; in an emergency `dayshift evacuate REGION --reason "
        "TEXT` works without the store",
    )


def context(
    workspace: Workspace, estate: Estate, clock: Clock, points: Points = NOWHERE
) -> Context:
    """What drivers are given."""
    secrets = Secrets(workspace.base, (estate.name, *estate.region_names()))
    return Context(
        estate=estate.name,
        base_dir=workspace.base,
        state_dir=workspace.state_dir,
        clock=clock,
        secret=secrets.resolve,
        redact=secrets.redactor.redact,
        points=points,
    )


def load(journal: JournalView) -> JournalState:
    """Fold the journal, from its newest good snapshot on."""
    snapshot = journal.latest_snapshot()
    state, after = JournalState(), 0
    if snapshot is not None:
        after, data = snapshot
        state = msgspec.json.decode(data, type=JournalState)
    for record in journal.records(after):
        state = fold(state, record)
    return state


def make_plan(
    estate: Estate, change: Change, verb: Verb, out: tuple[str, ...] = ()
) -> Plan:
    """The plan of a change, or of an everyday verb, while `out` is left drained."""
    return planner.make(estate, change, verb, out=out)


def holder() -> str:
    """Who this process is, for the lock and the lease."""
    return f"{person()}@{socket.gethostname()} pid {os.getpid()}"


def person() -> str:
    """The operator's name as the system knows it."""
    return getpass.getuser()


def changed(running: Plan, wanted: Plan) -> Reason:
    """Say what differs between the run's plan and the files as they are now."""
    parts = []
    if running.estate != wanted.estate:
        parts.append(
            "the estate file changed" + first_difference(running.estate, wanted.estate)
        )
    if running.change != wanted.change:
        parts.append(
            "the change file changed" + first_difference(running.change, wanted.change)
        )
    if running.verb is not wanted.verb:
        parts.append(f"the run is `{running.verb.value}`")
    return Reason(
        "FILES-CHANGED",
        f"run of plan {running.digest[:12]} is open; the files now make "
        f"{wanted.digest[:12]}: {'; '.join(parts) or 'another plan'}",
        because="invariant: what runs is what was approved",
        so="nothing moved; the open run stays as it is",
        next="put the files back and run again, or `dayshift abort` the open run",
    )


def first_difference(left: msgspec.Struct, right: msgspec.Struct) -> str:
    """The first value in which two structs differ, where and what, for a message."""
    found = _difference(msgspec.to_builtins(left), msgspec.to_builtins(right), "")
    return f" at `{found[0]}`: {found[1]} became {found[2]}" if found else ""


def _difference(left: Any, right: Any, path: str) -> tuple[str, str, str] | None:
    """Where two plain values differ first, and both values."""
    if left == right:
        return None
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        left, right = dict(enumerate(left)), dict(enumerate(right))
    if isinstance(left, dict) and isinstance(right, dict):
        for name in [*left, *(one for one in right if one not in left)]:
            if name != "fingerprint":
                below = f"{path}.{name}" if path else str(name)
                found = _difference(left.get(name), right.get(name), below)
                if found:
                    return found
        return None
    return path, _brief(left), _brief(right)


def _brief(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= BRIEF_MAX else f"{text[:BRIEF_MAX]} …"
