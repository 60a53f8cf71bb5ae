"""Turns an intent into an effect and reads the world back before it says `done`.

Everything here happens after the intent is durable. What a driver says of its own write
is never believed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from dayshift.core import glass, proof
from dayshift.core.state import JournalState
from dayshift.core.watch import Watch
from dayshift.drivers.base import Dial, Page, PreparedDial, WorkOrder
from dayshift.errors import (
    DayshiftError,
    Driver,
    DriverRetry,
    JournalHeld,
    Reason,
    Refused,
)
from dayshift.limits import DRIVER_TIMEOUT_MS, READ_TIMEOUT_MS
from dayshift.model.dial import Claim, DialReading, Setting, Token, holder_word
from dayshift.model.points import NOWHERE, Point, Points
from dayshift.model.records import (
    Action,
    ActionKind,
    Outcome,
    OutcomeKind,
    Record,
)
from dayshift.model.sight import Sight
from dayshift.model.units import Clock, elapsed_ms
from dayshift.runtime.observer import Observer
from dayshift.runtime.wiring import Drivers

SLOW_ACTION_MS = 60_000
"""Brackets, duties and the start of work are commands of the operator's."""
UNDO_MS = 3_600_000


class Actuator:
    """Performs actions of one run."""

    def __init__(
        self,
        drivers: Drivers,
        watch: Watch,
        observer: Observer,
        clock: Clock,
        order: Callable[[str, str], WorkOrder],
        points: Points = NOWHERE,
        replaced: Callable[[], bool] = lambda: False,
    ) -> None:
        self.drivers = drivers
        self.watch = watch
        self.observer = observer
        self.clock = clock
        self.order = order
        self.points = points
        self.replaced = replaced

    async def perform(
        self, state: JournalState, sight: Sight, action: Action, record: Record
    ) -> Outcome:
        """Do it, read back, and say what the world shows. Never raises a driver's
        error: every one becomes an outcome.

        Raises:
            JournalHeld: another controller leads by now. A dial would refuse the write;
                a bracket, a duty or a step of the work has no fence but this question.
        """
        try:
            return await self._perform(state, sight, action, record)
        except Refused as error:
            return _outcome(action, OutcomeKind.REFUSED, error)
        except DriverRetry as error:
            return _outcome(action, OutcomeKind.RETRY, error)
        except TimeoutError:
            reason = Reason(
                "NO-ANSWER",
                f"{action.kind.value} {action.target} had no answer in time",
                because="the driver did not return",
                so="its effect is unknown until it is read back",
                next="see `dayshift check`",
            )
            return Outcome(action.key, OutcomeKind.RETRY, reason.what, reason)
        except Driver as error:
            return _outcome(action, OutcomeKind.FAILED, error)

    async def _perform(
        self, state: JournalState, sight: Sight, action: Action, record: Record
    ) -> Outcome:
        await self.points.reach(Point.CLEARED, action)
        if self.replaced():
            raise JournalHeld(_replaced(action))
        match action.kind:
            case ActionKind.SET_DIAL | ActionKind.HOLD_DIAL:
                return await self._dial(state, sight, action, record)
            case ActionKind.RELEASE_DUTY | ActionKind.TAKE_DUTY:
                return await self._duty(action)
            case ActionKind.ENTER_BRACKET | ActionKind.LEAVE_BRACKET:
                return await self._bracket(action, record)
            case ActionKind.NOTIFY:
                return await self._notify(action, record)
            case _:
                return await self._work(action)

    async def _slow(
        self, work: Awaitable[None], limit_ms: int = SLOW_ACTION_MS
    ) -> None:
        await self.clock.within(limit_ms, work)

    async def _dial(
        self, state: JournalState, sight: Sight, action: Action, record: Record
    ) -> Outcome:
        dial = self.drivers.dials[action.target]
        before = await self.clock.within(READ_TIMEOUT_MS, dial.read())
        await self.points.reach(Point.COMPARED, action)
        age_ms = elapsed_ms(sight.at, self.clock.now())
        if age_ms > state.plan.estate.policy.fresh_ms + READ_TIMEOUT_MS:
            return _outdated(action, age_ms, state.plan.estate.policy.fresh_ms)
        token = _token(state, sight, action, record, before)
        if action.kind is ActionKind.SET_DIAL:
            assert action.setting is not None
            write = dial.set(action.setting, token, action.revert_to, action.lease_ms)
        else:
            if before.setting != action.setting:
                return _unproven(action, "it does not show what would be held")
            write = _holding(dial, token, action)
        await self.clock.within(DRIVER_TIMEOUT_MS, write)
        await self.points.reach(Point.APPLIED, action)
        after = await self.clock.within(READ_TIMEOUT_MS, dial.read())
        self.watch.dial(after)
        wrong = _not_as_asked(after, action.setting, token.claim)
        wrong = wrong or _lease_not_as_asked(after, action, dial.describe().lease)
        wrong = wrong or _lifetime_not_as_asked(after, action)
        if wrong:
            return Outcome(
                action.key,
                OutcomeKind.RETRY,
                wrong,
                Reason(
                    "NOT-AS-ASKED",
                    f"dial {action.target} {wrong}",
                    because="the read-back, by another way than the write",
                    so="the run does not go on",
                    next="see `dayshift check`, then `dayshift retry`",
                ),
            )
        return Outcome(action.key, OutcomeKind.DONE, claim=token.claim)

    async def _duty(self, action: Action) -> Outcome:
        duty = self.drivers.duties[action.target]
        taking = action.kind is ActionKind.TAKE_DUTY
        await self._slow((duty.take if taking else duty.release)(action.region))
        await self.points.reach(Point.APPLIED, action)
        await self.observer.duty(action.target)
        seen = self.watch.duties[action.target]
        holds = action.region in seen.holders
        if seen.fault or holds is not taking:
            what = seen.fault or f"it is held by {', '.join(seen.holders) or 'nobody'}"
            return _unproven(action, what)
        return Outcome(action.key, OutcomeKind.DONE)

    async def _bracket(self, action: Action, record: Record) -> Outcome:
        bracket = self.drivers.brackets[action.target]
        entering = action.kind is ActionKind.ENTER_BRACKET
        verb = bracket.enter if entering else bracket.leave
        await self._slow(verb(record.run, action.region))
        await self.points.reach(Point.APPLIED, action)
        await self.observer.bracket(action.target)
        seen = self.watch.brackets[action.target]
        if seen.fault or seen.open is not entering:
            return _unproven(action, seen.fault or f"it reads open: {seen.open}")
        return Outcome(action.key, OutcomeKind.DONE)

    async def _notify(self, action: Action, record: Record) -> Outcome:
        page = Page(
            key=action.key,
            run=record.run,
            title=f"dayshift: {action.region or 'the run'} is held",
            text=action.text,
            urgent=True,
        )
        await self._slow(self.drivers.notify[action.target].send(page))
        await self.points.reach(Point.APPLIED, action)
        return Outcome(action.key, OutcomeKind.DONE)

    async def _work(self, action: Action) -> Outcome:
        worker = self.drivers.workers[action.region, action.target]
        order = self.order(action.region, action.target)
        match action.kind:
            case ActionKind.START_WORK:
                await self._slow(worker.start(order))
                await self.points.reach(Point.APPLIED, action)
                await self.observer.work(action.region, action.target, action.text)
            case ActionKind.STOP_WORK:
                await self._slow(worker.stop(order))
                await self.points.reach(Point.APPLIED, action)
            case _:
                await self._slow(worker.undo(order), UNDO_MS)
                await self.points.reach(Point.APPLIED, action)
        return Outcome(action.key, OutcomeKind.DONE)


