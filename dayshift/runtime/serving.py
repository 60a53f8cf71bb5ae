"""One controller of several: it leads, or it follows and stands ready.

Who leads is the store's to say: its lease, its epoch. Here: campaign, lead, step down,
follow; and that each of them ends at once when it has to. What a leader answers is
`leading`, what a follower shows is `following`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol

from dayshift.core.state import JournalState
from dayshift.errors import (
    DayshiftError,
    JournalFull,
    JournalHeld,
    Reason,
    Refused,
)
from dayshift.journal.reader import JournalReader
from dayshift.model.plan import Plan
from dayshift.model.records import Answered
from dayshift.model.units import Clock, Entropy, Instant, elapsed_ms
from dayshift.runtime import messages
from dayshift.runtime.following import Follower
from dayshift.runtime.frame import Frame
from dayshift.runtime.leading import Leader
from dayshift.runtime.session import Session

AGAIN_MS = 50
"""Between two campaigns, when the last one came to nothing."""
YIELD_MS = 5_000
"""For so long a leader that could write nothing down leaves the lead to the others."""
LOST_MS = 50
"""How often a leader asks its store whether it still leads."""
STILL_MS = 60_000
"""How often a controller that still cannot lead says why."""
SETTLE_MS = 5_000
"""How long what is under way may take to end before leadership is handed over."""
ANSWER_MS = 9_000
"""How long a request waits for a leader; whoever asked here waits a little longer."""


class Role(StrEnum):
    STARTS = "starts"
    LEADS = "leads"
    FOLLOWS = "follows"
    STOPS = "stops"


class Ground(Protocol):
    """What a controller stands on; a rehearsal gives it another."""

    clock: Clock
    entropy: Entropy

    def lead(self) -> Session:
        """Become the leader, or raise `JournalHeld` or `JournalFull`."""
        ...

    def read(self) -> JournalReader:
        """The journal as a follower has it; `Refused` while there is none."""
        ...

    def plan_reason(self, plan: Plan) -> Reason | None:
        """Why a plan that was sent here is not one of this estate, or None."""
        ...

    async def claims_reason(self, state: JournalState) -> Reason | None:
        """Why the dials show that this journal lost its end, or is not theirs."""
        ...


class Serving:
    """Runs until it is stopped; reachable all the time."""

    def __init__(
        self,
        ground: Ground,
        name: str,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.ground = ground
        self.name = name
        self.role = Role.STARTS
        self.watchers: set[asyncio.Queue[Frame]] = set()
        self._say = say
        self._why: dict[str, Instant] = {}
        """When each reason not to lead was said last."""
        self._gave_up: Instant | None = None
        self._stopping = asyncio.Event()
        self._leader: Leader | None = None
        self._follower: Follower | None = None
        self._waiting: dict[str, asyncio.Future[Answered]] = {}

    def stop(self) -> None:
        """Hand over what it leads, then end."""
        self._stopping.set()

    async def run(self) -> None:
        """Lead or follow until stopped.

        Raises:
            DayshiftError: the journal cannot be used as it is; a person is needed.
        """
        while not self._stopping.is_set():
            session = self._campaign() if self._may_lead() else None
            if session is not None:
                await self._lead(session)
            else:
                await self._follow()
        self._turn(Role.STOPS, "it was asked to")

    def _may_lead(self) -> bool:
        """Not right after it led and could write nothing down: it would keep the others
        from leading, who perhaps can."""
        gave_up = self._gave_up
        return not gave_up or elapsed_ms(gave_up, self.ground.clock.now()) >= YIELD_MS

    def _campaign(self) -> Session | None:
        try:
            return self.ground.lead()
        except (JournalHeld, JournalFull) as error:
            self._stand_by(error.reason)
            return None

    def _stand_by(self, reason: Reason) -> None:
        """Say why it does not lead: at once when that is new, and now and then."""
        now, said = self.ground.clock.now(), self._why.get(reason.code)
        if self.role is not Role.FOLLOWS:
            self._turn(Role.FOLLOWS, reason.what)
        elif said is None or elapsed_ms(said, now) >= STILL_MS:
            self._say(f"{self.name} still follows: {reason.what}")
        else:
            return
        self._why[reason.code] = now

    def _turn(self, role: Role, why: str) -> None:
        if role is not self.role:
            self.role = role
            self._why.clear()
            self._say(f"{self.name} {role.value}: {why}")

    async def _lead(self, session: Session) -> None:
        """Until it is stopped, or leads no more, whichever comes first."""
        leader = Leader(session, self.ground.plan_reason, self._show, self._answered)
        self._leader = leader
        self._turn(Role.LEADS, f"epoch {session.journal.epoch}")
        work = asyncio.create_task(leader.run())
        lost = asyncio.create_task(self._until_lost(session))
        warn = asyncio.create_task(self._warn(session.state))
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({work, lost, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done() and not lost.done() and not work.done():
                leader.stop()
                await self._at_most(SETTLE_MS, work)
        finally:
            await _end(work, lost, stop, warn)
            self._leader = None
            with contextlib.suppress(JournalHeld, JournalFull):
                session.close()
        self._step_down(work)

    async def _warn(self, state: JournalState) -> None:
        """A journal that was restored leads like any other; only the dials know."""
        reason = await self.ground.claims_reason(state)
        if reason is not None:
            self._say(f"{self.name} warns: {reason}")

    def _step_down(self, work: asyncio.Task[None]) -> None:
        """Why it leads no more; what only a person can mend ends the process."""
        error = None if work.cancelled() else work.exception()
        if isinstance(error, JournalHeld | JournalFull):
            if isinstance(error, JournalFull):
                self._gave_up = self.ground.clock.now()
            self._stand_by(error.reason)
        elif error is not None:
            raise error
        elif not self._stopping.is_set():
            self._turn(Role.FOLLOWS, "its lease ran out")

    async def _until_lost(self, session: Session) -> None:
        while not session.journal.lost:
            await self.ground.clock.sleep(LOST_MS)

    async def _follow(self) -> None:
        """Until nobody leads, or the store does not answer."""
        stop = asyncio.create_task(self._stopping.wait())
        try:
            with self.ground.read() as journal:
                self._follower = Follower(
                    journal, self.ground.clock, self.name, self._show, self._answered
                )
                work = asyncio.create_task(self._follower.run())
                await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
                if stop.done():
                    self._follower.leave()
                await _end(work)
                if not work.cancelled():
                    work.result()
        except (Refused, JournalHeld, JournalFull) as error:
            self._stand_by(error.reason)
        finally:
            self._follower = None
            await _end(stop)
        await self.ground.clock.sleep(AGAIN_MS)

    async def _at_most(self, ms: int, work: asyncio.Task[None]) -> None:
        with contextlib.suppress(TimeoutError, DayshiftError):
            await self.ground.clock.within(ms, asyncio.shield(work))

    def _show(self, frame: Frame) -> None:
        for watcher in self.watchers:
            if watcher.full():
                watcher.get_nowait()
            watcher.put_nowait(frame)

    def _answered(self, answered: Answered) -> None:
        waiting = self._waiting.pop(answered.token, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answered)

    async def ask(self, verb: str, person: str, args: Mapping[str, str]) -> Answered:
        """A person's request: left in the store for whoever leads, answered in the
        journal. It is withdrawn when nobody takes it in time."""
        token = self.ground.entropy.token()
        message = messages.Posted(verb, person, dict(args))
        if self._leader is not None:
            return await self._ask_here(self._leader, token, message)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[token] = answer
        with self.ground.read() as journal:
            journal.post(token, messages.encode(message))
            try:
                done: Answered = await self.ground.clock.within(ANSWER_MS, answer)
            except TimeoutError:
                journal.take(token)
                return Answered(token, False, _no_leader(verb))
            finally:
                self._waiting.pop(token, None)
        return done

    async def _ask_here(
        self, leader: Leader, token: str, message: messages.Posted
    ) -> Answered:
        try:
            return await self.ground.clock.within(ANSWER_MS, leader.ask(token, message))
        except TimeoutError:
            return Answered(token, False, _no_leader(message.verb))


async def _end(*tasks: asyncio.Task[object] | asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _no_leader(verb: str) -> Reason:
    return Reason(
        "NO-LEADER",
        f"no controller answered `{verb}` within {ANSWER_MS // 1000} s",
        because="none leads now, or the one that leads is stuck",
        so=f"`{verb}` is not granted, unless a leader took it up; the journal says so",
        next="`dayshift status` shows the controllers; then ask again",
    )
