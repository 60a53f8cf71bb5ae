"""What meters, probes and gates say: counts, never averages.

Readings are cumulative since the source started; `since` subtracts two of them. A
counter that went backwards is a restarted source and gives None: no evidence, never
zero.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from dayshift.model import buckets
from dayshift.model.buckets import BEYOND_US as BEYOND_US
from dayshift.model.units import Instant


class Side(StrEnum):
    """Where a meter stands: at the users' entry, or in the region itself."""

    USERS = "users"
    REGION = "region"


class Residue(msgspec.Struct, frozen=True, gc=False):
    """Who still reaches a region: one client and class, with its count since `read`."""

    client: str
    kind: str
    requests: int


class MeterReading(msgspec.Struct, frozen=True, gc=False):
    """Cumulative counts of one service in one region from one meter.

    `requests` and `errors` count user requests only; `ignored` counts what was
    identified as not a user (health, probe, scrape), by class. `buckets` maps an upper
    bound in microseconds to the number of user requests at or below it (cumulative in
    the bound; see `model.buckets`).
    `series` changes when the source restarts. `at` is when it was read; `tick` when the
    source took the sample, in milliseconds of the source's own clock: readings of one
    tick are one sample, read again. 0: unknown, every reading is a new one.
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
    gauges: dict[str, int] = {}
    """Levels, not counts (saturation, queue length, lag, memory), in thousandths. One
    that could not be read is left out; the counts stand without it."""
    tick: int = 0


class Counts(msgspec.Struct, frozen=True, gc=False):
    """The difference of two readings of one meter."""

    requests: int = 0
    errors: int = 0
    buckets: dict[int, int] = {}
    ignored: dict[str, int] = {}


def since(
    before: MeterReading, after: MeterReading, timed: bool = True
) -> Counts | None:
    """Counts between two readings, or None if the source restarted in between.

    Of latency only what both readings can tell (`buckets.increment`); where they share
    no bound there are no buckets, and the counts stand.

    Args:
        timed: False for one that asks for no latency.
    """
    if before.series != after.series:
        return None
    requests = after.requests - before.requests
    errors = after.errors - before.errors
    by_time = buckets.increment(before.buckets, after.buckets) if timed else {}
    was = before.ignored
    ignored = {k: count - was.get(k, 0) for k, count in after.ignored.items()}
    if by_time is None or min(requests, errors, *ignored.values()) < 0:
        return None
    return Counts(requests, errors, by_time, ignored)


def add(left: Counts, right: Counts) -> Counts:
    """Sum of two windows, of one meter or of two regions.

    Of latency only what both can tell; a window without requests and without buckets
    timed nothing, and takes nothing away.
    """
    kinds = sorted({*left.ignored, *right.ignored})
    return Counts(
        left.requests + right.requests,
        left.errors + right.errors,
        _timed(left, right),
        {k: left.ignored.get(k, 0) + right.ignored.get(k, 0) for k in kinds},
    )


def _timed(left: Counts, right: Counts) -> dict[int, int]:
    for one, other in ((left, right), (right, left)):
        if not one.requests and not one.buckets:
            return dict(other.buckets)
    return buckets.merged(left.buckets, right.buckets)


def gauges_of(
    latest: Mapping[tuple[str, str, str], MeterReading], region: str
) -> dict[str, int]:
    """The levels of one region, from every meter that sees it; the highest of equals.

    Args:
        latest: readings by service, meter and region.
    """
    levels: dict[str, int] = {}
    here = (key for key in latest if key[2] == region)
    for key in sorted(here):
        for name, level in latest[key].gauges.items():
            levels[name] = max(level, levels.get(name, level))
    return levels


def quantile_us(counts: Counts, per_mille: int) -> int | None:
    """Upper bound (microseconds) of the quantile's bucket; None if empty.

    What lies beyond the last finite bound is shown as that bound: more is not known.
    """
    bounds = sorted(counts.buckets)
    below = [counts.buckets[le] for le in bounds]
    if not below or below[-1] <= 0:
        return None
    need = -(-below[-1] * per_mille // 1000)
    finite = bisect_left(bounds, BEYOND_US)
    return bounds[min(bisect_left(below, need), finite - 1)] if finite else None


class ProbeReading(msgspec.Struct, frozen=True, gc=False):
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


class SignalSight(msgspec.Struct, frozen=True):
    """What one signal of one stream says at one look; counts are of this rung.

    `signal` is `errors`, `slow` (answers above `bound_us`) or `absolute` (errors
    against the fixed limit). Evidence is in milli-log10 as in `Verdict`. `ratio_ppm` is
    the observed ratio of bad answers here to elsewhere, `ratio_low_ppm` to
    `ratio_high_ppm` its confidence sequence (95 %, valid at every look at once) over
    the whole return; zero where nothing can be said yet. `tolerated_ppm` is the ratio
    up to which nothing counts against the region; zero where there is none.
    """

    stream: str
    signal: str
    bound_us: int = 0
    canary: int = 0
    canary_bad: int = 0
    others: int = 0
    others_bad: int = 0
    against_mlog10: int = 0
    against_need: int = 0
    promote_mlog10: int = 0
    promote_need: int = 0
    ratio_ppm: int = 0
    ratio_low_ppm: int = 0
    ratio_high_ppm: int = 0
    tolerated_ppm: int = 0


class Verdict(msgspec.Struct, frozen=True):
    """A gate's answer. Evidence is in milli-log10: 2000 means 100 to 1.

    `rollback_mlog10` is evidence that the region is worse than tolerated, against
    `rollback_need`; `promote_mlog10` evidence that it is not, against `promote_need`.
    `smallest_bp` is the smallest regression (excess bad requests, basis points of the
    region's requests) that this rung could have seen; `promised_bp` the excess of
    errors that a pass of this rung excludes. `decides` names the signal in most doubt;
    `needs` says what a pass still takes; `wait_ms` is about how long that is at this
    traffic, None where only a change of the world or a person helps. `incident`: the
    others fail too, and nothing counts against the region.
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
    decides: str = ""
    needs: str = ""
    wait_ms: int | None = None
    signals: tuple[SignalSight, ...] = ()
    incident: bool = False
