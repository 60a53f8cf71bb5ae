"""From counts to signals: every signal is "bad ones out of so many", twice.

Here lives what counts as bad: an error, or an answer slower than a bound. No judgement.
Errors are counted out of requests. Slowness is counted out of the histogram's own total
(its highest bucket), because histograms are often flushed later than counters and the
two must not be mixed; the highest bound must therefore hold every timed answer.
"""

from __future__ import annotations

import math

import msgspec

from dayshift.gates.nouns import Look
from dayshift.limits import FULL_BP
from dayshift.model.evidence import Counts, add

CHANCE_SIGMAS = 4.0


class Pair(msgspec.Struct, frozen=True):
    """Bad ones out of all, in the returning region and in the others together."""

    canary: int = 0
    canary_bad: int = 0
    others: int = 0
    others_bad: int = 0

    def plus(self, more: Pair) -> Pair:
        return Pair(
            self.canary + more.canary,
            self.canary_bad + more.canary_bad,
            self.others + more.others,
            self.others_bad + more.others_bad,
        )


NOTHING = Pair()


def seen(look: Look, region: str) -> tuple[Counts | None, Counts | None]:
    """Counts here and elsewhere; None for a side that was not seen whole."""
    rest = [counts for name, counts in look.regions.items() if name != region]
    there = [one for one in rest if one is not None]
    others = _sum(there) if rest and len(there) == len(rest) else None
    return look.regions.get(region), others


def at_entry(
    look: Look, others: Counts | None, usual: float, clump: float
) -> Counts | None:
    """What was here by the users' entry alone; None if the entry was not seen.

    Why: a release that kills its own exporter must not hide behind the silence. The
    share says how many requests were here; of the errors, those count that neither the
    others had (or, where they are silent too, usually have) nor chance explains. Good
    enough for the absolute guard, and for nothing else.
    """
    if look.entry is None:
        return None
    served = round(look.entry.requests * look.share_bp / FULL_BP)
    elsewhere = others.errors if others else usual * (look.entry.requests - served)
    chance = CHANCE_SIGMAS * math.sqrt((elsewhere + 1) * clump)
    left = math.floor(look.entry.errors - elsewhere - chance)
    return Counts(served, max(0, min(served, left)))


def _sum(parts: list[Counts]) -> Counts:
    total = parts[0] if parts else Counts()
    for one in parts[1:]:
        total = add(total, one)
    return total


def error_pair(here: Counts, others: Counts | None) -> Pair:
    """Errors out of requests.

    An error read a moment before its request was counted is a request all the same.
    """
    there = others or Counts()
    return Pair(
        max(here.requests, here.errors),
        here.errors,
        max(there.requests, there.errors),
        there.errors,
    )


def slow_pair(here: Counts, others: Counts | None, wanted_us: int) -> Pair:
    """Answers above the bound out of timed answers; nothing if no bucket can tell."""
    if others is None:
        return NOTHING
    bound = common_bound(here.buckets, others.buckets, wanted_us)
    if bound is None:
        return NOTHING
    timed = here.buckets[max(here.buckets)]
    others_timed = others.buckets[max(others.buckets)]
    return Pair(
        timed,
        max(0, timed - here.buckets[bound]),
        others_timed,
        max(0, others_timed - others.buckets[bound]),
    )


def common_bound(
    left: dict[int, int], right: dict[int, int], wanted_us: int
) -> int | None:
    """The bucket bound, present on both sides, that stands for `wanted_us`.

    Why: a bound on one side only, or far away, compares different questions. Within a
    factor of two the nearest is taken, the lower of two equally near; below the highest
    bucket, above which nothing is ever counted.
    """
    if not left or not right:
        return None
    top = min(max(left), max(right))
    if wanted_us in left and wanted_us in right and wanted_us < top:
        return wanted_us
    near = [
        bound
        for bound in left
        if bound in right and wanted_us <= 2 * bound <= 4 * wanted_us and bound < top
    ]
    return min(near, key=lambda b: (max(b / wanted_us, wanted_us / b), b), default=None)
