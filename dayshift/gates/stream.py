"""What the gate remembers of one stream of users through one return, and `look`.

Here lives the bookkeeping of looks, blocks, rungs and shared incidents; the statistics
are in `compare`, `absolute` and `noninferior`, the decision in `judge`. Memory does not
grow with time.

A look waits for the next one before it counts in the comparison: scrapes of two regions
are apart by up to a look, so an incident that both have may show in one of them first.
The absolute guard does not wait.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dayshift.gates import incident
from dayshift.gates.absolute import Absolute
from dayshift.gates.compare import Band, Comparison
from dayshift.gates.gauges import Gauges
from dayshift.gates.noise import Flags, Floats, Noise, noises
from dayshift.gates.noninferior import delta, log_evidence
from dayshift.gates.nouns import Look
from dayshift.gates.signals import NOTHING, Pair, at_entry, error_pair, seen, slow_pair
from dayshift.model.calibration import Calibration
from dayshift.model.estate import GatePolicy
from dayshift.model.evidence import Counts

BLOCK_MS = 60_000
RATE_REQUESTS = 30
"""Fewer requests than this say nothing about requests per second."""
COLD_ERRORS, COLD_FALLS = 0.3, 4.0
SWINGS = 4.0
FAR_TIMES = 10
RECENT_MINUTES = 5
LEVEL_BLOCKS = 30
LEVEL_MS = LEVEL_BLOCKS * BLOCK_MS
LEVEL_KEPT = math.exp(-1 / LEVEL_BLOCKS)
"""The usual level is what the last half hour says, about."""


class Signal:
    """One signal's counts and its evidence for promotion (natural log)."""

    def __init__(self) -> None:
        self.run = NOTHING
        self.before = NOTHING
        """What was seen before the present minute."""
        self.rung = NOTHING
        self.lately = NOTHING
        self.recent = NOTHING
        """The last five to ten minutes: the five that began, with the five before."""
        self.promote = 0.0
        self.delta = 0.0

    def count(self, pair: Pair) -> None:
        """Add what one look counted."""
        self.run = self.run.plus(pair)
        self.rung = self.rung.plus(pair)
        self.lately = self.lately.plus(pair)
        self.recent = self.recent.plus(pair)


