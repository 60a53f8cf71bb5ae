"""Bugs of the agent and of the leases that it keeps: guards, ledger, timer, comparison
of claims, renewals (invariants 1, 3, 4 and 6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from dayshift.agent.ledger import Entry, Lease
from dayshift.model.dial import Claim
from dayshift.model.records import ActionKind, Phase
from tests.planted import plans
from tests.planted.frame import CALM, Mutant, Patch, Storm, without_checks, wraps
from tests.planted.shares import NO_DEVICE_CHECK, NO_FAULT, leaks, no_proof

SET = ActionKind.SET_DIAL
AGENT_OBEYS: Patch = ("dayshift.agent.guards.setting_reason", lambda *args: None)
NOBODY_WARNS: Patch = ("dayshift.core.leases._fades", lambda *args: False)
DEAD_WHILE_DRAINING = (Storm("controller-killed", Phase.DRAINING, within_ms=60_000),)


def _any_claim(*args: Any) -> None:
    return None


ANY_CLAIM: tuple[Patch, ...] = (
    ("dayshift.core.guards.claims_reason", _any_claim),
    ("dayshift.agent.guards.fence_reason", _any_claim),
    ("dayshift.agent.guards.fresh_claim_reason", _any_claim),
    ("dayshift.drivers.base.fresh_claim_reason", _any_claim),
    without_checks(SET, "newest"),
    without_checks(ActionKind.HOLD_DIAL, "newest"),
)


class _Unlocked:
    """A lock that keeps nobody out."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *args: Any) -> None:
        return None


@wraps
def no_lock(former: Any) -> Any:
    """Comparison and write are two steps."""

    def init(self: Any, *args: Any) -> None:
        former(self, *args)
        self._lock = _Unlocked()

    return init


@contextmanager
def _noted_afterwards(self: Any, claim: Claim, lease: Lease | None) -> Iterator[None]:
    """The device is asked first, and the ledger is written when it has answered."""
    yield
    self._keep(Entry(claim=claim, fence=claim, lease=lease))


@contextmanager
def _lease_before_lost(self: Any, claim: Claim, lease: Lease | None) -> Iterator[None]:
    """A hold ends the lease before the device has obeyed."""
    self._keep(replace(self._entry, pending=claim, lease=lease))
    yield
    self._keep(Entry(claim=claim, fence=claim, lease=lease))


