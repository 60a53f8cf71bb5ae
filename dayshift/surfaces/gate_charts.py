"""Geometry of the gate's charts: evidence against its limits, and ratios, over time.

Each return of a region has its own span of time, for a return takes minutes of a run
that may take days. As in `charts`: paths in a box of fixed units, words for the labels,
and no colour; the template draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import msgspec
from msgspec.structs import replace

from dayshift.model.evidence import SignalSight, VerdictKind
from dayshift.surfaces import signals, words
from dayshift.surfaces.charts import HIGH, Scale
from dayshift.surfaces.gate_points import GatePoint, returns
from dayshift.surfaces.report import RunReport

LOW_MLOG10 = -1_000
"""Evidence of 1:10 and less is drawn at the bottom: it is only calm."""
TOP_MLOG10 = 6_000
ROOM = 1.3
"""So much of the scale is left above the higher limit."""
RATIO_LOW, RATIO_TOP, RATIO_TOP_MAX = 0.1, 10.0, 1_000.0
STEP_TOP = 0.92
MARGIN = 80
"""So little of the time is left free at the end, for the last mark to be seen."""
TROUBLES = {"blind": "the gate saw nothing", "incident": "the others failed too"}
LABEL_ROOM = 11
"""Labels of an axis that are nearer to each other cannot be read."""


class Stroke(msgspec.Struct, frozen=True):
    """A line: `kind` is against, for or ratio."""

    kind: str
    path: str
    says: str


class Level(msgspec.Struct, frozen=True):
    """A line across, where a limit is: `y` of the box."""

    kind: str
    y: float
    says: str


class Span(msgspec.Struct, frozen=True):
    """A stretch of time: `kind` is blind or incident."""

    kind: str
    x: int
    width: int
    says: str


class Mark(msgspec.Struct, frozen=True):
    """A verdict as journalled: `kind` is pass or fail."""

    kind: str
    x: int
    says: str


class Label(msgspec.Struct, frozen=True):
    """A word at a place of the box, in hundredths of its width or height."""

    at: float
    text: str


class GateChart(msgspec.Struct, frozen=True):
    """One chart; `steps` and `rungs` are the shares behind it, by rank."""

    key: str
    title: str
    says: str
    steps: str
    rungs: tuple[Label, ...]
    spans: tuple[Span, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[int, ...]
    strokes: tuple[Stroke, ...] = ()
    levels: tuple[Level, ...] = ()
    labels: tuple[Label, ...] = ()
    band: str = ""


def gate_charts(report: RunReport) -> tuple[GateChart, ...]:
    """For each return and stream its evidence, then the ratios of its signals."""
    out: list[GateChart] = []
    for number, points in enumerate(returns(report.gate).values()):
        frame = _Frame.of(report, points)
        out.append(_evidence(frame, f"g{number}"))
        for place, signal in enumerate(_worth_a_ratio(points)):
            out.append(_ratio(frame, f"g{number}r{place}", signal))
    return tuple(out)


class _Frame(msgspec.Struct, frozen=True):
    """What the charts of one return and stream have in common."""

    points: list[GatePoint]
    scale: Scale
    subject: str
    tolerated_ppm: int
    marks: tuple[Mark, ...]

    @classmethod
    def of(cls, report: RunReport, points: list[GatePoint]) -> _Frame:
        first = points[0]
        judged = _judged(report, points)
        last = max([points[-1].wall_ms, *(at for at, _, _ in judged)])
        margin = max(1, (last - first.wall_ms) // MARGIN)
        scale = Scale(first.wall_ms, last + margin)
        again = f", attempt {first.attempt}" if first.attempt > 1 else ""
        return cls(
            points,
            scale,
            f"{first.stream} in {first.region}{again}",
            report.policy.gate.tolerated_ratio_ppm,
            tuple(Mark(kind, scale.x(at), says) for at, kind, says in judged),
        )

    def chart(self, key: str, title: str, says: str) -> GateChart:
        """With all that is behind the lines, and none of them yet."""
        return GateChart(
            key,
            title,
            says,
            steps=_steps(self.points, self.scale),
            rungs=_rungs(self.points, self.scale),
            spans=tuple(_spans(self.points, self.scale)),
            marks=self.marks,
            ticks=self.scale.ticks(),
        )


def _judged(
    report: RunReport, points: Sequence[GatePoint]
) -> list[tuple[int, str, str]]:
    """Recorded verdicts on this return: instant, kind and words."""
    first, last = points[0], points[-1]
    until = last.wall_ms + 1_000 * (1 + (last.kind == VerdictKind.FAIL.value))
    found = [
        (one.wall_ms, one.gate.kind, f"{one.gate.kind}: {one.gate.why}")
        for mine in report.passes
        if mine.region == first.region
        for rung in mine.rungs
        for one in rung.judged
        if one.gate.service == first.service
    ]
    shown = (VerdictKind.PASS.value, VerdictKind.FAIL.value)
    return [
        (min(at, until), kind, says)
        for at, kind, says in found
        if first.wall_ms <= at <= until and kind in shown
    ]


def _steps(points: Sequence[GatePoint], scale: Scale) -> str:
    """The share behind the lines, each rung as high above the last as any other."""
    shares = sorted({one.share_bp for one in points})
    high = {
        share: HIGH - HIGH * STEP_TOP * (n + 1) / (len(shares) + 1)
        for n, share in enumerate(shares)
    }
    path = _held(points, scale, lambda one: high[one.share_bp])
    return f"{path} V{HIGH} H{scale.x(points[0].wall_ms)} Z"


def _rungs(points: Sequence[GatePoint], scale: Scale) -> tuple[Label, ...]:
    """Where each rung begins, and its share; of those too near only the last."""
    out: list[Label] = []
    before = None
    for one in points:
        if one.share_bp != before:
            at = scale.x(one.wall_ms) / 10
            if out and at - out[-1].at < 4:
                out.pop()
            out.append(Label(at, words.short_share(one.share_bp)))
        before = one.share_bp
    return tuple(out)


def _spans(points: Sequence[GatePoint], scale: Scale) -> Iterator[Span]:
    """Where the gate was blind, or the others were failing too."""
    following = [*points[1:], points[-1]]
    for kind, many in groupby(zip(points, following, strict=True), key=_trouble):
        stretch = list(many)
        if kind:
            x = scale.x(stretch[0][0].wall_ms)
            width = max(2, scale.x(stretch[-1][1].wall_ms) - x)
            yield Span(kind, x, width, TROUBLES[kind])


def _trouble(pair: tuple[GatePoint, GatePoint]) -> str:
    one = pair[0]
    if one.kind == VerdictKind.BLIND.value:
        return "blind"
    return "incident" if one.incident else ""


def _held(
    points: Sequence[GatePoint], scale: Scale, y_of: Callable[[GatePoint], float]
) -> str:
    """A value holds until the next one."""
    parts = [f"M{scale.x(points[0].wall_ms)},{y_of(points[0]):.4g}"]
    before = y_of(points[0])
    for one in points[1:]:
        y = y_of(one)
        if y != before:
            parts.append(f"H{scale.x(one.wall_ms)} V{y:.4g}")
        before = y
    return " ".join([*parts, f"H{scale.x(points[-1].wall_ms)}"])


def _evidence(frame: _Frame, key: str) -> GateChart:
    points = frame.points
    back = max(one.rollback_need for one in points)
    forth = max(one.promote_need for one in points)
    most = max(one.rollback_mlog10 for one in points)
    # What is promoted is promoted; how far beyond its limit only flattens the rest.
    top = max(round(ROOM * max(back, forth, 1)), min(TOP_MLOG10, most))

    def y(mlog10: int) -> float:
        inside = max(LOW_MLOG10, min(top, mlog10))
        return HIGH * (top - inside) / (top - LOW_MLOG10)

    strokes = (
        Stroke(
            "against",
            _held(points, frame.scale, lambda one: y(one.rollback_mlog10)),
            "evidence that the region is worse",
        ),
        Stroke(
            "for",
            _held(points, frame.scale, lambda one: y(one.promote_mlog10)),
            "evidence that it is fit for the next rung",
        ),
    )
    levels = (
        Level("against", y(back), f"rolled back at {words.odds(back)}"),
        Level("for", y(forth), f"promoted from {words.odds(forth)}"),
    )
    marks = [(y(back), words.odds(back)), (y(forth), words.odds(forth))]
    bottom = f"1:{round(10 ** (-LOW_MLOG10 / 1000))}"
    says = (
        f"evidence against it at most {words.odds(most)}, limit {words.odds(back)}; "
        f"promoted from {words.odds(forth)}"
    )
    return replace(
        frame.chart(key, f"Evidence for and against {frame.subject}", says),
        strokes=strokes,
        levels=levels,
        labels=_apart([*marks, (y(0), "1:1"), (HIGH, bottom)]),
    )


def _apart(labels: Sequence[tuple[float, str]]) -> tuple[Label, ...]:
    """Labels that leave each other room; the ones named first come first."""
    out: list[Label] = []
    for at, text in labels:
        if all(abs(at - one.at) >= LABEL_ROOM for one in out):
            out.append(Label(round(at, 1), text))
    return tuple(out)


def _worth_a_ratio(points: Sequence[GatePoint]) -> list[SignalSight]:
    """Errors, and of the latency bounds the one that was ever in most doubt."""
    seen = [one for point in points for one in point.signals if one.ratio_high_ppm]
    errors = [one for one in seen if one.signal == "errors"]
    slow = [one for one in seen if one.bound_us]
    worst = sorted(slow, key=lambda one: one.against_mlog10)
    return [*errors[-1:], *worst[-1:]]


def _ratio(frame: _Frame, key: str, wanted: SignalSight) -> GateChart:
    """One signal's ratio with its confidence sequence, on a logarithmic scale."""
    points = [one for one in frame.points if _sight_of(one, wanted)]
    sights = [_sight_of(one, wanted) for one in points]
    told = [one for one in sights if one is not None]
    top = RATIO_TOP
    while top < RATIO_TOP_MAX and any(one.ratio_low_ppm / 1e6 > top for one in told):
        top *= 10
    decades = math.log10(top / RATIO_LOW)

    def y(ppm: int) -> float:
        value = max(RATIO_LOW, min(top, ppm / 1e6))
        return HIGH * math.log10(top / value) / decades

    def of(value_of: Callable[[SignalSight], int]) -> Callable[[GatePoint], float]:
        return lambda one: y(value_of(_sight_of(one, wanted) or wanted))

    last = told[-1]
    worse = last.tolerated_ppm
    if not worse and wanted.signal == "errors":
        worse = frame.tolerated_ppm
    levels = [Level("one", y(1_000_000), "as many as elsewhere")]
    if worse:
        said = f"tolerated up to {words.ratio(worse)}"
        levels.append(Level("against", y(worse), said))
    ends = [(0.0, words.ratio(round(top * 1e6))), (HIGH, f"{RATIO_LOW:g}")]
    line = _held(points, frame.scale, of(_drawn_ppm))
    low, high = of(lambda one: one.ratio_low_ppm), of(lambda one: one.ratio_high_ppm)
    what = "Errors" if wanted.signal == "errors" else f"Answers {signals.name(wanted)}"
    name = f"{what}: {frame.subject}, how many times as many as elsewhere"
    says = f"at the end {signals.ratio(last)}"
    if worse:
        says += f", tolerated up to {words.ratio(worse)}"
    return replace(
        frame.chart(key, name, says),
        strokes=(Stroke("ratio", line, "ratio of the rates"),),
        levels=tuple(levels),
        labels=_apart([(y(1_000_000), "1"), *ends]),
        band=_band(points, frame.scale, low, high),
    )


def _drawn_ppm(one: SignalSight) -> int:
    """The ratio; its upper end where nothing was bad elsewhere to divide by."""
    return one.ratio_ppm if signals.has_ratio(one) else one.ratio_high_ppm


def _sight_of(point: GatePoint, wanted: SignalSight) -> SignalSight | None:
    """That signal at that look; None while it could not say anything."""
    for one in point.signals:
        if (one.signal, one.bound_us) == (wanted.signal, wanted.bound_us):
            return one if one.ratio_high_ppm else None
    return None


def _band(
    points: Sequence[GatePoint],
    scale: Scale,
    low: Callable[[GatePoint], float],
    high: Callable[[GatePoint], float],
) -> str:
    """The space between two step lines, there and back."""
    back: list[str] = []
    end = scale.x(points[-1].wall_ms)
    for one in points[::-1]:
        back.append(f"L{end},{low(one):.4g} H{scale.x(one.wall_ms)}")
        end = scale.x(one.wall_ms)
    return f"{_held(points, scale, high)} {' '.join(back)} Z"