def _replaced(action: Action) -> Reason:
    return Reason(
        "REPLACED",
        f"this controller leads no more; {action.kind.value} {action.target} was not "
        "begun",
        because="its lease ran out, or another controller took over",
        so="whoever leads observes what became of it",
        next="`dayshift status` shows who leads",
    )


def _token(
    state: JournalState,
    sight: Sight,
    action: Action,
    record: Record,
    before: DialReading,
) -> Token:
    """The proof that goes with a write: whose it is, who serves, what stood there."""
    plan = state.plan
    service = next(
        one.name
        for one in plan.estate.services
        if any(dial.name == action.target for dial in one.dials)
    )
    return Token(
        claim=Claim(
            state.estate,
            state.journal,
            record.epoch,
            record.seq,
            holder_word(state.controller or state.holder),
        ),
        serving=proof.serving_regions(sight, plan.estate, service),
        expected=_expected(state, action.target, before, record),
        first=action.target not in state.claims,
    )


def _expected(
    state: JournalState, dial: str, before: DialReading, record: Record
) -> Claim | None:
    """What the writer knows to stand at the dial.

    A claim of this journal that is not ahead of it is our own write, perhaps one whose
    outcome was never written down: there is only one writer.
    """
    ours = [
        one.claim
        for one in before.instances
        if one.claim is not None
        and glass.ours(state, one.claim, record.epoch, record.seq)
    ]
    if ours:
        return max(ours, key=lambda claim: (claim.epoch, claim.seq))
    return state.claims.get(dial)


