"""What all judges in the table share: rungs, states, and the sums PromQL would give."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from dayshift.model.evidence import BEYOND_US, Counts
from gate_bench.knobs import BOUNDS_S, BOUNDS_US, Scenario, Sight
from gate_bench.traffic import fractions

RAMP = (0.01, 0.05, 0.25, 0.50)
NONE = Counts(buckets=dict.fromkeys(BOUNDS_US, 0))
Services = dict[str, Sight]


class State(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    ROLLED_BACK = "rolled back"


class Rollout(Protocol):
    """A judge with its ramp. `armed`: it still watches after the last rung."""

    state: State
    share: float
    armed: bool

    def observe(self, at_s: float, found: Services) -> None: ...


@dataclass(frozen=True)
class Known:
    """What a careful operator knows of the healthy canary region, without noise."""

    errors: float
    p99_s: float

    @staticmethod
    def of(scenario: Scenario) -> Known:
        below = fractions(scenario, scenario.slow_bias) * 1e6
        cells = {us: int(part) for us, part in zip(BOUNDS_US, below, strict=False)}
        healthy = Counts(1_000_000, 0, {**cells, BEYOND_US: 1_000_000})
        return Known(scenario.base * scenario.bias, p99_s(healthy))


class Window:
    """The counts of the last seconds, as `rate(...[1m])` would have them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.kept: deque[tuple[float, Services]] = deque()

    def add(self, at_s: float, found: Services) -> None:
        self.kept.append((at_s, found))
        while self.kept[0][0] <= at_s - self.seconds + 1e-9:
            self.kept.popleft()

    def of(self, service: str, region: str) -> Counts:
        return total(found[service][region] for _, found in self.kept)


def total(several: Iterable[Counts]) -> Counts:
    """Their sum."""
    every = list(several)
    if len(every) == 1:
        return every[0]
    cells = np.array([list(one.buckets.values()) for one in every]).sum(axis=0)
    return Counts(
        sum(one.requests for one in every),
        sum(one.errors for one in every),
        dict(zip(BOUNDS_US, cells.tolist(), strict=True)),
    )


def error_rate(counts: Counts) -> float:
    """NaN without requests, as PromQL has it: no comparison with it is true."""
    return counts.errors / counts.requests if counts.requests else math.nan


def p99_s(counts: Counts) -> float:
    """`histogram_quantile(0.99, …)`: linear within the bucket, NaN if empty."""
    need = 0.99 * counts.requests
    if not counts.requests:
        return math.nan
    low_s, low = 0.0, 0
    for bound_s, bound_us in zip(BOUNDS_S, BOUNDS_US, strict=False):
        reached = counts.buckets[bound_us]
        if reached >= need:
            return low_s + (bound_s - low_s) * (need - low) / (reached - low)
        low_s, low = bound_s, reached
    return BOUNDS_S[-1]


class Steps:
    """Rungs, the dwell on each, and the state: what the time-driven peers share."""

    armed = False

    def __init__(self, step_s: float) -> None:
        self.state = State.RUNNING
        self.share = RAMP[0]
        self._rung, self._step_s, self._since_s = 0, step_s, 0.0

    def _advance(self, at_s: float) -> None:
        if self._rung + 1 == len(RAMP):
            self.state = State.FINISHED
            return
        self._rung += 1
        self.share, self._since_s = RAMP[self._rung], at_s

    def _advance_in_time(self, at_s: float) -> None:
        if at_s - self._since_s >= self._step_s - 1e-9:
            self._advance(at_s)
