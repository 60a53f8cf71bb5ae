"""What happens to users: regions under load, counted by an injected clock.

Here: arrivals, who serves them, and who fails. The arithmetic of dials is this
module's own, so that a mistake in `core.steering` cannot hide itself. What devices and
meters say about it is in `devices` and `meters`.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dayshift.limits import FULL_BP
from dayshift.model.dial import ALL, Claim, DialKind, Setting
from dayshift.model.estate import Service
from dayshift.model.units import Clock
from dayshift.rehearsal.history import History, Traffic

NEVER_MS = 1 << 60
WHOLE = 10**12
"""All users of a service, in parts: fine enough that a division loses nobody."""
PPM = 1_000_000
IDLE_MS = 60_000
"""A region without users for so long has cold caches."""
CONNECTIONS = 40
"""So many users are connected wherever new ones arrive."""
LINGER_MS = 30_000
"""So long the last of them stays when no new one arrives."""


@dataclass
class Place:
    """One service in one region: what it does to requests, and what it counted.

    Harm is in requests per million. `stray_rps` reaches the region past the dials;
    `stuck` requests never end. `capacity_rps` of 0 has no end.
    """

    service: str
    region: str
    capacity_rps: int = 0
    version: str = "1"
    up: bool = True
    error_ppm: int = 0
    slow_ppm: int = 0
    latency_ms: int = 8
    slow_ms: int = 400
    stray_rps: int = 0
    probe_rps: int = 0
    residue_rpm: dict[str, int] = field(default_factory=dict)
    gauges: dict[str, int] = field(default_factory=dict)
    stuck: int = 0
    life: int = 1
    requests: int = 0
    errors: int = 0
    slow: int = 0
    probes: int = 0
    residue: Counter[str] = field(default_factory=Counter)
    urps: int = 0
    """Users now, in millionths per second."""
    cold_until_ms: int = 0
    idle_since_ms: int = -NEVER_MS
    why: str = ""
    """What makes its users fail, for the one who counts them; empty: nothing does."""
    remainders: Counter[str] = field(default_factory=Counter)

    @property
    def rate_rps(self) -> int:
        return self.urps // PPM + self.stray_rps

    def restart(self) -> None:
        """Counters begin again, as they do in a real process."""
        self.life += 1
        self.requests = self.errors = self.slow = self.probes = 0
        self.residue.clear()
        self.remainders.clear()

    def whole(self, what: str, parts: int, per: int) -> int:
        """How many whole ones `parts / per` adds; the rest is kept for next time."""
        if not parts:
            return 0
        count, self.remainders[what] = divmod(self.remainders[what] + parts, per)
        return count

    def bad_ppm(self) -> tuple[int, str]:
        """How many of its users fail, and what for."""
        if not self.up:
            return PPM, "down"
        over = self.urps - self.capacity_rps * PPM if self.capacity_rps else 0
        if over > 0:
            share = over * PPM // self.urps
            return min(PPM, share + self.error_ppm), "overload"
        return self.error_ppm, self.why if self.error_ppm else ""

    def slowness_ppm(self, now_ms: int) -> int:
        slow = self.slow_ppm + (100_000 if now_ms < self.cold_until_ms else 0)
        if self.capacity_rps and self.urps * 10 > self.capacity_rps * PPM * 9:
            slow += 200_000
        return min(PPM, slow)

    def count(self, requests: int, slow_ppm: int = -1) -> int:
        """Serve so many users; how many of them failed."""
        self.requests += requests
        failed = self.whole("errors", requests * self.bad_ppm()[0], PPM)
        self.errors += failed
        slow_ppm = self.slow_ppm if slow_ppm < 0 else slow_ppm
        self.slow += self.whole("slow", requests * slow_ppm, PPM)
        return failed


@dataclass
class Device:
    """One instance of a dial: what it does now, and what it will do by itself."""

    dial: str
    name: str
    setting: Setting
    claim: Claim | None = None
    up: bool = True
    expires_ms: int = NEVER_MS
    revert_to: Setting | None = None
    lifetime_ms: int = 0
    """For how long caches keep its answers; 0: there are no caches."""
    longer_until_ms: int = 0
    """Until then some keep an answer from before that was lowered."""
    cached: Setting | None = None
    cached_until_ms: int = NEVER_MS
    """What caches still answer, and until when."""

    @property
    def obeyed(self) -> Setting:
        """What users go by."""
        return self.cached or self.setting

    def __post_init__(self) -> None:
        self.usual_ms = self.lifetime_ms

    def live(self, now_ms: int, lifetime_ms: int) -> None:
        """From now on caches keep answers for so long."""
        if lifetime_ms < self.lifetime_ms:
            until_ms = now_ms + self.lifetime_ms
            self.longer_until_ms = max(self.longer_until_ms, until_ms)
        self.lifetime_ms = lifetime_ms

    def forget(self) -> None:
        """The last cached answer dies."""
        self.cached, self.cached_until_ms = None, NEVER_MS

    def expire(self) -> None:
        assert self.revert_to is not None
        self.setting, self.revert_to = self.revert_to, None
        self.expires_ms = NEVER_MS

    def install(self, setting: Setting, claim: Claim | None, now_ms: int = 0) -> None:
        if self.lifetime_ms and setting != self.setting:
            self.cached = self.cached or self.setting
            until_ms = max(now_ms + self.lifetime_ms, self.longer_until_ms)
            self.cached_until_ms = until_ms
        self.setting, self.claim = setting, claim
        self.revert_to, self.expires_ms = None, NEVER_MS

    def revert_at(self, then_ms: int, to: Setting) -> None:
        """What a lying device does; nobody was told of it."""
        self.expires_ms, self.revert_to = then_ms, to


class World:
    """Services in regions under a load, and the devices that share it out.

    Holds: time only passes when somebody looks, and then exactly as much as the clock
    says; what a device does by itself (a revert) happens at its own instant.
    """

    def __init__(
        self,
        clock: Clock,
        services: Iterable[Service],
        load_rps: Mapping[str, int],
        devices: Mapping[str, list[Device]],
        history: History,
        noise: random.Random | None = None,
    ) -> None:
        self.clock = clock
        self.services = {one.name: one for one in services}
        self.load_rps = dict(load_rps)
        self.surge_permille = 1000
        self.dials = dict(devices)
        self.history = history
        self.cold_ms = 0
        self._noise = noise
        self._all = {
            (service.name, region): Place(
                service.name, region, service.capacity_rps.get(region, 0)
            )
            for service in self.services.values()
            for region in service.shares
        }
        self._at_ms = clock.now().mono_ms
        self._parts: dict[str, dict[str, int]] = {}
        self._shown: list[Setting] = []
        self._arrived_ms: dict[tuple[str, str], int] = {}
        """When the last user arrived where nobody arrives any more."""

    def place(self, service: str, region: str) -> Place:
        """One service in one region, counted up to now."""
        self.advance()
        return self._all[service, region]

    def every(self, region: str) -> list[Place]:
        """All services of one region, counted up to now."""
        self.advance()
        return [one for (_, where), one in self._all.items() if where == region]

    def advance(self) -> None:
        """Count up to now, stopping at each instant at which a device reverts."""
        now_ms = self.clock.now().mono_ms
        if now_ms > self._at_ms:
            self._advance(now_ms)

    def _advance(self, now_ms: int) -> None:
        while True:
            due = [
                one
                for devices in self.dials.values()
                for one in devices
                if min(one.expires_ms, one.cached_until_ms) <= now_ms
                and self._at_ms <= max(one.expires_ms, one.cached_until_ms)
            ]
            if not due:
                break
            first = min(due, key=lambda one: min(one.expires_ms, one.cached_until_ms))
            if first.cached_until_ms <= first.expires_ms:
                self._count_until(first.cached_until_ms)
                first.forget()
                continue
            self._count_until(first.expires_ms)
            before = first.setting
            first.expire()
            self.history.reverted(self._at_ms, first.dial, before, first.setting)
        self._count_until(now_ms)

    def served(self, service: str) -> dict[str, int]:
        """The parts of all users that each region serves, by what the devices do."""
        return self._served()[service]

    def _served(self) -> dict[str, dict[str, int]]:
        """The same for every service; reckoned when a device does another thing."""
        settings = [one.obeyed for some in self.dials.values() for one in some]
        same = len(settings) == len(self._shown) and all(
            new is old for new, old in zip(settings, self._shown, strict=True)
        )
        if not same:
            self._parts = {
                name: served_parts(one, self.dials)
                for name, one in self.services.items()
            }
            self._shown = settings
            self._note_arrivals()
        return self._parts

    def _note_arrivals(self) -> None:
        for service in self.services.values():
            arriving = served_parts(service, self.dials, of_arrivals=True)
            for region in service.shares:
                if arriving.get(region):
                    self._arrived_ms.pop((service.name, region), None)
                else:
                    key = service.name, region
                    self._arrived_ms.setdefault(key, self._at_ms)

    def connected(self, service: str, region: str) -> int:
        """Users who are connected to the region's edge, whoever serves them."""
        self.advance()
        self._served()
        last_ms = self._arrived_ms.get((service, region))
        if last_ms is None:
            return CONNECTIONS
        gone_ms = min(LINGER_MS, self._at_ms - last_ms)
        return CONNECTIONS * (LINGER_MS - gone_ms) // LINGER_MS

    def _count_until(self, then_ms: int) -> None:
        passed, begun_ms = max(0, then_ms - self._at_ms), self._at_ms
        self._at_ms = max(then_ms, begun_ms)
        served = self._served()
        for (service, region), place in self._all.items():
            parts = served[service].get(region, 0)
            load = self.load_rps[service] * self.surge_permille * 1000
            urps = load * parts // WHOLE
            self._warm(place, urps, begun_ms)
            place.urps = urps
            if passed:
                self._pass(place, passed, begun_ms)

    def _warm(self, place: Place, urps: int, now_ms: int) -> None:
        """Caches get cold without users."""
        if not urps and place.urps:
            place.idle_since_ms = now_ms
        elif urps and not place.urps and now_ms - place.idle_since_ms > IDLE_MS:
            cold = self.cold_ms if place.idle_since_ms > -NEVER_MS else 0
            place.cold_until_ms = now_ms + cold

    def _pass(self, place: Place, passed: int, begun_ms: int) -> None:
        users = place.whole("users", passed * place.urps, PPM * 1000)
        strays = place.whole("stray", passed * place.stray_rps, 1000)
        failed = place.count(users + strays, place.slowness_ppm(begun_ms))
        place.probes += place.whole("probes", passed * place.probe_rps, 1000)
        for kind, rpm in place.residue_rpm.items():
            place.residue[kind] += place.whole(f"residue {kind}", passed * rpm, 60_000)
        cause = place.bad_ppm()[1]
        self.history.passed(
            Traffic(
                begun_ms,
                begun_ms + passed,
                place.service,
                place.region,
                place.urps,
                users,
                min(failed, users),
                strays,
                cause,
            )
        )
        if self._noise is not None and users:
            self._blur(place, users)

    def _blur(self, place: Place, users: int) -> None:
        """The errors that a healthy service always has; they hurt, but not by us."""
        assert self._noise is not None
        errors = _draw(self._noise, users * 200 / PPM)
        place.errors += min(errors, place.requests - place.errors)
        slow = _draw(self._noise, users * 2_000 / PPM)
        place.slow += min(slow, place.requests - place.slow)


