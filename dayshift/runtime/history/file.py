"""Recorded files → rows: CSV or JSON lines, plain or gzip, told apart by content.

Read strictly and whole: every fault names `file:line` and the way out, and one fault
refuses the file. The format is documented in docs/gate-file.md.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NoReturn, TypeVar, cast

from dayshift.errors import Reason, SettingsInvalid
from dayshift.model.evidence import BEYOND_US, Counts
from dayshift.runtime.history import fields
from dayshift.runtime.history.fields import Cell, Unfit
from dayshift.runtime.history.native import native
from dayshift.runtime.history.order import put_in_order
from dayshift.runtime.history.rows import ENTRY, Recording, Row
from dayshift.runtime.settings.units import name_fault
from dayshift.runtime.settings.yaml_source import REASONS_MAX, Source, short

ROWS_MAX = 4_000_000
LINE_CHARS_MAX = 100_000
TELL_EVERY = 20_000
GZIP = b"\x1f\x8b"
COLUMNS = ("time", "region", "requests", "errors", "share", "stream", "returning")
NEEDED = ("time", "region", "requests", "errors")
SAME_AS = {"canary": "returning"}
BUCKET, GAUGE = "le_", "gauge_"
OBJECTS = ("buckets", "native")
Told = Callable[[int], None]
Record = dict[str, Cell]
T = TypeVar("T")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


def read_file(
    path: Path,
    is_cumulative: bool = False,
    strict: bool = False,
    told: Told = lambda rows: None,
) -> Recording:
    """Read a recorded file.

    Args:
        is_cumulative: its counts are running counters, not increments.
        strict: a row older than a look that was complete before it is a fault.
        told: called now and then with the number of rows so far.

    Raises:
        SettingsInvalid: it cannot be read, or not all of it: every reason at once.
    """
    source = Source(str(path))
    rows: list[Row] = []
    try:
        with path.open("rb") as raw:
            for line, record in _records(raw, source):
                found = _row(line, record, source)
                rows += [found] if found else []
                if len(source.faults) > REASONS_MAX:
                    break
                if len(rows) >= ROWS_MAX:
                    _stop(source, line, f"has more than {ROWS_MAX:,} rows", SHORTER)
                if len(rows) % TELL_EVERY == 0:
                    told(len(rows))
    except (OSError, EOFError, zlib.error) as error:
        raise SettingsInvalid((_unreadable(path, error),)) from None
    source.check()
    if not rows:
        _stop(source, 1, "has no rows", "a header alone says nothing; see `--help`")
    told(len(rows))
    return put_in_order(rows, source, is_cumulative, strict)


SHORTER = "cut it into files of a few days each"


def _records(raw: BinaryIO, source: Source) -> Iterator[tuple[int, Record]]:
    """Each row by name, with its line."""
    zipped = raw.read(2) == GZIP
    raw.seek(0)
    data = gzip.GzipFile(fileobj=raw) if zipped else raw
    text = io.TextIOWrapper(data, "utf-8-sig", "surrogateescape", newline="")
    lines = _bounded(text, source)
    for number, line in enumerate(lines, 1):
        if line.strip():
            rest = _chained(line, lines)
            if line.lstrip().startswith("{"):
                yield from _json_lines(number, rest, source)
            else:
                yield from _csv_lines(number, rest, source)
            return


def _chained(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _bounded(text: io.TextIOWrapper, source: Source) -> Iterator[str]:
    """Lines; one without end would fill the memory."""
    number = 0
    while line := text.readline(LINE_CHARS_MAX):
        number += 1
        if len(line) == LINE_CHARS_MAX:
            what = f"has a line of {LINE_CHARS_MAX:,} characters"
            _stop(source, number, what, "one row on each line")
        if not line.isascii() and _NOT_UTF8.search(line):
            _stop(source, number, "is not UTF-8", "save it as UTF-8")
        yield line


def _csv_lines(
    first: int, lines: Iterator[str], source: Source
) -> Iterator[tuple[int, Record]]:
    reader = csv.reader(lines, strict=True)
    names: list[str] = []
    try:
        for cells in reader:
            line = first - 1 + reader.line_num
            if not names:
                names = [name.strip() for name in cells]
                _header(names, line, source)
            elif len(cells) == len(names):
                yield line, dict(zip(names, cells, strict=True))
            elif any(cell.strip() for cell in cells):
                what = f"has {len(cells)} cells, and the header names {len(names)}"
                source.note(line, "ROW-TORN", what, "give each row a cell per column")
    except csv.Error as error:
        line = first - 1 + reader.line_num
        _stop(source, line, f"is no CSV here ({error})", "mend the quotes")


def _header(names: list[str], line: int, source: Source) -> None:
    """A header that names each column once, the needed ones among them."""
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        _stop(source, line, "has no commas", "separate the cells by commas")
    twice = sorted({name for name in names if names.count(name) > 1})
    for name in twice:
        what = f"names the column `{short(name)}` twice"
        source.note(line, "COLUMN-TWICE", what, "give every column once")
    for name in names:
        if name in OBJECTS:
            what = f"has a column `{name}`"
            way_out = "in CSV write a column for each bound: `le_0.25`, `le_+Inf`"
            source.note(line, "COLUMN-UNKNOWN", what, way_out)
        else:
            _known(name, line, source)
    for name in NEEDED:
        if name not in names:
            what = f"has no column `{name}`"
            way_out = f"the first line names the columns: {','.join(COLUMNS[:5])}"
            source.note(line, "COLUMN-MISSING", what, way_out)
    source.check()


def _known(name: str, line: int, source: Source) -> None:
    """Note a column that nobody would read, or one whose name cannot be read."""
    if name in COLUMNS or name in SAME_AS:
        return
    if name.startswith(BUCKET):
        try:
            fields.bound_us(name.removeprefix(BUCKET))
        except Unfit as unfit:
            source.note(line, "COLUMN-UNKNOWN", f"{name}: {unfit}", unfit.way_out)
        return
    if name.startswith(GAUGE) and len(name) > len(GAUGE):
        return
    near = get_close_matches(name, [*COLUMNS, *SAME_AS, *OBJECTS], 1)
    way_out = f"did you mean `{near[0]}`? " if near else ""
    way_out += f"columns are {', '.join(COLUMNS)}, le_BOUND, gauge_NAME; remove others"
    source.note(line, "COLUMN-UNKNOWN", f"has a column `{short(name)}`", way_out)


def _json_lines(
    first: int, lines: Iterator[str], source: Source
) -> Iterator[tuple[int, Record]]:
    known: set[str] = set()
    for line, text in enumerate(lines, first):
        if not text.strip():
            continue
        try:
            record = json.loads(text, object_pairs_hook=_once, parse_constant=_no_float)
            if not isinstance(record, dict):
                raise ValueError("it is no object")
        except (ValueError, RecursionError) as error:
            why = str(error).split(" (char")[0]
            source.note(line, "ROW-TORN", f"is no JSON object: {why}", ONE_OBJECT)
            continue
        fresh = record.keys() - known
        for name in sorted(fresh - set(OBJECTS)):
            _known(name, line, source)
        known |= fresh
        yield line, record


ONE_OBJECT = 'write one object on each line: {"time": 0, "region": "fra", …}'


def _once(pairs: list[tuple[str, Cell]]) -> Record:
    """An object that names each key once."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it names a key twice")
    return found


