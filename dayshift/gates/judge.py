"""`Judge`: looks in, verdicts out. What the evidence so far means, for one return.

Here lives the order of the questions and what several streams mean together. The
statistics are in `compare`, `absolute` and `noninferior`, the bookkeeping in `stream`,
the sentences in `words`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from dayshift.errors import Bug
from dayshift.gates.expected import smallest_bp
from dayshift.gates.nouns import Look
from dayshift.gates.sights import sights
from dayshift.gates.stream import Stream
from dayshift.gates.words import SUBSTANTIAL_ODDS, Scene
from dayshift.limits import FULL_BP
from dayshift.model.calibration import Calibration
from dayshift.model.estate import GatePolicy
from dayshift.model.evidence import SignalSight, Verdict, VerdictKind

EXCESS_ERRORS = 0.0002
EXCESS_SLOW = 0.0005
"""A smaller difference may be real, but nobody should roll back for it."""
RAMP_BP = (100, 500, 2500, 5000)
WORST_FIRST = (
    VerdictKind.FAIL,
    VerdictKind.BLIND,
    VerdictKind.HOLD,
    VerdictKind.PASS,
)
WARM_PART, WARM_REQUESTS = 6 / 7, 450
"""With warm caches a rung shows its latency on so many requests, or for such a part of
the time that they were cold."""
NO_EVIDENCE = -700.0
ERRORS_WEIGHT, SLOW_WEIGHT, GUARD_WEIGHT = 0.6, 0.3, 0.1


class Judge:
    """The gate's memory through one return of one region.

    Args:
        policy: limits and odds.
        calibrations: what was learned, by stream; for another region: ignored. A stream
            without one has only what the policy says of noise, and unless the policy
            calls that trusted, only the absolute guard turns its traffic back.
        region: the returning one.
        ramp_bp: the rungs, for looks that do not say what comes next.
        streams: how many streams there will be; each gets its part of the false alarms.
    """

    def __init__(
        self,
        policy: GatePolicy,
        calibrations: Sequence[Calibration] = (),
        region: str = "",
        ramp_bp: Sequence[int] = RAMP_BP,
        streams: int = 1,
    ) -> None:
        self.policy = policy
        self.region = region
        self.ramp_bp = tuple(ramp_bp)
        self.streams: dict[str, Stream] = {}
        self._shown: dict[str, Shown] = {}
        self._evidence: dict[str, Evidence] = {}
        self._told: dict[str, tuple[Asked, Verdict]] = {}
        """The last word on each stream, and what it was asked."""
        self._expected = streams
        self._learned = {
            one.stream: one
            for one in calibrations
            if not region or one.region in ("", region)
        }

    def observe(self, look: Look) -> Verdict:
        """Take in one look; say what all of them mean, for all streams together."""
        self.take(look)
        return self.combined()

    def take(self, look: Look) -> None:
        """Take in one look, and say nothing yet."""
        stream = self._stream(look.stream)
        stream.look(look, look.next_bp or self._next_bp(look.share_bp))
        self._evidence[look.stream] = Evidence.of(stream)
        self._shown.pop(look.stream, None)
        self._told.pop(look.stream, None)

    def detailed(self, verdict: Verdict) -> Verdict:
        """The last word on a stream with what people are shown of it.

        Why apart: nothing decides on these numbers, and they cost as much as a look.
        """
        for name, (_, told) in self._told.items():
            if told is verdict:
                smallest, signals = self._show(name)
                return replace(verdict, smallest_bp=smallest, signals=signals)
        return verdict

    def _show(self, name: str) -> Shown:
        """Reckoned once for each look, if anybody asks."""
        if name not in self._shown:
            stream = self.streams[name]
            self._shown[name] = smallest_bp(stream), sights(name, stream)
        return self._shown[name]

    def combined(self, fresh: bool = True) -> Verdict:
        """The worst verdict decides; all pass only together."""
        if not self.streams:
            raise Bug("no stream was looked at")
        told = [self.verdict(name, fresh=fresh) for name in self.streams]
        each = [self.detailed(one) for one in told]
        worst = min(each, key=lambda one: WORST_FIRST.index(one.kind))
        every = tuple(sight for one in each for sight in one.signals)
        if worst.kind is VerdictKind.PASS and len(each) < self._expected:
            why = f"only {len(each)} of {self._expected} streams were seen yet"
            worst = replace(worst, kind=VerdictKind.HOLD, why=why, needs="all streams")
        return replace(worst, signals=every)

    def verdict(
        self, name: str, share_bp: int | None = None, fresh: bool = True
    ) -> Verdict:
        """What the looks so far mean for one stream; `detailed` adds what is shown.

        Holds: blind never passes and never fails; without a trusted calibration only
        the absolute guard fails; nothing passes on the evidence of another share.

        Args:
            share_bp: the region's share now; None: that of the last look.
            fresh: the last look is young enough to prove something.
        """
        stream = self.streams.get(name)
        if stream is None:
            kind = VerdictKind.HOLD if fresh else VerdictKind.BLIND
            return Verdict(
                kind, f"nothing counted yet in {self.region or 'the region'}"
            )
        total, own = self._total(), self._turning(name)
        guilty = total if own >= max(map(self._turning, self.streams)) else 0.0
        asked = (guilty, share_bp, fresh)
        told = self._told.get(name)
        if told is None or told[0] != asked:
            told = asked, self._verdict(name, stream, *asked)
            self._told[name] = told
        return told[1]

    def _verdict(
        self,
        name: str,
        stream: Stream,
        guilty: float,
        share_bp: int | None,
        fresh: bool,
    ) -> Verdict:
        """See `verdict`; `guilty`: the evidence of all streams, if this is the one."""
        found = self._evidence[name]
        scene = Scene(stream, self.policy, self.region or "the region")
        kind, why, needs, wait = self._decided(scene, found, guilty, fresh)
        moved = share_bp is not None and share_bp != stream.share_bp
        if moved and kind is VerdictKind.PASS:
            kind, why, needs = VerdictKind.HOLD, scene.nothing_yet(), "a look here"
        rung = stream.signals[0].rung
        return Verdict(
            kind,
            why,
            rollback_mlog10=mlog10(guilty or self._part(name)),
            rollback_need=mlog10(math.log(self.policy.rollback_odds)),
            promote_mlog10=mlog10(found.promote),
            promote_need=mlog10(math.log(self.policy.promote_odds)),
            promised_bp=math.ceil(stream.signals[0].delta * FULL_BP - 1e-6),
            requests=rung.canary,
            errors=rung.canary_bad,
            slow=max((one.rung.canary_bad for one in stream.signals[1:]), default=0),
            decides=found.decides(stream),
            needs=needs,
            wait_ms=wait,
            incident=stream.incident or stream.slow_incident,
        )

    def _stream(self, name: str) -> Stream:
        if name not in self.streams:
            learned = self._learned.get(name)
            self.streams[name] = Stream(self.policy, learned, self.region)
        return self.streams[name]

    def _next_bp(self, share_bp: int) -> int:
        above = [rung for rung in self.ramp_bp if rung > share_bp]
        return min(above, default=share_bp)

    def _turning(self, name: str) -> float:
        """Log of the evidence of one stream that may turn traffic back."""
        found = self._evidence[name]
        return found.turning if self.streams[name].trusted else found.absolute

    def _part(self, name: str) -> float:
        """Log of what one stream adds to the mean."""
        count = max(self._expected, len(self.streams))
        return self._turning(name) - math.log(count)

    def _total(self) -> float:
        """Log of the mean evidence over all streams; one not seen yet counts as 1."""
        unseen = max(0, self._expected - len(self.streams))
        parts = [self._turning(name) for name in self.streams]
        count = math.log(max(self._expected, len(self.streams)))
        return log_sum([*parts, *[0.0] * unseen]) - count

    def _decided(
        self, scene: Scene, found: Evidence, total: float, fresh: bool
    ) -> Decided:
        """The questions in their order; the first that answers decides."""
        stream = scene.stream
        failed = self._failed(scene, found, total) if fresh else None
        if failed and not stream.blind:
            return VerdictKind.FAIL, failed, "", None
        if not fresh or stream.blind:
            return VerdictKind.BLIND, scene.blind(fresh), "fresh counts", None
        if stream.entry_only:
            return VerdictKind.BLIND, scene.entry_only(), "counts by region", None
        if stream.incident or stream.slow_incident:
            return VerdictKind.HOLD, scene.incident(), "the others to recover", None
        return self._promoted(scene, found)

    def _failed(self, scene: Scene, found: Evidence, total: float) -> str | None:
        """Why this stream's traffic must leave at once, or None."""
        need = math.log(self.policy.rollback_odds)
        guard = found.guard if scene.stream.trusted else total
        if total < need or (scene.stream.incident and guard < need):
            return None
        if not scene.stream.trusted or found.guard >= max(found.blaming):
            return scene.above_limit(total)
        return scene.worse(found.blaming.index(max(found.blaming)), total)

    def _suspicious(self, found: Evidence, suspect: int) -> bool:
        """Is there too much against the region to give it more?

        Errors come in clumps, and a clump makes a suspicion that only more traffic can
        clear: it may be given where the odds that the next rung can afford it exceed
        the suspicion twice over, in logs, and turning back is far.
        """
        doubt = found.merged - math.log(SUBSTANTIAL_ODDS)
        if doubt < 0:
            return False
        turning = math.log(self.policy.rollback_odds * SUBSTANTIAL_ODDS) / 2
        enough = math.log(self.policy.promote_odds) + 2 * doubt
        return bool(suspect) or found.merged >= turning or found.promote < enough

    def _promoted(self, scene: Scene, found: Evidence) -> Decided:
        """Pass, or the reason to stay and what would move it."""
        policy, stream = self.policy, scene.stream
        suspect = found.weighted.index(max(found.weighted))
        hold = VerdictKind.HOLD
        if not stream.trusted and found.merged >= math.log(policy.rollback_odds):
            return hold, scene.untrusted(suspect, found.merged), "a person", None
        if self._suspicious(found, suspect):
            needs = f"the suspicion to fall below {SUBSTANTIAL_ODDS}:1"
            return hold, scene.suspected(suspect, found.merged), needs, None
        if not stream.signals[0].rung.others:
            return hold, scene.alone(), "requests elsewhere", None
        level = stream.gauges.hold_reason()
        if level:
            return hold, level, "the level to fall", None
        promotes = [one.promote for one in stream.signals]
        weakest = promotes.index(min(promotes))
        if found.promote < math.log(policy.promote_odds):
            return hold, scene.thin(weakest), *scene.missing(weakest)
        warm = _warm_left_ms(stream)
        if warm > 0:
            waits = (
                f"{warm // 1000} s more with warm caches, or {WARM_REQUESTS} requests"
            )
            return hold, scene.warming(), waits, warm
        left = policy.dwell_ms_min - stream.rung_ms
        if left > 0:
            waits = f"{math.ceil(left / 1000)} s more on this rung"
            return hold, scene.dwelling(found.promote), waits, left
        return VerdictKind.PASS, scene.healthy(weakest, found.promote), "", 0


