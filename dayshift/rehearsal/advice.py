"""What to change in the policy, from what the rehearsals showed, with the evidence.

Only what was seen is advised: a rule that found nothing says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from dayshift.model.plan import Plan
from dayshift.model.units import percent
from dayshift.rehearsal.play import Hold, Result
from dayshift.rehearsal.stage import spare_bp
from dayshift.rehearsal.summary import Summary
from dayshift.surfaces import words

LOOKS_FRESH = 3
OFTEN_PERMILLE = 20
"""A hold that comes in fewer rehearsals than this is no reason to change a policy."""


class Advice(msgspec.Struct, frozen=True):
    """One thing to change, and what it was learned from."""

    change: str
    because: str


Results = Sequence[Result]
Rule = Callable[[Plan, Sequence[Result], Summary], Iterator[Advice]]


def advise(
    plan: Plan, results: Sequence[Result], summary: Summary
) -> tuple[Advice, ...]:
    """Everything that the rehearsals suggest, the clearest first."""
    return tuple(one for rule in RULES for one in rule(plan, results, summary))


def _often(summary: Summary, code: str) -> int:
    count = summary.hold_codes.get(code, 0)
    return count if count * 1000 >= summary.runs * OFTEN_PERMILLE else 0


def _fresh(plan: Plan, results: Results, summary: Summary) -> Iterator[Advice]:
    fresh = plan.estate.policy.fresh_ms
    slowest = max(
        (meter.every_ms for one in plan.estate.services for meter in one.meters),
        default=0,
    )
    blind = _often(summary, "BLIND")
    if blind and slowest * LOOKS_FRESH > fresh:
        yield Advice(
            f"raise policy.fresh from {words.span(fresh)} to "
            f"{words.span(slowest * LOOKS_FRESH)}",
            f"{blind} of {summary.runs} held BLIND; a meter has new counts only every "
            f"{words.span(slowest)}, so one missed scrape is blindness",
        )
    elif blind:
        yield Advice(
            "give each service a second meter on the users' side, from another source",
            f"{blind} of {summary.runs} held BLIND for longer than policy.blind_limit "
            f"({words.span(plan.estate.policy.blind_limit_ms)})",
        )


def _absence(
    plan: Plan, results: Sequence[Result], summary: Summary
) -> Iterator[Advice]:
    limit = plan.estate.policy.absence_ms
    longest = summary.absent_p95_ms
    over = sum(1 for one in results if one.absent_ms > limit)
    if longest * 2 > limit:
        yield Advice(
            f"raise policy.absence_limit above {words.span(limit)}, or shorten the "
            "work",
            f"in one of twenty a region was away for {words.span(longest)} or more; "
            f"{over} were away longer than the limit",
        )


def _cold(plan: Plan, results: Results, summary: Summary) -> Iterator[Advice]:
    cold = [
        one
        for one in results
        if any(weather.name == "caches-cold" for weather in one.weather)
    ]
    failed = sum(1 for one in cold if _held(one, "GATE-FAILED"))
    if failed:
        yield Advice(
            "raise policy.gate.warmup above "
            f"{words.span(plan.estate.policy.gate.warmup_ms)}, if your caches are slow",
            f"{failed} of {len(cold)} runs with slow caches left a healthy region",
        )


def _held(one: Result, code: str) -> bool:
    return any(hold.code == code for hold in one.holds)


def _room(plan: Plan, results: Results, summary: Summary) -> Iterator[Advice]:
    full = _often(summary, "CAPACITY-EXCEEDED")
    over = summary.hurt.get("overload", 0)
    if full or over:
        yield Advice(
            "add capacity to the regions that stay, or run this in a quieter hour",
            f"{full} of {summary.runs} held CAPACITY-EXCEEDED and {over} users met a "
            f"full region; the fullest has {percent(max(0, spare_bp(plan)))} to spare",
        )


def _undo(plan: Plan, results: Results, summary: Summary) -> Iterator[Advice]:
    doors = sorted(
        f"{work.region}/{step.name}"
        for work in plan.change.regions
        for step in work.steps
        if not step.undo
    )
    left = sum(1 for one in results if one.ending == "left-drained")
    stuck = left + sum(1 for one in results if _left_drained(one))
    if doors and stuck:
        yield Advice(
            f"give {', '.join(doors)} an `undo`",
            f"{stuck} of {summary.runs} ended with a region left drained: a step that "
            "cannot be undone leaves no other way back",
        )


def _left_drained(one: Result) -> bool:
    return one.ending == "held" and bool(one.holds) and one.holds[-1].phase == "working"


def _nobody(
    plan: Plan, results: Sequence[Result], summary: Summary
) -> Iterator[Advice]:
    if summary.held_on_the_way and not plan.estate.notify:
        yield Advice(
            "name somebody to call under `notify`",
            f"{summary.held_on_the_way} of {summary.runs} stopped and needed a person; "
            "nobody would have been called",
        )


def _lease(plan: Plan, results: Results, summary: Summary) -> Iterator[Advice]:
    """A drain that expires before another controller leads, is drained again."""
    leased = any(dial.agents for one in plan.estate.services for dial in one.dials)
    drift = [
        one
        for one in results
        if one.lives > 1 and _phase_of(one, "DRIFT") == "draining"
    ]
    if leased and drift:
        yield Advice(
            "raise policy.lease above the time a controller needs to take over "
            f"(now {words.span(plan.estate.policy.lease_ms)})",
            f"{len(drift)} runs held DRIFT: the dials went back by themselves before "
            "the next controller led",
        )


def _phase_of(one: Result, code: str) -> str:
    found: list[Hold] = [hold for hold in one.holds if hold.code == code]
    return found[0].phase if found else ""


def _probes(
    plan: Plan, results: Sequence[Result], summary: Summary
) -> Iterator[Advice]:
    flapping = [
        one
        for one in results
        if any(weather.name == "probes-flap" for weather in one.weather)
    ]
    held = sum(1 for one in flapping if _held(one, "NOT-VALIDATED"))
    if held:
        yield Advice(
            f"lower policy.probe_streak ({plan.estate.policy.probe_streak}), or make "
            "the probes' path steadier",
            f"{held} of {len(flapping)} runs with flapping probes held NOT-VALIDATED",
        )


RULES: tuple[Rule, ...] = (
    _fresh,
    _absence,
    _room,
    _cold,
    _undo,
    _lease,
    _probes,
    _nobody,
)
