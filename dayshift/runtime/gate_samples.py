"""What the gate said, line by line into the side log: what the report draws.

One line per stream of users whenever the gate says something new, at most one a second
unless the verdict itself turns: a failure that ends the return after one look must be
on the drawing. What is decided on is journalled; this file is no truth.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import msgspec

from dayshift.core.state import JournalState
from dayshift.core.steering import served
from dayshift.errors import Refused
from dayshift.journal.sidelog import SideFiles
from dayshift.model.evidence import SignalSight, Verdict
from dayshift.model.records import SideLog
from dayshift.model.sight import PlaceSight, Sight

NAME = "gate.jsonl"


class GateSamples:
    """The gate's file of one run."""

    def __init__(self, sidelog: SideFiles, run: str) -> None:
        self.sidelog = sidelog
        self.run = run
        self._last: dict[tuple[str, str], _Said] = {}

    def take(self, state: JournalState, sight: Sight) -> None:
        """Write what is new in what the gate says of each place."""
        for place in sight.places:
            key, verdict = (place.service, place.region), place.verdict
            if verdict is None:
                self._last.pop(key, None)
                continue
            share_bp = _share_bp(state, sight, place)
            said = _Said(sight.at.wall_ms // 1000, share_bp, _numbers(verdict))
            if not said.is_news_after(self._last.get(key)):
                continue
            self._last[key] = said
            self._write(_lines(state, sight, place, verdict, share_bp))

    def close(self) -> SideLog | None:
        """The record that names the file, also of what another controller of this run
        wrote; None if there is none."""
        with contextlib.suppress(OSError, Refused):
            return self.sidelog.close(self.run, NAME)
        return None

    def _write(self, lines: Iterable[dict[str, Any]]) -> None:
        # As with all samples: a full disk must not stop an evacuation over them.
        with contextlib.suppress(OSError):
            for line in lines:
                self.sidelog.append_line(self.run, NAME, msgspec.json.encode(line))


class _Said(msgspec.Struct, frozen=True):
    """What was last written of one place."""

    second: int
    share_bp: int
    verdict: Verdict

    def is_news_after(self, last: _Said | None) -> bool:
        """A turn at once; anything else once in a second, if it changed."""
        if last is None or self.verdict.kind is not last.verdict.kind:
            return True
        same = (self.share_bp, self.verdict) == (last.share_bp, last.verdict)
        return self.second != last.second and not same


def _numbers(verdict: Verdict) -> Verdict:
    """Without the sentences, in which seconds are counted down."""
    return msgspec.structs.replace(verdict, why="", needs="", wait_ms=None)


def _share_bp(state: JournalState, sight: Sight, place: PlaceSight) -> int:
    settings = {
        name: reading.setting
        for name, reading in sight.dials.items()
        if reading.setting is not None
    }
    row = served(state.plan.estate.service(place.service), settings) or {}
    return row.get(place.region, 0)


def _lines(
    state: JournalState,
    sight: Sight,
    place: PlaceSight,
    verdict: Verdict,
    share_bp: int,
) -> list[dict[str, Any]]:
    """One for each stream that the verdict speaks of."""
    assert state.run is not None
    streams = sorted({one.stream for one in verdict.signals}) or [place.service]
    out = []
    for stream in streams:
        signals = tuple(one for one in verdict.signals if one.stream == stream)
        out.append(
            {
                "wall_ms": sight.at.wall_ms,
                "service": place.service,
                "stream": stream,
                "region": place.region,
                "attempt": state.run.now_at.attempt,
                "share_bp": share_bp,
                "kind": verdict.kind.value,
                "incident": verdict.incident,
                "decides": verdict.decides,
                **_evidence(verdict, signals if len(streams) > 1 else ()),
                "signals": signals,
            }
        )
    return out


def _evidence(verdict: Verdict, signals: tuple[SignalSight, ...]) -> dict[str, int]:
    """The verdict's evidence; of one stream among several, that of its own signals."""
    promoting = [one for one in signals if one.promote_need]
    if not promoting:
        return {
            "rollback_mlog10": verdict.rollback_mlog10,
            "rollback_need": verdict.rollback_need,
            "promote_mlog10": verdict.promote_mlog10,
            "promote_need": verdict.promote_need,
        }
    weakest = min(promoting, key=lambda one: one.promote_mlog10)
    return {
        "rollback_mlog10": max(one.against_mlog10 for one in signals),
        "rollback_need": verdict.rollback_need,
        "promote_mlog10": weakest.promote_mlog10,
        "promote_need": weakest.promote_need,
    }
