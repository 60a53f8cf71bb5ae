"""Geometry of the report's charts: samples and phases → paths in a box of fixed units.

No colour and no text that a page must escape by hand; the template draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from dayshift.limits import FULL_BP
from dayshift.model.records import Phase
from dayshift.surfaces import words
from dayshift.surfaces.passes import PassReport
from dayshift.surfaces.report import HoldReport, RunReport, SamplePoint

WIDE, HIGH = 1000, 100
"""The box of every chart; the page stretches it."""
ERROR_TOP_PPM_MIN = 10_000
TICKS = 5
COLOURS = 8
KINDS = {
    Phase.DRAINING: "leaving",
    Phase.HANDING_OVER: "leaving",
    Phase.EMPTYING: "leaving",
    Phase.EMPTY: "away",
    Phase.WORKING: "away",
    Phase.CATCHING_UP: "away",
    Phase.WARMING: "away",
    Phase.VALIDATING: "away",
    Phase.LEFT_DRAINED: "away",
    Phase.RETURNING: "back",
    Phase.SOAKING: "back",
}


class Line(msgspec.Struct, frozen=True):
    """One region's path; `colour` is its number in the estate."""

    region: str
    colour: int
    path: str


class Chart(msgspec.Struct, frozen=True):
    """One chart: `top` names the upper end of its scale, `says` is its description."""

    key: str
    title: str
    says: str
    top: str
    filled: bool
    lines: tuple[Line, ...]


class Band(msgspec.Struct, frozen=True):
    """A stretch of time: `kind` is leaving, away, back or held."""

    kind: str
    x: int
    width: int
    says: str


class Strip(msgspec.Struct, frozen=True):
    """The phases of one region over the whole run."""

    region: str
    bands: tuple[Band, ...]


