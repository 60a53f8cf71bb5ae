"""Folds raw readings into what a decision sees. No clock and no I/O: every reading
comes with its instant, so virtual time and real time run the same code.

The watch is memory of the process only. It starts empty after a restart, on purpose:
quiet and soak begin again, and a gate has seen nothing yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from dayshift.core import fences
from dayshift.core.feeding import MISSED_MIN, Feeding
from dayshift.core.judging import Judging, gated
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


class Rates(NamedTuple):
    """What a window of readings amounts to."""

    mrps: int = 0
    errors: int = 0
    error_ppm: int = 0
    p50_us: int = 0
    p99_us: int = 0
    ignored_rpm: dict[str, int] = {}


@dataclass(slots=True)
class MeterTrack:
    """What one meter said of one region lately, one reading for each sample."""

    window_ms: int = RATE_WINDOW_MS
    window: list[MeterReading] = field(default_factory=list)
    first: Instant | None = None
    quiet_since: Instant | None = None
    changed: Instant | None = None
    rated: Instant | None = None
    """When it last gave a rate: one reading alone says nothing of the load."""
    counted: bool = False
    grown: int = 0
    fault: str = ""
    known: Rates | None = None
    """The window's rates, until another reading comes."""

    def take(self, reading: MeterReading, fresh_ms: int) -> None:
        """Add a reading; anything that breaks the silence starts the quiet anew."""
        self.known = None
        self.first = self.first or reading.at
        last = self.window[-1] if self.window else None
        self.fault = ""
        delta = since(last, reading) if last else None
        gap = elapsed_ms(last.at, reading.at) if last else 0
        broken = delta is None or gap > fresh_ms
        if broken or (delta and delta.requests) or reading.in_flight:
            self.quiet_since = reading.at
        if broken:
            self.window.clear()
        if delta is None or _moved(delta, last, reading):
            self.changed = reading.at
        if delta and delta.requests:
            self.counted = True
            self.grown += delta.requests
        if self.window and reading.tick and reading.tick == self.window[-1].tick:
            self.window.pop()
        self.window.append(reading)
        while len(self.window) > 2 and self._old(self.window[0], reading):
            del self.window[0]
        if len(self.window) > 1:
            self.rated = reading.at

    def _old(self, one: MeterReading, newest: MeterReading) -> bool:
        return elapsed_ms(one.at, newest.at) > self.window_ms

    def usual_mrps(self) -> int:
        """What it counted on average, from its first reading until it stood still."""
        if self.first is None or self.changed is None:
            return 0
        return self.grown * 1_000_000 // max(1, elapsed_ms(self.first, self.changed))

    def rates(self) -> Rates:
        """The window's rates, reckoned once for each reading."""
        if self.known is None:
            counts, span_ms = self.counts()
            per_ms = span_ms or 1 << 62
            self.known = Rates(
                mrps=counts.requests * 1_000_000 // per_ms,
                errors=counts.errors,
                error_ppm=_ppm(counts.errors, counts.requests),
                p50_us=quantile_us(counts, 500) or 0,
                p99_us=quantile_us(counts, 990) or 0,
                ignored_rpm={
                    kind: count * 60_000 // per_ms
                    for kind, count in counts.ignored.items()
                },
            )
        return self.known

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


def _moved(delta: Counts, last: MeterReading | None, reading: MeterReading) -> bool:
    counted = delta.requests or delta.errors or any(delta.ignored.values())
    return bool(counted or (last and reading.connections != last.connections))


_UNREAD = MeterTrack()


