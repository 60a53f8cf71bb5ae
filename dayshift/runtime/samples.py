"""One line per second and place into the side log: what the report draws.

Raw samples are not journalled; the journal keeps the file's hash when the run closes.
"""

from __future__ import annotations

import contextlib

import msgspec

from dayshift.core.state import JournalState
from dayshift.core.steering import served
from dayshift.journal.sidelog import SideFiles
from dayshift.model.evidence import Side
from dayshift.model.records import SideLog
from dayshift.model.sight import Sight

NAME = "samples.jsonl"


class Samples:
    """The sample file of one run."""

    def __init__(self, sidelog: SideFiles, run: str) -> None:
        self.sidelog = sidelog
        self.run = run
        self._second = -1
        self._written = False

    def take(self, state: JournalState, sight: Sight) -> None:
        """Write one line for each place, once per second of the wall clock."""
        second = sight.at.wall_ms // 1000
        if second == self._second:
            return
        self._second = second
        self._written = True
        # Samples are no truth: a full disk must not stop an evacuation over them.
        with contextlib.suppress(OSError):
            for line in _lines(state, sight):
                self.sidelog.append_line(self.run, NAME, line)

    def close(self) -> SideLog | None:
        """The record that names the file, or None if nothing was written."""
        if not self._written:
            return None
        with contextlib.suppress(OSError):
            return self.sidelog.close(self.run, NAME)
        return None


def _lines(state: JournalState, sight: Sight) -> list[bytes]:
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
                line = {
                    "wall_ms": sight.at.wall_ms,
                    "service": service.name,
                    "region": region,
                    "share_bp": row.get(region, 0),
                    "mrps": users[0].mrps,
                    "error_ppm": users[0].error_ppm,
                    "p50_us": users[0].p50_us,
                    "p99_us": users[0].p99_us,
                }
                lines.append(msgspec.json.encode(line))
    return lines
