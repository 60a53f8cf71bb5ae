"""From counts to signals: every signal is "bad ones out of so many", twice.

Here lives what counts as bad: an error, or an answer slower than a bound. No judgement.
Errors are counted out of requests. Slowness is counted out of the histogram's own total
(its highest bucket), because histograms are often flushed later than counters and the
two must not be mixed; the highest bound must therefore hold every timed answer.
"""

from __future__ import annotations

import msgspec

from dayshift.model.evidence import Counts


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


def error_pair(canary: Counts, others: Counts) -> Pair:
    """Errors out of requests.

    An error read a moment before its request was counted is a request all the same.
    """
    return Pair(
        max(canary.requests, canary.errors),
        canary.errors,
        max(others.requests, others.errors),
        others.errors,
    )


def slow_pair(canary: Counts, others: Counts, wanted_us: int) -> Pair:
    """Answers above the bound out of timed answers; nothing if no bucket can tell."""
    bound = common_bound(canary.buckets, others.buckets, wanted_us)
    if bound is None:
        return NOTHING
    timed = canary.buckets[max(canary.buckets)]
    others_timed = others.buckets[max(others.buckets)]
    return Pair(
        timed,
        max(0, timed - canary.buckets[bound]),
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