@dataclass(slots=True)
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
        self._leases: dict[str, tuple[Instant, int]] = {}
        self.works: dict[str, WorkSight] = {}
        self.duties: dict[str, DutySight] = {}
        self.brackets: dict[str, BracketSight] = {}
        self.acks: dict[str, str] = {}
        self.store_room_bytes: int | None = None
        self.clock_jump_ms = 0
        self.fences: dict[str, Fence] = {}
        self.feeding = Feeding(estate)
        self._judging = Judging(estate)
        policy = estate.policy
        self._frozen_ms = max(policy.fresh_ms, min(policy.quiet_ms, FROZEN_MS_MAX))
        """A source in which nothing moved for longer is frozen."""
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
        """Take a reading; what it does not say of a lease stays as it was said last."""
        self.dials[reading.dial] = reading
        self.feeding.dial(reading)
        if reading.expires_ms is not None:
            self._leases[reading.dial] = (reading.at, reading.expires_ms)
        elif not reading.fault:
            self._leases.pop(reading.dial, None)

    def dial_failed(self, dial: str, at: Instant, fault: str) -> None:
        lost = InstanceReading(dial, None, None, fault)
        self.dials[dial] = DialReading(dial, at, (lost,))
        self.feeding.dial(self.dials[dial])

    def sight(self, state: JournalState, now: Instant) -> Sight:
        """The world as of `now`. Call it again after every fold: a rung that has only
        begun must not be judged on what was seen of the last one."""
        judged = gated(state)
        still_ms = self._users_still_ms(now)
        self._judging.look(state, self._latest(still_ms) if judged else {}, now)
        places = tuple(
            place
            for service in self.estate.services
            for place in self._places(
                service, state, judged.region if judged else "", still_ms, now
            )
        )
        jump, self.clock_jump_ms = self.clock_jump_ms, 0
        return Sight(
            at=now,
            dials=dict(self.dials),
            dial_age_ms={d: elapsed_ms(r.at, now) for d, r in self.dials.items()},
            lease_left_ms={
                dial: max(0, left_ms - elapsed_ms(at, now))
                for dial, (at, left_ms) in self._leases.items()
            },
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

    def _latest(self, still_ms: dict[MeterKey, int]) -> dict[MeterKey, MeterReading]:
        """What the gate may count; a source that stands still tells it nothing."""
        return {
            key: track.window[-1]
            for key, track in self.meters.items()
            if track.window
            and not track.fault
            and still_ms.get(key, 0) <= self._frozen_ms
        }

    def _places(
        self,
        service: Service,
        state: JournalState,
        judged: str,
        still_ms: dict[MeterKey, int],
        now: Instant,
    ) -> Iterator[PlaceSight]:
        """The service in each of its regions."""
        name = service.name
        meters = [(spec, frozenset(spec.regions)) for spec in service.meters]
        probes = [(spec.name, frozenset(spec.regions)) for spec in service.probes]
        for region in service.shares:
            seen = tuple(
                self._meter((name, spec.name, region), spec, still_ms, now)
                for spec, regions in meters
                if region in regions
            )
            probed = tuple(
                self._probe((name, probe, region), now)
                for probe, regions in probes
                if region in regions
            )
            verdict, blind_ms = None, 0
            if region == judged:
                verdict, blind_ms = self._judging.verdict(state, name, region, now)
            yield PlaceSight(name, region, seen, probed, verdict, blind_ms)

    def _meter(
        self,
        key: MeterKey,
        spec: MeterSpec,
        users_still_ms: dict[MeterKey, int],
        now: Instant,
    ) -> MeterSight:
        track = self.meters.get(key, _UNREAD)
        if not track.window:
            return MeterSight(spec.name, spec.side, None, fault=track.fault)
        last = track.window[-1]
        rates = track.rates()
        if spec.side is Side.USERS:
            still_ms = users_still_ms[key]
        else:
            still_ms = elapsed_ms(track.changed, now) if track.changed else 0
        age = elapsed_ms(track.rated, now) if track.rated else None
        fault = track.fault
        if still_ms > self._frozen_ms:
            fault = fault or f"frozen: no counter moved for {still_ms // 1000} s"
            age = None if age is None else max(age, still_ms)
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
            mrps=rates.mrps,
            error_ppm=rates.error_ppm,
            p50_us=rates.p50_us,
            p99_us=rates.p99_us,
            requests=last.requests,
            errors=rates.errors,
            ignored_rpm=rates.ignored_rpm,
            residue=last.residue,
            fault=fault,
        )

    def _users_still_ms(self, now: Instant) -> dict[MeterKey, int]:
        """For how long each source of the users' side has told nothing of a region.

        One in which nothing moves at all proves nothing by its silence. Where others
        move, a region that has a share of them and counts none stands still too; one
        without users is not frozen. A region's own meter is asked alone: it sees at
        least our own probes.
        """
        return {
            (service.name, spec.name, region): ms
            for service in self.estate.services
            for spec in service.meters
            if spec.side is Side.USERS
            for region, ms in self._source_still_ms(service, spec, now).items()
        }

    def _source_still_ms(
        self, service: Service, spec: MeterSpec, now: Instant
    ) -> dict[str, int]:
        tracks = {
            region: track
            for region in spec.regions
            if (track := self.meters.get((service.name, spec.name, region)))
        }
        still_ms = {
            region: elapsed_ms(track.changed, now)
            for region, track in tracks.items()
            if track.changed is not None
        }
        least = min(still_ms.values(), default=0)
        found = dict.fromkeys(spec.regions, least)
        silent = [r for r, ms in still_ms.items() if ms > self._frozen_ms >= least]
        if not silent:
            return found
        rates = {r: tracks[r].rates().mrps for r in still_ms if r not in silent}
        for region in silent:
            since = tracks[region].changed
            assert since is not None
            own, told = tracks[region].usual_mrps(), self.feeding
            if told.missed(service, region, since, rates, own, now) >= MISSED_MIN:
                found[region] = still_ms[region]
        return found

    def _probe(self, key: MeterKey, now: Instant) -> ProbeSight:
        track = self.probes.get(key)
        if track is None or track.last is None:
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
