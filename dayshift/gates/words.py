"""What the gate says, in sentences with numbers. No decision is taken here."""

from __future__ import annotations

import math

import msgspec

from dayshift.gates.signals import Pair
from dayshift.gates.stream import Stream
from dayshift.limits import FULL_BP
from dayshift.model.estate import GatePolicy
from dayshift.model.units import percent

SUBSTANTIAL_ODDS = 4
"""From here on a suspicion holds the ramp, long before it turns it back."""


class Scene(msgspec.Struct, frozen=True):
    """What every sentence may speak of."""

    stream: Stream
    policy: GatePolicy
    region: str

    def blind(self, fresh: bool) -> str:
        cause = (
            "the last look could not be counted (source restarted or silent)"
            if fresh
            else "the last counts are too old"
        )
        return f"no fresh counts of {self.region} from the users' side: {cause}"

    def entry_only(self) -> str:
        return (
            f"only the users' entry counts, not {self.region}'s own meters: errors "
            "there are judged, but nothing passes"
        )

    def nothing_yet(self) -> str:
        return (
            f"nothing counted yet in {self.region} at {percent(self.stream.share_bp)}"
        )

    def incident(self) -> str:
        if not self.stream.incident:
            return (
                f"the others are slow too: a shared incident; nothing in it counts "
                f"against {self.region}"
            )
        look, usual = self.stream.minute(), self.stream.usual()
        return (
            f"the others are failing too: {look.others_bad} of {look.others} requests "
            f"({rate(look.others_bad, look.others)}, usually {rate(*usual)}) within "
            f"the last minute: a shared incident; nothing in it counts against "
            f"{self.region}"
        )

    def alone(self) -> str:
        return (
            f"no requests elsewhere at {percent(self.stream.share_bp)}: nothing to "
            f"compare {self.region} with"
        )

    def above_limit(self, log: float) -> str:
        pair = self.stream.signals[0].run
        limit = rate(self.policy.absolute_error_bp, FULL_BP)
        return (
            f"{pair.canary_bad} of {pair.canary} requests failed in {self.region} "
            f"({rate(pair.canary_bad, pair.canary)}); odds {odds(log)} that more than "
            f"the absolute limit of {limit} fail; limit {self.policy.rollback_odds}:1"
        )

    def worse(self, signal: int, log: float) -> str:
        return f"{self._against(signal, log)}; limit {self.policy.rollback_odds}:1"

    def suspected(self, signal: int, log: float) -> str:
        return (
            f"{self._against(signal, log)}: no promotion from {SUBSTANTIAL_ODDS}:1, "
            f"rollback at {self.policy.rollback_odds}:1"
        )

    def untrusted(self, signal: int, log: float) -> str:
        return (
            f"{self._against(signal, log)}, limit {self.policy.rollback_odds}:1, but "
            "the calibration is not trusted: a person decides"
        )

    def _against(self, signal: int, log: float) -> str:
        counted = self._counted(signal, self.stream.signals[signal].run)
        return f"{counted}; odds {odds(log)} that {self.region} is worse"

    def thin(self, signal: int) -> str:
        one = self.stream.signals[signal]
        if not one.rung.canary:
            if signal == 0:
                return self.nothing_yet()
            if self.stream.cold_ms():
                return f"caches of {self.region} are cold: latency does not count yet"
            return (
                f"no answers of {self.region} timed around {self._bound(signal)} on "
                "both sides yet: no common latency bucket, or none flushed"
            )
        if not one.delta:
            return (
                f"{one.rung.canary} requests in {self.region}: the rate of all traffic "
                "is not known yet"
            )
        return (
            f"evidence still thin: {self._counted(signal, one.rung)}; odds "
            f"{odds(one.promote)} that {self._excluded(signal)}; "
            f"needed {self.policy.promote_odds}:1"
        )

    def missing(self, signal: int) -> tuple[str, int | None]:
        """What a pass still takes, and about how long that is at this traffic."""
        one = self.stream.signals[signal]
        need = math.log(self.policy.promote_odds)
        needs = f"odds of {self.policy.promote_odds}:1 that {self._excluded(signal)}"
        warm_ms = self.stream.cold_ms() if signal else 0
        if warm_ms > 0:
            return f"{needs}; not counted before caches are warm", warm_ms
        if one.promote <= 0 or not self.stream.rung_ms:
            return needs, None
        counted_ms = max(1, self.stream.rung_ms - self.stream.warm_after_ms(signal))
        more = counted_ms * (need - one.promote) / one.promote
        left = self.policy.dwell_ms_min - self.stream.rung_ms
        return needs, max(0, round(more), left)

    def warming(self) -> str:
        return (
            f"slow answers are counted in {self.region} for a short time only: caches "
            f"were cold before"
        )

    def dwelling(self, log: float) -> str:
        return (
            f"healthy so far (odds {odds(log)}, needed {self.policy.promote_odds}:1); "
            f"{self.stream.rung_ms // 1000} s of {self.policy.dwell_ms_min // 1000} s "
            f"at {percent(self.stream.share_bp)} are over"
        )

    def healthy(self, signal: int, log: float) -> str:
        return (
            f"{self._counted(signal, self.stream.signals[signal].rung)}; odds "
            f"{odds(log)} that {self._excluded(signal)}; "
            f"needed {self.policy.promote_odds}:1"
        )

    def _excluded(self, signal: int) -> str:
        excess = rate(self.stream.signals[signal].delta, 1)
        verb = "fail" if signal == 0 else f"exceed {self._bound(signal)}"
        return f"less than {excess} more {verb} than elsewhere"

    def _counted(self, signal: int, pair: Pair) -> str:
        verb = "failed" if signal == 0 else f"took longer than {self._bound(signal)}"
        return (
            f"{pair.canary_bad} of {pair.canary} requests {verb} in {self.region} "
            f"({rate(pair.canary_bad, pair.canary)}), "
            f"{rate(pair.others_bad, pair.others)} elsewhere"
        )

    def _bound(self, signal: int) -> str:
        return f"{self.stream.noise[signal].bound_us / 1000:g} ms"


def rate(bad: float, all_of_them: float) -> str:
    """A part of a whole for people: `0 %`, `0.04 %`, `3.5 %`."""
    if not all_of_them or not bad:
        return "0 %"
    value = 100 * bad / all_of_them
    return f"{value:.2g} %" if value < 1 else f"{value:.4g} %"


def odds(log: float) -> str:
    """Evidence as odds to one: `250:1`; never more precise than it is."""
    if log <= 0:
        return "1:1 or less"
    if log > math.log(1e6):
        return "over 1,000,000:1"
    value = math.exp(log)
    return f"{value:.1f}:1" if value < 10 else f"{math.floor(value):,}:1"