def _not_as_asked(
    reading: DialReading, wanted: Setting | None, claim: Claim
) -> str | None:
    if reading.fault:
        return f"cannot be read back: {reading.fault}"
    if reading.mixed:
        return "has instances that disagree after the write"
    if wanted is not None and reading.setting != wanted:
        return "does not show what was written"
    if any(one.claim != claim for one in reading.instances):
        return "does not carry the claim that was written"
    return None


def _lease_not_as_asked(
    reading: DialReading, action: Action, can_lease: bool
) -> str | None:
    """A lease that was asked for is armed everywhere; else nothing expires anywhere."""
    wanted = can_lease and action.lease_ms > 0
    for one in reading.instances:
        if wanted and one.expires_ms is None:
            return f"has no lease at {one.instance}, though one was asked for"
        if not wanted and one.expires_ms is not None:
            return f"would still go back at {one.instance} in {one.expires_ms} ms"
    return None


def _holding(dial: Dial, token: Token, action: Action) -> Coroutine[Any, Any, None]:
    """Keep what stands there, with answers that live as long as asked."""
    if not action.lifetime_ms or not isinstance(dial, PreparedDial):
        return dial.hold(token)
    caching = dial.describe().caching
    low = caching is not None and action.lifetime_ms == caching.low_ms
    return dial.prepare(token) if low else dial.restore(token)


def _lifetime_not_as_asked(reading: DialReading, action: Action) -> str | None:
    wanted = action.lifetime_ms
    if not wanted or reading.lifetime_ms == wanted:
        return None
    return f"lets caches keep its answers for {reading.lifetime_ms} ms, not {wanted} ms"


def _unproven(action: Action, what: str) -> Outcome:
    reason = Reason(
        "NOT-AS-ASKED",
        f"{action.kind.value} {action.target}: {what}",
        because="it is read back, never believed",
        so="the run does not go on",
        next="see `dayshift check`, then `dayshift retry`",
    )
    return Outcome(action.key, OutcomeKind.RETRY, reason.what, reason)


def _outdated(action: Action, age_ms: int, fresh_ms: int) -> Outcome:
    """This process slept between its look and its write: it must look again."""
    reason = Reason(
        "PROOF-OUTDATED",
        f"{action.kind.value} {action.target} rests on what was seen "
        f"{age_ms / 1000:.1f} s ago (policy.fresh {fresh_ms / 1000:.1f} s)",
        because="invariant: no write without fresh observations of who serves",
        so="nothing was written; it is decided again",
        next="let the controller's machine run without pauses",
    )
    return Outcome(action.key, OutcomeKind.RETRY, reason.what, reason)


def _outcome(action: Action, kind: OutcomeKind, error: DayshiftError) -> Outcome:
    return Outcome(action.key, kind, error.reason.what, error.reason)
