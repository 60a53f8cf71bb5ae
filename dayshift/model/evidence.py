"""What meters, probes and gates say: counts, never averages.

Readings are cumulative since the source started; `since` subtracts two of them. A
counter that went backwards is a restarted source and gives None: no evidence, never
zero.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dayshift.model.units import Instant

BEYOND_US = 1_000_000_000_000
"""The bound of the last bucket where a source has one without bound (`+Inf`)."""


class Side(StrEnum):
    """Where a meter stands: at the users' entry, or in the region itself."""

    USERS = "users"
    REGION = "region"


class Residue(msgspec.Struct, frozen=True):
    """Who still reaches a region: one client and class, with its count since `read`."""

    client: str
    kind: str
    requests: int


class MeterReading(msgspec.Struct, frozen=True):
    """Cumulative counts of one service in one region from one meter.

    `requests` and `errors` count user requests only; `ignored` counts what was
    identified as not a user (health, probe, scrape), by class. `buckets` maps an upper
    bound in microseconds to the number of user requests at or below it (cumulative in
    the bound).
    `series` changes when the source restarts.
    """

    at: Instant
    requests: int
    errors: int
    in_flight: int
    connections: int
    buckets: dict[int, int]
    ignored: dict[str, int]
    series: str = ""
    residue: tuple[Residue, ...] = ()


class Counts(msgspec.Struct, frozen=True):
    """The difference of two readings of one meter."""

    requests: int = 0
    errors: int = 0
    buckets: dict[int, int] = {}
    ignored: dict[str, int] = {}


def since(before: MeterReading, after: MeterReading) -> Counts | None:
    """Counts between two readings, or None if the source restarted in between."""
    if before.series != after.series:
        return None
    requests = after.requests - before.requests
    errors = after.errors - before.errors
    buckets = {
        le: count - before.buckets.get(le, 0) for le, count in after.buckets.items()
    }
    ignored = {
        k: count - before.ignored.get(k, 0) for k, count in after.ignored.items()
    }
    every = [requests, errors, *buckets.values(), *ignored.values()]
    if any(value < 0 for value in every):
        return None
    return Counts(requests, errors, buckets, ignored)


def add(left: Counts, right: Counts) -> Counts:
    """Sum of two windows of one meter."""
    keys = sorted({*left.buckets, *right.buckets})
    kinds = sorted({*left.ignored, *right.ignored})
    return Counts(
        left.requests + right.requests,
        left.errors + right.errors,
        {le: left.buckets.get(le, 0) + right.buckets.get(le, 0) for le in keys},
        {k: left.ignored.get(k, 0) + right.ignored.get(k, 0) for k in kinds},
    )


def quantile_us(counts: Counts, per_mille: int) -> int | None:
    """Upper bound (microseconds) of the quantile's bucket; None if empty.

    What lies beyond the last finite bound is shown as that bound: more is not known.
    """
    bounds = sorted(counts.buckets)
    total = counts.buckets[bounds[-1]] if bounds else 0
    if total <= 0:
        return None
    need = -(-total * per_mille // 1000)
    found = next(le for le in bounds if counts.buckets[le] >= need)
    finite = [le for le in bounds if le < BEYOND_US]
    return min(found, finite[-1]) if finite else None


class ProbeReading(msgspec.Struct, frozen=True):
    """One request that Dayshift itself sent straight at a region."""

    at: Instant
    ok: bool
    detail: str
    version: str = ""
    took_ms: int = 0


class VerdictKind(StrEnum):
    PASS = "pass"
    HOLD = "hold"
    FAIL = "fail"
    BLIND = "blind"


class Verdict(msgspec.Struct, frozen=True):
    """A gate's answer. Evidence is in milli-log10: 2000 means 100 to 1.

    `rollback_mlog10` is evidence that the region is worse than tolerated, against
    `rollback_need`; `promote_mlog10` evidence that it is not, against `promote_need`.
    `smallest_bp` is the smallest regression (excess bad requests, basis points of the
    region's requests) that this rung could have seen; `promised_bp` the excess of
    errors that a pass of this rung excludes.
    """

    kind: VerdictKind
    why: str
    rollback_mlog10: int = 0
    rollback_need: int = 0
    promote_mlog10: int = 0
    promote_need: int = 0
    smallest_bp: int = 0
    promised_bp: int = 0
    requests: int = 0
    errors: int = 0
    slow: int = 0
