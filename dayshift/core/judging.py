"""Feeds the gate: increments of the users' meters since the last look, per service.

The only place that knows the gate's interface, so that the gate can be replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dayshift.core.state import JournalState, PassState
from dayshift.core.transitions import GATED
from dayshift.gates.judge import for_services, verdict
from dayshift.gates.look import observe
from dayshift.gates.state import Block, JudgeState
from dayshift.model.estate import Estate, GatePolicy, MeterSpec, Service
from dayshift.model.evidence import Counts, MeterReading, Side, Verdict, add, since
from dayshift.model.units import Instant, elapsed_ms

Latest = Mapping[tuple[str, str, str], MeterReading]


@dataclass
class Judged:
    """One service's evidence in one attempt to return one region."""

    key: tuple[str, int]
    state: JudgeState
    last: dict[str, MeterReading] = field(default_factory=dict)
    seen: Instant | None = None


class Judging:
    """The gate's memory through one return; begins anew with each attempt."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.judged: dict[str, Judged] = {}

    def look(self, state: JournalState, latest: Latest, now: Instant) -> None:
        """Take in what has been counted since the last look."""
        here = gated(state)
        if here is None:
            self.judged.clear()
            return
        for service in self.estate.moving():
            spec = gate_meter(service)
            if spec is None or not service.shares[here.region]:
                continue
            now_read = {
                region: reading
                for region in service.shares
                if (reading := latest.get((service.name, spec.name, region)))
            }
            self._look(state, here, service, now_read, now)

    def _look(
        self,
        state: JournalState,
        here: PassState,
        service: Service,
        now_read: dict[str, MeterReading],
        now: Instant,
    ) -> None:
        key = (here.region, here.attempt)
        judged = self.judged.get(service.name)
        if judged is None or judged.key != key:
            judged = Judged(key, JudgeState(), now_read, now)
            self.judged[service.name] = judged
            return
        complete = set(now_read) == set(service.shares) == set(judged.last)
        if not complete:
            judged.last = now_read or judged.last
            return
        newer = all(now_read[r].at != judged.last[r].at for r in now_read)
        if not newer:
            return
        block = _block(here.region, judged.last, now_read)
        share, following = _shares(state, here, service)
        span = elapsed_ms(judged.last[here.region].at, now_read[here.region].at)
        policy = self._policy()
        judged.state = observe(judged.state, block, policy, span, share, following)
        judged.last = now_read
        if block.canary is not None and block.others is not None:
            judged.seen = now

    def _policy(self) -> GatePolicy:
        """Several services share one false-alarm rate: each gets its part."""
        return for_services(self.estate.policy.gate, len(self.estate.moving()))

    def verdict(
        self, state: JournalState, service: str, region: str, now: Instant
    ) -> tuple[Verdict | None, int]:
        """The gate's word on a region that is returning, and how long it was blind."""
        here = gated(state)
        judged = self.judged.get(service)
        if here is None or here.region != region or judged is None:
            return None, 0
        share, _ = _shares(state, here, self.estate.service(service))
        blind_ms = elapsed_ms(judged.seen, now) if judged.seen else 0
        fresh = blind_ms <= self.estate.policy.fresh_ms
        since_rung = here.index_since or here.since
        dwell = elapsed_ms(since_rung, now)
        given = verdict(judged.state, self._policy(), share, fresh, dwell, region)
        return given, blind_ms


def gated(state: JournalState) -> PassState | None:
    """The pass that a gate watches now, or None."""
    run = state.open_run
    if run is None or run.now_at.phase not in GATED:
        return None
    here = run.now_at
    if here.retreat is not None or (here.index < 0 and here.phase.value == "returning"):
        return None
    return here


def gate_meter(service: Service) -> MeterSpec | None:
    """The users-side meter that judges: the first that is meant to."""
    for one in service.meters:
        if one.side is Side.USERS and one.gate:
            return one
    return None


def _shares(state: JournalState, here: PassState, service: Service) -> tuple[int, int]:
    """The region's share of the service now, and after a pass."""
    ramp = state.plan.pass_of(here.region).ramp
    index = here.index if here.phase.value == "returning" else len(ramp) - 1
    following = min(index + 1, len(ramp) - 1)
    most = service.shares[here.region]
    return min(ramp[index].share_bp, most), min(ramp[following].share_bp, most)


def _block(
    region: str, before: Mapping[str, MeterReading], after: Mapping[str, MeterReading]
) -> Block:
    canary = since(before[region], after[region])
    others: Counts | None = Counts()
    for name in before:
        if name != region:
            delta = since(before[name], after[name])
            others = add(others, delta) if others and delta else None
    return Block(canary, others)
