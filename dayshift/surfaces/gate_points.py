"""What the gate said, look by look, as read from the side log. Part of the report.

Instants as in `nouns`. Nothing is drawn here: `gate_charts` does that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from dayshift.model.evidence import SignalSight, VerdictKind

BINS_MAX = 160
"""Stretches of time that a chart of one return can show."""
BADNESS = {
    VerdictKind.PASS.value: 0,
    VerdictKind.HOLD.value: 1,
    VerdictKind.BLIND.value: 2,
    VerdictKind.FAIL.value: 3,
}
"""A word of a later version ranks with none of them."""

Key = tuple[str, int, str]
"""Region, attempt and stream: one return as one kind of users saw it."""


class GatePoint(msgspec.Struct, frozen=True):
    """What the gate said of one stream at one look; holds until the next point."""

    wall_ms: int
    service: str
    stream: str
    region: str
    attempt: int = 0
    share_bp: int = 0
    kind: str = ""
    incident: bool = False
    decides: str = ""
    rollback_mlog10: int = 0
    rollback_need: int = 0
    promote_mlog10: int = 0
    promote_need: int = 0
    signals: tuple[SignalSight, ...] = ()


def read_points(data: bytes) -> list[GatePoint]:
    """Points from `gate.jsonl`; a line torn by a crash is left out."""
    decoder = msgspec.json.Decoder(GatePoint)
    points = []
    for line in data.split(b"\n"):
        try:
            points.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return points


def returns(points: Iterable[GatePoint]) -> dict[Key, list[GatePoint]]:
    """Points of each return and stream, in order of time."""
    found: dict[Key, list[GatePoint]] = {}
    for one in sorted(points, key=lambda one: one.wall_ms):
        found.setdefault((one.region, one.attempt, one.stream), []).append(one)
    return found


def thin(points: Iterable[GatePoint], most: int = BINS_MAX) -> tuple[GatePoint, ...]:
    """At most `most` stretches of each return, with all that was extreme in them.

    Why: a mean would hide the look that turned the traffic back.
    """
    kept: list[GatePoint] = []
    for many in returns(points).values():
        first, last = many[0].wall_ms, many[-1].wall_ms
        width = max(1, -(-(last - first + 1) // most))
        bins: dict[int, list[GatePoint]] = {}
        for one in many:
            bins.setdefault((one.wall_ms - first) // width, []).append(one)
        for stretch in bins.values():
            kept += _telling(stretch)
    return tuple(sorted(kept, key=lambda o: (o.wall_ms, o.region, o.stream)))


def _telling(stretch: Sequence[GatePoint]) -> list[GatePoint]:
    """First and last, the extremes, the worst word, and each new share or turn."""
    numbers = range(len(stretch))
    keep = {
        0,
        len(stretch) - 1,
        max(numbers, key=lambda n: stretch[n].rollback_mlog10),
        max(numbers, key=lambda n: stretch[n].promote_mlog10),
        min(numbers, key=lambda n: stretch[n].promote_mlog10),
        max(numbers, key=lambda n: BADNESS.get(stretch[n].kind, 0)),
        *(n for n in numbers[1:] if stretch[n].share_bp != stretch[n - 1].share_bp),
    }
    return [stretch[n] for n in sorted(keep)]
