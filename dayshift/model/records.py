"""What the journal holds: record bodies, each with its kind and version.

A body is integers, strings, booleans and nests of them; never a float, never a secret,
never personal data (those lie in the side log, addressed by hash).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from dayshift.errors import Reason
from dayshift.model.dial import Claim, Setting
from dayshift.model.evidence import Verdict
from dayshift.model.plan import Plan
from dayshift.model.units import Instant


class Phase(StrEnum):
    """Where a region's pass is; `core.transitions` holds which may follow which."""

    SERVING = "serving"
    PREFLIGHT = "preflight"
    DRAINING = "draining"
    HANDING_OVER = "handing-over"
    EMPTYING = "emptying"
    EMPTY = "empty"
    WORKING = "working"
    CATCHING_UP = "catching-up"
    WARMING = "warming"
    VALIDATING = "validating"
    RETURNING = "returning"
    SOAKING = "soaking"
    DONE = "done"
    DONE_PARTIAL = "done-partial"
    LEFT_DRAINED = "left-drained"


class RunResult(StrEnum):
    DONE = "done"
    ABORTED = "aborted"
    LEFT_DRAINED = "left-drained"
    EVACUATED = "evacuated"
    REFUSED = "refused"


class ActionKind(StrEnum):
    SET_DIAL = "set-dial"
    HOLD_DIAL = "hold-dial"
    ENTER_BRACKET = "enter-bracket"
    LEAVE_BRACKET = "leave-bracket"
    RELEASE_DUTY = "release-duty"
    TAKE_DUTY = "take-duty"
    START_WORK = "start-work"
    STOP_WORK = "stop-work"
    UNDO_WORK = "undo-work"
    NOTIFY = "notify"


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the core asks of the shell. `key` is unique within the run and the same
    after a crash, so that an unfinished action is recognised and observed, never
    repeated blindly. `target` is a dial, bracket, duty, work step or notify channel.
    `lifetime_ms` is how long caches may keep the answers of a dial that is held; 0: as
    it is."""

    kind: ActionKind
    key: str
    target: str
    region: str = ""
    setting: Setting | None = None
    revert_to: Setting | None = None
    lease_ms: int = 0
    lifetime_ms: int = 0
    service: str = ""
    text: str = ""
    override: str = ""


class Body(msgspec.Struct, frozen=True, tag_field="kind", omit_defaults=True):
    """Base of all record bodies; the tag is the record's kind."""


class Genesis(Body, frozen=True, tag="genesis"):
    """First record: which journal this is, of which estate."""

    journal: str
    estate: str
    format: int = 1


class Lease(Body, frozen=True, tag="lease"):
    """A new epoch begins: this process is the one controller from here on.

    `controller` is its name in the estate, if it has one there; `jobs` names the place
    where the steps that it begins leave their records.
    """

    epoch: int
    holder: str
    controller: str = ""
    jobs: str = ""


class StoodBy(Body, frozen=True, tag="stood-by"):
    """Another controller showed itself, ready to take over, or fell silent."""

    controller: str
    alive: bool


class Planned(Body, frozen=True, tag="planned"):
    """A plan, whole."""

    plan: Plan


class Approved(Body, frozen=True, tag="approved"):
    digest: str
    person: str
    reason: str = ""
    expires_wall_ms: int = 0


class RunOpened(Body, frozen=True, tag="run-opened"):
    digest: str
    person: str


class RunClosed(Body, frozen=True, tag="run-closed"):
    result: RunResult
    why: str = ""


class Observed(Body, frozen=True, tag="observed"):
    """The integer inputs that the next records of this batch were decided on."""

    sight: dict[str, Any]


class Phased(Body, frozen=True, tag="phased"):
    region: str
    old: Phase
    new: Phase
    why: str = ""


class Staged(Body, frozen=True, tag="staged"):
    """A drain stage or a rung was reached, read back."""

    region: str
    index: int
    share_bp: int


