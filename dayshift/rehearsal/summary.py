"""What many rehearsals say together: endings, durations, who was hurt, by what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from dayshift.rehearsal.play import Result

ENDINGS = ("done", "held", "aborted", "left-drained", "evacuated", "refused", "stopped")


class FaultSummary(msgspec.Struct, frozen=True):
    """What one kind of fault did, in the rehearsals in which it came."""

    name: str
    runs: int
    stopped: int
    """Of these, so many held on the way or did not end done."""
    users_hurt: int


class Summary(msgspec.Struct, frozen=True):
    """A whole campaign. Durations are of the runs that ended done."""

    digest: str
    runs: int
    asked: int
    endings: dict[str, int]
    duration_median_ms: int
    duration_p95_ms: int
    absent_p95_ms: int
    users: int
    hurt: dict[str, int]
    ours: int
    held_on_the_way: int
    hold_codes: dict[str, int]
    faults: tuple[FaultSummary, ...]
    violations: dict[str, int]
    bad_seeds: tuple[int, ...]


def summarise(digest: str, asked: int, results: Sequence[Result]) -> Summary:
    """Count everything once."""
    done = sorted(one.duration_ms for one in results if one.ending == "done")
    hurt: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    for one in results:
        hurt.update(one.hurt)
        codes.update({hold.code for hold in one.holds})
        broken.update({violation.invariant for violation in one.violations})
    return Summary(
        digest,
        len(results),
        asked,
        dict(Counter(one.ending for one in results).most_common()),
        at(done, 500),
        at(done, 950),
        at(sorted(one.absent_ms for one in results), 950),
        sum(one.users for one in results),
        dict(hurt.most_common()),
        sum(one.ours for one in results),
        sum(1 for one in results if one.holds),
        dict(codes.most_common()),
        _faults(results),
        dict(broken.most_common()),
        tuple(one.seed for one in results if one.violations),
    )


def at(ordered: Sequence[int], per_mille: int) -> int:
    """The value below which so many of a thousand lie; 0 of nothing."""
    if not ordered:
        return 0
    return ordered[min(len(ordered) - 1, len(ordered) * per_mille // 1000)]


def _faults(results: Sequence[Result]) -> tuple[FaultSummary, ...]:
    """A fault counts where it really happened, not where it was only drawn."""
    runs: Counter[str] = Counter()
    stopped: Counter[str] = Counter()
    hurt: Counter[str] = Counter()
    for one in results:
        for name in sorted({weather.name for weather in one.weather}):
            runs[name] += 1
            stopped[name] += bool(one.holds) or one.ending != "done"
            hurt[name] += sum(one.hurt.values())
    every = [FaultSummary(n, runs[n], stopped[n], hurt[n]) for n in sorted(runs)]
    return tuple(sorted(every, key=lambda one: (-one.stopped, -one.users_hurt)))
