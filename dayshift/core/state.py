"""What the journal amounts to: the state that a fold of all records gives.

Nothing here is remembered anywhere else; a restart folds the journal and has it again.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dayshift.errors import Reason
from dayshift.model.dial import Claim, InstanceReading, Setting
from dayshift.model.evidence import Verdict
from dayshift.model.plan import Plan
from dayshift.model.records import (
    Action,
    Approved,
    OutcomeKind,
    Phase,
    Requested,
    RunResult,
)
from dayshift.model.units import Instant


class Status(StrEnum):
    """The three states that exist at 3 a.m., and the end."""

    RUNNING = "running"
    PAUSED = "paused"
    HELD = "held"
    CLOSED = "closed"


class Asked(msgspec.Struct, frozen=True):
    """One wanted action and what became of it; `result` is None while it is pending.

    `by` is the controller that asked; what it started lies at `jobs`.
    """

    action: Action
    epoch: int
    seq: int
    at: Instant
    attempts: int = 1
    result: OutcomeKind | None = None
    reason: Reason | None = None
    ended: Instant | None = None
    by: str = ""
    jobs: str = ""


class Retreat(msgspec.Struct, frozen=True):
    """Where a pass is going back to: `baseline`, `zero`, or a rung; and why."""

    to: str
    rung: int
    number: int


class PassState(msgspec.Struct, frozen=True):
    """One region's pass.

    `index` is the last drain stage or rung that was reached and read back, -1 before
    the first; `entered` when each phase was entered first; `trip_base` the cumulative
    count of every meter when the region was proven empty; `failed` how often a step
    failed; `kept_out` whether it was evacuated with broken glass meanwhile: then this
    pass does not bring it back.
    """

    region: str
    since: Instant
    phase: Phase = Phase.SERVING
    index: int = -1
    index_since: Instant | None = None
    entered: dict[str, Instant] = {}
    share_bp: int | None = None
    certified: bool = False
    trip_base: dict[str, int] = {}
    tripped: int = 0
    started: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    failed: dict[str, int] = {}
    retreat: Retreat | None = None
    retreats: int = 0
    attempt: int = 0
    verdicts: dict[str, Verdict] = {}
    kept_out: bool = False


class Leased(msgspec.Struct, frozen=True):
    """A confirmed write that goes back to `revert_to` unless it is renewed."""

    claim: Claim
    revert_to: Setting
    lease_ms: int


class Hold(msgspec.Struct, frozen=True):
    """Why the run stopped by itself, and since when."""

    reason: Reason
    region: str
    at: Instant


class RunState(msgspec.Struct, frozen=True):
    """One execution of one plan.

    `evacuating` is set once somebody asked to take the region in flight out at once.
    `asked` holds every action by its key; `accepted` the guard codes that a person
    accepted; `round` counts retries and is part of the keys of repeated actions.
    """

    run: str
    digest: str
    person: str
    opened: Instant
    passes: tuple[PassState, ...]
    status: Status = Status.RUNNING
    current: int = 0
    hold: Hold | None = None
    paused_by: str = ""
    aborting: bool = False
    hurry: bool = False
    evacuating: bool = False
    result: RunResult | None = None
    closed: Instant | None = None
    why: str = ""
    asked: dict[str, Asked] = {}
    round: int = 0
    brackets: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    on_duty: str = ""
    requests: dict[str, Requested] = {}

    @property
    def now_at(self) -> PassState:
        """The pass that is in flight."""
        return self.passes[self.current]

    def left_drained(self, before: tuple[str, ...]) -> tuple[str, ...]:
        """Who is out once this run is closed; `before` are those that were already.

        A pass that began to drain and serves again has brought its region back.
        """
        out = set(before)
        for one in self.passes:
            went_back = one.phase is Phase.SERVING and Phase.DRAINING in one.entered
            if one.phase is Phase.LEFT_DRAINED:
                out.add(one.region)
            elif one.phase is Phase.DONE or went_back:
                out.discard(one.region)
        return tuple(sorted(out))


class Standby(msgspec.Struct, frozen=True):
    """Another controller: whether it follows, and since when."""

    alive: bool
    since: Instant


class Glass(msgspec.Struct, frozen=True):
    """Broken glass, not merged yet: since which epoch, where, by whom and why."""

    first: int
    machine: str
    person: str
    reason: str
    at: Instant


class JournalState(msgspec.Struct, frozen=True):
    """Everything that outlives a run, and the run itself.

    `confirmed` and `claims` are what was last read back at each dial; `confirmed_at`
    when, so that an older reading is never taken for drift; `tried` what was written
    since and never read back, so that our own lost write is not taken for drift either.
    `leases` are the confirmed writes that expire. `led` is when the present controller
    began, `controller` its name in the estate, and `standby` the others that would take
    over. `glass` is set while somebody acts without the store, `glasses` are all epochs
    under which somebody did, and `parked` the runs that this overtook: they wait, held,
    for the next regular controller.
    """

    journal: str = ""
    estate: str = ""
    epoch: int = 0
    holder: str = ""
    controller: str = ""
    jobs: str = ""
    led: Instant | None = None
    standby: dict[str, Standby] = {}
    seq: int = 0
    plans: dict[str, Plan] = {}
    approvals: dict[str, tuple[Approved, ...]] = {}
    confirmed: dict[str, Setting] = {}
    confirmed_at: dict[str, Instant] = {}
    claims: dict[str, Claim] = {}
    tried: dict[str, tuple[Setting, ...]] = {}
    leases: dict[str, Leased] = {}
    left_drained: tuple[str, ...] = ()
    run: RunState | None = None
    glass: Glass | None = None
    glasses: tuple[int, ...] = ()
    parked: tuple[RunState, ...] = ()

    @property
    def plan(self) -> Plan:
        """The plan of the present run; only called while there is one."""
        assert self.run is not None
        return self.plans[self.run.digest]

    def expected(self, dial: str) -> tuple[Setting, ...]:
        """What the dial may show: what was confirmed, and what was tried since."""
        usual = self.plan.baseline[dial]
        return (self.confirmed.get(dial, usual), *self.tried.get(dial, ()))

    def allows(self, dial: str, one: InstanceReading) -> bool:
        """True when the instance shows what is expected, or went back to where its
        lease told it to and says so (invariant 16)."""
        return one.setting in self.expected(dial) or self.went_back(dial, one)

    def went_back(self, dial: str, one: InstanceReading) -> bool:
        """True when the device itself did so, at the end of a lease."""
        leased, claim = self.leases.get(dial), one.claim
        marked = claim is not None and claim.reverted
        return leased is not None and marked and one.setting == leased.revert_to

    @property
    def open_run(self) -> RunState | None:
        """The run in flight, or None."""
        if self.run is None or self.run.status is Status.CLOSED:
            return None
        return self.run
