"""What a leader does: conducts the open run, waits for one, answers what was asked.

It is the journal's one writer. Requests come through its own socket or through the
store, and are answered in the journal by their token either way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from dayshift.core.decision import Decision, Waiting
from dayshift.core.state import JournalState
from dayshift.errors import Reason, Refused
from dayshift.journal.base import Message, Stir
from dayshift.model import records as r
from dayshift.model.plan import Plan, Verb
from dayshift.model.sight import Sight
from dayshift.model.units import Instant, elapsed_ms
from dayshift.runtime import messages
from dayshift.runtime.following import BEAT_MS
from dayshift.runtime.frame import Frame
from dayshift.runtime.messages import Posted
from dayshift.runtime.orchestrator import Orchestrator
from dayshift.runtime.session import Session

IDLE_MS = 500
PAUSE_MS = 50
"""Between two looks into an inbox that is not empty."""
SILENT_MS = 4 * BEAT_MS
LOOK_BACK = 5_000
"""So many records back a request is known that was written down already."""


class Leader:
    """Leads one epoch, until it is stopped or leads no more."""

    def __init__(
        self,
        session: Session,
        plan_reason: Callable[[Plan], Reason | None],
        show: Callable[[Frame], None],
        answered: Callable[[r.Answered], None],
    ) -> None:
        self._session = session
        self._plan_reason = plan_reason
        self._show = show
        self._told = answered
        self._conducted: Orchestrator | None = None
        self._stopping = False
        self._opened = asyncio.Event()
        self._known: set[str] | None = None
        now = session.clock.now()
        self._seen: dict[str, Instant] = dict.fromkeys(session.state.standby, now)

    def stop(self) -> None:
        self._stopping = True
        self._opened.set()
        if self._conducted is not None:
            self._conducted.stop()

    async def run(self) -> None:
        """Conduct and answer, side by side.

        Raises:
            JournalHeld: another controller leads.
            JournalFull: the store does not take records.
        """
        taking = asyncio.create_task(self._take_in())
        working = asyncio.create_task(self._work())
        try:
            await asyncio.wait({taking, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            done = [one for one in (taking, working) if one.done()]
            for task in (taking, working):
                task.cancel()
            await asyncio.gather(taking, working, return_exceptions=True)
        for task in done:
            task.result()

    async def _work(self) -> None:
        while not self._stopping:
            if self._session.state.open_run is None:
                await self._idle()
                continue
            async with self._session.conducting(self._show) as orchestrator:
                self._conducted = orchestrator
                try:
                    await orchestrator.go()
                finally:
                    self._conducted = None

    async def _idle(self) -> None:
        self._opened.clear()
        state = self._session.state
        waiting = (Waiting("IDLE", "no run is open", "`dayshift run`, here or there"),)
        sight = Sight(at=self._session.clock.now())
        self._show(Frame(state, sight, Decision(waiting=waiting)))
        self._session.journal.sign_head()
        with contextlib.suppress(TimeoutError):
            await self._session.clock.within(IDLE_MS, self._opened.wait())

    async def _take_in(self) -> None:
        """Everything that was left in the store, one after the other."""
        journal, clock = self._session.journal, self._session.clock
        while True:
            await journal.watch(frozenset({Stir.INBOX}), clock, IDLE_MS)
            for message in journal.inbox():
                await self._take(message)
            self._look_for_silence()
            await clock.sleep(PAUSE_MS)

    async def _take(self, message: Message) -> None:
        """Answer once, and only then forget it: a crash in between is asked again."""
        asked = messages.decode(message.data)
        if asked is not None and asked.verb in (messages.BEAT, messages.LEAVING):
            self._beaten(asked)
        elif asked is not None and message.token not in self._answered_before():
            await self.ask(message.token, asked)
        self._session.journal.take(message.token)

    def _answered_before(self) -> set[str]:
        """Tokens of requests that were written down already, by whoever led then."""
        if self._known is None:
            after = max(0, self._session.state.seq - LOOK_BACK)
            self._known = {
                record.body.token
                for record in self._session.journal.records(after)
                if isinstance(record.body, r.Requested | r.Answered)
            }
        return self._known

    async def ask(self, token: str, asked: Posted) -> r.Answered:
        """Answer a request and write both down."""
        self._answered_before().add(token)
        try:
            answered = await self._answer(token, asked)
        except Refused as error:
            answered = r.Answered(token, False, error.reason)
            self._write(_requested(token, asked), answered)
        self._told(answered)
        return answered

    async def _answer(self, token: str, asked: Posted) -> r.Answered:
        if asked.verb == messages.OPEN:
            return self._open(token, asked)
        if self._conducted is not None:
            return await self._conduct(self._conducted, token, asked)
        if asked.verb == "approve":
            return self._approve(token, asked)
        raise Refused(_no_run(asked.verb))

    async def _conduct(
        self, orchestrator: Orchestrator, token: str, asked: Posted
    ) -> r.Answered:
        answered = await orchestrator.ask(asked.verb, asked.person, asked.args, token)
        late = answered.reason is not None and answered.reason.code == "RUN-CLOSED"
        if asked.verb == "confirm" or late:
            # These are answered beside the decision; elsewhere they wait for a record.
            self._write(answered)
        return answered

    def _open(self, token: str, asked: Posted) -> r.Answered:
        """Review what was sent, and open it in one go with the answer."""
        plan = messages.plan_of(asked.args.get("plan", ""))
        if plan is None:
            raise Refused(_no_plan())
        answered, running = r.Answered(token, True), self._state.open_run
        if running is not None and running.digest == plan.digest:
            self._write(_requested(token, asked), answered)
            return answered
        if running is not None:
            raise Refused(_busy(running.run))
        reason = self._plan_reason(plan)
        if reason is not None:
            raise Refused(reason)
        around = ((_requested(token, asked),), (answered,))
        urgent = plan.verb is Verb.EVACUATE
        self._session.begin(plan, asked.person, urgent, around)
        self._opened.set()
        return answered

    def _approve(self, token: str, asked: Posted) -> r.Answered:
        digest = asked.args.get("digest", "")
        expires = asked.args.get("expires_wall_ms", "0")
        if not digest or not expires.isdecimal():
            raise Refused(Reason("ARGUMENT", "`approve` needs digest and an expiry"))
        why = asked.args.get("reason", "")
        approved = r.Approved(digest, asked.person, why, int(expires))
        answered = r.Answered(token, True)
        self._write(_requested(token, asked), approved, answered)
        return answered

    def _write(self, *bodies: r.AnyBody) -> None:
        if self._conducted is not None:
            self._conducted.append(*bodies)
        else:
            self._session.append(*bodies)

    def _beaten(self, asked: Posted) -> None:
        """A sign of life; only what changed is written down."""
        name, alive = asked.person, asked.verb == messages.BEAT
        if name == self._state.controller:
            return  # It followed when it said so.
        self._seen[name] = self._session.clock.now()
        known = self._state.standby.get(name)
        if known is None or known.alive is not alive:
            self._write(r.StoodBy(name, alive))

    def _look_for_silence(self) -> None:
        now = self._session.clock.now()
        for name, one in self._state.standby.items():
            if one.alive and elapsed_ms(self._seen.get(name, now), now) > SILENT_MS:
                self._write(r.StoodBy(name, False))

    @property
    def _state(self) -> JournalState:
        """The orchestrator's, while it conducts."""
        return (self._conducted or self._session).state


def _requested(token: str, asked: Posted) -> r.Requested:
    """A request as it is written down: a plan has its own record."""
    args = {name: text for name, text in asked.args.items() if name != "plan"}
    return r.Requested(asked.verb, asked.person, args, token)


def _no_run(verb: str) -> Reason:
    return Reason(
        "NO-RUN",
        f"no run is open; there is nothing to {verb}",
        so="nothing moved",
        next="`dayshift run change.yaml` begins one",
    )


def _no_plan() -> Reason:
    return Reason(
        "PLAN-UNREADABLE",
        "the request to open a run carries no plan that this controller understands",
        because="another version of Dayshift made it",
        so="nothing moved",
        next="run the same version here and at the controllers",
    )


def _busy(run: str) -> Reason:
    return Reason(
        "RUN-OPEN",
        f"run {run} is open already, and of another plan",
        because="invariant: one wave in the whole estate",
        so="nothing moved; the open run goes on",
        next="`dayshift status` shows it; `dayshift abort` takes it back first",
    )
