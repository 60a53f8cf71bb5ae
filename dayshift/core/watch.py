"""Folds raw readings into what a decision sees. No clock and no I/O: every reading
comes with its instant, so virtual time and real time run the same code.

The watch is memory of the process only. It starts empty after a restart, on purpose:
quiet and soak begin again, and a gate has seen nothing yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from dayshift.core import fences
from dayshift.core.feeding import MISSED_MIN, Feeding
from dayshift.core.judging import Judging, gated
from dayshift.core.state import JournalState
from dayshift.core.tracks import RATE_WINDOW_MS, MeterTrack, ProbeTrack
from dayshift.model.dial import Caching, DialReading, Fence, InstanceReading
from dayshift.model.estate import Estate, MeterSpec, Service
from dayshift.model.evidence import MeterReading, ProbeReading, Side
from dayshift.model.sight import (
    AgentSight,
    BracketSight,
    DutySight,
    MeterSight,
    PlaceSight,
    ProbeSight,
    Sight,
    WorkSight,
)
from dayshift.model.units import Instant, elapsed_ms

RATE_SAMPLES = 3
"""A rate spans so many samples of a source that has new counts only now and then."""
FROZEN_MS_MAX = 10_000
MeterKey = tuple[str, str, str]
"""Service, meter, region."""
Sources = tuple[list[tuple[MeterKey, MeterSpec]], list[MeterKey]]
"""Meters and probes."""


class Still(NamedTuple):
    """For how long a source has told nothing of a region; `owed` when users should have
    come meanwhile."""

    ms: int
    owed: bool = False


_UNREAD = MeterTrack()
NOT_STILL = Still(0)


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
        self.caching: dict[str, Caching] = {}
        self.agents: dict[str, AgentSight] = {}
        self.feeding = Feeding(estate)
        self._judging = Judging(estate)
        self._brief = False
        self._sources = {
            where: found
            for service in estate.services
            for where, found in _sources(service)
        }
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

    def dial(self, reading: DialReading, caching: Caching | None = None) -> None:
        """Take a reading; what it does not say of a lease stays as it was said last.

        Args:
            caching: as the driver declares it now.
        """
        self.dials[reading.dial] = reading
        if caching is not None:
            self.caching[reading.dial] = caching
        if reading.lifetime_ms is not None:
            self.feeding.settles_ms[reading.dial] = reading.lifetime_ms
        self.feeding.dial(reading)
        if reading.expires_ms is not None:
            self._leases[reading.dial] = (reading.at, reading.expires_ms)
        elif not reading.fault:
            self._leases.pop(reading.dial, None)

    def dial_failed(self, dial: str, at: Instant, fault: str) -> None:
        lost = InstanceReading(dial, None, None, fault)
        self.dials[dial] = DialReading(dial, at, (lost,))
        self.feeding.dial(self.dials[dial])

    def sight(self, state: JournalState, now: Instant, brief: bool = False) -> Sight:
        """The world as of `now`. Call it again after every fold: a rung that has only
        begun must not be judged on what was seen of the last one.

        Args:
            brief: without the numbers that only people read; `detailed` adds them.
        """
        self._brief = brief
        judged = gated(state)
        still = self._users_still(now)
        self._judging.look(state, self._latest(still) if judged else {}, now)
        places = tuple(
            place
            for service in self.estate.services
            for place in self._places(
                service, state, judged.region if judged else "", still, now
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
            settles_ms=dict(self.feeding.settles_ms),
            caching=dict(self.caching),
            unfenced=tuple(
                sorted({*fences.lost(self.estate, state, self.dials).values()})
            ),
            agents=dict(self.agents),
        )

    def detailed(self, sight: Sight) -> Sight:
        """The brief sight just taken, with the numbers that people are shown."""
        return replace(sight, places=tuple(map(self._detailed, sight.places)))

    def _detailed(self, place: PlaceSight) -> PlaceSight:
        meters = []
        for one in place.meters:
            track = self.meters.get((place.service, one.meter, place.region), _UNREAD)
            p50_us, p99_us = track.quantiles_us()
            meters.append(replace(one, p50_us=p50_us, p99_us=p99_us))
        told = place.verdict and self._judging.detailed(place.verdict)
        return replace(place, meters=tuple(meters), verdict=told)

    def _latest(self, still: dict[MeterKey, Still]) -> dict[MeterKey, MeterReading]:
        """What the gate may count; a source that stands still tells it nothing."""
        return {
            key: track.window[-1]
            for key, track in self.meters.items()
            if track.window
            and not track.fault
            and still.get(key, NOT_STILL).ms <= self._frozen_ms
        }

    def _places(
        self,
        service: Service,
        state: JournalState,
        judged: str,
        still: dict[MeterKey, Still],
        now: Instant,
    ) -> Iterator[PlaceSight]:
        """The service in each of its regions."""
        name = service.name
        for region in service.shares:
            meters, probes = self._sources[name, region]
            seen = tuple([self._meter(key, spec, still, now) for key, spec in meters])
            probed = tuple([self._probe(key, now) for key in probes])
            verdict, blind_ms = None, 0
            if region == judged:
                verdict, blind_ms = self._judging.verdict(state, name, region, now)
                if verdict is not None and not self._brief:
                    verdict = self._judging.detailed(verdict)
            yield PlaceSight(name, region, seen, probed, verdict, blind_ms)

    def _meter(
        self,
        key: MeterKey,
        spec: MeterSpec,
        users_still: dict[MeterKey, Still],
        now: Instant,
    ) -> MeterSight:
        track = self.meters.get(key, _UNREAD)
        if not track.window:
            return MeterSight(spec.name, spec.side, None, fault=track.fault)
        last = track.window[-1]
        rates = track.rates()
        mrps, rated = rates.mrps, track.rated
        if spec.side is Side.USERS:
            still_ms, owed = users_still[key]
            if owed:
                # That it shows nobody is not believed: what it said last is its word.
                rated, mrps = track.moving or (None, 0)
        else:
            still_ms = elapsed_ms(track.changed, now) if track.changed else 0
        age = elapsed_ms(rated, now) if rated else None
        fault = track.fault
        if still_ms > self._frozen_ms:
            fault = fault or f"frozen: no counter moved for {still_ms // 1000} s"
            age = None if age is None else max(age, still_ms)
        quiet_from = track.quiet_since or last.at
        p50_us, p99_us = (0, 0) if self._brief else track.quantiles_us()
        return MeterSight(
            meter=spec.name,
            side=spec.side,
            age_ms=age,
            counted=track.counted,
            quiet_ms=elapsed_ms(quiet_from, last.at) if not fault else 0,
            in_flight=last.in_flight,
            connections=last.connections,
            grown=track.grown,
            mrps=mrps,
            error_ppm=rates.error_ppm,
            p50_us=p50_us,
            p99_us=p99_us,
            requests=last.requests,
            errors=rates.errors,
            ignored_rpm=rates.ignored_rpm,
            residue=last.residue,
            fault=fault,
        )

    def _users_still(self, now: Instant) -> dict[MeterKey, Still]:
        """For how long each source of the users' side has told nothing of a region.

        One in which nothing moves at all proves nothing by its silence. A region that
        has a share and counts nobody is owed users; one without users is not frozen. A
        region's own meter is asked alone: it sees at least our own probes.
        """
        return {
            (service.name, spec.name, region): still
            for service in self.estate.services
            for spec in service.meters
            if spec.side is Side.USERS
            for region, still in self._source_still(service, spec, now).items()
        }

    def _source_still(
        self, service: Service, spec: MeterSpec, now: Instant
    ) -> dict[str, Still]:
        tracks = {
            region: track
            for region in spec.regions
            if (track := self.meters.get((service.name, spec.name, region)))
        }
        ms_of = {
            region: elapsed_ms(track.changed, now)
            for region, track in tracks.items()
            if track.changed is not None
        }
        least = min(ms_of.values(), default=0)
        found = dict.fromkeys(spec.regions, Still(least))
        rates = {region: tracks[region].rates().mrps for region in ms_of}
        silent = [r for r, ms in ms_of.items() if ms > self._frozen_ms or not rates[r]]
        if not silent or least > self._frozen_ms:
            return found
        moving = {r: mrps for r, mrps in rates.items() if r not in silent}
        for region in silent:
            since = tracks[region].changed
            assert since is not None
            own, told = tracks[region].usual_mrps(), self.feeding
            if told.missed(service, region, since, moving, own, now) >= MISSED_MIN:
                found[region] = Still(ms_of[region], owed=True)
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


def _sources(service: Service) -> Iterator[tuple[tuple[str, str], Sources]]:
    """What tells of the service, by service and region."""
    name = service.name
    meters = [(one, frozenset(one.regions)) for one in service.meters]
    probes = [(one.name, frozenset(one.regions)) for one in service.probes]
    for region in service.shares:
        seen = [((name, one.name, region), one) for one, at in meters if region in at]
        yield (
            (name, region),
            (seen, [(name, probe, region) for probe, at in probes if region in at]),
        )
