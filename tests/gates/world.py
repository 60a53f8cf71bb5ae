"""Simulated traffic for the real gate: seeded draws, looks, returns. No judgement.

Kept apart from `dayshift.gates`: nothing here knows how the gate decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np

from dayshift.gates import Judge, Look
from dayshift.model.calibration import Calibration, SignalNoise
from dayshift.model.estate import GatePolicy
from dayshift.model.evidence import BEYOND_US, Counts, Verdict, VerdictKind

FRA, AMS = "fra", "ams"
RUNGS_BP = (100, 500, 2500, 5000)
SCRAPE_MS = 15_000
DEMO = GatePolicy(
    blast_bp=100,
    slow_blast_bp=100,
    absolute_error_bp=200,
    dwell_ms_min=0,
    trusted=True,
    slow_us=(100_000, 250_000),
    warmup_ms=0,
)
TRUSTED = GatePolicy(trusted=True)
ONLY_ERRORS = msgspec.structs.replace(DEMO, slow_us=())
PPM = 1_000_000
Rng = np.random.Generator


def learned(usual: float = 0.001, stream: str = "service", **noise: int) -> Calibration:
    """A trusted history of independent errors, unless `noise` says otherwise."""
    quiet = {"own_dispersion_ppm": PPM, **noise}
    signal = SignalNoise(0, round(usual * 1e9), **quiet)
    return Calibration(
        stream,
        FRA,
        (signal,),
        trusted=True,
        requests=10_000_000,
        errors=round(usual * 1e7),
        mrps=500_000,
        span_ms=20_000_000,
        block_ms=60_000,
    )


@dataclass(frozen=True)
class Version:
    """How one side answers: parts that fail, and that exceed 100 ms and 250 ms."""

    errors: float = 0.0
    over_100: float = 0.002
    over_250: float = 0.001


@dataclass
class Return:
    """What one simulated return came to."""

    kind: VerdictKind = VerdictKind.HOLD
    rung: int = 0
    looks: int = 0
    hurt: int = 0
    slow: int = 0
    after_first_bad_ms: int = 0
    rung_ms: list[int] = field(default_factory=list)
    last: Verdict | None = None


def told(requests: int, errors: int = 0, slow: int = 0) -> Counts:
    """Counts whose slow ones are slower than both bounds of `DEMO`."""
    quick = requests - slow
    buckets = {100_000: quick, 250_000: quick, BEYOND_US: requests}
    return Counts(requests, errors, buckets)


def drawn(rng: Rng, requests: int, version: Version) -> Counts:
    over_100 = int(rng.binomial(requests, version.over_100))
    part = version.over_250 / max(version.over_100, 1e-9)
    over_250 = int(rng.binomial(over_100, part))
    buckets = {
        100_000: requests - over_100,
        250_000: requests - over_250,
        BEYOND_US: requests,
    }
    return Counts(requests, int(rng.binomial(requests, version.errors)), buckets)


def play(
    seed: int,
    policy: GatePolicy,
    new: Version,
    old: Version | None = None,
    rps: int = 350,
    look_ms: int = 200,
    soak_ms: int = 10_000,
    limit_ms: int = 120_000,
    weather: Callable[[Rng, int], float] = lambda rng, ms: 1.0,
    calibrations: tuple[Calibration, ...] = (),
) -> Return:
    """One return until it fails, or has soaked, or `limit_ms` at a rung are over."""
    rng, out, old = np.random.default_rng(seed), Return(), old or new
    judge = Judge(policy, calibrations, FRA, RUNGS_BP)
    now, first_bad = 0, None
    for rung, share in enumerate(RUNGS_BP):
        out.rung, dwell, passed = rung + 1, 0, False
        while dwell < limit_ms:
            now, dwell, out.looks = now + look_ms, dwell + look_ms, out.looks + 1
            factor = weather(rng, now)
            total = int(rng.poisson(rps * look_ms / 1000))
            mine = int(rng.binomial(total, share / 10_000))
            here = drawn(rng, mine, _times(new, factor))
            there = drawn(rng, total - mine, _times(old, factor))
            slow = here.requests - here.buckets[100_000]
            out.hurt += here.errors
            out.slow += slow
            if first_bad is None and here.errors + slow:
                first_bad = now
            said = judge.observe(Look(now, look_ms, share, {FRA: here, AMS: there}))
            out.kind, out.last = said.kind, said
            if said.kind is VerdictKind.FAIL:
                out.after_first_bad_ms = now - (first_bad or now)
                return out
            if said.kind is VerdictKind.PASS and not passed:
                passed = True
                out.rung_ms.append(dwell)
            if passed and (rung < len(RUNGS_BP) - 1 or dwell >= soak_ms):
                break
        else:
            return out
    out.kind = VerdictKind.PASS
    return out


def _times(version: Version, factor: float) -> Version:
    return Version(
        min(1.0, version.errors * factor), version.over_100, version.over_250
    )


def clumped(rng: Rng, mean: float, clump: float, size: int) -> np.ndarray:
    """(size,) counts: a Poisson number of clusters of geometric size.

    `clump` is the variance over the mean; clusters have a mean of (clump + 1) / 2.
    """
    cluster = (clump + 1) / 2
    clusters = rng.poisson(mean / cluster, size)
    spare = np.zeros(size, dtype=np.int64)
    some = clusters > 0
    if cluster > 1:
        spare[some] = rng.negative_binomial(clusters[some], 1 / cluster)
    return clusters + spare


def wandering(
    rng: Rng, sd: float, steps: int, step_ms: float, forgets_ms: float = 300_000
) -> np.ndarray:
    """(steps,) a first-order autoregression that has neither beginning nor end."""
    kept = np.exp(-step_ms / forgets_ms)
    noise = rng.normal(0, sd * np.sqrt(1 - kept**2), steps)
    out = np.empty(steps)
    at = rng.normal(0, sd)
    for step in range(steps):
        at = kept * at + noise[step]
        out[step] = at
    return out


def history(
    seed: int,
    hours: float,
    rate: float = 0.001,
    rps: int = 500,
    clump: float = 1.0,
    wander: float = 0.0,
    ratio: float = 1.0,
    bursts: Callable[[int], float] = lambda step: 1.0,
    look_ms: int = SCRAPE_MS,
) -> Iterator[Look]:
    """Looks of two regions that serve half each, before a drain.

    `wander` is the standard deviation of the log rate of fra; `ratio` its lasting part.
    """
    rng = np.random.default_rng(seed)
    steps = round(hours * 3_600_000 / look_ms)
    each = rps * look_ms // 2000
    tilt = np.exp(wandering(rng, wander, steps, look_ms)) * ratio
    for step in range(steps):
        mean = each * rate * bursts(step)
        mine = int(clumped(rng, mean * float(tilt[step]), clump, 1)[0])
        theirs = int(clumped(rng, mean, clump, 1)[0])
        regions = {FRA: Counts(each, mine), AMS: Counts(each, theirs)}
        yield Look((step + 1) * look_ms, look_ms, 5000, regions)
