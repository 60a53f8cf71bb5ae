"""Levels (saturation, queue length, lag, memory): they may hold a ramp, never turn it
back. A level is no count, so no error rate is promised for it.

A rise is judged by Theil and Sen's slope (Sen 1968): the median of the slopes between
all pairs of some points, which a few outliers do not move. Old points are thinned, so
that memory does not grow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dayshift.model.estate import GaugeRule

POINTS_MAX = 64
POINTS_MIN = 8
RISING_MIN = 0.7
"""Of all pairs of points, this part must rise before it is called a trend."""


class Gauges:
    """The latest level of each gauge that a rule speaks of, with its past."""

    def __init__(self, rules: Sequence[GaugeRule]) -> None:
        self.rules = tuple(rules)
        self._seen: frozenset[str] = frozenset()
        self._points: dict[str, list[tuple[int, int]]] = {}
        self._spacing: dict[str, int] = {}

    def take(self, at_ms: int, levels: Mapping[str, int]) -> None:
        """Remember the levels of this look; a gauge that is missing is not seen."""
        self._seen = frozenset(levels)
        for rule in self.rules:
            if rule.name in levels:
                self._add(rule.name, at_ms, levels[rule.name])

    def _add(self, name: str, at_ms: int, level: int) -> None:
        points = self._points.setdefault(name, [])
        spacing = self._spacing.get(name, 0)
        if len(points) > 1 and at_ms - points[-2][0] < spacing:
            points[-1] = (at_ms, level)
            return
        points.append((at_ms, level))
        if len(points) > POINTS_MAX:
            spread = points[-1][0] - points[0][0]
            self._spacing[name] = max(1, 2 * spread // POINTS_MAX)
            points[:] = points[::2]

    def hold_reason(self) -> str | None:
        """Why the ramp must wait, or None."""
        for rule in self.rules:
            points = self._points.get(rule.name)
            if not points or rule.name not in self._seen:
                return f"gauge {rule.name!r} is not seen"
            level, most = points[-1][1], rule.most_milli / 1000
            if level > rule.most_milli:
                return f"{rule.name} is {level / 1000:g}, above {most:g}"
            reached = self._reached_ms(rule, points) if rule.trend_ms else None
            if reached is not None:
                return (
                    f"{rule.name} is {level / 1000:g} and rises steadily: {most:g} in "
                    f"about {max(1, reached // 60_000)} min"
                )
        return None

    def _reached_ms(
        self, rule: GaugeRule, points: Sequence[tuple[int, int]]
    ) -> int | None:
        """When the trend reaches the limit, if that is within the rule's time."""
        if len(points) < POINTS_MIN:
            return None
        times, levels = np.array(points, dtype=np.float64).T
        first, second = np.triu_indices(len(points), 1)
        slopes = (levels[second] - levels[first]) / np.maximum(
            times[second] - times[first], 1
        )
        slope = float(np.median(slopes))
        if slope <= 0 or float((slopes > 0).mean()) < RISING_MIN:
            return None
        wait = (rule.most_milli - levels[-1]) / slope
        return int(wait) if wait <= rule.trend_ms else None
