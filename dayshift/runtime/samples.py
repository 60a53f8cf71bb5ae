"""One line per second and place into the side log: what the report draws, and the raw
counts of the second, from which the gate can learn what is usual here.

Raw samples are not journalled; the journal keeps the file's hash when the run closes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import msgspec

from dayshift.core.deciding import deciding
from dayshift.core.state import JournalState
from dayshift.core.steering import served
from dayshift.core.tracks import MeterTrack
from dayshift.core.watch import MeterKey
from dayshift.journal.sidelog import SideFiles
from dayshift.model.estate import Service
from dayshift.model.evidence import MeterReading, Side, since
from dayshift.model.records import SideLog
from dayshift.model.sight import Sight
from dayshift.model.units import elapsed_ms

NAME = "samples.jsonl"
Tracks = Mapping[MeterKey, MeterTrack]


class Added(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the deciding meter of one stream counted since its line before."""

    span_ms: int
    requests: int
    errors: int
    buckets: dict[int, int] = {}


class SampleLine(msgspec.Struct, frozen=True):
    """One place in one second; `counts` by stream, where its meter was read twice."""

    wall_ms: int
    service: str
    region: str
    share_bp: int
    mrps: int = 0
    error_ppm: int = 0
    p50_us: int = 0
    p99_us: int = 0
    counts: dict[str, Added] = {}


class Samples:
    """The sample file of one run."""

    def __init__(self, sidelog: SideFiles, run: str) -> None:
        self.sidelog = sidelog
        self.run = run
        self._second = -1
        self._written = False
        self._last: dict[MeterKey, MeterReading] = {}

    def take(
        self, state: JournalState, sight: Sight, tracks: Tracks | None = None
    ) -> None:
        """Write one line for each place, once per second of the wall clock."""
        second = sight.at.wall_ms // 1000
        if second == self._second:
            return
        self._second = second
        self._written = True
        # Samples are no truth: a full disk must not stop an evacuation over them.
        with contextlib.suppress(OSError):
            for line in self._lines(state, sight, tracks or {}):
                self.sidelog.append_line(self.run, NAME, msgspec.json.encode(line))

    def close(self) -> SideLog | None:
        """The record that names the file, or None if nothing was written."""
        if not self._written:
            return None
        with contextlib.suppress(OSError):
            return self.sidelog.close(self.run, NAME)
        return None

    def _lines(
        self, state: JournalState, sight: Sight, tracks: Tracks
    ) -> list[SampleLine]:
        lines = []
        for service in state.plan.estate.services:
            settings = {
                name: reading.setting
                for name, reading in sight.dials.items()
                if reading.setting is not None
            }
            row = served(service, settings) or {}
            for region in service.shares:
                users = [
                    one
                    for one in sight.place(service.name, region).meters
                    if one.side is Side.USERS
                ]
                if users:
                    line = SampleLine(
                        wall_ms=sight.at.wall_ms,
                        service=service.name,
                        region=region,
                        share_bp=row.get(region, 0),
                        mrps=users[0].mrps,
                        error_ppm=users[0].error_ppm,
                        p50_us=users[0].p50_us,
                        p99_us=users[0].p99_us,
                        counts=self._added(service, region, tracks),
                    )
                    lines.append(line)
        return lines

    def _added(self, service: Service, region: str, tracks: Tracks) -> dict[str, Added]:
        """What each stream counted since the line before; nothing after a restart."""
        found = {}
        for stream, spec in deciding(service).items():
            key = (service.name, spec.name, region)
            track = tracks.get(key)
            now = track.window[-1] if track and track.window else None
            if now is None or (track is not None and track.fault):
                self._last.pop(key, None)
                continue
            before = self._last.get(key)
            self._last[key] = now
            counts = since(before, now) if before is not None else None
            if before is not None and counts is not None:
                span_ms = elapsed_ms(before.at, now.at)
                if span_ms:
                    added = Added(
                        span_ms, counts.requests, counts.errors, counts.buckets
                    )
                    found[stream] = added
        return found
