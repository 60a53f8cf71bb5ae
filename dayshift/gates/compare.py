"""Evidence that a region is worse: against the others, and against a fixed limit.

Why this may be looked at as often as one likes. In one look let the region have n_c
requests with x_c bad, the others n_b with x_b, e = x_c + x_b, π = n_c / (n_c + n_b) and
θ(r) = πr / (πr + 1 − π). Given e and both n, and if the odds of a bad answer in the
region are at most r0 times those elsewhere, x_c is Fisher's hypergeometric: a sum of
independent Bernoulli variables (Vatutin & Mikhailov 1982), with mean at most e·θ(r0),
so in convex order below Binomial(e, θ(r0)) (Hoeffding 1963). The likelihood ratio
`Binomial(e, θ(r0·g)) / Binomial(e, θ(r0))` is convex and increasing in x_c, so its mean
is at most 1, in every look, whatever the common rate of bad answers does from look to
look. The product over looks is then a non-negative supermartingale, and by Ville's
inequality (1939) it ever exceeds 1/α with probability at most α. Conditioning on
totals: Lindon & Malek, arXiv 2011.03567. Means over g, start times and signals
keep this under any dependence (Vovk & Wang, arXiv 1912.06116).

Real errors clump. A calibration gives φ (how many bad answers come together) and cv²
(how far the ratio of the regions wanders by itself from minute to minute). With φ,
counts are divided by φ: exact for clumps of φ, conservative for smaller ones (Jensen).
With cv², a block of a minute is one beta-binomial (Pólya urn) of
ρ = 2·cv²·θ0·(1 − θ0), and the open block counts too: the urn's likelihood ratio is a
martingale draw by draw, as long as π stays the same, hence a new block at every change
of share. Over-estimated dispersion is not conservative by itself, so three models,
(1, 0), (√φ, cv²/4), (φ, cv²), must agree: the least evidence counts. α holds if the
real dispersion is one of the three; between them it was only simulated.

Late changes: .6 of the stake is on the first moment; at each block's end .02 of what
still waits is staked anew. Mass is only moved, so the sum stays a supermartingale.
"""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec

from dayshift.gates.signals import Pair
from dayshift.limits import FULL_BP
from dayshift.model.estate import GatePolicy

ERROR_RATIOS = (1.5, 2.5, 5.0, 15.0, 60.0, 240.0)
SLOW_RATIOS = (1.3, 1.8, 3.0, 6.0, 12.0, 48.0)
TAIL_SLOPE = 3
"""Answers 10 % slower put about 1.1³ as many above a bound in a usual tail."""
ABSOLUTE_STEPS = (0.05, 0.2, 0.5, 0.9)
"""Alternatives of the absolute guard: this far from its limit towards all failing."""
SUBSTANTIAL_ODDS = 4
"""From here on a suspicion holds the ramp, long before it turns it back."""
STAKED = 0.6
RESTAKED = 0.02
RHO_MIN = 1e-9

Logs = tuple[float, ...]


class Model(msgspec.Struct, frozen=True):
    """One belief about clumping: bad answers per clump, and cv² of the ratio."""

    clump: float
    cv2: float


class Question(msgspec.Struct, frozen=True):
    """What one signal is asked: ratios on top of the tolerated one."""

    tolerated: float
    ratios: Logs
    logs: Logs
    models: tuple[Model, ...]


@lru_cache(maxsize=8)
def questions(policy: GatePolicy) -> tuple[Question, ...]:
    """Errors first, then each bound of `policy.slow_us` in its order."""
    ratio = policy.tolerated_ratio_ppm / 1e6
    believed = models(policy)
    errors = Question(ratio, ERROR_RATIOS, _logs(ERROR_RATIOS), believed)
    slow = Question(ratio**TAIL_SLOPE, SLOW_RATIOS, _logs(SLOW_RATIOS), believed)
    return (errors, *(slow for _ in policy.slow_us))


