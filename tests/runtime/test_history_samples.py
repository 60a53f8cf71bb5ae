"""The side log's samples carry raw counts, old lines stay readable, and only seconds in
which every region had its usual share teach the gate anything."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec.structs import replace

from dayshift.core.tracks import MeterTrack
from dayshift.journal.journal import Journal
from dayshift.journal.sidelog import SideFiles
from dayshift.model.dial import DialKind, DialReading, InstanceReading, Setting, split
from dayshift.model.evidence import BEYOND_US, Counts, MeterReading
from dayshift.model.records import RunOpened
from dayshift.model.sight import Sight
from dayshift.model.units import Instant
from dayshift.runtime.clock import RealClock
from dayshift.runtime.history.samples import from_samples, read_lines
from dayshift.runtime.samples import NAME, Samples
from dayshift.surfaces.report import read_samples
from tests.kit.play import Play

RUN = "018f0000-0000-7000-8000-000000000001"
OLD = {"wall_ms": 5, "service": "shop", "region": "fra", "share_bp": 5000, "mrps": 1}


def reading(at_ms: int, requests: int, series: str = "") -> MeterReading:
    buckets = {250_000: requests // 2, BEYOND_US: requests}
    at = Instant(at_ms, at_ms, "boot")
    return MeterReading(at, requests, requests // 10, 0, 0, buckets, {}, series)


class Writing:
    """The recorder under a play whose meters and shares can be set."""

    def __init__(self, folder: Path) -> None:
        self.play = Play()
        self.side = SideFiles(folder)
        self.samples = Samples(self.side, RUN)
        self.tracks = {
            ("shop", "entry", region): MeterTrack() for region in ("fra", "ber")
        }

    def second(self, at_ms: int, share: int = 5000, **counts: int) -> None:
        for region, requests in counts.items():
            track = self.tracks["shop", "entry", region]
            track.window.append(reading(at_ms, requests))
        setting: Setting = split({"fra": share, "ber": 10_000 - share})
        assert setting.kind is DialKind.SPLIT
        at = Instant(at_ms, at_ms, "boot")
        dial = DialReading("entry", at, (InstanceReading("one", setting, None),))
        seen = self.play.sight()
        sight: Sight = replace(seen, at=at, dials={"entry": dial})
        self.samples.take(self.play.state, sight, self.tracks)

    def data(self) -> bytes:
        return self.side.still_open(RUN, NAME) or b""


def test_a_line_holds_what_was_added_since_the_line_before(tmp_path: Path) -> None:
    writing = Writing(tmp_path)
    writing.second(1_000, fra=100, ber=200)
    writing.second(1_500, fra=110, ber=210)  # the same second: no line
    writing.second(2_000, fra=150, ber=260)
    writing.second(3_000, fra=30, ber=300)  # fra restarted
    writing.second(4_000, fra=50, ber=300)
    lines, bare = read_lines(writing.data())
    found = [(one.wall_ms, one.region, one.counts["shop"].requests) for one in lines]
    assert sorted(found) == [
        (2_000, "ber", 60), (2_000, "fra", 50), (3_000, "ber", 40),
        (4_000, "ber", 0), (4_000, "fra", 20),
    ]  # fmt: skip
    assert lines[0].counts["shop"].span_ms == 1_000
    assert bare == 0
    assert len(read_samples(writing.data())) == 8, "the report reads them as before"


def test_old_and_torn_lines_are_read_as_what_they_are(tmp_path: Path) -> None:
    old = msgspec.json.encode(OLD)
    lines, bare = read_lines(old + b"\n" + old[:20] + b"\n")
    assert (lines, bare) == ([], 1)
    assert len(read_samples(old)) == 1


def test_only_usual_shares_become_rows(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "j")
    for second in range(1, 11):
        share = 5000 if second <= 6 else 100
        writing.second(1_000 * second, share, fra=100 * second, ber=100 * second)
    journal = Journal.open(tmp_path / "j", "demo", RealClock(), "test")
    try:
        journal.append(RunOpened("x" * 64, "ada"), run=RUN)
        estate = writing.play.estate
        found = from_samples(estate, journal, writing.side)
        assert found.regions() == ("ber", "fra")
        assert {row.at_ms for row in found.rows} == {
            2_000, 3_000, 4_000, 5_000, 6_000,
        }  # fmt: skip
        assert all(row.stream == "shop" for row in found.rows)
        wanted = Counts(100, 10, {250_000: 50, BEYOND_US: 100})
        assert all(row.counts == wanted for row in found.rows)
        assert "8 samples left out" in found.notes[0]
        closed = writing.samples.close()
        assert closed is not None
        journal.append(closed, run=RUN)
        assert from_samples(estate, journal, writing.side).rows == found.rows
        assert not from_samples(estate, journal, writing.side, 7_000).rows
    finally:
        journal.close()