def _no_float(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number; leave out what was not seen")


class Cells:
    """The cells of one row; what is wrong with one is noted, and it reads as empty."""

    def __init__(self, line: int, record: Record, source: Source) -> None:
        self.line = line
        self.record = record
        self.source = source

    def read(self, name: str, reader: Callable[[Cell], T]) -> T | None:
        return self.value(name, self.record.get(name), reader)

    def value(self, name: str, cell: Cell, reader: Callable[[Cell], T]) -> T | None:
        if fields.empty(cell):
            return None
        try:
            return reader(cell)
        except Unfit as unfit:
            self.fault(name, str(unfit), unfit.way_out)
            return None

    def needed(self, name: str, reader: Callable[[Cell], T]) -> T | None:
        if fields.empty(self.record.get(name)):
            self.fault(name, "is empty", "every row says when and where it counted")
        return self.read(name, reader)

    def fault(self, name: str, what: str, way_out: str) -> None:
        what = f"{short(name)}: {what}"
        self.source.note(self.line, "CELL-INVALID", what, way_out)


def _row(line: int, record: Record, source: Source) -> Row | None:
    """One row, or None where it is wrong; why is noted."""
    before, cells = len(source.faults), Cells(line, record, source)
    at_ms, region = (
        cells.needed("time", fields.when_ms),
        cells.needed("region", _region),
    )
    requests, errors = (cells.read(name, fields.count) for name in NEEDED[2:])
    buckets = cells.read("native", native) or _buckets(cells, requests)
    share = cells.read("share", fields.share_bp)
    gauges = {
        name.removeprefix(GAUGE): level
        for name in record
        if name.startswith(GAUGE)
        and (level := cells.read(name, fields.milli)) is not None
    }
    returning = cells.read("returning", _name) or cells.read("canary", _name) or ""
    stream = cells.read("stream", _stream) or ""
    if len(source.faults) > before or at_ms is None or region is None:
        return None
    counts = None
    if requests is not None and errors is not None:
        counts = Counts(requests, errors, buckets)
    return Row(at_ms, region, stream, counts, share, gauges, returning, line)


def _buckets(cells: Cells, requests: int | None) -> dict[int, int]:
    """Cumulative counts by bound, from columns or from an object.

    Without a last bucket, every request counts as timed.
    """
    given = cells.record.get("buckets")
    if given is not None and not isinstance(given, dict):
        cells.fault("buckets", "is no object", 'write {"0.25": 900, "+Inf": 1000}')
    bounds = {
        name.removeprefix(BUCKET): cell
        for name, cell in cells.record.items()
        if name.startswith(BUCKET)
    }
    bounds |= cast("dict[str, Cell]", given) if isinstance(given, dict) else {}
    found: dict[int, int] = {}
    for bound, cell in bounds.items():
        us = cells.value(f"le_{bound}", bound, lambda text: fields.bound_us(str(text)))
        value = cells.value(f"le_{bound}", cell, fields.count)
        if us is not None and value is not None:
            found[us] = value
    if found and requests is not None:
        found.setdefault(BEYOND_US, requests)
    found = dict(sorted(found.items()))
    if any(low > high for low, high in pairwise(found.values())):
        cells.fault(
            "le",
            "fewer requests at or below a higher bound than at a lower one",
            "buckets are cumulative, as `le` in Prometheus: each holds the lower ones",
        )
    return found


def _region(cell: Cell) -> str:
    return ENTRY if cell == ENTRY else _name(cell)


def _name(cell: Cell) -> str:
    text = cell.strip() if isinstance(cell, str) else str(cell)
    fault = name_fault(text)
    if fault:
        way_out = "name one region, as in dayshift.yaml; `*` as region: all of them"
        raise Unfit(fault, way_out)
    return text


def _stream(cell: Cell) -> str:
    text = cell.strip() if isinstance(cell, str) else str(cell)
    for part in text.split("/", 1):
        if fault := name_fault(part):
            raise Unfit(fault, "write `service` or `service/class`")
    return text


def _stop(source: Source, line: int, what: str, way_out: str) -> NoReturn:
    """Nothing more can be read: say this, and what was found before."""
    source.note(line, "FILE-INVALID", what, way_out)
    source.check()
    raise AssertionError("a noted fault was not raised")


def _unreadable(path: Path, error: Exception) -> Reason:
    cause = getattr(error, "strerror", None) or str(error)
    return Reason(
        "FILE-UNREADABLE",
        f"{path} cannot be read: {cause}",
        because="it is not there, not allowed, or a torn gzip file",
        so="nothing was judged and nothing was learned",
        next="name a file of rows; `dayshift gate export` writes one",
    )
