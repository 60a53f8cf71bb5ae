"""Bugs about what is believed: empty, seen, in time, done (invariants 7, 8, 14, and how
a run ends)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dayshift.core import coming_back, leases
from dayshift.core.desk import Desk
from dayshift.drivers.base import WorkOrder
from dayshift.errors import Driver
from dayshift.model.evidence import Side
from dayshift.model.records import ActionKind, Phase, Staged
from dayshift.model.sight import WorkStatus
from dayshift.model.units import elapsed_ms
from tests.planted import plans
from tests.planted.frame import Mutant, Patch, Storm, without_checks, wraps

SET = ActionKind.SET_DIAL
ABORTED_AT_WORK = (Storm("person-aborts", Phase.WORKING, within_ms=1_500),)
FAILED_WORK = (Storm("work-fails", Phase.EMPTYING, 900_000, 10),)


def in_phase(phase: Phase, handler: Any) -> Patch:
    """Another handler for one phase; it is given the one that stood there."""

    @wraps
    def other(former: Any) -> Any:
        old = former[phase]
        return {**former, phase: lambda desk: handler(desk, old)}

    return "dayshift.core.decide.HANDLERS", other


@wraps
def _one_side(former: Any) -> Any:
    """Only one side is asked whether a region is empty, and only its meter counts."""

    def gaps(service: Any, place: Any, side: Side, policy: Any) -> list[str]:
        asked: list[str] = former(service, place, side, policy)
        return asked if side is Side.USERS else []

    return gaps


@wraps
def _users_side(former: Any) -> Any:
    def counts(sight: Any, estate: Any, region: str) -> dict[str, int]:
        every: dict[str, int] = former(sight, estate, region)
        return {name: n for name, n in every.items() if name.endswith("-entry")}

    return counts


@wraps
def _always_quiet(former: Any) -> Any:
    """Users do not break the silence."""

    def take(self: Any, reading: Any, fresh_ms: int) -> None:
        since = self.quiet_since
        former(self, reading, fresh_ms)
        self.quiet_since = since or self.quiet_since

    return take


@wraps
def _straight_back(former: Any) -> Any:
    """An abort gives the region its users back, whatever goes on there."""

    def abort(desk: Desk) -> None:
        if desk.here.phase is Phase.WORKING:
            desk.retreat("baseline", "abort")
        else:
            former(desk)

    return abort


def not_a_fail(desk: Desk, rung: int) -> bool:
    """What is not a fail is a pass."""
    failed = coming_back._leave_if_failed(desk, rung)
    return failed or coming_back._waits_for_looks(desk)


def two_at_a_time(desk: Desk, former: Any) -> None:
    """Every second rung is left out."""
    here, rungs = desk.here, desk.route.ramp
    if here.index >= 0 and coming_back._judge(desk, here.index):
        return
    if here.index == len(rungs) - 1:
        desk.phase(Phase.SOAKING)
        return
    target = min(here.index + 2, len(rungs) - 1)
    key = f"rung/{here.attempt}/{target}"
    if here.index >= 0 and not desk.was_asked(key):
        coming_back._note_pass(desk, here.index)
    if desk.take(rungs[target], key, leases.rung_revert(desk, target)):
        desk.records.append(Staged(desk.region, target, rungs[target].share_bp))


def _since_the_phase(here: Any, now: Any) -> int:
    """Absence counted from the last turn, not from when the users left."""
    return elapsed_ms(here.since, now)


@wraps
def _limit_is_the_steps(former: Any) -> Any:
    """Each step has the whole absence limit for itself."""

    def reason(desk: Desk, step: Any) -> bool:
        if step.limit_ms <= desk.policy.absence_ms:
            return False
        return bool(former(desk, step))

    return reason


@wraps
def _short_ramp(former: Any) -> Any:
    """The way back ends one rung too early."""

    def stages(*args: Any) -> Any:
        rungs = former(*args)
        return rungs[:-1] if len(rungs) > 1 else rungs

    return stages


@wraps
def exit_code_ignored(former: Any) -> Any:
    """A step that ended is a step that is done."""

    async def work(self: Any, region: str, step: str, key: str) -> None:
        await former(self, region, step, key)
        seen = self.watch.works.get(key)
        if seen is not None and seen.status is WorkStatus.FAILED:
            self.watch.works[key] = replace(seen, status=WorkStatus.DONE, exit_code=0)

    return work


@wraps
def lost_at_once(former: Any) -> Any:
    """A step whose machine does not answer is a step that is lost."""

    async def work(self: Any, region: str, step: str, key: str) -> None:
        await former(self, region, step, key)
        order: WorkOrder = self.order(region, step)
        try:
            asked = self.drivers.workers[region, step].poll(order)
            await self.clock.within(10_000, asked)
        except (Driver, TimeoutError):
            seen = self.watch.works.get(key)
            if seen is not None and seen.status is WorkStatus.RUNNING:
                self.watch.works[key] = replace(seen, status=WorkStatus.LOST)

    return work


PROOFS = (
    Mutant(
        "empty-by-decree",
        "proven-empty",
        "a drained region counts as empty without a look",
        (("dayshift.core.proof.empty_gaps", lambda *args: ()),),
    ),
    Mutant(
        "one-side-is-enough",
        "proven-empty",
        "the meter at the region is not asked whether it is empty",
        (
            ("dayshift.core.proof._side_gaps", _one_side),
            ("dayshift.core.proof.meter_counts", _users_side),
        ),
    ),
    Mutant(
        "always-quiet",
        "proven-empty",
        "users do not break the quiet time",
        (("dayshift.core.tracks.MeterTrack.take", _always_quiet),),
    ),
    Mutant(
        "straight-back",
        "proven-empty",
        "an abort sends users to a region whose work is under way",
        (
            ("dayshift.core.decide._abort", _straight_back),
            without_checks(SET, "_kept_out"),
        ),
        ABORTED_AT_WORK,
    ),
    Mutant(
        "gate-not-asked",
        "blind-is-not-green",
        "the next rung is taken without the gate's word",
        (("dayshift.core.coming_back._judge", lambda desk, rung: False),),
    ),
    Mutant(
        "not-a-fail",
        "blind-is-not-green",
        "a verdict that is no fail counts as a pass",
        (("dayshift.core.coming_back._judge", not_a_fail),),
    ),
    Mutant(
        "two-rungs-at-a-time",
        "blind-is-not-green",
        "every second rung is left out",
        (in_phase(Phase.RETURNING, two_at_a_time),),
    ),
    Mutant(
        "absence-not-asked",
        "reversible-first",
        "a step begins that may outlast the absence limit",
        (("dayshift.core.working._absence_reason", lambda desk, step: False),),
        plan=plans.close_to_limit,
    ),
    Mutant(
        "absence-from-the-phase",
        "reversible-first",
        "absence is counted from the last phase, not from when the users left",
        (("dayshift.core.times.absent_ms", _since_the_phase),),
        plan=plans.close_to_limit,
    ),
    Mutant(
        "limit-for-each-step",
        "reversible-first",
        "each step has the whole absence limit for itself",
        (("dayshift.core.working._absence_reason", _limit_is_the_steps),),
        (Storm("requests-stuck", Phase.DRAINING, 60_000, 500),),
        plans.close_to_limit,
    ),
    Mutant(
        "nobody-called",
        "reversible-first",
        "half of the absence limit passes and nobody is called",
        (("dayshift.core.alarms.sound", lambda desk: None),),
        plan=plans.close_to_limit,
    ),
    Mutant(
        "bracket-left-open",
        "ending",
        "a run ends and what it opened stays open",
        (("dayshift.core.going_out.leave_brackets", lambda desk: True),),
    ),
    Mutant(
        "ramp-too-short",
        "ending",
        "a region is done without its whole share",
        (("dayshift.core.steering.ramp_stages", _short_ramp),),
    ),
    Mutant(
        "exit-code-ignored",
        "ending",
        "a step that failed counts as done",
        (
            ("dayshift.runtime.observer.Observer.work", exit_code_ignored),
            ("dayshift.core.coming_back._expected_version", lambda desk: ""),
        ),
        FAILED_WORK,
    ),
)
