"""Feeds the gate: increments of the users' meters since the last look, per stream.

The only place that knows the gate's interface, so that the gate can be replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dayshift import gates
from dayshift.core.deciding import deciding, look_ms
from dayshift.core.state import JournalState, PassState
from dayshift.core.transitions import GATED
from dayshift.model.estate import Estate, MeterSpec, Service
from dayshift.model.evidence import MeterReading, Verdict, VerdictKind, gauges_of, since
from dayshift.model.units import Instant, elapsed_ms

Latest = Mapping[tuple[str, str, str], MeterReading]
Readings = dict[str, MeterReading]
"""By region."""
WORST_FIRST = tuple(VerdictKind(kind) for kind in ("fail", "blind", "hold", "pass"))
LATE_LOOKS, JUMP_MS = 2, 1_000
LATE_BP = 9_000
"""A look may come a little before its time: nine tenths of it."""


@dataclass
class Seen:
    """One stream's last look, and when it last could be counted."""

    last: Readings
    at: Instant


class Judging:
    """The gate's memory through one return; begins anew with each attempt."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self._key: tuple[str, int] | None = None
        self._judge: gates.Judge | None = None
        self._seen: dict[str, Seen] = {}
        self._deciding = {one.name: deciding(one) for one in estate.moving()}

    def look(self, state: JournalState, latest: Latest, now: Instant) -> None:
        """Take in what has been counted since the last look."""
        here = gated(state)
        if here is None:
            self._key, self._judge = None, None
            self._seen.clear()
            return
        if self._key != (here.region, here.attempt):
            self._begin(state, here)
        gauges = gauges_of(latest, here.region)
        for service in self.estate.moving():
            if service.shares[here.region]:
                for stream, spec in self._deciding[service.name].items():
                    self._look(state, service, stream, spec, latest, gauges, now)

    def _begin(self, state: JournalState, here: PassState) -> None:
        streams = sum(
            len(self._deciding[service.name])
            for service in self.estate.moving()
            if service.shares[here.region]
        )
        self._key = (here.region, here.attempt)
        self._seen.clear()
        self._judge = gates.Judge(
            self.estate.policy.gate,
            self.estate.calibrations,
            here.region,
            [rung.share_bp for rung in state.plan.pass_of(here.region).ramp],
            max(1, streams),
        )

    def _look(
        self,
        state: JournalState,
        service: Service,
        stream: str,
        spec: MeterSpec,
        latest: Latest,
        gauges: dict[str, int],
        now: Instant,
    ) -> None:
        here = gated(state)
        now_read = {
            region: reading
            for region in service.shares
            if (reading := latest.get((service.name, spec.name, region)))
        }
        seen = self._seen.get(stream)
        if here is None or self._judge is None:
            return
        if seen is None:
            self._seen[stream] = Seen(now_read, now)
            return
        complete = set(now_read) == set(service.shares) == set(seen.last)
        if not complete:
            seen.last = now_read or seen.last
            return
        if not all(_is_new(seen.last[r], now_read[r], spec) for r in now_read):
            return
        regions = {r: since(seen.last[r], now_read[r]) for r in now_read}
        share, following = _shares(state, here, service)
        self._judge.take(
            gates.Look(
                at_ms=now.mono_ms,
                span_ms=_span_ms(seen.last[here.region], now_read[here.region]),
                share_bp=share,
                regions=regions,
                stream=stream,
                next_bp=following,
                gauges=gauges,
            )
        )
        seen.last = now_read
        if all(counts is not None for counts in regions.values()):
            seen.at = now

    def verdict(
        self, state: JournalState, service: str, region: str, now: Instant
    ) -> tuple[Verdict | None, int]:
        """The gate's word on a region that is returning, and how long it was blind.

        Of several classes of users the worst word counts.
        """
        here = gated(state)
        judge = self._judge
        if here is None or here.region != region or judge is None:
            return None, 0
        given: list[Verdict] = []
        longest = 0
        for stream, spec in self._deciding.get(service, {}).items():
            seen = self._seen.get(stream)
            if seen is None:
                continue
            blind_ms = elapsed_ms(seen.at, now)
            longest = max(longest, blind_ms)
            late_ms = LATE_LOOKS * look_ms(spec)
            fresh = blind_ms <= max(self.estate.policy.fresh_ms, late_ms)
            share, _ = _shares(state, here, self.estate.service(service))
            given.append(judge.verdict(stream, share, fresh))
        worst = min(given, key=lambda v: WORST_FIRST.index(v.kind), default=None)
        return worst, longest

    def detailed(self, verdict: Verdict) -> Verdict:
        """With the numbers that people are shown, of which none decides."""
        return verdict if self._judge is None else self._judge.detailed(verdict)


def _is_new(before: MeterReading, after: MeterReading, spec: MeterSpec) -> bool:
    """Does a reading say more than the one before it?"""
    if before.tick and after.tick:
        return before.tick != after.tick
    if before.at == after.at:
        return False
    least_ms = look_ms(spec) * LATE_BP // 10_000 if spec.every_ms else 0
    return elapsed_ms(before.at, after.at) >= least_ms


def _span_ms(before: MeterReading, after: MeterReading) -> int:
    here_ms = elapsed_ms(before.at, after.at)
    if before.tick and after.tick > before.tick:
        # The source's own clock may jump; ours is monotonic.
        return min(after.tick - before.tick, LATE_LOOKS * here_ms + JUMP_MS)
    return here_ms


def gated(state: JournalState) -> PassState | None:
    """The pass that a gate watches now, or None."""
    run = state.open_run
    if run is None or run.now_at.phase not in GATED:
        return None
    here = run.now_at
    if here.retreat is not None or (here.index < 0 and here.phase.value == "returning"):
        return None
    return here


def _shares(state: JournalState, here: PassState, service: Service) -> tuple[int, int]:
    """The region's share of the service now, and after a pass."""
    ramp = state.plan.pass_of(here.region).ramp
    index = here.index if here.phase.value == "returning" else len(ramp) - 1
    following = min(index + 1, len(ramp) - 1)
    most = service.shares[here.region]
    return min(ramp[index].share_bp, most), min(ramp[following].share_bp, most)
