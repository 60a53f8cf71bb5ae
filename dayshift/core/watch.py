"""Folds raw readings into what a decision sees. No clock and no I/O: every reading
comes with its instant, so virtual time and real time run the same code.

The watch is memory of the process only. It starts empty after a restart, on purpose:
quiet and soak begin again, and a gate has seen nothing yet.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from msgspec.structs import replace

from dayshift.core import fences
from dayshift.core.judging import Judging
from dayshift.core.state import JournalState
from dayshift.model.dial import DialReading, Fence, InstanceReading
from dayshift.model.estate import Estate, MeterSpec, Service
from dayshift.model.evidence import (
    Counts,
    MeterReading,
    ProbeReading,
    Side,
    quantile_us,
    since,
)
from dayshift.model.sight import (
    BracketSight,
    DutySight,
    MeterSight,
    PlaceSight,
    ProbeSight,
    Sight,
    WorkSight,
)
from dayshift.model.units import Instant, elapsed_ms

RATE_WINDOW_MS = 3_000
RATE_SAMPLES = 3
"""A rate spans so many samples of a source that has new counts only now and then."""
FROZEN_MS_MAX = 10_000
MeterKey = tuple[str, str, str]
"""Service, meter, region."""


@dataclass
class MeterTrack:
    """What one meter said of one region lately, one reading for each sample."""

    window_ms: int = RATE_WINDOW_MS
    window: deque[MeterReading] = field(default_factory=deque)
    quiet_since: Instant | None = None
    changed: Instant | None = None
    counted: bool = False
    grown: int = 0
    fault: str = ""

    def take(self, reading: MeterReading, fresh_ms: int) -> None:
        """Add a reading; anything that breaks the silence starts the quiet anew."""
        last = self.window[-1] if self.window else None
        self.fault = ""
        delta = since(last, reading) if last else None
        gap = elapsed_ms(last.at, reading.at) if last else 0
        broken = delta is None or gap > fresh_ms
        if broken or (delta and delta.requests) or reading.in_flight:
            self.quiet_since = reading.at
        if delta is None:
            self.window.clear()
            self.changed = reading.at
        elif _moved(delta) or (last and reading.connections != last.connections):
            self.changed = reading.at
        if delta and delta.requests:
            self.counted = True
            self.grown += delta.requests
        if self.window and reading.tick and reading.tick == self.window[-1].tick:
            self.window.pop()
        self.window.append(reading)
        while elapsed_ms(self.window[0].at, reading.at) > self.window_ms:
            self.window.popleft()

    def counts(self) -> tuple[Counts, int]:
        """Counts over the window and its length in milliseconds, between the samples
        themselves where the source says when it took them."""
        if len(self.window) < 2:
            return Counts(), 0
        first, last = self.window[0], self.window[-1]
        span_ms = elapsed_ms(first.at, last.at)
        if first.tick and last.tick:
            span_ms = max(0, last.tick - first.tick)
        return since(first, last) or Counts(), span_ms


def _moved(delta: Counts) -> bool:
    return bool(delta.requests or delta.errors or any(delta.ignored.values()))


@dataclass
class ProbeTrack:
    last: ProbeReading | None = None
    streak: int = 0
    failures: int = 0

    def take(self, reading: ProbeReading) -> None:
        changed = self.last is not None and self.last.version != reading.version
        self.streak = (0 if changed else self.streak) + 1 if reading.ok else 0
        self.failures = 0 if reading.ok else self.failures + 1
        self.last = reading


class Watch:
    """Everything that was read lately, for one estate."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.meters: dict[MeterKey, MeterTrack] = {}
        self.probes: dict[MeterKey, ProbeTrack] = {}
        self.dials: dict[str, DialReading] = {}
        self.works: dict[str, WorkSight] = {}
        self.duties: dict[str, DutySight] = {}
        self.brackets: dict[str, BracketSight] = {}
        self.acks: dict[str, str] = {}
        self.store_room_bytes: int | None = None
        self.clock_jump_ms = 0
        self.fences: dict[str, Fence] = {}
        self._judging = Judging(estate)
        self._windows_ms = {
            (service.name, spec.name): max(RATE_WINDOW_MS, RATE_SAMPLES * spec.every_ms)
            for service in estate.services
            for spec in service.meters
        }

    def meter(self, key: MeterKey, reading: MeterReading) -> None:
        if min(reading.requests, reading.errors, reading.in_flight) < 0:
            self.meter_failed(key, "it counts below zero")
            return
        self._track(key).take(reading, self.estate.policy.fresh_ms)

    def meter_failed(self, key: MeterKey, fault: str) -> None:
        self._track(key).fault = fault

    def _track(self, key: MeterKey) -> MeterTrack:
        if key not in self.meters:
            window_ms = self._windows_ms.get(key[:2], RATE_WINDOW_MS)
            self.meters[key] = MeterTrack(window_ms)
        return self.meters[key]

    def probe(self, key: MeterKey, reading: ProbeReading) -> None:
        self.probes.setdefault(key, ProbeTrack()).take(reading)

    def dial(self, reading: DialReading) -> None:
        self.dials[reading.dial] = reading

    def dial_failed(self, dial: str, at: Instant, fault: str) -> None:
        lost = InstanceReading(dial, None, None, fault)
        self.dials[dial] = DialReading(dial, at, (lost,))

    def sight(self, state: JournalState, now: Instant) -> Sight:
        """The world as of `now`. Call it again after every fold: a rung that has only
        begun must not be judged on what was seen of the last one."""
        self._judging.look(state, self._latest(), now)
        places = tuple(
            self._place(service, region, state, now)
            for service in self.estate.services
            for region in service.shares
        )
        jump, self.clock_jump_ms = self.clock_jump_ms, 0
        return Sight(
            at=now,
            dials=dict(self.dials),
            dial_age_ms={d: elapsed_ms(r.at, now) for d, r in self.dials.items()},
            places=places,
            works=dict(self.works),
            duties=dict(self.duties),
            brackets=dict(self.brackets),
            acks=dict(self.acks),
            store_room_bytes=self.store_room_bytes,
            clock_jump_ms=jump,
            fences=self.fences,
            unfenced=tuple(
                sorted({*fences.lost(self.estate, state, self.dials).values()})
            ),
        )

    def _latest(self) -> dict[MeterKey, MeterReading]:
        return {
            key: track.window[-1]
            for key, track in self.meters.items()
            if track.window and not track.fault
        }

    def _place(
        self, service: Service, region: str, state: JournalState, now: Instant
    ) -> PlaceSight:
        meters = tuple(
            self._meter(service.name, spec, region, now)
            for spec in service.meters
            if region in spec.regions
        )
        probes = tuple(
            self._probe((service.name, spec.name, region), now)
            for spec in service.probes
            if region in spec.regions
        )
        verdict, blind_ms = self._judging.verdict(state, service.name, region, now)
        return PlaceSight(service.name, region, meters, probes, verdict, blind_ms)

    def _meter(
        self, service: str, spec: MeterSpec, region: str, now: Instant
    ) -> MeterSight:
        track = self.meters.get((service, spec.name, region), MeterTrack())
        if not track.window:
            return MeterSight(spec.name, spec.side, None, fault=track.fault)
        last = track.window[-1]
        counts, span_ms = track.counts()
        frozen = self._frozen_ms(service, spec, region, now)
        age = elapsed_ms(last.at, now)
        fault = track.fault
        if frozen is not None:
            fault = fault or f"frozen: no counter moved for {frozen // 1000} s"
            age = max(age, frozen)
        quiet_from = track.quiet_since or last.at
        return MeterSight(
            meter=spec.name,
            side=spec.side,
            age_ms=age,
            counted=track.counted,
            quiet_ms=elapsed_ms(quiet_from, last.at) if not fault else 0,
            in_flight=last.in_flight,
            connections=last.connections,
            grown=track.grown,
            mrps=counts.requests * 1_000_000 // span_ms if span_ms else 0,
            error_ppm=_ppm(counts.errors, counts.requests),
            p50_us=quantile_us(counts, 500) or 0,
            p99_us=quantile_us(counts, 990) or 0,
            requests=last.requests,
            errors=counts.errors,
            ignored_rpm={
                kind: count * 60_000 // span_ms if span_ms else 0
                for kind, count in counts.ignored.items()
            },
            residue=last.residue,
            fault=fault,
        )

    def _frozen_ms(
        self, service: str, spec: MeterSpec, region: str, now: Instant
    ) -> int | None:
        """How long nothing at all moved at a source that must move, or None.

        A users' meter sees the other regions too, a region's meter at least our own
        probes; a source in which nothing moves proves nothing by its silence.
        """
        policy = self.estate.policy
        regions = spec.regions if spec.side is Side.USERS else (region,)
        changes = [
            elapsed_ms(track.changed, now)
            for name in regions
            if (track := self.meters.get((service, spec.name, name)))
            and track.changed is not None
        ]
        limit = max(policy.fresh_ms, min(policy.quiet_ms, FROZEN_MS_MAX))
        still = min(changes, default=0)
        return still if still > limit else None

    def _probe(self, key: MeterKey, now: Instant) -> ProbeSight:
        track = self.probes.get(key, ProbeTrack())
        if track.last is None:
            return ProbeSight(key[1], 0, 0, None)
        return ProbeSight(
            probe=key[1],
            streak=track.streak,
            failures=track.failures,
            age_ms=elapsed_ms(track.last.at, now),
            version=track.last.version,
            detail=track.last.detail,
        )


def _ppm(part: int, whole: int) -> int:
    return part * 1_000_000 // whole if whole else 0


def journalled(sight: Sight) -> Sight:
    """`sight` without personal data, as the journal keeps it."""
    places = tuple(
        replace(place, meters=tuple(replace(one, residue=()) for one in place.meters))
        for place in sight.places
    )
    return replace(sight, places=places)
