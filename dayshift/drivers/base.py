"""The protocols that every driver fulfils, and what each is given.

A driver class has `Options`, a strict Pydantic model of its options, and is built as
`Class(name, options, context)`. All calls may raise `DriverRetry` (try later) or
`DriverFault` (a person is needed); never anything else. `set` is never believed: the
caller reads back, and `read` goes another way than `set` wherever one exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from dayshift.model.dial import Abilities, Claim, DialReading, Setting, Token
from dayshift.model.estate import Interrupt
from dayshift.model.evidence import MeterReading, ProbeReading
from dayshift.model.points import NOWHERE, Points
from dayshift.model.sight import WorkSight
from dayshift.model.units import Clock
from dayshift.options import Millis as Millis
from dayshift.options import StrictOptions as StrictOptions


class Context(msgspec.Struct, frozen=True):
    """What a driver is given: never a global.

    `base_dir` is where the estate file lies (relative paths start there); `state_dir`
    is Dayshift's own; `secret` resolves a reference at use; `redact` cleans any text;
    `points` is told where a driver of several instances is half-way.
    """

    estate: str
    base_dir: Path
    state_dir: Path
    clock: Clock
    secret: Callable[[str], str]
    redact: Callable[[str], str]
    points: Points = NOWHERE


class Dial(Protocol):
    """One control that moves traffic."""

    name: str

    def describe(self) -> Abilities: ...

    async def read(self) -> DialReading:
        """Every instance, by another way than the write."""
        ...

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        """Install `setting` and the token's claim at every instance, or raise.

        Raises `Refused` when the claim at the device is foreign, newer, or not the
        token's `expected`; when the setting has a fault; or when the token proves no
        serving region that the setting feeds.
        """
        ...

    async def hold(self, token: Token) -> None:
        """Make the present setting permanent: no expiring write is left.

        Refused like `set`, but for who serves: a hold moves no user.
        """
        ...

    async def close(self) -> None: ...


@runtime_checkable
class LeasedDial(Protocol):
    """A dial whose device goes back by itself, as its abilities say."""

    async def renew(self, claim: Claim, lease_ms: int) -> None:
        """Let the lease of the write `claim` run for `lease_ms` from now.

        Raises `Refused` when no lease of that write is armed any more.
        """
        ...


@runtime_checkable
class RunsCommands(Protocol):
    """Options of a driver that runs commands of the estate: each with its arguments."""

    def commands(self) -> tuple[tuple[str, ...], ...]: ...


@runtime_checkable
class KnowsItsSteps(Protocol):
    """A dial that can tell which settings it could hold exactly, without asking."""

    def misfit(self, setting: Setting) -> str | None:
        """Why it could not, in words that follow "the setting"; None if it can."""
        ...


@runtime_checkable
class PreparedDial(Protocol):
    """A dial whose settings live on in caches, as `caching` in its abilities says.

    Neither call moves a user; both are refused and read back like `hold`. What stands
    is `lifetime_ms` of each instance's reading, and `describe` follows it.
    """

    async def prepare(self, token: Token) -> None:
        """Let caches keep answers for a short time only, ahead of a drain."""
        ...

    async def restore(self, token: Token) -> None:
        """Let caches keep answers as long as usual, after the return."""
        ...


class Meter(Protocol):
    """One source of measurements for one service."""

    name: str

    async def read(self, region: str) -> MeterReading:
        """Cumulative counts now. Missing, stale or NaN data raises `DriverRetry`."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class HistoryMeter(Protocol):
    """A meter whose source remembers: cumulative counts as they were, step by step.

    A point at which anything was missing, stale or not a count is left out, so that a
    gap is a gap; nothing at all raises `DriverRetry`.
    """

    async def history(
        self, region: str, from_wall_ms: int, until_wall_ms: int, step_ms: int
    ) -> list[MeterReading]: ...


@runtime_checkable
class GivesGauges(Protocol):
    """Options of a meter that reads levels too: the names that a policy may bound."""

    def gauge_names(self) -> tuple[str, ...]: ...