class Certified(Body, frozen=True, tag="certified"):
    """The region is proven empty: by which meters, for how long, with which residue."""

    region: str
    quiet_ms: int
    meters: tuple[str, ...]
    residue: tuple[str, ...] = ()
    base: dict[str, int] = {}


class Tripped(Body, frozen=True, tag="tripped"):
    """Traffic reached a region that was proven empty."""

    region: str
    requests: int
    detail: str = ""


class Judged(Body, frozen=True, tag="judged"):
    region: str
    service: str
    rung: int
    verdict: Verdict


class Retreating(Body, frozen=True, tag="retreating"):
    """The pass goes back to safe shares: `baseline`, `zero`, or an earlier rung."""

    region: str
    to: str
    rung: int = -1
    why: str = ""


class Adopted(Body, frozen=True, tag="adopted"):
    """A person made what a dial shows the expected setting."""

    dial: str
    setting: Setting
    claim: Claim | None = None


class Reverted(Body, frozen=True, tag="reverted"):
    """A device went back by itself when the lease of a write ran out."""

    dial: str
    setting: Setting
    claim: Claim


class Intent(Body, frozen=True, tag="intent"):
    """Durable before the action happens."""

    action: Action


class OutcomeKind(StrEnum):
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    RETRY = "retry"


class Outcome(Body, frozen=True, tag="outcome"):
    """What the read-back showed; `output` addresses the side log by hash."""

    key: str
    result: OutcomeKind
    detail: str = ""
    reason: Reason | None = None
    claim: Claim | None = None
    output: str = ""


class Worked(Body, frozen=True, tag="worked"):
    """A work step ended, as its supervisor wrote it down."""

    region: str
    step: str
    exit_code: int
    detail: str = ""
    output: str = ""


class Held(Body, frozen=True, tag="held"):
    """The run stopped by itself and needs a person."""

    reason: Reason
    region: str = ""


class Requested(Body, frozen=True, tag="requested"):
    """What a person asked for, as it reached the one writer."""

    verb: str
    person: str
    args: dict[str, str] = {}
    token: str = ""


class Answered(Body, frozen=True, tag="answered"):
    """What became of a request."""

    token: str
    accepted: bool
    reason: Reason | None = None


class ClockJumped(Body, frozen=True, tag="clock-jumped"):
    jump_ms: int


class Merged(Body, frozen=True, tag="merged"):
    """An emergency journal was folded back in. It went on from record `after` and ended
    at `head`; its entries stand before this where nothing was written meanwhile."""

    entries: int
    head: str
    after: int = 0


class GlassBroken(Body, frozen=True, tag="glass-broken"):
    """A person acts without the store, from a bundle sealed at record `seq`.

    A break-glass epoch begins; a run that was open is parked until it is merged, but
    for one of an earlier break-glass that `goes_on`.
    """

    epoch: int
    machine: str
    person: str
    reason: str
    seq: int
    sealed_wall_ms: int
    goes_on: bool = False


class GlassAdopted(Body, frozen=True, tag="glass-adopted"):
    """A person gave up the entries of a machine that broke the glass under `epoch`:
    what the dials show counts, and these regions are out."""

    epoch: int
    person: str
    reason: str
    drained: tuple[str, ...] = ()


class SideLog(Body, frozen=True, tag="side-log"):
    """A file of the side log was closed: its name, length and hash."""

    name: str
    length: int
    sha256: str


AnyBody = (
    Genesis
    | Lease
    | StoodBy
    | Planned
    | Approved
    | RunOpened
    | RunClosed
    | Observed
    | Phased
    | Staged
    | Certified
    | Tripped
    | Judged
    | Retreating
    | Adopted
    | Reverted
    | Intent
    | Outcome
    | Worked
    | Held
    | Requested
    | Answered
    | ClockJumped
    | Merged
    | GlassBroken
    | GlassAdopted
    | SideLog
)


class Record(msgspec.Struct, frozen=True):
    """One journal entry. `prev` is the head before it; `hash` addresses its bytes."""

    seq: int
    prev: str
    at: Instant
    epoch: int
    run: str
    body: AnyBody
    v: int = 1
    min_reader: int = 1
    hash: str = ""
