"""What the gate would see: the smallest regression, and how fast a larger one.

Expected evidence instead of simulation, so that a plan can say it before anything
moves. The expected log of the evidence is the Kullback–Leibler divergence of what would
be counted from what is tolerated, shrunk by clumps and by the wandering of the ratio;
its variance is about twice its mean. Good for "about"; the simulations in `bench` say
how good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from dayshift.gates.absolute import limit_logs
from dayshift.gates.compare import STAKED
from dayshift.gates.noise import WANDER_MS, Floats, Noise, noises
from dayshift.gates.stream import Stream
from dayshift.limits import FULL_BP
from dayshift.model.calibration import Calibration
from dayshift.model.estate import GatePolicy

POWER_SIGMA = 0.8416
"""The normal deviate of a power of 80 %."""
MIXTURE_LOG = 1.2
"""What it costs not to know the ratio beforehand, about."""
RATIOS = np.exp(np.linspace(math.log(1.1), math.log(10_000), 180))
HOUR_MS = 3_600_000


class RungSpeed(msgspec.Struct, frozen=True):
    """How fast a rung would show: half of the requests failing, ten times and twice
    the usual errors; milliseconds, None: not within an hour."""

    share_bp: int
    outage_ms: int | None
    tenfold_ms: int | None
    twofold_ms: int | None


def expected_log(
    noise: Noise, here: float, there: float, ratios: Floats, elapsed_ms: float
) -> Floats:
    """(ratios,) expected log evidence if this signal were so many times worse.

    Args:
        here: bad answers that would be usual in the region in this time.
        there: bad answers in the others in this time.
    """
    bad = ratios * here
    share = here / (here + there)
    odds = share * math.exp(noise.tolerated_log) / (1 - share)
    null = odds / (1 + odds)
    found = bad / (bad + there)
    total = bad + there
    gain = bad * np.log(found / null) + there * np.log((1 - found) / (1 - null))
    gain = np.where(found > null, gain, 0.0) / noise.clump
    counted = noise.clump * (1 / bad + 1 / there)
    known = min(1.0, 2 * WANDER_MS / max(elapsed_ms, 1))
    wander = noise.wander**2 * known
    kept: Floats = np.maximum(gain, 0.0) * counted / (counted + wander)
    return np.where(total > 0, kept, 0.0)


def needed_log(policy: GatePolicy, bounds: int, streams: int = 1) -> float:
    """The log evidence of one errors signal that turns traffic back."""
    weight = 0.5 if bounds else 0.9
    return (
        math.log(policy.rollback_odds * streams)
        - math.log(weight * STAKED)
        + MIXTURE_LOG
    )


def smallest_bp(stream: Stream) -> int:
    """The smallest excess of errors that this rung would have shown in 8 of 10 cases.

    Basis points of the region's requests; 10 000: it could have seen nothing.
    """
    errors, noise = stream.signals[0], stream.noise[0]
    pair = errors.rung
    if not pair.canary or not pair.others or not stream.trusted:
        return FULL_BP
    bad, requests = stream.usual()
    usual = (bad + errors.run.others_bad + 0.5) / (requests + errors.run.others + 100)
    here, there = usual * pair.canary, usual * pair.others
    log = expected_log(noise, here, there, RATIOS, stream.rung_ms)
    need = needed_log(stream.policy, len(stream.noise) - 1)
    seen = np.flatnonzero(log - POWER_SIGMA * np.sqrt(2 * log) >= need)
    if not len(seen):
        return FULL_BP
    excess = (float(RATIOS[seen[0]]) - 1) * usual
    return min(FULL_BP, math.ceil(excess * FULL_BP))


def detectable(
    policy: GatePolicy, learned: Calibration, share_bp: int, minutes: float
) -> float | None:
    """The smallest ratio of errors that a rung of so many minutes shows in 8 of 10
    cases at the usual traffic; None: not even ten thousandfold."""
    noise = noises(policy, learned)[0]
    requests = learned.mrps / 1000 * minutes * 60
    usual = max(noise.usual, 1e-7)
    here = requests * usual * share_bp / FULL_BP
    there = requests * usual - here
    if here <= 0 or there <= 0:
        return None
    log = expected_log(noise, here, there, RATIOS, minutes * 60_000)
    need = needed_log(policy, len(learned.signals) - 1)
    seen = np.flatnonzero(log - POWER_SIGMA * np.sqrt(2 * log) >= need)
    return float(RATIOS[seen[0]]) if len(seen) else None


def resolution(
    policy: GatePolicy,
    learned: Calibration | None,
    look_ms: int,
    mrps: int,
    ramp_bp: Sequence[int],
) -> tuple[RungSpeed, ...]:
    """How fast each rung would show a regression, at so many requests per second.

    Args:
        look_ms: how often the deciding meter has new counts.
        mrps: requests per 1000 seconds in all regions.
    """
    noise = noises(policy, learned)
    usual = max(noise[0].usual, 1e-4)
    out = []
    for share_bp in ramp_bp:
        per_look = mrps / 1000 * look_ms / 1000
        here = per_look * share_bp / FULL_BP
        speeds = _Speeds(policy, noise, usual, here, per_look - here, look_ms)
        compared = learned.trusted if learned else policy.trusted
        out.append(
            RungSpeed(
                share_bp,
                speeds.outage(),
                speeds.times(10) if compared else None,
                speeds.times(2) if compared else None,
            )
        )
    return tuple(out)


class _Speeds(msgspec.Struct, frozen=True):
    """One rung's traffic by look, and what it shows when."""

    policy: GatePolicy
    noise: tuple[Noise, ...]
    usual: float
    here: float
    there: float
    look_ms: int

    def outage(self) -> int | None:
        """Half of the requests fail: the absolute guard, on the look itself."""
        bad, good = limit_logs(self.policy.absolute_error_bp)
        gain = float(np.max(bad + good)) / 2 * self.here / self.noise[0].clump
        need = math.log(self.policy.rollback_odds) - math.log(0.1 * STAKED / 2)
        if gain <= 0:
            return None
        return self._bounded(math.ceil(need / gain))

    def times(self, ratio: float) -> int | None:
        """So many times the usual errors: the comparison, one look later."""
        if self.there <= 0 or self.here <= 0:
            return None
        need = needed_log(self.policy, len(self.noise) - 1)
        looks = 1
        while looks * self.look_ms <= HOUR_MS:
            count = looks * self.usual
            log = expected_log(
                self.noise[0],
                self.here * count,
                self.there * count,
                np.array([ratio]),
                looks * self.look_ms,
            )
            if log[0] >= need:
                return self._bounded(looks + 1)
            looks = max(looks + 1, math.ceil(looks * 1.03))
        return None

    def _bounded(self, looks: int) -> int | None:
        took = looks * self.look_ms
        return took if took <= HOUR_MS else None