class Stream:
    """One stream's evidence; `look` takes in what one moment added."""

    def __init__(
        self, policy: GatePolicy, learned: Calibration | None, region: str
    ) -> None:
        self.policy = policy
        self.learned = learned
        self.region = region
        self.trusted = learned.trusted if learned else policy.trusted
        self.noise = noises(policy, learned)
        self.signals = [Signal() for _ in self.noise]
        self.comparison = Comparison(self.noise)
        self.band = Band(self.noise)
        self.absolute = Absolute(policy.absolute_error_bp, self.noise[0].clump)
        self.gauges = Gauges(policy.gauges)
        self.share_bp = -1
        self.blind = False
        self.incident = False
        self.slow_incident = False
        self.entry_only = False
        self.rung_ms = 0
        self.at_ms = 0
        self._level = np.array([self._level_before(one) for one in self.noise])
        self._open, self._calm = self._no_counts(), self._no_counts()
        self._open_ms = 0
        self._block_ms = (learned.block_ms if learned else 0) or BLOCK_MS
        self._minute_ms = 0
        self._minutes = 0
        self._minute = NOTHING
        self._requests = 0
        self._run_ms = 0
        self._warm_ms = policy.warmup_ms
        self._waiting: list[Pair] | None = None
        self._burned = [[False] * len(self.noise)] * 2
        self._better = [0.0] * len(self.noise)
        self._cold = 1.0
        self._against: Floats | None = None

    def look(self, look: Look, next_bp: int) -> None:
        """Take in one look. A blind one changes no evidence."""
        self.at_ms = look.at_ms
        self._turn(look.share_bp)
        self.gauges.take(look.at_ms, look.gauges)
        here, others = seen(look, self.region)
        self.entry_only = False
        if here is None or others is None:
            self._look_at_entry(look, others)
            return
        self.blind = False
        self.rung_ms += look.span_ms
        pairs = [error_pair(here, others)]
        warm = self.rung_ms > self._warm_ms
        for noise in self.noise[1:]:
            pairs.append(slow_pair(here, others, noise.bound_us) if warm else NOTHING)
        self._count_minute(pairs[0], look.span_ms)
        self._requests += pairs[0].canary + pairs[0].others
        self._run_ms += look.span_ms
        self._burn(pairs)
        if not self.incident or _far_worse(pairs[0]):
            self.absolute.add(pairs[0])
        self._admit()
        self._waiting = pairs
        self._cold = cold_factor(self._warm_ms, self.rung_ms - look.span_ms / 2)
        self._promote(pairs, max(next_bp, look.share_bp))
        self._pass_time(look.span_ms)

    def _look_at_entry(self, look: Look, others: Counts | None) -> None:
        """With a side unseen the users' entry speaks, of errors and only against us."""
        clump = self.noise[0].clump
        here = at_entry(look, others, self.noise[0].usual, clump)
        self.blind = here is None
        if here is None:
            return
        self.entry_only = True
        pair = error_pair(here, others)
        self.absolute.add(pair)
        if others is None:
            return
        pairs = [pair, *[NOTHING] * (len(self.noise) - 1)]
        self._burn(pairs)
        self._admit()
        self._waiting, self._better = pairs, [0.0] * len(pairs)
        self.signals[0].count(pair)
        self._pass_time(look.span_ms)

    def _pass_time(self, span_ms: int) -> None:
        self._open_ms += span_ms
        self._against = None
        if self._open_ms >= self._block_ms:
            self._close(stepped=False)

    def against(self) -> Floats:
        """(signals,) natural log of the evidence against the region."""
        if self._against is None:
            self._against = self.comparison.logs(self._open)
        return self._against

    def bands(self) -> list[tuple[float, float]]:
        """Confidence sequence of the ratio of bad answers, by signal."""
        return self.band.read(self._calm)

    def rate(self) -> float:
        """Requests per second in all regions; 0 if not known yet."""
        if self._requests < RATE_REQUESTS or not self._run_ms:
            return 0.0
        return self._requests * 1000 / self._run_ms

    def usual(self, index: int = 0) -> tuple[float, float]:
        """The others' usual bad answers of so many: learned, else before the minute."""
        usual = self.noise[index].usual
        if self.learned and self.learned.trusted and usual:
            requests = float(self.learned.requests)
            return usual * requests, requests
        before = self.signals[index].before
        return before.others_bad, before.others

    @property
    def warm_ms(self) -> int:
        """How long caches are taken for cold on this rung."""
        return self._warm_ms

    def cold_ms(self) -> int:
        """How long slow answers are not counted yet."""
        return max(0, self._warm_ms - self.rung_ms)

    def warm_after_ms(self, signal: int) -> int:
        """How much of this rung did not count for a signal."""
        return min(self._warm_ms, self.rung_ms) if signal else 0

    def minute(self) -> Pair:
        """All counts of the present minute, of incidents too."""
        return self._minute

    def _level_before(self, noise: Noise) -> tuple[float, float]:
        """Bad answers and requests elsewhere that stand for the time before."""
        if self.learned is None or not noise.usual:
            return 0.5, 1000.0
        requests = self.learned.mrps / 1000 * LEVEL_BLOCKS * BLOCK_MS / 1000 / 2
        return max(noise.usual * requests, 1e-3), max(requests, 1.0)

    def _no_counts(self) -> Floats:
        return np.zeros((len(self.noise), 4))

    def _turn(self, share_bp: int) -> None:
        """Begin the return or the rung, where one is due."""
        if share_bp == self.share_bp:
            return
        if self.share_bp >= 0:
            self._admit()
            self._close(stepped=True)
        # Caches are cold for what they have not carried before.
        self._warm_ms = self.policy.warmup_ms if share_bp > self.share_bp else 0
        self.share_bp = share_bp
        self.incident = self.slow_incident = False
        self.rung_ms = 0
        for one in self.signals:
            one.rung, one.promote, one.delta = NOTHING, 0.0, 0.0

    def _count_minute(self, pair: Pair, span_ms: int) -> None:
        """Keep the last minute's counts, incidents too, for finding incidents."""
        if self._minute_ms >= BLOCK_MS:
            self._minute, self._minute_ms = NOTHING, 0
            self._minutes += 1
            for one in self.signals:
                one.before = one.run
                if self._minutes % RECENT_MINUTES == 0:
                    one.recent, one.lately = one.lately, NOTHING
        self._minute = self._minute.plus(pair)
        self._minute_ms += span_ms

    def _burn(self, pairs: Sequence[Pair]) -> None:
        """Is there a shared incident in this look, or beside it? By signal: the others'
        errors excuse everything, their slowness only slowness."""
        limit, clump = self.policy.absolute_error_bp, mean_clump(self.noise[0])
        self.incident = any(
            incident.failing(one, limit, self.usual(0), clump)
            for one in (pairs[0], self._minute)
        )
        slow = any(
            incident.slow(pair, self.usual(index), mean_clump(self.noise[index]))
            for index, pair in enumerate(pairs)
            if index
        )
        self.slow_incident = slow
        now = [self.incident, *[self.incident or slow] * (len(pairs) - 1)]
        self._burned = [*self._burned[-2:], now]

    def _admit(self) -> None:
        """Let the look that waited count, now that the one after it is known."""
        if self._waiting is None:
            return
        waited, self._waiting = self._waiting, None
        burned = [any(near) for near in zip(*self._burned, strict=True)]
        for signal, better, excused in zip(
            self.signals, self._better, burned, strict=True
        ):
            # The incident began in the other scrape: this look says nothing either.
            signal.promote -= better if excused else 0.0
        added = np.array([_row(pair) for pair in waited], dtype=np.float64)
        added[0, 0] *= self._cold
        if not self._open.any():
            self._expect()
        if any(burned):
            excused_rows = np.array(burned, dtype=np.bool_)[:, None]
            self._calm = self._calm + np.where(excused_rows, 0.0, added)
            self._open = self._counted(added, excused_rows)
        else:
            self._calm, self._open = self._calm + added, self._open + added

    def _counted(self, added: Floats, excused: Flags) -> Floats:
        """The open block with the look in it; of an incident only what speaks for us.

        Dropping a look because the others look bad in it would select in favour of
        rollback, so what lowers the evidence stays.
        """
        total = self._open + added
        lower = self.comparison.logs(total) < self.comparison.logs(self._open)
        kept: Floats = np.where(~excused | lower[:, None], total, self._open)
        return kept

    def _expect(self) -> None:
        """Open the block with as many bad answers as are usual in it."""
        level = self._level[:, 0] / self._level[:, 1]
        usual = self.learned.mrps / 1000 if self.learned else 0.0
        requests = (usual or self.rate()) * self._block_ms / 1000
        self.comparison.begin(level, requests)
        self.band.begin(level, requests)

    def _close(self, stepped: bool) -> None:
        """End a block: its counts become final."""
        elapsed = max(self._open_ms, 1)
        self.comparison.close(self._open, elapsed, stepped)
        self.band.close(self._calm, elapsed)
        there = self._calm[:, 2]
        kept = np.where(there > 0, math.exp(-elapsed / LEVEL_MS), 1.0)
        self._level = self._level * kept[:, None] + self._calm[:, [3, 2]]
        self.absolute.restake(elapsed, stepped)
        self._open, self._calm = self._no_counts(), self._no_counts()
        self._open_ms = 0
        self._against = None

    def _promote(self, pairs: Sequence[Pair], next_bp: int) -> None:
        """What one look says for the region; nothing while the others burn."""
        rps = self.rate()
        burned = self._burned[-1]
        self._better = [0.0] * len(pairs)
        for index, pair in enumerate(pairs):
            signal, noise = self.signals[index], self.noise[index]
            if rps:
                swing = usual_swing(noise, rps)
                excess = delta(self.policy, bool(index), rps, next_bp, swing)
                signal.delta = max(signal.delta, excess)
                if not burned[index]:
                    level = float(self._level[index, 0] / self._level[index, 1])
                    better = log_evidence(pair, level, excess, noise.bias_log)
                    self._better[index] = better / mean_clump(noise)
                    signal.promote += self._better[index]
            if not burned[index]:
                signal.count(pair)


def _far_worse(pair: Pair) -> bool:
    """Is the region failing so much more that no shared incident explains it?"""
    others = FAR_TIMES * pair.others_bad * pair.canary
    return pair.canary_bad * pair.others > others


def cold_factor(warm_ms: int, since_ms: float) -> float:
    """How many times the usual errors are nobody's fault while caches are cold."""
    if not warm_ms or since_ms >= warm_ms:
        return 1.0
    return 1 + COLD_ERRORS * math.exp(-since_ms * COLD_FALLS / warm_ms)


def usual_swing(noise: Noise, rps: float) -> float:
    """Some standard deviations of a minute's rate of bad answers in all traffic."""
    if not noise.usual:
        return 0.0
    expected = noise.usual * rps * BLOCK_MS / 1000
    return SWINGS * noise.usual * math.sqrt(noise.clump / expected + noise.wander**2)


def mean_clump(noise: Noise) -> float:
    """How many bad answers come together on average: geometric clumps of φ."""
    return (noise.clump + 1) / 2


def _row(pair: Pair) -> tuple[int, int, int, int]:
    return pair.canary, pair.canary_bad, pair.others, pair.others_bad