class Probe(Protocol):
    """A request of our own, straight at one region, marked so that meters know it."""

    name: str

    async def ask(self, region: str) -> ProbeReading: ...

    async def close(self) -> None: ...


class WorkOrder(msgspec.Struct, frozen=True):
    """What a worker shall do. `key` names the step once and for all in this run."""

    key: str
    run: str
    region: str
    change: str
    step: str
    limit_ms: int
    environment: Mapping[str, str] = {}
    interrupt: Interrupt = Interrupt.BETWEEN


class Worker(Protocol):
    """Runs maintenance work that survives the controller.

    `start` with a key that was started before attaches instead of starting again.
    """

    name: str

    async def start(self, order: WorkOrder) -> None: ...

    async def poll(self, order: WorkOrder) -> WorkSight: ...

    async def check(self, order: WorkOrder) -> bool | None:
        """Is it done already? None when the step has no check."""
        ...

    async def stop(self, order: WorkOrder) -> None:
        """End it and wait; `Refused` unless the order says `interrupt: signal`."""
        ...

    async def undo(self, order: WorkOrder) -> None:
        """Reverse the step and wait for it; `DriverFault` when that failed, `Refused`
        when there is no undo or the step still runs."""
        ...

    async def confirm(
        self, order: WorkOrder, person: str, args: Mapping[str, str]
    ) -> None:
        """A person's word on a step that waits for one."""
        ...


class DutyDriver(Protocol):
    """Work that exactly one region performs."""

    name: str

    async def holders(self) -> tuple[str, ...]:
        """Every region that says it holds the duty, asked of each one."""
        ...

    async def release(self, region: str) -> None: ...

    async def take(self, region: str) -> None: ...


class BracketDriver(Protocol):
    """Opened around a pass, closed again; entering twice is entering once."""

    name: str

    async def enter(self, run: str, region: str) -> None: ...

    async def is_open(self) -> bool: ...

    async def leave(self, run: str, region: str) -> None: ...


class Page(msgspec.Struct, frozen=True):
    """One message to a person. `key` is the same for the same trouble, so that repeats
    can be told apart; `urgent` asks for an acknowledgement."""

    key: str
    run: str
    title: str
    text: str
    urgent: bool = False


class Notify(Protocol):
    """Sends pages and learns whether somebody took them."""

    name: str

    async def send(self, page: Page) -> None: ...

    async def acknowledged(self, key: str) -> str | None:
        """Who acknowledged the page, or None so far."""
        ...


def fresh_claim_reason(found: Claim | None, token: Token) -> str | None:
    """Why a write with `token` must not replace the claim found at the device.

    Holds: a claim of another estate or journal, a newer epoch, or one that is not what
    the writer last saw, refuses (invariant 3). The token's own claim passes: the same
    intent may be written again, which is how a partly applied write is completed.
    """
    if found is None:
        unclaimed = token.first or token.expected is None
        return None if unclaimed else "the claim is gone"
    mine = token.claim
    if found == mine:
        return None
    if (found.estate, found.journal) != (mine.estate, mine.journal):
        who = f", {found.holder}" if found.holder else ""
        return f"claimed by estate {found.estate}, journal {found.journal}{who}"
    if (found.epoch, found.seq) > (mine.epoch, mine.seq):
        who = f", {found.holder}" if found.holder else ""
        return (
            f"a newer claim stands there (epoch {found.epoch}, record {found.seq}{who})"
        )
    seen = token.expected
    if seen is None:
        return f"the claim is {found}, and the writer never saw it"
    if (found.epoch, found.seq) > (seen.epoch, seen.seq):
        return f"the claim is {found}, expected {seen}"
    return None


def setting_reason(setting: Setting, token: Token) -> str | None:
    """Why this token must not write `setting`: faulty, or feeding nobody proven."""
    fault = setting.fault()
    if fault:
        return fault
    fed = {
        region
        for row in setting.rows.values()
        for region, share in row.items()
        if share
    }
    if not fed & set(token.serving):
        return "feeds no region that is proven to serve"
    return None


OptionsMap = Mapping[str, Any]
