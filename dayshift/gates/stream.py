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

from dayshift.gates.absolute import Absolute
from dayshift.gates.compare import Band, Comparison
from dayshift.gates.gauges import Gauges
from dayshift.gates.incident import burning
from dayshift.gates.noise import Floats, Noise, noises
from dayshift.gates.noninferior import delta, log_evidence
from dayshift.gates.nouns import Look
from dayshift.gates.signals import NOTHING, Pair, error_pair, seen_at_entry, slow_pair
from dayshift.model.calibration import Calibration
from dayshift.model.estate import GatePolicy

BLOCK_MS = 60_000
RATE_REQUESTS = 30
"""Fewer requests than this say nothing about requests per second."""
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
        self.promote = 0.0
        self.delta = 0.0


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
        self.entry_only = False
        self.rung_ms = 0
        self.at_ms = 0
        self._level = np.array([self._level_before(one) for one in self.noise])
        self._open = self._no_counts()
        self._open_ms = 0
        self._block_ms = (learned.block_ms if learned else 0) or BLOCK_MS
        self._minute_ms = 0
        self._minute = NOTHING
        self._requests = 0
        self._run_ms = 0
        self._warm_ms = policy.warmup_ms
        self._waiting: list[Pair] | None = None
        self._burned = [False, False]
        self._against: Floats | None = None

    def look(self, look: Look, next_bp: int) -> None:
        """Take in one look. A blind one changes no evidence."""
        self.at_ms = look.at_ms
        self._turn(look.share_bp)
        self.gauges.take(look.at_ms, look.gauges)
        here, others = seen_at_entry(look, self.region)
        self.blind = here is None
        if here is None:
            return
        self.entry_only = others is None
        self.rung_ms += look.span_ms
        pairs = [error_pair(here, others)]
        warm = self.rung_ms > self._warm_ms
        for noise in self.noise[1:]:
            pairs.append(slow_pair(here, others, noise.bound_us) if warm else NOTHING)
        self._count_minute(pairs[0], look.span_ms)
        self._requests += pairs[0].canary + pairs[0].others
        self._run_ms += look.span_ms
        self._burn(pairs[0])
        if not self.incident:
            self.absolute.add(pairs[0])
        self._admit()
        self._waiting = pairs
        self._promote(pairs, max(next_bp, look.share_bp))
        self._open_ms += look.span_ms
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
        return self.band.read(self._open)

    def rate(self) -> float:
        """Requests per second in all regions; 0 if not known yet."""
        if self._requests < RATE_REQUESTS or not self._run_ms:
            return 0.0
        return self._requests * 1000 / self._run_ms

    def usual(self) -> tuple[float, float]:
        """The others' usual errors and requests: learned, else before this block."""
        if self.learned and self.learned.trusted:
            requests = float(self.learned.requests)
            return self.noise[0].usual * requests, requests
        before = self.signals[0].before
        return before.others_bad, before.others

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
        self.incident = False
        self.rung_ms = 0
        for one in self.signals:
            one.rung, one.promote, one.delta = NOTHING, 0.0, 0.0

    def _count_minute(self, pair: Pair, span_ms: int) -> None:
        """Keep the last minute's counts, incidents too, for finding incidents."""
        if self._minute_ms >= BLOCK_MS:
            self._minute, self._minute_ms = NOTHING, 0
            for one in self.signals:
                one.before = one.run
        self._minute = self._minute.plus(pair)
        self._minute_ms += span_ms

    def _burn(self, pair: Pair) -> None:
        """Is there a shared incident in this look, or near it?"""
        limit = self.policy.absolute_error_bp
        burns = any(
            burning(one, limit, self.usual(), mean_clump(self.noise[0]))
            for one in (pair, self._minute)
        )
        self._burned = [*self._burned[-2:], burns]
        self.incident = burns

    def _admit(self) -> None:
        """Let the look that waited count, now that the one after it is known."""
        if self._waiting is None:
            return
        waited, self._waiting = self._waiting, None
        if not self.entry_only:
            added = np.array([_row(pair) for pair in waited])
            self._open = self._counted(added, any(self._burned))

    def _counted(self, added: Floats, incident: bool) -> Floats:
        """The open block with the look in it; of an incident only what speaks for us.

        Dropping a look because the others look bad in it would select in favour of
        rollback, so what lowers the evidence stays.
        """
        if not self._open.any():
            self._expect()
        total = self._open + added
        if not incident:
            return total
        lower = self.comparison.logs(total) < self.comparison.logs(self._open)
        kept: Floats = np.where(lower[:, None], total, self._open)
        return kept

    def _expect(self) -> None:
        """Open the block with as many bad answers as are usual in it."""
        level = self._level[:, 0] / self._level[:, 1]
        requests = self.rate() * self._block_ms / 1000
        self.comparison.begin(level, requests)
        self.band.begin(level, requests)

    def _close(self, stepped: bool) -> None:
        """End a block: its counts become final."""
        elapsed = max(self._open_ms, 1)
        self.comparison.close(self._open, elapsed, stepped)
        self.band.close(self._open, elapsed)
        there = self._open[:, 2]
        kept = np.where(there > 0, math.exp(-elapsed / LEVEL_MS), 1.0)
        self._level = self._level * kept[:, None] + self._open[:, [3, 2]]
        self.absolute.restake(elapsed, stepped)
        self._open = self._no_counts()
        self._open_ms = 0
        self._against = None

    def _promote(self, pairs: Sequence[Pair], next_bp: int) -> None:
        """What one look says for the region; an incident may only speak against it."""
        rps = self.rate()
        for index, pair in enumerate(pairs):
            signal = self.signals[index]
            if rps:
                swing = usual_swing(self.noise[index], rps)
                excess = delta(self.policy, bool(index), rps, next_bp, swing)
                level = float(self._level[index, 0] / self._level[index, 1])
                better = log_evidence(pair, level, excess)
                better /= mean_clump(self.noise[index])
                signal.promote += min(0.0, better) if self.incident else better
                signal.delta = max(signal.delta, excess)
            if not self.incident:
                signal.run = signal.run.plus(pair)
                signal.rung = signal.rung.plus(pair)


def usual_swing(noise: Noise, rps: float) -> float:
    """Two standard deviations of a minute's rate of bad answers in all traffic."""
    if not noise.usual:
        return 0.0
    expected = noise.usual * rps * BLOCK_MS / 1000
    return 2 * noise.usual * math.sqrt(noise.clump / expected + noise.wanders[-1] ** 2)


def mean_clump(noise: Noise) -> float:
    """How many bad answers come together on average: geometric clumps of φ."""
    return (noise.clump + 1) / 2


def _row(pair: Pair) -> tuple[int, int, int, int]:
    return pair.canary, pair.canary_bad, pair.others, pair.others_bad
