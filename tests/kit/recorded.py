"""Recorded returns with known truth, as text of the gate's file format."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

BOUNDS = (0.1, 0.25, 0.5)
BEYOND = (0.3, 0.05, 0.008)
"""The part of all answers that is slower than each bound."""
HEADER = "time,region,requests,errors,share," + ",".join(f"le_{b}" for b in BOUNDS)
HEADER += ",le_+Inf"
T0 = 1_700_000_000
STEP_S = 15


def draw(rng: random.Random, count: int, part: float) -> int:
    """About binomial."""
    mean = count * part
    if mean < 30:
        return sum(rng.random() < part for _ in range(count)) if count < 3000 else min(
            count, _poisson(rng, mean)
        )  # fmt: skip
    return max(0, min(count, round(rng.gauss(mean, (mean * (1 - part)) ** 0.5))))


def _poisson(rng: random.Random, mean: float) -> int:
    left, drawn = rng.expovariate(1.0), 0
    while left < mean:
        drawn += 1
        left += rng.expovariate(1.0)
    return drawn


def row(
    rng: random.Random,
    at_s: int,
    region: str,
    requests: int,
    errors_part: float,
    share: float,
) -> str:
    errors = draw(rng, requests, errors_part)
    below, above, part = [], requests, 1.0
    for beyond in BEYOND:
        above = draw(rng, above, beyond / part)
        part = beyond
        below.append(requests - above)
    counts = ",".join(map(str, [*below, requests]))
    return f"{at_s},{region},{requests},{errors},{share * 100:g} %,{counts}"


def returned(
    factor: float = 1.0,
    history_min: int = 150,
    rung_min: float = 4,
    seed: int = 1,
    rps: int = 500,
    base: float = 0.001,
    again: Callable[[float], float] = lambda share: share,
) -> Iterator[str]:
    """History at 50 %, two minutes at 0 %, then 1, 5, 25 and 50 %.

    `factor` is how many times the usual errors the returning region `fra` has.
    """
    yield HEADER
    rng = random.Random(seed)
    at_s = T0
    rungs = [(0.5, history_min, 1.0), (0.0, 2, 1.0)]
    rungs += [(share, rung_min, factor) for share in (0.01, 0.05, 0.25, 0.5)]
    for share, minutes, worse in rungs:
        for _ in range(round(minutes * 60 / STEP_S)):
            at_s += STEP_S
            whole = rps * STEP_S
            mine = draw(rng, whole, share) if share else 0
            told = again(share)
            yield row(rng, at_s, "fra", mine, base * worse, told)
            yield row(rng, at_s, "ber", whole - mine, base, told)


def text(*args: float, **more: float) -> str:
    return "\n".join(returned(*args, **more)) + "\n"  # type: ignore[arg-type]
