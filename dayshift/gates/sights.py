"""What each signal says, as numbers that people and records see."""

from __future__ import annotations

import math

from dayshift.gates.signals import Pair
from dayshift.gates.stream import Stream
from dayshift.model.evidence import SignalSight

PPM = 1e6
RATIO_PPM_MAX = 10**12
SHOWN_MIN = 1
"""Bad answers, here or elsewhere, before a ratio says anything."""


def sights(name: str, stream: Stream) -> tuple[SignalSight, ...]:
    """Each signal in order, then the absolute guard."""
    against = stream.against()
    bands = stream.bands()
    need = _mlog10(math.log(stream.policy.rollback_odds))
    promote_need = _mlog10(math.log(stream.policy.promote_odds))
    out = []
    for index, signal in enumerate(stream.signals):
        pair = signal.rung
        low, high = bands[index] if _told(signal.run) else (0.0, 0.0)
        bound = stream.noise[index].bound_us
        out.append(
            SignalSight(
                stream=name,
                signal="slow" if bound else "errors",
                bound_us=bound,
                canary=pair.canary,
                canary_bad=pair.canary_bad,
                others=pair.others,
                others_bad=pair.others_bad,
                against_mlog10=_mlog10(float(against[index])),
                against_need=need,
                promote_mlog10=_mlog10(signal.promote),
                promote_need=promote_need,
                ratio_ppm=_ratio_ppm(signal.run),
                ratio_low_ppm=round(low * PPM),
                ratio_high_ppm=round(high * PPM),
                tolerated_ppm=round(math.exp(stream.noise[index].tolerated_log) * PPM),
            )
        )
    errors = stream.signals[0].rung
    guard = SignalSight(
        stream=name,
        signal="absolute",
        canary=errors.canary,
        canary_bad=errors.canary_bad,
        against_mlog10=_mlog10(stream.absolute.log()),
        against_need=need,
    )
    return (*out, guard)


def _told(pair: Pair) -> bool:
    return pair.canary_bad + pair.others_bad >= SHOWN_MIN and bool(pair.canary)


def _ratio_ppm(pair: Pair) -> int:
    """Ratio of the rates; 0 where the others had none."""
    if not pair.canary or not pair.others_bad:
        return 0
    ratio = pair.canary_bad * pair.others / (pair.canary * pair.others_bad)
    return min(RATIO_PPM_MAX, round(ratio * PPM))


def _mlog10(log: float) -> int:
    return math.floor(1000 * log / math.log(10))
