"""Plays the core alone: decide, fold and interlock over a world made of sights.

No shell, no drivers, no clock: the quickest way to ask what the core does next. The
world obeys every action at once unless a test bends it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from dayshift.core import interlock, invariants, planner
from dayshift.core.decide import decide
from dayshift.core.decision import Decision, Renewal
from dayshift.core.fold import fold
from dayshift.core.state import JournalState, PassState, RunState, Status
from dayshift.core.steering import served
from dayshift.model import records as r
from dayshift.model.dial import (
    Caching,
    Claim,
    DialKind,
    DialReading,
    InstanceReading,
    Setting,
)
from dayshift.model.estate import (
    Bracket,
    Change,
    DialSpec,
    DriverRef,
    Duty,
    Estate,
    GatePolicy,
    MeterSpec,
    Policy,
    ProbeSpec,
    Region,
    RegionWork,
    ResidueClass,
    Service,
    WorkStep,
)
from dayshift.model.evidence import Side, Verdict, VerdictKind
from dayshift.model.plan import Plan, Verb
from dayshift.model.sight import (
    BracketSight,
    DutySight,
    MeterSight,
    PlaceSight,
    ProbeSight,
    Sight,
    WorkSight,
    WorkStatus,
)
from dayshift.model.units import Instant

REF = DriverRef("test")
PASSING = Verdict(VerdictKind.PASS, "fine")


def estate(regions: tuple[str, ...] = ("fra", "ber"), **policy: Any) -> Estate:
    """One service over `regions` with equal shares behind one split."""
    share, rest = divmod(10_000, len(regions))
    shares = {name: share + (rest if name == regions[0] else 0) for name in regions}
    service = Service(
        "shop",
        shares,
        dict.fromkeys(regions, 900),
        (DialSpec("entry", DialKind.SPLIT, REF),),
        (
            MeterSpec("entry", Side.USERS, REF, regions),
            MeterSpec("edge", Side.REGION, REF, regions, gate=False),
        ),
        (ProbeSpec("shop", REF, regions),),
        (ResidueClass("probe", "expected", "dayshift", 600),),  # type: ignore[arg-type]
    )
    chosen = {
        "drain_dwell_ms": 0,
        "soak_ms": 1_000,
        "quiet_ms": 1_000,
        "gate": GatePolicy(trusted=True, blast_bp=100),
        **policy,
    }
    return Estate(
        "demo",
        tuple(Region(name) for name in regions),
        (service,),
        duties=(Duty("nightly", REF, regions),),
        brackets=(Bracket("silence", REF),),
        policy=Policy(**chosen),
    )


def change(*regions: str, undo: bool = True, **step: Any) -> Change:
    """One step `upgrade` in each region."""
    steps = (WorkStep("upgrade", REF, undo=undo, **step),)
    works = tuple(RegionWork(name, steps, "2") for name in regions or ("fra", "ber"))
    return Change("shop-2", "a test", works)


class Play:
    """State and world side by side. `bend` may change any sight before it is used."""

    def __init__(
        self,
        the_estate: Estate | None = None,
        the_change: Change | None = None,
        verb: Verb = Verb.MAINTAIN,
    ) -> None:
        self.plan: Plan = planner.make(
            the_estate or estate(), the_change or change(), verb
        )
        self.estate = self.plan.estate
        self.ms = 1_000_000
        self.seq = 0
        self.epoch = 1
        self.records: list[r.Record] = []
        self.state = JournalState()
        self.dials: dict[str, Setting] = dict(self.plan.baseline)
        self.claims: dict[str, Claim] = {}
        self.holders = {d.name: (d.regions[0],) for d in self.estate.duties}
        self.open: set[str] = set()
        self.works: dict[str, WorkSight] = {}
        self.versions = dict.fromkeys(self.estate.region_names(), "1")
        self.started: list[str] = []
        self.refused: list[r.Action] = []
        self.leased = False
        """True: the dials go back by themselves when nobody renews."""
        self.armed: dict[str, tuple[int, Setting]] = {}
        self.caching: dict[str, Caching] = {}
        self.lifetimes: dict[str, int] = {}
        """For how long caches keep the answers of dials that have `caching`."""
        self.renewing: Callable[[str], bool] = lambda dial: True
        self.actions: list[r.Action] = []
        self.bend: Callable[[Sight], Sight] = lambda sight: sight
        self.obey: Callable[[r.Action], r.OutcomeKind] = lambda _: r.OutcomeKind.DONE
        self.verdict: Callable[[str], Verdict] = lambda region: PASSING
        self.append(r.Genesis("j", "demo"), r.Lease(1, "test"), r.Planned(self.plan))
        self.append(r.RunOpened(self.plan.digest, "ada"))

    @property
    def run(self) -> RunState:
        assert self.state.run is not None
        return self.state.run

    @property
    def here(self) -> PassState:
        return self.run.now_at

    def now(self) -> Instant:
        return Instant(self.ms, self.ms, "boot")

    def append(self, *bodies: r.AnyBody) -> list[r.Record]:
        written = []
        for body in bodies:
            self.seq += 1
            record = r.Record(self.seq, "", self.now(), self.epoch, "run", body)
            data = msgspec.json.encode(record)
            record = msgspec.json.decode(data, type=r.Record)
            self.state = fold(self.state, record)
            self.records.append(record)
            written.append(record)
        assert not invariants.violations(self.state), invariants.violations(self.state)
        return written

    def sight(self) -> Sight:
        return self.bend(
            Sight(
                at=self.now(),
                dials={name: self._reading(name) for name in self.dials},
                places=tuple(
                    self._place(service, region)
                    for service in self.estate.services
                    for region in service.shares
                ),
                works={**self._absent(), **self.works},
                duties={
                    name: DutySight(name, held, at=self.now())
                    for name, held in self.holders.items()
                },
                lease_left_ms={
                    dial: max(0, until - self.ms)
                    for dial, (until, _) in self.armed.items()
                },
                caching=self.caching,
                settles_ms=dict(self.lifetimes),
                brackets={
                    b.name: BracketSight(b.name, b.name in self.open)
                    for b in self.estate.brackets
                },
            )
        )

    def _absent(self) -> dict[str, WorkSight]:
        """Steps that were asked for and of which no supervisor knows."""
        return {
            one.action.text: WorkSight(one.action.text, WorkStatus.ABSENT)
            for one in self.run.asked.values()
            if one.action.kind is r.ActionKind.START_WORK
        }

    def _reading(self, dial: str) -> DialReading:
        self._expire(dial)
        until, _ = self.armed.get(dial, (None, None))
        left = None if until is None else until - self.ms
        one = InstanceReading(
            "a",
            self.dials[dial],
            self.claims.get(dial),
            expires_ms=left,
            lifetime_ms=self.lifetimes.get(dial),
        )
        return DialReading(dial, self.now(), (one,))

    def _expire(self, dial: str) -> None:
        until, back = self.armed.get(dial, (self.ms + 1, None))
        if back is not None and until <= self.ms:
            del self.armed[dial]
            self.dials[dial] = back
            self.claims[dial] = replace(self.claims[dial], reverted=True)

    def _renew(self, wanted: tuple[Renewal, ...]) -> None:
        for one in wanted:
            if one.dial in self.armed and self.renewing(one.dial):
                assert self.claims[one.dial] == one.claim
                _, back = self.armed[one.dial]
                self.armed[one.dial] = (self.ms + one.lease_ms, back)

    def _place(self, service: Service, region: str) -> PlaceSight:
        row = served(service, self.dials) or {}
        mrps = 400_000 * row.get(region, 0) // 10_000
        quiet = 0 if mrps else 60_000
        meters = tuple(
            MeterSight(
                spec.name, spec.side, 10, True, quiet, 1 if mrps else 0, mrps=mrps
            )
            for spec in service.meters
        )
        probe = ProbeSight("shop", 9, 0, 10, self.versions[region])
        judged = self.verdict(region) if region == self.here.region else None
        return PlaceSight(service.name, region, meters, (probe,), judged)

    def step(self, ms: int = 200) -> Decision:
        """One turn of the loop, then `ms` pass."""
        sight = self.sight()
        decision = decide(self.state, sight)
        self.append(*decision.records)
        for action in decision.actions:
            self.act(action, sight)
        self._renew(decision.renewals)
        self.ms += ms
        return decision

    def act(self, action: r.Action, sight: Sight) -> None:
        intent = self.append(r.Intent(action))[0]
        self.actions.append(action)
        reason = interlock.reason(self.state, sight, action)
        if reason is not None:
            self.refused.append(action)
            refused = r.OutcomeKind.REFUSED
            self.append(r.Outcome(action.key, refused, reason.what, reason))
            return
        kind = self.obey(action)
        claim = Claim("demo", "j", self.epoch, intent.seq)
        if kind is r.OutcomeKind.DONE:
            self._apply(action, claim)
        self.append(r.Outcome(action.key, kind, claim=claim))

    def _apply(self, action: r.Action, claim: Claim) -> None:
        kind = r.ActionKind
        match action.kind:
            case kind.SET_DIAL | kind.HOLD_DIAL:
                assert action.setting is not None
                self.dials[action.target] = action.setting
                self.claims[action.target] = claim
                if action.lifetime_ms:
                    self.lifetimes[action.target] = action.lifetime_ms
                self.armed.pop(action.target, None)
                if self.leased and action.revert_to and action.lease_ms:
                    until = self.ms + action.lease_ms
                    self.armed[action.target] = (until, action.revert_to)
            case kind.RELEASE_DUTY:
                held = self.holders[action.target]
                self.holders[action.target] = tuple(
                    name for name in held if name != action.region
                )
            case kind.TAKE_DUTY:
                self.holders[action.target] += (action.region,)
            case kind.ENTER_BRACKET:
                self.open.add(action.target)
            case kind.LEAVE_BRACKET:
                self.open.discard(action.target)
            case kind.START_WORK:
                self.started.append(action.text)
                done = WorkSight(action.text, WorkStatus.DONE)
                self.works.setdefault(action.text, done)
                self.versions[action.region] = "2"
            case kind.UNDO_WORK:
                self.versions[action.region] = "1"

    def away(self, ms: int) -> None:
        """Nobody leads for so long; then a new controller does."""
        self.ms += ms
        for dial in self.dials:
            self._expire(dial)
        self.crash()

    def crash(self) -> None:
        """The controller dies and a new one leads: only the journal is left."""
        self.epoch += 1
        self.append(r.Lease(self.epoch, "test"))

    def ask(self, verb: str, person: str = "eve", **args: str) -> r.Answered:
        """A request, answered by the next turn."""
        token = f"t{self.seq}"
        self.append(r.Requested(verb, person, args, token))
        before = len(self.records)
        self.step()
        for record in self.records[before:]:
            if isinstance(record.body, r.Answered) and record.body.token == token:
                return record.body
        raise AssertionError("the request was not answered")

    def until(self, test: Callable[[Play], bool], turns: int = 2_000) -> Play:
        for _ in range(turns):
            if test(self):
                return self
            self.step()
        waiting = decide(self.state, self.sight()).waiting
        raise AssertionError(
            f"never came: {self.run.status} {self.here.region} {self.here.phase} "
            f"hold={self.run.hold} waiting={waiting}"
        )

    def until_phase(self, phase: r.Phase, region: str = "fra") -> Play:
        return self.until(
            lambda play: play.here.phase is phase and play.here.region == region
        )

    def until_closed(self) -> Play:
        return self.until(lambda play: play.run.status is Status.CLOSED)

    def until_held(self) -> Play:
        return self.until(
            lambda play: play.run.status is Status.HELD and play.here.retreat is None
        )

    def phases(self, region: str) -> list[str]:
        return [
            one.body.new.value
            for one in self.records
            if isinstance(one.body, r.Phased) and one.body.region == region
        ]


__all__ = ["Play", "change", "estate", "replace"]
