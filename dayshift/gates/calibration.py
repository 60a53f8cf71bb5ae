"""What the regions' habits are, from before the drain, when all of them served.

The same blocks as the gate uses: a minute each. With residuals d = x − θ̂e and
v = θ̂(1 − θ̂), the wandering of the log ratio shows in neighbouring minutes,
E[d_k d_l] = σ²·a^(l−k)·(ev)_k·(ev)_l, while clumps show within a minute,
E[d²] = φ·ev + σ²·(ev)². Both are solved by moments. Little history gives little: σ² is
pulled towards a usual value, and the gate is given its plausible upper end beside it.
The lasting ratio is pulled towards 1 (prior sd .2), with a standard error over quarters
of an hour, so that wandering is in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from dayshift.gates.noise import PPB, PPM, WANDER_MS, Floats
from dayshift.gates.nouns import Look
from dayshift.gates.signals import Pair, error_pair, seen, slow_pair
from dayshift.gates.stream import BLOCK_MS, LEVEL_BLOCKS, LEVEL_KEPT
from dayshift.model.calibration import Calibration, SignalNoise
from dayshift.model.evidence import BEYOND_US, Counts, add

TAIL_MIN, TAIL_MAX = 0.0005, 0.3
"""Latency bounds worth judging have so large a part of the answers beyond them."""
BOUNDS_MAX = 4
SLOPE_MIN, SLOPE_MAX = 0.3, 4.0
TRUSTED_MS = 2 * 3_600_000
TRUSTED_REQUESTS = 10_000
LAGS = 5
BLOCKS_MS = (1_000, 2_000, 5_000, 10_000, 15_000, 30_000)
CLUMPED_FROM, WHOLE = 1.0, 0.75
WANDER_PRIOR, WANDER_PRIOR_SD = 0.02, 0.05
WANDER_HIGH_SD = 0.8
BIAS_PRIOR_SD = 0.2
QUARTER = 15
"""Blocks whose sum is nearly independent of the next sum."""
BURST_TIMES, SLOW_BURST_TIMES = 4.0, 1.3
BURST_MIN, BURST_SIGMAS = 8.0, 4.0
BURST_PART_MAX = 0.5

Seen = Sequence[tuple[Look, Counts, Counts]]
"""Looks with the counts here and elsewhere."""


def calibrate(
    looks: Iterable[Look], region: str, learned_wall_ms: int = 0
) -> tuple[Calibration, ...]:
    """Learn from looks in order of time, one result for each stream in them.

    Looks in which any region was not seen are left out.
    """
    streams: dict[str, list[tuple[Look, Counts, Counts]]] = {}
    for look in looks:
        here, others = seen(look, region)
        known = streams.setdefault(look.stream, [])
        if here is not None and others is not None:
            known.append((look, here, others))
    return tuple(
        _learned(stream, seen, region, learned_wall_ms)
        for stream, seen in sorted(streams.items())
    )


def _learned(
    stream: str,
    seen: Seen,
    region: str,
    learned_wall_ms: int,
) -> Calibration:
    span_ms = sum(look.span_ms for look, _, _ in seen)
    requests = sum(here.requests + others.requests for _, here, others in seen)
    tails = _tails(seen)
    signals = []
    for bound in (0, *_bounds(tails)):
        blocks = _blocks(seen, bound, BLOCK_MS)
        if len(blocks):
            slope = _slope(tails, bound) if bound else 0.0
            signals.append(_noise(blocks, bound, slope))
    why = _doubt(span_ms, requests)
    return Calibration(
        stream=stream,
        region=region,
        signals=tuple(signals),
        trusted=not why,
        why=why,
        learned_wall_ms=learned_wall_ms,
        span_ms=span_ms,
        looks=len(seen),
        look_ms=span_ms // len(seen) if seen else 0,
        requests=requests,
        errors=sum(here.errors + others.errors for _, here, others in seen),
        block_ms=_block_ms(seen),
        mrps=requests * 1_000_000 // span_ms if span_ms else 0,
    )


def _doubt(span_ms: int, requests: int) -> str:
    """Why this is too little to turn traffic back on, or nothing."""
    if span_ms < TRUSTED_MS:
        need = TRUSTED_MS // 60_000
        return f"only {span_ms // 60_000} min of history, {need} min needed"
    if requests < TRUSTED_REQUESTS:
        return f"only {requests} requests in the history, {TRUSTED_REQUESTS} needed"
    return ""


def _tails(seen: Seen) -> dict[int, float]:
    """Part of all answers beyond each finite bound."""
    total: Counts | None = None
    for _, here, others in seen:
        both = add(here, others)
        total = both if total is None else add(total, both)
    if total is None or not total.buckets:
        return {}
    timed = total.buckets[max(total.buckets)]
    return {
        bound: 1 - below / timed
        for bound, below in sorted(total.buckets.items())
        if bound < BEYOND_US and timed
    }


def _bounds(tails: Mapping[int, float]) -> tuple[int, ...]:
    """Up to four bounds, spread over the part of the tail that shows a regression."""
    fit = [bound for bound, tail in tails.items() if TAIL_MIN <= tail <= TAIL_MAX]
    if len(fit) <= BOUNDS_MAX:
        return tuple(fit)
    picks = np.linspace(0, len(fit) - 1, BOUNDS_MAX).round().astype(int)
    return tuple(fit[pick] for pick in picks)


def _slope(tails: Mapping[int, float], bound_us: int) -> float:
    """How steeply the tail falls at a bound: log part beyond against log bound."""
    known = [bound for bound, tail in tails.items() if tail > 0]
    place = known.index(bound_us)
    low, high = known[max(0, place - 1)], known[min(len(known) - 1, place + 1)]
    if low == high:
        return 0.0
    fall = math.log(tails[low] / tails[high]) / math.log(high / low)
    return min(max(fall, SLOPE_MIN), SLOPE_MAX)


def _block_ms(seen: Seen) -> int:
    """The shortest time in which whole clumps fall: there, counts vary no less, beyond
    the independent, than in a minute."""
    spare = _spare(_blocks(seen, 0, BLOCK_MS))
    if spare < CLUMPED_FROM:
        return BLOCK_MS
    for shorter in BLOCKS_MS:
        if _spare(_blocks(seen, 0, shorter)) >= WHOLE * spare:
            return shorter
    return BLOCK_MS


def _spare(blocks: Floats) -> float:
    """Variance of the split beyond that of independent errors, over the latter."""
    calm = _calm(blocks, BURST_TIMES)
    if not len(calm):
        return 0.0
    residual, spread = _residuals(calm)
    return float((residual**2).sum() / max(float(spread.sum()), 1e-9)) - 1


def _residuals(blocks: Floats) -> tuple[Floats, Floats]:
    """What is here beyond its part of the total, and the variance if independent."""
    here, bad, there, others_bad = blocks.T
    ratio = _ratio(blocks)
    share = here / (here + there)
    theta = share * ratio / (share * ratio + 1 - share)
    total = bad + others_bad
    return bad - theta * total, total * theta * (1 - theta)


def _blocks(seen: Seen, bound_us: int, block_ms: int) -> Floats:
    """(blocks, 4): requests and bad ones here and elsewhere, one block in each row."""
    rows: list[Pair] = []
    block, span = Pair(), 0
    for look, here, others in seen:
        pair = (
            slow_pair(here, others, bound_us) if bound_us else error_pair(here, others)
        )
        block, span = block.plus(pair), span + look.span_ms
        if span >= block_ms:
            rows.append(block)
            block, span = Pair(), 0
    counts = [(r.canary, r.canary_bad, r.others, r.others_bad) for r in rows]
    table: Floats = np.array(counts, dtype=np.float64).reshape(len(rows), 4)
    return table[(table[:, 0] > 0) & (table[:, 2] > 0)]


def _calm(blocks: Floats, times: float) -> Floats:
    """Without shared bursts: the gate freezes in them, so they teach it nothing. What
    bursts on one side alone is that side's noise, and stays."""
    burst = np.ones(len(blocks), dtype=np.bool_)
    for bad in (blocks[:, 1], blocks[:, 3]):
        usual = max(float(np.median(bad)), float(bad.mean()) / 2)
        chance = BURST_SIGMAS * math.sqrt(usual)
        burst &= (bad > times * usual) & (bad - usual > max(chance, BURST_MIN))
    near = burst.copy()
    near[1:] |= burst[:-1]
    near[:-1] |= burst[1:]
    return blocks if near.mean() > BURST_PART_MAX else blocks[~near]