def _draw(noise: random.Random, mean: float) -> int:
    """About Poisson: rare things counted one by one, common ones by the normal law."""
    if mean > 30:
        return max(0, round(noise.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), noise.random(), 0
    while product > limit:
        product *= noise.random()
        count += 1
    return count


def served_parts(
    service: Service, dials: Mapping[str, list[Device]], of_arrivals: bool = False
) -> dict[str, int]:
    """Arrivals × forwards, from the user inwards, in parts of `WHOLE`.

    Each instance of a dial gets an equal part of whatever reaches it.

    Args:
        of_arrivals: only up to the dial that shares users out, which is the innermost
            one that is no switch.
    """
    specs = list(service.dials)
    while of_arrivals and specs and specs.pop().kind is DialKind.SWITCH:
        pass
    parts = {name: share * (WHOLE // FULL_BP) for name, share in service.shares.items()}
    for spec in specs:
        devices = dials[spec.name]
        each = [_through(one.obeyed, parts) for one in devices]
        parts = {
            name: sum(one.get(name, 0) for one in each) // len(devices)
            for name in service.shares
        }
    return parts


def _through(setting: Setting, parts: dict[str, int]) -> dict[str, int]:
    if setting.kind is DialKind.SPLIT:
        return {n: share * (WHOLE // FULL_BP) for n, share in setting.rows[ALL].items()}
    if setting.kind is DialKind.SWITCH:
        on = {name: part for name, part in parts.items() if setting.rows[ALL].get(name)}
        if not sum(on.values()):
            on = dict.fromkeys(on or [n for n, v in setting.rows[ALL].items() if v], 1)
        whole = sum(on.values())
        return {name: WHOLE * part // whole for name, part in on.items()}
    out = dict.fromkeys(parts, 0)
    for arrival, part in parts.items():
        for to, share in setting.rows.get(arrival, {arrival: FULL_BP}).items():
            out[to] = out.get(to, 0) + part * share // FULL_BP
    return out
