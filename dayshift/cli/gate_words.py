"""What was learned, in words that an operator understands. No decision."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import msgspec

from dayshift.gates import detectable
from dayshift.model.calibration import Calibration, SignalNoise
from dayshift.model.estate import GatePolicy
from dayshift.surfaces import words

PPM = 1_000_000
PPB = 1_000_000_000
EVEN = 0.005
ALONE = 1.15
"""Errors that come so few at a time come alone."""
MINUTES = (5, 15, 60)


class Smallest(msgspec.Struct, frozen=True):
    """The smallest regression that would be seen: how many times the usual errors, in 8
    of 10 cases; None: not even ten thousand times as many."""

    stream: str
    region: str
    share_bp: int
    minutes: int
    ratio: float | None


def smallest(
    policy: GatePolicy, learned: Iterable[Calibration], ramp_bp: Iterable[int]
) -> list[Smallest]:
    """For each rung and each of a few times."""
    rungs = list(ramp_bp)
    return [
        Smallest(one.stream, one.region, share, minutes, _rounded(ratio))
        for one in learned
        for share in rungs
        for minutes in MINUTES
        for ratio in [detectable(policy, one, share, minutes)]
    ]


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio, 2)


def sentences(one: Calibration, others: str) -> Iterator[str]:
    """One for errors and one for each bound of slowness."""
    for signal in one.signals:
        yield _signal(signal, one, others)


def _signal(signal: SignalNoise, one: Calibration, others: str) -> str:
    ratio = math.exp(signal.bias_ppm / PPM)
    what = "errors" if not signal.bound_us else _slower(signal)
    usual = f"usually {rate(signal.usual_ppb / PPB * ratio)} {what}"
    compared = _compared(ratio, signal.bias_sd_ppm / PPM, others)
    wander = math.exp(math.sqrt(signal.variation_ppm / PPM)) - 1
    high = math.exp(math.sqrt(signal.variation_high_ppm / PPM)) - 1
    return f"{usual}, {compared}; {_together(signal)}; {_wander(wander, high)}"


def _slower(signal: SignalNoise) -> str:
    return f"answers slower than {words.took(signal.bound_us)}"


def _compared(ratio: float, unsure: float, others: str) -> str:
    margin = f"(±{_percent(ratio * (math.exp(unsure) - 1))})"
    if abs(ratio - 1) < EVEN:
        return f"as many as {others} {margin}"
    if ratio > 2:
        return f"{ratio:.1f} times as many as {others} {margin}"
    more = "more" if ratio > 1 else "fewer"
    return f"{_percent(abs(ratio - 1))} {more} than {others} {margin}"


def _together(signal: SignalNoise) -> str:
    """Clusters of geometric size with mean m have a dispersion of 2m - 1."""
    mean = (signal.dispersion_ppm / PPM + 1) / 2
    if mean < ALONE:
        return "they come one at a time"
    return f"they come about {mean:.{0 if mean >= 3 else 1}f} at a time"


def _wander(usual: float, high: float) -> str:
    if usual < EVEN:
        return f"the ratio between the regions stays (±{_percent(high)} at most)"
    return (
        f"the ratio between the regions wanders by ±{_percent(usual)} over five "
        f"minutes (±{_percent(high)} at most)"
    )


def rate(value: float) -> str:
    """A rate with two digits that mean something: `0.10 %`, `3.2 %`, `0.0004 %`."""
    percent = value * 100
    if percent <= 0:
        return "0 %"
    digits = max(0, 1 - math.floor(math.log10(percent)))
    return f"{percent:.{min(digits, 6)}f} %"


def _percent(part: float) -> str:
    percent = part * 100
    return f"{percent:.0f} %" if percent >= 1 else f"{max(percent, 0.1):.1f} %"


def span_told(one: Calibration) -> str:
    """What it was learned from."""
    return (
        f"learned from {words.span(one.span_ms)}, {one.looks:,} looks of "
        f"{words.span(one.look_ms)}, {one.requests:,} requests "
        f"({words.per_second(one.mrps)}/s)"
    )


def times(ratio: float | None) -> str:
    """`×2.3`, or a dash where nothing would be seen."""
    if ratio is None:
        return words.UNKNOWN
    return f"×{ratio:.1f}" if ratio < 10 else f"×{ratio:,.0f}"
