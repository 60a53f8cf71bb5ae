"""The loop: observe, decide, make durable, act, read back, make durable again.

The one writer of the journal. It holds no opinion: `core.decide` decides,
`core.interlock` may refuse, the actuator acts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import msgspec

from dayshift.core import interlock, invariants, leases, overrides
from dayshift.core.decide import decide
from dayshift.core.decision import Decision
from dayshift.core.fold import fold
from dayshift.core.keeping import kept
from dayshift.core.state import JournalState, RunState, Status
from dayshift.core.watch import Watch
from dayshift.drivers.base import WorkOrder
from dayshift.errors import Driver, JournalError, JournalFull, Reason, Refused
from dayshift.journal.journal import Journal
from dayshift.journal.sidelog import SideFiles
from dayshift.limits import (
    CLOCK_JUMP_MS,
    HEAD_SIGN_MS,
    SNAPSHOT_EVERY,
)
from dayshift.model import records as r
from dayshift.model.estate import Estate
from dayshift.model.points import NOWHERE, Point, Points
from dayshift.model.sight import Sight
from dayshift.model.units import Clock, Entropy, Instant, elapsed_ms
from dayshift.runtime.actuator import Actuator
from dayshift.runtime.answers import Answers
from dayshift.runtime.frame import Frame
from dayshift.runtime.gate_samples import GateSamples
from dayshift.runtime.observer import Observer
from dayshift.runtime.orders import work_order
from dayshift.runtime.pace import USUAL, Pace
from dayshift.runtime.renewals import Renewals
from dayshift.runtime.samples import Samples
from dayshift.runtime.sealing import Seals
from dayshift.runtime.wiring import Drivers

FIRST_LOOK_MS = 2_000


class Orchestrator:
    """Runs the open run of one journal until it ends or must be left.

    `on_frame` is called after every step with what a surface needs; without `sampling`
    no samples are kept for the report, which nothing decides on.
    """

    def __init__(
        self,
        journal: Journal,
        state: JournalState,
        drivers: Drivers,
        clock: Clock,
        entropy: Entropy,
        on_frame: Callable[[Frame], None] = lambda frame: None,
        points: Points = NOWHERE,
        pace: Pace = USUAL,
        sampling: bool = True,
    ) -> None:
        self.pace = pace
        self.sampling = sampling
        self.journal = journal
        self.state = state
        self.drivers = drivers
        self.clock, self.entropy = clock, entropy
        self.on_frame = on_frame
        self.points = points
        self.estate = state.plan.estate
        self.watch, order = _watch(self.estate, drivers), self.order
        self.observer = Observer(
            self.estate, drivers, self.watch, clock, self._now, order, pace
        )
        sees = self.watch, self.observer, clock, order, points
        self.actuator = Actuator(drivers, *sees, lambda: journal.lost)
        self.renewals = Renewals(drivers, clock, journal.takes_records)
        self.side, run = SideFiles(journal.folder), self.run.run
        self.samples = Samples(self.side, run)
        self.gate_samples = GateSamples(self.side, run)
        self.frame: Frame | None = None
        self.leaving, self._stopping = False, False
        """Set when the person in front wants to leave once the run stands still."""
        self.watchers: set[asyncio.Queue[Frame]] = set()
        self._wake = asyncio.Event()
        self._answers = Answers()
        self._acting: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._signed: Instant | None = None
        self._seals = Seals(journal, self.estate, clock)
        self._id, self._snapshot_seq = run, state.seq

    def _now(self) -> JournalState:
        return self.state

    @property
    def run(self) -> RunState:
        assert self.state.run is not None
        return self.state.run

    def order(self, region: str, step: str) -> WorkOrder:
        """What a worker is told about one attempt at a step."""
        return work_order(self.state, region, step)

    async def go(
        self,
        leave_when_held: bool = False,
        request: tuple[str, str, Mapping[str, str]] | None = None,
    ) -> RunState:
        """Run until the run is closed, or is held or paused and may be left.

        `request` (verb, person, arguments) is asked first, before anything is decided.

        Raises:
            Refused: the request was.
        """
        observing = asyncio.create_task(self.observer.run())
        try:
            await self._first_look()
            if request is not None:
                await self._ask_first(*request)
            while not self._finished(leave_when_held or self.leaving):
                decision = await self.step()
                await self._rest(decision)
                if observing.done():
                    observing.result()
            await self._settle()
        finally:
            observing.cancel()
            for task in self._acting:
                task.cancel()
            await asyncio.gather(observing, *self._acting, return_exceptions=True)
            await self.renewals.close()
        return self.run

    async def _ask_first(self, verb: str, person: str, args: Mapping[str, str]) -> None:
        asking = asyncio.create_task(self.ask(verb, person, args))
        try:
            await self.clock.sleep(1)
            while not asking.done():
                await self.step()
                await self.clock.sleep(1)
        finally:
            asking.cancel()
        answered = asking.result()
        if answered.reason is not None:
            raise Refused(answered.reason)

    async def _first_look(self) -> None:
        """Give every source one chance to answer before the first decision."""
        begun = self.clock.now()
        while elapsed_ms(begun, self.clock.now()) < FIRST_LOOK_MS:
            sight = self.watch.sight(self.state, self.clock.now())
            read = all(name in sight.dials for name in self.drivers.dials)
            if read and all(
                m.age_ms is not None for p in sight.places for m in p.meters
            ):
                return
            await self.clock.sleep(50)

    def stop(self) -> None:
        """Nothing new begins; what is under way may end."""
        self._stopping = True
        self._wake.set()

    def _finished(self, leave_when_held: bool) -> bool:
        run = self.run
        if self._over() or self._stopping:
            return True
        if not leave_when_held or run.status not in (Status.PAUSED, Status.HELD):
            return False
        pending = any(one.result is None for one in run.asked.values())
        pending = pending or leases.unkept(self.state, self.watch.dials)
        return not pending and run.now_at.retreat is None and self._paged()

    def _over(self) -> bool:
        """The run ended; one that it overtook may be the open one again."""
        return self.run.status is Status.CLOSED or self.run.run != self._id

    def _paged(self) -> bool:
        """A hold that nobody was called about must not be left."""
        run = self.run
        if run.status is not Status.HELD or not self.estate.notify:
            return True
        return any(key.startswith("page/") for key in run.asked)

    async def step(self) -> Decision:
        """One turn: see, decide, append, act."""
        if self._failure is not None:
            raise self._failure
        brief = not self.sampling
        sight = self.watch.sight(self.state, self.clock.now(), brief)
        if self.sampling:
            self.samples.take(self.state, sight, self.watch.meters)
            self.gate_samples.take(self.state, sight)
        decision = decide(self.state, sight)
        if brief and (decision.records or decision.actions):
            # What is only shown is reckoned where it is written down.
            sight = self.watch.detailed(sight)
            if any(one.verdict for one in sight.places):
                decision = decide(self.state, sight)
        self.renewals.keep(decision.renewals)
        jump = sight.clock_jump_ms
        noted = any(isinstance(one, r.ClockJumped) for one in decision.records)
        if abs(jump) >= CLOCK_JUMP_MS and not noted:
            # Something else came first; a jump must not be forgotten over it.
            self.watch.clock_jump_ms += jump
        if decision.records or decision.actions:
            self._carry_out(decision, sight)
        self._sign(bool(decision.records))
        self.frame = Frame(self.state, sight, decision)
        self.on_frame(self.frame)
        for watcher in self.watchers:
            if watcher.empty():
                watcher.put_nowait(self.frame)
        return decision

    def _carry_out(self, decision: Decision, sight: Sight) -> None:
        """Everything durable first, in one batch; then the actions begin."""
        seen = r.Observed(msgspec.to_builtins(kept(self.state, sight)))
        for body in decision.records:
            if isinstance(body, r.Worked) and body.output:
                self._keep_output(body)
        for action in decision.actions or (None,):
            self.points.at(Point.DECIDED, action)
        intents = [r.Intent(action) for action in decision.actions]
        written = self.append(seen, *decision.records, *intents)
        for record in written[1 + len(decision.records) :]:
            assert isinstance(record.body, r.Intent)
            self._begin(record.body.action, record, sight)

    def _keep_output(self, body: r.Worked) -> None:
        """What a step printed goes to the side log, under the hash that is recorded."""
        worker = self.drivers.workers[body.region, body.step]
        path = getattr(worker, "output_path", None)
        if path is None:
            return
        with contextlib.suppress(OSError):
            self.side.put(path(self.order(body.region, body.step)).read_bytes())
        self.points.at(Point.KEPT)

    def _begin(self, action: r.Action, record: r.Record, sight: Sight) -> None:
        self.points.at(Point.INTENDED, action)
        reason = interlock.reason(self.state, sight, action)
        if reason is not None:
            self.points.at(Point.REFUSING, action)
            self.append(
                r.Outcome(action.key, r.OutcomeKind.REFUSED, reason.what, reason)
            )
            self._wake.set()
            return
        task = asyncio.create_task(self._act(action, record, sight))
        self._acting.add(task)
        task.add_done_callback(self._acted)

    async def _act(self, action: r.Action, record: r.Record, sight: Sight) -> None:
        outcome = await self.actuator.perform(self.state, sight, action, record)
        await self.points.reach(Point.READ_BACK, action)
        self.append(outcome)
        await self.points.reach(Point.CONCLUDED, action)

    def _acted(self, task: asyncio.Task[None]) -> None:
        self._acting.discard(task)
        self._wake.set()
        if not task.cancelled() and self._failure is None:
            self._failure = task.exception()

    async def _rest(self, decision: Decision) -> None:
        """Sleep until there is a reason to look again."""
        if decision.records:
            await self.clock.sleep(0)
            return
        held = self.run.status is Status.HELD and self.run.now_at.retreat is None
        longest = self.pace.held_ms if held else self.pace.step_ms
        due = [one.left_ms for one in decision.waiting if one.left_ms is not None]
        with contextlib.suppress(TimeoutError):
            await self.clock.within(max(1, min([*due, longest])), self._wake.wait())
        self._wake.clear()

    def append(self, *bodies: r.AnyBody) -> tuple[r.Record, ...]:
        """Append to the journal and fold; the only place that does either."""
        now, epoch = self.clock.now(), self.journal.epoch
        invariants.foresee(self.state, bodies, now, epoch, self._id)
        try:
            written = self.journal.append(*bodies, run=self._id)
        except JournalFull:
            if not overrides.goes_on_without_store(self.state, bodies):
                raise
            if not self.journal.stranded:
                self._seals.seal(self.state)
            written = self.journal.append_emergency(*bodies, run=self._id)
        self.points.at(Point.WRITTEN)
        self._fold(written)
        return written

    def _fold(self, written: tuple[r.Record, ...]) -> None:
        for record in written:
            self.state = fold(self.state, record)
            if isinstance(record.body, r.Answered):
                self.points.at(Point.ANSWERED)
                self._answers.tell(record.body)
        if self.state.seq - self._snapshot_seq >= SNAPSHOT_EVERY:
            self._snapshot_seq = self.state.seq
            self.points.at(Point.SNAPSHOT_DUE)
            self.journal.save_snapshot(self.state.seq, msgspec.json.encode(self.state))
            self.points.at(Point.SNAPSHOT_KEPT)

    def _sign(self, phase_changed: bool) -> None:
        now = self.clock.now()
        due = self._signed is None or elapsed_ms(self._signed, now) >= HEAD_SIGN_MS
        if due or phase_changed:
            self.journal.sign_head()
            self.watch.store_room_bytes = self.journal.room_bytes
            self._signed = now
        self._seals.freshen(self.state)

    async def _settle(self) -> None:
        """Let actions that are under way end, so that their outcomes are written."""
        if self._acting:
            await asyncio.gather(*self._acting, return_exceptions=True)
        if self._over():
            self.points.at(Point.CLOSED)
            if self.state.open_run is None:
                with contextlib.suppress(JournalError):
                    self.journal.release_wave()
            for body in (self.samples.close(), self.gate_samples.close()):
                if body is not None:
                    self.append(body)
            self.points.at(Point.SEALED)
            self._answers.refuse_the_rest()
        self.journal.sign_head()
        self._seals.seal(self.state)

    async def ask(
        self, verb: str, person: str, args: Mapping[str, str], token: str = ""
    ) -> r.Answered:
        """A person's request, answered by the next decision; `token` is its name where
        it came through the store."""
        token = token or self.entropy.token()
        if verb == "confirm":
            return await self._confirm(token, person, args)
        answer = self._answers.ask(token)
        self._request(r.Requested(verb, person, dict(args), token))
        self._wake.set()
        return await answer

    def _request(self, asked: r.Requested) -> None:
        """Write a request down; one that makes things safe also on a full disk."""
        self.points.at(Point.ASKED)
        try:
            self.append(asked)
        except JournalFull:
            if asked.verb not in overrides.GOES_ON_WITHOUT_STORE:
                self._answers.forget(asked.token)
                raise
            self._fold(self.journal.append_emergency(asked, run=self._id))
        self.points.at(Point.REQUESTED)

    async def _confirm(
        self, token: str, person: str, args: Mapping[str, str]
    ) -> r.Answered:
        """A person's word on a step of the work goes to its worker."""
        region, step = self.run.now_at.region, args.get("step", "")
        worker = self.drivers.workers.get((region, step))
        if worker is None:
            what = f"{region} has no step {step}"
            reason = Reason("NO-SUCH-STEP", what, next="see `dayshift status`")
            return r.Answered(token, False, reason)
        self.append(r.Requested("confirm", person, dict(args)))
        await self.points.reach(Point.CONFIRMED)
        try:
            await worker.confirm(self.order(region, step), person, args)
        except (Driver, Refused) as error:
            return r.Answered(token, False, error.reason)
        self._wake.set()
        return r.Answered(token, True)


def _watch(estate: Estate, drivers: Drivers) -> Watch:
    """An empty watch that knows how far each dial's fence reaches, and how fast it is
    obeyed."""
    watch = Watch(estate)
    able = {name: one.describe() for name, one in drivers.dials.items()}
    watch.fences = {name: one.fence for name, one in able.items()}
    watch.feeding.settles_ms = {n: one.propagation_ms for n, one in able.items()}
    return watch