def _noise(blocks: Floats, bound_us: int, slope: float) -> SignalNoise:
    """Habits of one signal, solved by moments."""
    calm = _calm(blocks, SLOW_BURST_TIMES if bound_us else BURST_TIMES)
    _, _, there, others_bad = calm.T
    ratio = _ratio(calm)
    residual, spread = _residuals(calm)
    variation, unsure = _wander(residual, spread)
    squares = float((residual**2).sum() - variation * (spread**2).sum())
    clump = max(1.0, squares / max(float(spread.sum()), 1e-9))
    bias, bias_sd = _bias(residual, spread, ratio)
    own, own_variation, own_unsure = _own(calm, ratio)
    usual = float(others_bad.sum() + 0.5) / float(there.sum() + 1)
    return SignalNoise(
        bound_us=bound_us,
        usual_ppb=round(usual * PPB),
        dispersion_ppm=round(clump * PPM),
        own_dispersion_ppm=round(own * PPM),
        variation_ppm=round(variation * PPM),
        variation_high_ppm=round((variation + WANDER_HIGH_SD * unsure) * PPM),
        own_variation_ppm=round(own_variation * PPM),
        own_variation_high_ppm=round(
            (own_variation + WANDER_HIGH_SD * own_unsure) * PPM
        ),
        bias_ppm=round(bias * PPM),
        bias_sd_ppm=round(bias_sd * PPM),
        slope_ppm=round(slope * PPM),
    )


