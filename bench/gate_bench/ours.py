"""Dayshift's own judge on the benchmark's rungs. Only this file and `cost` know it."""

from __future__ import annotations

from collections.abc import Iterable

from dayshift.gates import Judge, Look, calibrate
from dayshift.model.calibration import Calibration
from dayshift.model.estate import GatePolicy
from dayshift.model.evidence import Counts, Verdict, VerdictKind
from gate_bench.knobs import CANARY
from gate_bench.scenarios import World
from gate_bench.steps import RAMP, Services, State

RAMP_BP = tuple(round(share * 10_000) for share in RAMP)
LEARNED_AT_MS = 1_700_000_000_000


class Dayshift:
    """The judge with what it learned from the world's four hours before the drain."""

    armed = True

    def __init__(self, world: World, policy: GatePolicy | None = None) -> None:
        self.state = State.RUNNING
        self.share = RAMP[0]
        self.verdict: Verdict | None = None
        self._span_ms = round(world.scenario.look_s * 1000)
        self.judge = Judge(
            policy or GatePolicy(),
            learned(world),
            CANARY,
            RAMP_BP,
            streams=len(world.streams),
        )

    def observe(self, at_s: float, found: Services) -> None:
        bp = round(self.share * 10_000)
        for look in looks(at_s, self._span_ms, bp, found):
            self.verdict = self.judge.observe(look)
        assert self.verdict is not None
        if self.verdict.kind is VerdictKind.FAIL:
            self.state = State.ROLLED_BACK
        elif self.verdict.kind is VerdictKind.PASS:
            rung = RAMP.index(self.share) + 1
            if rung == len(RAMP):
                self.state = State.FINISHED
            else:
                self.share = RAMP[rung]


def looks(at_s: float, span_ms: int, share_bp: int, found: Services) -> Iterable[Look]:
    """One moment of all services as the judge takes it."""
    for name, sight in found.items():
        regions: dict[str, Counts | None] = {**sight}
        yield Look(round(at_s * 1000), span_ms, share_bp, regions, stream=name)


def learned(world: World) -> tuple[Calibration, ...]:
    """What the judge's own calibration makes of the history."""
    span_ms = round(world.scenario.look_s * 1000)
    past = world.history_streams()
    return calibrate(
        (look for at_s, found in past for look in looks(at_s, span_ms, 5000, found)),
        CANARY,
        LEARNED_AT_MS,
    )
