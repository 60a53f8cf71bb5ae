"""A recorded return, given to the gate look by look: what it would have said, and when.

The recorded shares stand: the gate is asked at each moment what it would have done
there. What it would have spared is reckoned from the counts of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from dayshift.gates import Judge, Look
from dayshift.model.calibration import Calibration
from dayshift.model.estate import GatePolicy
from dayshift.model.evidence import Counts, SignalSight, Verdict, VerdictKind, add

SLOW = "slow"


class Step(msgspec.Struct, frozen=True):
    """The gate's word after everything that was seen at one time.

    `verdict` is None while the region has no traffic. `returning_ms` is how long the
    return has lasted, the first look included.
    """

    at_ms: int
    returning_ms: int
    share_bp: int
    verdict: Verdict | None


class Passed(msgspec.Struct, frozen=True):
    """The first look at which the gate would have let a share go up."""

    at_ms: int
    returning_ms: int
    share_bp: int


class Moved(msgspec.Struct, frozen=True):
    """The recorded share went up although the gate had not let it."""

    at_ms: int
    returning_ms: int
    share_bp: int
    to_bp: int


class Failed(msgspec.Struct, frozen=True):
    """The first look at which the gate would have turned back.

    `excess` is how many more bad answers the region gave until then than it would have
    given at the other regions' rate; `bad` names what was counted: errors, or answers
    above `bound_us` where slowness decided.
    """

    at_ms: int
    returning_ms: int
    share_bp: int
    excess: float
    bad: str
    bound_us: int
    why: str


class Summary(msgspec.Struct, frozen=True):
    """The whole replay."""

    region: str
    looks: int
    began_ms: int
    ended_ms: int
    failed: Failed | None
    last: VerdictKind | None
    passed: tuple[Passed, ...]
    moved_early: tuple[Moved, ...]
    held: int
    blind: int


class Replay:
    """Plays looks; `summary` holds for what was played so far."""

    def __init__(
        self,
        policy: GatePolicy,
        calibrations: Sequence[Calibration],
        region: str,
        ramp_bp: Sequence[int],
        streams: int = 1,
    ) -> None:
        self.region = region
        self._judge = Judge(policy, calibrations, region, tuple(ramp_bp), streams)
        self._seen: list[Look] = []
        self._began: int | None = None
        self._steps = 0
        self._kinds: dict[VerdictKind, int] = {}
        self._passed: list[Passed] = []
        self._early: list[Moved] = []
        self._failed: Failed | None = None
        self._last: Step | None = None
        self._let = False

    def play(self, looks: Iterable[Look]) -> Iterator[Step]:
        """The gate's word at each time, in order."""
        together: list[Look] = []
        for look in looks:
            if together and look.at_ms != together[0].at_ms:
                yield self._step(together)
                together = []
            together.append(look)
        if together:
            yield self._step(together)

    def _step(self, looks: list[Look]) -> Step:
        at_ms = looks[0].at_ms
        if self._began is None:
            self._began = at_ms - max(look.span_ms for look in looks)
        verdict = None
        for look in looks:
            if look.share_bp:
                verdict = self._judge.observe(look)
                # After a failure nothing more is reckoned: the region would be gone.
                if self._failed is None:
                    self._seen.append(look)
        share = max(look.share_bp for look in looks)
        step = Step(at_ms, at_ms - self._began, share, verdict)
        self._take(step)
        return step

    def _take(self, step: Step) -> None:
        last, verdict = self._last, step.verdict
        self._last = step
        self._steps += 1
        if verdict is not None:
            self._kinds[verdict.kind] = self._kinds.get(verdict.kind, 0) + 1
        if self._failed is not None:
            return
        before = last.share_bp if last else 0
        if last is not None and before and step.share_bp > before and not self._let:
            moved = Moved(last.at_ms, last.returning_ms, before, step.share_bp)
            self._early.append(moved)
        if step.share_bp != before:
            self._let = False
        if verdict is None:
            return
        if verdict.kind is VerdictKind.PASS and not self._let:
            self._let = True
            self._passed.append(Passed(step.at_ms, step.returning_ms, step.share_bp))
        if verdict.kind is VerdictKind.FAIL:
            self._failed = self._failure(step, verdict)

    def _failure(self, step: Step, verdict: Verdict) -> Failed:
        decided = _decided(verdict)
        slow = decided is not None and decided.signal == SLOW
        bound_us = decided.bound_us if decided is not None and slow else 0
        stream = decided.stream if decided is not None and slow else ""
        looks = [one for one in self._seen if not stream or one.stream == stream]
        return Failed(
            step.at_ms,
            step.returning_ms,
            step.share_bp,
            round(excess(looks, self.region, _bad(bound_us)), 1),
            SLOW if slow else "errors",
            bound_us,
            verdict.why,
        )

    def summary(self) -> Summary:
        """What came of it."""
        last = self._last
        return Summary(
            region=self.region,
            looks=self._steps,
            began_ms=self._began or 0,
            ended_ms=last.at_ms if last else 0,
            failed=self._failed,
            last=last.verdict.kind if last and last.verdict else None,
            passed=tuple(self._passed),
            moved_early=tuple(self._early),
            held=self._kinds.get(VerdictKind.HOLD, 0),
            blind=self._kinds.get(VerdictKind.BLIND, 0),
        )


def _decided(verdict: Verdict) -> SignalSight | None:
    """The signal with the most evidence against the region, in parts of its limit."""
    found = [one for one in verdict.signals if one.against_need > 0]
    return max(
        found, key=lambda one: one.against_mlog10 / one.against_need, default=None
    )


Bad = Callable[[Counts], int]


def _bad(bound_us: int) -> Bad:
    """Counts of bad answers: errors, or those above a bound."""
    if not bound_us:
        return lambda counts: counts.errors
    return lambda counts: (
        counts.requests - counts.buckets.get(bound_us, counts.requests)
    )


def excess(looks: Iterable[Look], region: str, bad: Bad) -> float:
    """Bad answers of `region` beyond what the others' rate would have given it.

    Reckoned look by look, so that a shared incident is nobody's excess.
    """
    total = 0.0
    usual = Counts()
    for look in looks:
        mine = look.regions.get(region)
        if mine is None:
            continue
        others = Counts()
        for name, counts in look.regions.items():
            if name != region and counts is not None:
                others = add(others, counts)
        usual = add(usual, others)
        rate = others if others.requests else usual
        expected = mine.requests * bad(rate) / rate.requests if rate.requests else 0
        total += bad(mine) - expected
    return max(0.0, total)