def _own(blocks: Floats, ratio: float) -> tuple[float, float, float]:
    """What single regions do, about what the others' half hour before them said: the
    others' clumps (0 if there is too little), this region's wandering, and how unsure
    that is."""
    usual = _usual_before(blocks)
    here, bad, there, others_bad = blocks[len(blocks) - len(usual) :].T
    means = usual * there
    known = max(float(means.sum()), 1e-9)
    clump = float(((others_bad - means) ** 2).sum()) / known if len(means) else 0.0
    expected = usual * here * ratio
    return (max(1.0, clump) if len(means) else 0.0, *_wander(bad - expected, expected))


def _usual_before(blocks: Floats) -> Floats:
    """The others' level before each block, from the first that has a half hour."""
    there, bad = blocks[:LEVEL_BLOCKS, [2, 3]].sum(axis=0)
    levels = []
    for _, _, requests, others_bad in blocks[LEVEL_BLOCKS:]:
        levels.append(bad / there)
        bad = bad * LEVEL_KEPT + others_bad
        there = there * LEVEL_KEPT + requests
    return np.array(levels)


def _ratio(blocks: Floats) -> float:
    """Bad answers here to elsewhere, by rate; halves keep it finite."""
    here, bad, there, others_bad = blocks.sum(axis=0)
    return float((bad + 0.5) / (here + 1) / ((others_bad + 0.5) / (there + 1)))


def _wander(residual: Floats, spread: Floats) -> tuple[float, float]:
    """Variance of the wandering log ratio and how unsure that is."""
    products, weights, squares = 0.0, 0.0, 0.0
    for lag in range(1, min(LAGS, len(residual) - 1) + 1):
        kept = math.exp(-lag * BLOCK_MS / WANDER_MS)
        pairs = residual[lag:] * residual[:-lag]
        products += kept * float(pairs.sum())
        squares += kept**2 * float((pairs**2).sum())
        weights += kept**2 * float((spread[lag:] * spread[:-lag]).sum())
    prior = 1 / WANDER_PRIOR_SD**2
    if weights <= 0 or squares <= 0:
        return WANDER_PRIOR, WANDER_PRIOR_SD
    known = weights**2 / squares
    mean = (products / weights * known + WANDER_PRIOR * prior) / (known + prior)
    return max(0.0, mean), 1 / math.sqrt(known + prior)


def _bias(residual: Floats, spread: Floats, ratio: float) -> tuple[float, float]:
    """The lasting log ratio, shrunk, and its standard deviation."""
    edges = range(0, len(residual), QUARTER)
    sums = np.array([residual[at : at + QUARTER].sum() for at in edges])
    information = max(float(spread.sum()), 1e-9)
    error2 = max(float((sums**2).sum()) / information**2, 1 / information)
    prior2 = BIAS_PRIOR_SD**2
    kept = prior2 / (prior2 + error2)
    return kept * math.log(ratio), math.sqrt(kept * error2)