@wraps
def _half_as_long(former: Any) -> Any:
    return lambda self, now: former(replace(self, lease_ms=self.lease_ms // 2), now)


@wraps
def _nobody_left(former: Any) -> Any:
    """It goes back only while somebody is connected."""

    def left_ms(self: Lease, now: Any) -> int:
        return int(former(self, now)) or 1

    return left_ms


@wraps
def _renewal_decides(former: Any) -> Any:
    """A renewal takes what stands now for where to go back to."""

    async def renew(self: Any, claim: Claim, lease_ms: int) -> None:
        await former(self, claim, lease_ms)
        setting = (await self.dial.read()).setting
        if setting is not None:
            lease = replace(self._entry.lease, revert_to=setting)
            self._keep(replace(self._entry, lease=lease))

    return renew


@wraps
def _back_to_half(former: Any) -> Any:
    """A renewal mixes where to go back to with where it stands."""

    async def renew(self: Any, claim: Claim, lease_ms: int) -> None:
        await former(self, claim, lease_ms)
        lease = self._entry.lease
        rows = {key: _swapped(row) for key, row in lease.revert_to.rows.items()}
        back = replace(lease, revert_to=replace(lease.revert_to, rows=rows))
        self._keep(replace(self._entry, lease=back))

    return renew


def _swapped(row: dict[str, int]) -> dict[str, int]:
    """All users to the first region of the row."""
    first = min(row)
    return {name: 10_000 if name == first else 0 for name in row}


@wraps
def _asked_once(former: Any) -> Any:
    """Whether records are taken is asked at the first renewal, and never again."""

    def init(self: Any, drivers: Any, clock: Any, leads: Any) -> None:
        said: list[bool] = []

        def once() -> bool:
            if not said or not said[0]:
                said[:] = [leads()]
            return said[0]

        former(self, drivers, clock, once)

    return init


@wraps
def _only_returning(former: Any) -> Any:
    def renewals(desk: Any) -> Any:
        return former(desk) if desk.here.phase is Phase.RETURNING else ()

    return renewals


@wraps
def _not_the_second(former: Any) -> Any:
    """Renewed once for each write, not again."""

    def due(self: Any, one: Any) -> bool:
        claim, _ = self._last.get(one.dial, (None, None))
        return claim != one.claim and bool(former(self, one))

    return due


def _usual_shares(desk: Any, rung: int) -> Any:
    return desk.plan.baseline


@wraps
def _one_step_up(former: Any) -> Any:
    """A rung goes back to the next one, which nobody has proven."""

    def rung_revert(desk: Any, rung: int) -> Any:
        if rung + 1 >= len(desk.route.ramp):
            return former(desk, rung)
        return {one.dial: one.setting for one in desk.route.ramp[rung + 1].moves}

    return rung_revert


AGENTS = (
    Mutant(
        "agent-obeys-anything",
        "explicit-targets",
        "neither controller, agent nor device minds shares that do not sum to all",
        (("dayshift.core.steering.row_with", leaks), NO_FAULT, AGENT_OBEYS),
        CALM,
        plans.leased,
    ),
    Mutant(
        "agent-asks-no-proof",
        "last-server",
        "the agent takes a write that names nobody who serves",
        (
            ("dayshift.runtime.actuator._token", no_proof),
            NO_DEVICE_CHECK,
            AGENT_OBEYS,
        ),
        plan=plans.leased,
    ),
    Mutant(
        "agent-knows-no-journal",
        "fencing",
        "a second laptop's claim passes guard, interlock, agent and device",
        ANY_CLAIM,
        (Storm("second-laptop", None, 600_000),),
        plans.leased,
    ),
    Mutant(
        "ledger-afterwards",
        "dead-man",
        "the ledger learns of a write when the device has answered, not before",
        (("dayshift.agent.keeper.Keeper._let_in", _noted_afterwards),),
        (
            Storm("agent-dies-writing", None, 20_000),
            Storm("controller-killed", Phase.DRAINING, within_ms=4_000),
        ),
        plans.slow_leased,
    ),
    Mutant(
        "ledger-forgotten",
        "dead-man",
        "an agent that is started again knows nothing of what it had armed",
        (("dayshift.agent.ledger.Ledger.load", lambda self, dial: Entry()),),
        (
            Storm("agent-killed", Phase.DRAINING, 10_000, 30_000),
            Storm("controller-killed", Phase.DRAINING, within_ms=30_000),
        ),
        plans.leased_for_long,
    ),
    Mutant(
        "timer-never-ends",
        "dead-man",
        "a lease that ran out is never seen to have",
        (("dayshift.agent.ledger.Lease.left_ms", _nobody_left),),
        DEAD_WHILE_DRAINING,
        plans.leased_for_long,
    ),
    Mutant(
        "timer-too-fast",
        "dead-man",
        "a lease runs out after half of its time",
        (("dayshift.agent.ledger.Lease.left_ms", _half_as_long), NOBODY_WARNS),
        DEAD_WHILE_DRAINING,
        plans.leased_for_long,
    ),
    Mutant(
        "renewal-decides",
        "dead-man",
        "a renewal makes what stands now the place to go back to",
        (("dayshift.agent.keeper.Keeper.renew", _renewal_decides),),
        DEAD_WHILE_DRAINING,
        plans.leased_for_long,
    ),
    Mutant(
        "renewal-bends",
        "dead-man",
        "a renewal changes the shares that a dial goes back to",
        (("dayshift.agent.keeper.Keeper.renew", _back_to_half),),
        DEAD_WHILE_DRAINING,
        plans.leased_for_long,
    ),
    Mutant(
        "renewed-unwritten",
        "dead-man",
        "leases are kept alive by a controller whose journal takes nothing",
        (("dayshift.journal.journal.Journal.takes_records", lambda self: True),),
        (Storm("disk-full", Phase.DRAINING, 120_000),),
        plans.leased_for_long,
    ),
    Mutant(
        "asked-once",
        "dead-man",
        "whether the journal takes records is asked at the first renewal only",
        (("dayshift.runtime.renewals.Renewals.__init__", _asked_once),),
        (Storm("disk-full", Phase.DRAINING, 120_000, 60_000),),
        plans.leased_for_long,
    ),
    Mutant(
        "not-renewed-draining",
        "dead-man",
        "nobody renews while a region drains",
        (("dayshift.core.leases.renewals", _only_returning), NOBODY_WARNS),
        CALM,
        plans.leased_for_long,
    ),
    Mutant(
        "renewed-once",
        "dead-man",
        "a lease is renewed once, and then runs out under a living controller",
        (("dayshift.runtime.renewals.Renewals._due", _not_the_second), NOBODY_WARNS),
        CALM,
        plans.leased_for_long,
    ),
    Mutant(
        "rung-back-to-usual",
        "dead-man",
        "a return that nobody watches goes on by itself to the usual shares",
        (
            ("dayshift.core.leases.rung_revert", _usual_shares),
            without_checks(SET, "misplaced_reason"),
        ),
        plan=plans.leased,
    ),
    Mutant(
        "rung-goes-on",
        "dead-man",
        "a rung that nobody watches goes on to the next one",
        (
            ("dayshift.core.leases.rung_revert", _one_step_up),
            without_checks(SET, "misplaced_reason"),
        ),
        plan=plans.leased,
    ),
)