Asked = tuple[float, int | None, bool]
Shown = tuple[int, tuple[SignalSight, ...]]
"""`smallest_bp` and `signals` of a verdict.
"""
Decided = tuple[VerdictKind, str, str, int | None]


class Evidence(msgspec.Struct, frozen=True):
    """Natural logs for one stream: by signal with its weight; those of them that may
    turn traffic back (what history knows, of a size that matters; else no evidence);
    the absolute guard with and without its weight; all together, and all that may turn
    back; and for promotion, the weakest signal's."""

    weighted: tuple[float, ...]
    blaming: tuple[float, ...]
    absolute: float
    guard: float
    merged: float
    turning: float
    promote: float

    @classmethod
    def of(cls, stream: Stream) -> Evidence:
        """Everything that the looks so far say."""
        bounds = len(stream.signals) - 1
        errors = ERRORS_WEIGHT if bounds else ERRORS_WEIGHT + SLOW_WEIGHT
        weights = [errors, *[SLOW_WEIGHT / max(bounds, 1)] * bounds]
        weighted = tuple(
            float(log) + math.log(weight)
            for log, weight in zip(stream.against(), weights, strict=True)
        )
        blaming = tuple(
            log if noise.learned and _matters(stream, index) else NO_EVIDENCE
            for index, (log, noise) in enumerate(
                zip(weighted, stream.noise, strict=True)
            )
        )
        absolute = stream.absolute.log()
        guard = absolute + math.log(GUARD_WEIGHT)
        return cls(
            weighted,
            blaming,
            absolute,
            guard,
            log_sum([*weighted, guard]),
            log_sum([*blaming, guard]),
            min(one.promote for one in stream.signals),
        )

    def decides(self, stream: Stream) -> str:
        """The signal in most doubt, in words."""
        if self.guard >= max(self.weighted):
            return "errors against the absolute limit"
        bound = stream.noise[self.weighted.index(max(self.weighted))].bound_us
        return f"slower than {bound / 1000:g} ms" if bound else "errors"


def _warm_left_ms(stream: Stream) -> int:
    """How long slow answers must still be counted before the next rung."""
    slow = stream.signals[1:]
    if not slow or max(one.rung.canary for one in slow) >= WARM_REQUESTS:
        return 0
    enough = round(stream.warm_ms * WARM_PART)
    return enough - (stream.rung_ms - stream.warm_after_ms(1))


def _matters(stream: Stream, signal: int) -> bool:
    """Is the difference seen, in this return, at this rung or lately, of a size that
    matters?"""
    least = EXCESS_SLOW if signal else EXCESS_ERRORS
    one = stream.signals[signal]
    return any(
        pair.canary_bad * pair.others - pair.others_bad * pair.canary
        >= least * pair.canary * pair.others
        for pair in (one.run, one.rung, one.recent)
        if pair.canary and pair.others
    )


def log_sum(logs: Sequence[float]) -> float:
    """log Σ exp, without overflow."""
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs))


def mlog10(log: float) -> int:
    """Thousandths of a power of ten, rounded towards less evidence."""
    return math.floor(1000 * log / math.log(10))