class Scale(msgspec.Struct, frozen=True):
    """Instants to units of the box."""

    first_ms: int
    last_ms: int

    def x(self, wall_ms: int) -> int:
        span = max(1, self.last_ms - self.first_ms)
        return max(0, min(WIDE, WIDE * (wall_ms - self.first_ms) // span))

    def ticks(self) -> tuple[int, ...]:
        """Instants for the labels below, first and last included."""
        span = self.last_ms - self.first_ms
        return tuple(self.first_ms + span * n // (TICKS - 1) for n in range(TICKS))


def scale_of(report: RunReport) -> Scale:
    return Scale(report.opened_wall_ms, max(report.until_wall_ms, _last(report)))


def _last(report: RunReport) -> int:
    return report.series[-1].wall_ms if report.series else report.opened_wall_ms + 1


def charts(report: RunReport) -> tuple[Chart, ...]:
    """Shares of each service, then errors and p99 of each."""
    scale, out = scale_of(report), []
    services = sorted({one.service for one in report.series})
    for number, service in enumerate(services):
        points = [one for one in report.series if one.service == service]
        name = service if len(services) > 1 else "users"
        out.append(_shares(report, points, scale, f"s{number}", name))
        out.append(_errors(report, points, scale, f"e{number}", name))
        out.append(_p99(report, points, scale, f"p{number}", name))
    return tuple(out)


def _of(points: Iterable[SamplePoint], region: str) -> list[SamplePoint]:
    return [one for one in points if one.region == region]


def _shares(
    report: RunReport, points: Sequence[SamplePoint], scale: Scale, key: str, name: str
) -> Chart:
    """Shares stacked in the order of the estate, each a step until the next sample."""
    under: dict[int, int] = {}
    lines = []
    for number, region in enumerate(report.regions):
        mine = _of(points, region)
        low = [(one.wall_ms, under.get(one.wall_ms, 0)) for one in mine]
        high = [
            (at, base + one.share_bp) for (at, base), one in zip(low, mine, strict=True)
        ]
        under.update(high)
        if mine:
            lines.append(Line(region, number % COLOURS, _area(low, high, scale)))
    says = "; ".join(
        _share_range(region, _of(points, region)) for region in report.regions
    )
    return Chart(key, f"Share of {name} per region", says, "100 %", True, tuple(lines))


def _share_range(region: str, points: Sequence[SamplePoint]) -> str:
    shares = [one.share_bp for one in points]
    if not shares:
        return f"{region} was not sampled"
    return f"{region} between {words.share(min(shares))} and {words.share(max(shares))}"


def _area(
    low: Sequence[tuple[int, int]], high: Sequence[tuple[int, int]], scale: Scale
) -> str:
    there = _steps(high, scale)
    back = _steps(low, scale)[::-1]
    return "M" + " L".join(f"{x},{y:g}" for x, y in there + back) + " Z"


def _steps(values: Sequence[tuple[int, int]], scale: Scale) -> list[tuple[int, float]]:
    """Corners of a step line; a value holds until the next one, and to the end."""
    out: list[tuple[int, float]] = []
    for at, value in values:
        x, y = scale.x(at), HIGH - HIGH * value / FULL_BP
        if out and out[-1][1] == y:
            continue
        if out:
            out.append((x, out[-1][1]))
        out.append((x, y))
    return [*out, (scale.x(values[-1][0]), out[-1][1])]


def _errors(
    report: RunReport, points: Sequence[SamplePoint], scale: Scale, key: str, name: str
) -> Chart:
    most = max((one.error_ppm for one in points), default=0)
    top = max(ERROR_TOP_PPM_MIN, _nice(most))
    lines = _curves(report, points, scale, "error_ppm", top)
    says = f"the most in one sample was {words.error_rate(most)}"
    label = words.error_rate(top)
    return Chart(key, f"Errors of {name} per region", says, label, False, lines)


def _p99(
    report: RunReport, points: Sequence[SamplePoint], scale: Scale, key: str, name: str
) -> Chart:
    most = max((one.p99_us for one in points), default=0)
    top = _nice(max(most, 1))
    lines = _curves(report, points, scale, "p99_us", top)
    says = f"the slowest one in a hundred, at most {words.took(most)}"
    title = f"Latency of {name} per region, p99"
    return Chart(key, title, says, words.took(top), False, lines)


def _curves(
    report: RunReport,
    points: Sequence[SamplePoint],
    scale: Scale,
    field: str,
    top: int,
) -> tuple[Line, ...]:
    lines = []
    for number, region in enumerate(report.regions):
        mine = _of(points, region)
        path = _curve(mine, scale, field, top)
        if path:
            lines.append(Line(region, number % COLOURS, path))
    return tuple(lines)


def _curve(points: Sequence[SamplePoint], scale: Scale, field: str, top: int) -> str:
    """A line with gaps where the region had no users: nothing was measured there."""
    parts, pen = [], False
    for one in points:
        if not one.mrps:
            pen = False
            continue
        y = HIGH - min(HIGH, HIGH * int(getattr(one, field)) / top)
        parts.append(f"{'L' if pen else 'M'}{scale.x(one.wall_ms)},{y:.4g}")
        pen = True
    return " ".join(parts)


def _nice(value: int) -> int:
    """The next 1, 2 or 5 with zeros."""
    power = 1
    while power * 10 <= value:
        power *= 10
    return next(step * power for step in (1, 2, 5, 10) if value <= step * power)


def strips(report: RunReport) -> tuple[Strip, ...]:
    """When each region of the run was leaving, away and coming back, and held."""
    scale = scale_of(report)
    return tuple(
        Strip(one.region, (*_phases(one, scale), *_held(one, report.holds, scale)))
        for one in report.passes
    )


def _phases(one: PassReport, scale: Scale) -> list[Band]:
    """Neighbouring phases of one kind are drawn as one."""
    out: list[Band] = []
    for visit in one.phases:
        kind = KINDS.get(Phase(visit.phase))
        if kind is None:
            continue
        x = scale.x(visit.entered_wall_ms)
        end = visit.entered_wall_ms + visit.took_ms if visit.took_ms is not None else 0
        until = scale.x(end) if end else WIDE
        if out and out[-1].kind == kind:
            said = f"{out[-1].says}, {visit.phase}"
            out[-1] = Band(kind, out[-1].x, until - out[-1].x, said)
        else:
            out.append(Band(kind, x, until - x, f"{one.region}: {visit.phase}"))
    return out


def _held(one: PassReport, holds: Sequence[HoldReport], scale: Scale) -> list[Band]:
    out = []
    for hold in holds:
        if hold.region == one.region:
            x = scale.x(hold.wall_ms)
            end = WIDE if hold.held_ms is None else scale.x(hold.wall_ms + hold.held_ms)
            out.append(Band("held", x, end - x, f"{one.region}: {hold.reason.code}"))
    return out
