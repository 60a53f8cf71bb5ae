"""The journal's own samples as a source of rows: what was counted while all served.

Only lines with raw counts tell anything; lines of older Dayshifts have none and are
left out, and so is every second in which a region had not its usual share.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from dayshift.journal.reader import JournalView
from dayshift.journal.sidelog import SideFiles
from dayshift.model.estate import Estate
from dayshift.model.evidence import Counts
from dayshift.model.records import RunOpened, SideLog
from dayshift.runtime.history.rows import Recording, Row
from dayshift.runtime.samples import NAME, Added, SampleLine


def from_samples(
    estate: Estate, journal: JournalView, side: SideFiles, from_ms: int = 0
) -> Recording:
    """Every row of every run of this journal since `from_ms`."""
    lines: list[SampleLine] = []
    old = 0
    for data in _files(journal, side):
        found, torn = read_lines(data)
        lines += found
        old += torn
    usual = _usual(estate, lines)
    rows = [
        _row(line, stream, added)
        for line in lines
        if line.wall_ms >= from_ms and (line.service, line.wall_ms) in usual
        for stream, added in line.counts.items()
    ]
    rows.sort(key=lambda row: (row.at_ms, row.stream, row.region))
    notes = []
    away = sum((line.service, line.wall_ms) not in usual for line in lines)
    if away:
        notes.append(f"{away:,} samples left out: a region had not its usual share")
    if old:
        notes.append(f"{old:,} samples of an older Dayshift left out: without counts")
    return Recording("samples", tuple(rows), tuple(notes))


def read_lines(data: bytes) -> tuple[list[SampleLine], int]:
    """Lines with counts, and how many have none; one torn by a crash is left out."""
    decoder = msgspec.json.Decoder(SampleLine)
    found, bare = [], 0
    for text in data.split(b"\n"):
        try:
            line = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if line.counts:
            found.append(line)
        elif b'"counts"' not in text:
            bare += 1
    return found, bare


def _files(journal: JournalView, side: SideFiles) -> Iterable[bytes]:
    """What was sampled in every run: closed files by their hash, and open ones."""
    runs = []
    for record in journal.records(0):
        body = record.body
        if isinstance(body, RunOpened):
            runs.append(record.run)
        if isinstance(body, SideLog) and body.name.endswith(f"/{NAME}"):
            yield side.get(body.sha256) or b""
    for run in runs:
        yield side.still_open(run, NAME) or b""


def _usual(estate: Estate, lines: Iterable[SampleLine]) -> set[tuple[str, int]]:
    """Services and seconds in which every region had its usual share."""
    shares = {service.name: service.shares for service in estate.services}
    seen: dict[tuple[str, int], dict[str, int]] = {}
    for line in lines:
        seen.setdefault((line.service, line.wall_ms), {})[line.region] = line.share_bp
    return {key for key, row in seen.items() if row == shares.get(key[0])}


def _row(line: SampleLine, stream: str, added: Added) -> Row:
    counts = Counts(added.requests, added.errors, dict(added.buckets))
    return Row(line.wall_ms, line.region, stream, counts)
