"""Rows → a recorded file, CSV or JSON lines, plain or gzip, as its name ends.

What `file` reads back is what was written; docs/gate-file.md has the format.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from dayshift.errors import Reason, SettingsInvalid
from dayshift.model.evidence import BEYOND_US
from dayshift.runtime.history.rows import Row

US = 1_000_000


def write_file(path: Path, rows: Sequence[Row], overwrite: bool = False) -> None:
    """Write rows, whole or not at all.

    Raises:
        SettingsInvalid: there is a file already, or it cannot be written there.
    """
    if path.exists() and not overwrite:
        raise SettingsInvalid((_exists(path),))
    plain = path.name.removesuffix(".gz")
    as_lines = plain.endswith((".jsonl", ".ndjson", ".json"))
    data = "".join(json_lines(rows) if as_lines else csv_lines(rows)).encode()
    half = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        half.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise SettingsInvalid((_unwritable(path, error),)) from None


def csv_lines(rows: Sequence[Row]) -> Iterator[str]:
    """The header, then a line for each row; what no row has gets no column."""
    names = _columns(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(_record(row))
        yield text.getvalue()
        text.seek(0)
        text.truncate()


def json_lines(rows: Sequence[Row]) -> Iterator[str]:
    """An object for each row; what was not seen is not in it."""
    for row in rows:
        record = _record(row)
        found = {k: v for k, v in record.items() if not k.startswith("le_")}
        bounds = {k[3:]: v for k, v in record.items() if k.startswith("le_")}
        yield json.dumps(found | ({"buckets": bounds} if bounds else {})) + "\n"


def _columns(rows: Sequence[Row]) -> list[str]:
    names = ["time", "region", "requests", "errors"]
    names += ["share"] if any(row.share_bp is not None for row in rows) else []
    names += ["stream"] if any(row.stream for row in rows) else []
    names += ["returning"] if any(row.returning for row in rows) else []
    bounds = sorted({us for row in rows if row.counts for us in row.counts.buckets})
    gauges = sorted({name for row in rows for name in row.gauges})
    return [*names, *map(_le, bounds), *(f"gauge_{name}" for name in gauges)]


def _record(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {"time": when(row.at_ms), "region": row.region}
    if row.counts is not None:
        found |= {"requests": row.counts.requests, "errors": row.counts.errors}
    if row.share_bp is not None:
        found["share"] = f"{Decimal(row.share_bp) / 100:f} %"
    found |= {"stream": row.stream} if row.stream else {}
    found |= {"returning": row.returning} if row.returning else {}
    for us, count in row.counts.buckets.items() if row.counts else ():
        found[_le(us)] = count
    for name, level in row.gauges.items():
        found[f"gauge_{name}"] = level / 1000
    return found


def when(at_ms: int) -> str:
    """RFC 3339 in UTC, to the millisecond where there is one."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    precise = "milliseconds" if at_ms % 1000 else "seconds"
    return moment.isoformat(timespec=precise).replace("+00:00", "Z")


def _le(us: int) -> str:
    return "le_+Inf" if us == BEYOND_US else f"le_{Decimal(us) / US:f}"


def _exists(path: Path) -> Reason:
    return Reason(
        "FILE-EXISTS",
        f"{path} exists already",
        because="a file that somebody wrote is not overwritten unasked",
        so="nothing was written",
        next="another name, or `--force`",
    )


def _unwritable(path: Path, error: OSError) -> Reason:
    return Reason(
        "FILE-UNWRITABLE",
        f"{path} cannot be written: {error.strerror}",
        because="the place does not allow it",
        so="nothing was written",
        next="another place",
    )