def models(policy: GatePolicy) -> tuple[Model, ...]:
    """The three models of the calibration; one if it says nothing clumps."""
    clump = max(1.0, policy.dispersion_ppm / 1e6)
    cv2 = max(0.0, policy.variation_ppm / 1e6)
    three = (Model(1.0, 0.0), Model(math.sqrt(clump), cv2 / 4), Model(clump, cv2))
    return tuple(dict.fromkeys(three))


def _logs(values: Logs) -> Logs:
    return tuple(math.log(value) for value in values)


def log_ratios(pair: Pair, question: Question, model: Model) -> Logs:
    """Log likelihood ratio of one piece of evidence for every ratio asked."""
    bad = pair.canary_bad + pair.others_bad
    if not bad or not pair.canary or not pair.others:
        return (0.0,) * len(question.ratios)
    share = pair.canary / (pair.canary + pair.others)
    base = share * question.tolerated
    none = base + 1 - share
    rho = 2 * model.cv2 * (base / none) * (1 - base / none)
    if rho > RHO_MIN:
        return _urn(pair, question, model, base / none, rho)
    # θ1/θ0 = g·D0/D1 and (1−θ1)/(1−θ0) = D0/D1 with D = π·r + 1 − π.
    return tuple(
        (
            pair.canary_bad * log
            - bad * math.log((base * ratio + 1 - share) / (base + 1 - share))
        )
        / model.clump
        for ratio, log in zip(question.ratios, question.logs, strict=True)
    )


def _urn(
    pair: Pair, question: Question, model: Model, theta: float, rho: float
) -> Logs:
    """The same for a beta-binomial; what does not depend on θ cancels."""
    balls = (1 - rho) / rho
    drawn = pair.canary_bad / model.clump
    rest = pair.others_bad / model.clump

    def log_urn(share: float) -> float:
        mine, theirs = share * balls, (1 - share) * balls
        return (
            math.lgamma(drawn + mine)
            - math.lgamma(mine)
            + math.lgamma(rest + theirs)
            - math.lgamma(theirs)
        )

    null = log_urn(theta)
    odds = theta / (1 - theta)
    return tuple(
        log_urn(odds * ratio / (1 + odds * ratio)) - null for ratio in question.ratios
    )


def absolute_ratios(pair: Pair, policy: GatePolicy) -> Logs:
    """The same against "at most `absolute_error_bp` fail", without the others."""
    limit = min(max(policy.absolute_error_bp / FULL_BP, 1e-4), 0.99)
    clump = max(1.0, policy.dispersion_ppm / 1e6)
    good = pair.canary - pair.canary_bad
    return tuple(
        (
            pair.canary_bad * math.log((limit + step * (1 - limit)) / limit)
            + good * math.log1p(-step)
        )
        / clump
        for step in ABSOLUTE_STEPS
    )


def staked_log(started: Logs, waiting: float) -> float:
    """Log of (mean of what was staked, grown) + what still waits."""
    return log_sum((*started, math.log(waiting * len(started)))) - math.log(
        len(started)
    )


def restaked(started: Logs, waiting: float) -> Logs:
    """Stake a part of what waits on a change that begins now."""
    fresh = math.log(RESTAKED * waiting)
    return tuple(log_sum((log, fresh)) for log in started)


def log_sum(logs: Logs) -> float:
    """log Σ exp, without overflow."""
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs))


def signal_weights(signals: int) -> Logs:
    """Errors .5, slowness .4 (each bound its part), the absolute guard .1, in order."""
    bounds = signals - 1
    if not bounds:
        return (0.9, 0.1)
    return (0.5, *(0.4 / bounds,) * bounds, 0.1)


def merged_log(signals: Logs, absolute: float) -> float:
    """The weighted mean of all evidence against the region."""
    weights = signal_weights(len(signals))
    return log_sum(
        tuple(
            log + math.log(weight)
            for log, weight in zip((*signals, absolute), weights, strict=True)
        )
    )
