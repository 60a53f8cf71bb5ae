"""Regions under a constant load in memory, counted exactly by an injected clock.

Here: what happens. What dials and meters say about it is in `memory`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from dayshift.limits import FULL_BP
from dayshift.model.dial import ALL, Claim, Setting, split
from dayshift.model.units import Clock, Row

NEVER_MS = 1 << 60


@dataclass
class Place:
    """One region: what it does to requests, and what it counted.

    Harm is in requests per million. `stray_rps` reaches the region past the dial;
    `stuck` requests never end.
    """

    name: str
    version: str = "1"
    up: bool = True
    error_ppm: int = 0
    slow_ppm: int = 0
    latency_ms: int = 8
    slow_ms: int = 400
    stray_rps: int = 0
    probe_rps: int = 0
    stuck: int = 0
    life: int = 1
    requests: int = 0
    errors: int = 0
    slow: int = 0
    probes: int = 0
    rate_rps: int = 0
    remainders: Counter[str] = field(default_factory=Counter)

    def restart(self) -> None:
        """Counters begin again, as they do in a real process."""
        self.life += 1
        self.requests = self.errors = self.slow = self.probes = 0
        self.remainders.clear()

    def whole(self, what: str, parts: int, per: int) -> int:
        """How many whole ones `parts / per` adds; the rest is kept for next time."""
        count, self.remainders[what] = divmod(self.remainders[what] + parts, per)
        return count

    def count(self, requests: int) -> None:
        self.requests += requests
        bad = requests * (self.error_ppm if self.up else 1_000_000)
        self.errors += self.whole("errors", bad, 1_000_000)
        self.slow += self.whole("slow", requests * self.slow_ppm, 1_000_000)


class World:
    """Regions under a constant load, and the instances that share it out.

    Holds: time only passes when somebody looks, and then exactly as much as the clock
    says; what a device does by itself (a revert) happens at its own instant.
    """

    def __init__(
        self, clock: Clock, regions: Mapping[str, int], rps: int, instances: int = 1
    ) -> None:
        self.clock = clock
        self.rps = rps
        self.places = {name: Place(name) for name in regions}
        self.devices = [
            Device(f"one{i + 1}", split(dict(regions))) for i in range(instances)
        ]
        self._at_ms = clock.now().mono_ms

    def __getitem__(self, region: str) -> Place:
        """A region's place, counted up to now."""
        self.advance()
        return self.places[region]

    def send(self, region: str, requests: int, probe: bool = False) -> None:
        """Requests beside the constant load, at this instant."""
        place = self[region]
        if probe:
            place.probes += requests
        else:
            place.count(requests)

    def advance(self) -> None:
        """Count up to now, stopping at each instant at which a device reverts."""
        now_ms = self.clock.now().mono_ms
        while True:
            due = [
                one for one in self.devices if self._at_ms <= one.expires_ms <= now_ms
            ]
            if not due:
                break
            first = min(due, key=lambda one: one.expires_ms)
            self._count_until(first.expires_ms)
            first.expire()
        self._count_until(now_ms)

    def shares(self) -> Row:
        """What the instances really do together, in basis points of all of them."""
        return {
            region: sum(one.setting.rows[ALL][region] for one in self.devices)
            for region in self.places
        }

    def _count_until(self, then_ms: int) -> None:
        passed, self._at_ms = max(0, then_ms - self._at_ms), then_ms
        whole = FULL_BP * len(self.devices) * 1000
        for region, share in self.shares().items():
            place = self.places[region]
            place.rate_rps = self.rps * share // (FULL_BP * len(self.devices))
            place.rate_rps += place.stray_rps
            users = passed * self.rps * share
            strays = passed * place.stray_rps
            place.count(
                place.whole("users", users, whole) + place.whole("stray", strays, 1000)
            )
            place.probes += place.whole("probes", passed * place.probe_rps, 1000)


@dataclass
class Device:
    """One instance of the dial: what it does now, and what it will do by itself."""

    name: str
    setting: Setting
    claim: Claim | None = None
    up: bool = True
    expires_ms: int = NEVER_MS
    revert_to: Setting | None = None
    leased: bool = False

    def expire(self) -> None:
        assert self.revert_to is not None
        self.setting, self.revert_to = self.revert_to, None
        if self.leased and self.claim is not None:
            self.claim = replace(self.claim, reverted=True)
        self.expires_ms, self.leased = NEVER_MS, False

    def install(self, setting: Setting, claim: Claim | None) -> None:
        self.setting, self.claim = setting, claim
        self.revert_to, self.expires_ms, self.leased = None, NEVER_MS, False

    def revert_at(self, then_ms: int, to: Setting) -> None:
        """What a lying device does; nobody was told of it."""
        self.expires_ms, self.revert_to, self.leased = then_ms, to, False

    def lease_until(self, then_ms: int, to: Setting) -> None:
        """What it was asked to do unless somebody renews."""
        self.expires_ms, self.revert_to, self.leased = then_ms, to, True
