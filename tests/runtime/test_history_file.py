"""Recorded files: read strictly and whole, whatever their order, form and faults."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dayshift.errors import SettingsInvalid
from dayshift.model.evidence import BEYOND_US, Counts
from dayshift.runtime.history.file import read_file
from dayshift.runtime.history.moments import looks, moments
from dayshift.runtime.history.rows import Recording, Row
from dayshift.runtime.history.write import write_file

HEAD = "time,region,requests,errors,share\n"


def read(
    tmp_path: Path, text: str | bytes, cumulative: bool = False, strict: bool = False
) -> Recording:
    path = tmp_path / "rows"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_file(path, cumulative, strict)


def refused(tmp_path: Path, text: str | bytes, **how: bool) -> list[str]:
    """What every reason says, each with a way out."""
    with pytest.raises(SettingsInvalid) as caught:
        read(tmp_path, text, **how)
    assert all(one.next and one.because and one.so for one in caught.value.reasons)
    return [f"{one.code} {one.what}" for one in caught.value.reasons]


def test_csv_json_and_gzip_say_the_same(tmp_path: Path) -> None:
    lines = "15,fra,100,1,5 %,90,100\n15,ber,900,2,5 %,800,900\n"
    text = "time,region,requests,errors,share,le_0.25,le_+Inf\n" + lines
    records = [
        {"time": 15, "region": "fra", "requests": 100, "errors": 1, "share": 0.05,
         "buckets": {"0.25": 90, "+Inf": 100}},
        {"time": "1970-01-01T00:00:15Z", "region": "ber", "requests": "900",
         "errors": 2, "share": "500bp", "le_0.25": 800, "le_+Inf": 900},
    ]  # fmt: skip
    as_json = "\n\n".join(map(json.dumps, records))
    found = [
        read(tmp_path, one).rows
        for one in (
            text,
            as_json,
            gzip.compress(text.encode()),
            "\ufeff" + text,
            text.replace("\n", "\r\n"),
        )
    ]
    bare = [[(r.at_ms, r.region, r.counts, r.share_bp) for r in rows] for rows in found]
    assert all(one == bare[0] for one in bare)
    assert found[0][1].counts == Counts(100, 1, {250_000: 90, BEYOND_US: 100})


def test_empty_cells_are_blind_and_said(tmp_path: Path) -> None:
    found = read(tmp_path, HEAD + "15,fra,,,5 %\n15,ber,0,0,5 %\n30,fra,7,,5 %\n")
    assert [row.counts for row in found.rows] == [Counts(0, 0), None, None]
    assert "2 rows have no counts" in found.notes[0]


def test_without_a_last_bucket_every_request_was_timed(tmp_path: Path) -> None:
    text = "time,region,requests,errors,le_0.1,le_0.5\n15,fra,100,0,60,\n"
    counts = read(tmp_path, text).rows[0].counts
    assert counts and counts.buckets == {100_000: 60, BEYOND_US: 100}


def test_gauges_streams_and_the_entry(tmp_path: Path) -> None:
    text = (
        "time,region,requests,errors,stream,gauge_lag,returning\n"
        "15,*,10,0,web/mobile,,\n15,fra,5,0,web/mobile,1.5,fra\n"
    )
    entry, fra = read(tmp_path, text).rows
    assert (entry.region, entry.stream, entry.gauges) == ("*", "web/mobile", {})
    assert (fra.gauges, fra.returning) == ({"lag": 1500}, "fra")


FAULTS = {
    "unknown column": (HEAD[:-1] + ",reqests\n15,fra,1,0,1,1\n", ":1:", "COLUMN-UN"),
    "missing column": ("time,region,requests\n15,fra,1\n", ":1:", "`errors`"),
    "column twice": (HEAD[:-1] + ",time\n1,fra,1,0,1,1\n", ":1:", "twice"),
    "semicolons": ("time;region;requests;errors\n1;fra;1;0\n", ":1:", "commas"),
    "torn row": (HEAD + "15,fra,1,0,1\n30,fra\n", ":3:", "2 cells"),
    "bad count": (HEAD + "15,fra,1.5,0,1\n", ":2:", "not whole"),
    "bad share": (HEAD + "15,fra,1,0,50\n", ":2:", "more than all"),
    "bad region": (HEAD + "15,Fra!,1,0,1\n", ":2:", "no name"),
    "no region": (HEAD + "15,,1,0,1\n", ":2:", "region: is empty"),
    "errors above": (HEAD + "15,fra,1,2,1\n", ":2:", "2 errors of 1 requests"),
    "falling buckets": (
        "time,region,requests,errors,le_0.1,le_0.5\n15,fra,9,0,9,8\n",
        ":2:",
        "fewer requests",
    ),
    "contradiction": (
        HEAD + "15,fra,1,0,1\n15,ber,1,0,1\n15,fra,2,0,1\n",
        ":4:",
        "line 2",
    ),
    "no rows": (HEAD, ":1:", "no rows"),
    "nothing": ("", ":1:", "no rows"),
    "open quote": (HEAD + '15,"fra,1,0,1\n', ":2:", "no CSV"),
    "JSON list": ('{"time": 1, "region": "fra"}\n[1]\n', ":2:", "no object"),
    "JSON torn": ('{"time": 1,\n', ":1:", "no JSON object"),
    "JSON key": ('{"time": 1, "region": "fra", "rps": 3}\n', ":1:", "`rps`"),
    "JSON twice": ('{"time": 1, "time": 2}\n', ":1:", "twice"),
    "JSON NaN": ('{"time": 1, "region": "fra", "requests": NaN}\n', ":1:", "NaN"),
    "JSON deep": ('{"a":' * 9_000 + "\n", ":1:", "no JSON"),
    "binary": (HEAD.encode() + b"1,fra\xff\n", ":2:", "UTF-8"),
    "endless line": ("time" + "x" * 200_000, ":1:", "characters"),
    "torn gzip": (
        gzip.compress((HEAD + "1,fra,1,0,1\n").encode())[:-9],
        "rows",
        "cannot be read",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_names_its_line_and_the_way_out(tmp_path: Path, fault: str) -> None:
    text, place, words = FAULTS[fault]
    said = refused(tmp_path, text)
    assert place in said[0] and words in said[0]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    said = refused(tmp_path, HEAD + "soon,fra,1,0,1\n15,fra,x,0,7\n")
    assert len(said) == 3


def test_what_is_said_twice_is_dropped_once_it_agrees(tmp_path: Path) -> None:
    row = "15,fra,10,1,1\n"
    found = read(tmp_path, HEAD + row + "15,ber,9,0,1\n" + row)
    assert len(found.rows) == 2
    assert "1 row given twice" in found.notes[0]


LATE = HEAD + "15,fra,1,0,1\n15,ber,1,0,1\n45,fra,3,0,1\n45,ber,3,0,1\n30,fra,2,0,1\n"


def test_late_rows_are_sorted_in_or_refused(tmp_path: Path) -> None:
    found = read(tmp_path, LATE)
    assert [row.at_ms for row in found.rows if row.region == "fra"] == [
        15_000, 30_000, 45_000,
    ]  # fmt: skip
    assert "1 late row was sorted in" in found.notes
    said = refused(tmp_path, LATE, strict=True)
    assert len(said) == 1 and ":6:" in said[0] and "ROW-LATE" in said[0]


def test_regions_one_after_the_other_are_not_late(tmp_path: Path) -> None:
    text = HEAD + "15,fra,1,0,1\n30,fra,1,0,1\n15,ber,1,0,1\n30,ber,1,0,1\n"
    assert not read(tmp_path, text, strict=True).notes


def test_running_counters_reset_and_overflow_are_blind(tmp_path: Path) -> None:
    text = HEAD + (
        "15,fra,100,1,1\n30,fra,150,2,1\n45,fra,20,0,1\n60,fra,50,3,1\n"
        "75,fra,,,1\n90,fra,70,3,1\n"
    )
    found = read(tmp_path, text, cumulative=True)
    assert [row.counts and row.counts.requests for row in found.rows] == [
        None, 50, None, 30, None, 20,
    ]  # fmt: skip
    assert "1 counter was reset" in found.notes[0]


def test_a_counter_read_a_moment_later_never_makes_more_errors(tmp_path: Path) -> None:
    found = read(tmp_path, HEAD + "15,fra,10,0,1\n30,fra,11,2,1\n", cumulative=True)
    assert found.rows[1].counts == Counts(1, 1)


counted = st.integers(0, 500)


@st.composite
def recordings(draw: st.DrawFn) -> list[Row]:
    """Rows at 15 s of two regions, some of them blind, a few gone."""
    rows = []
    for step in range(draw(st.integers(1, 8))):
        for region in ("ber", "fra"):
            kind = draw(st.sampled_from(["seen", "seen", "seen", "blind", "gone"]))
            if kind == "gone":
                continue
            requests = draw(counted)
            below = draw(st.integers(0, requests))
            buckets = {250_000: below, BEYOND_US: requests}
            counts = Counts(requests, draw(st.integers(0, requests)), buckets)
            rows.append(
                Row(
                    15_000 * (step + 1),
                    region,
                    "web",
                    counts if kind == "seen" else None,
                    draw(st.sampled_from([100, 500, 5000])),
                    {"lag": draw(st.integers(-5, 5))},
                )
            )
    return rows or [Row(15_000, "fra", "web", Counts(1, 0))]


def bare(rows: tuple[Row, ...]) -> list[Row]:
    from msgspec.structs import replace

    return [replace(row, line=0) for row in rows]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recordings(), st.sampled_from(["a.csv", "a.jsonl", "a.csv.gz", "a.jsonl.gz"]))
def test_what_is_written_is_what_is_read(
    tmp_path: Path, rows: list[Row], name: str
) -> None:
    path = tmp_path / name
    write_file(path, rows, overwrite=True)
    assert bare(read_file(path).rows) == rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recordings(), st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(
    tmp_path: Path, rows: list[Row], rng: random.Random
) -> None:
    path = tmp_path / "a.csv"
    mixed = list(rows)
    rng.shuffle(mixed)
    write_file(path, mixed, overwrite=True)
    assert bare(read_file(path).rows) == rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recordings())
def test_running_counters_say_what_their_increments_say(
    tmp_path: Path, rows: list[Row]
) -> None:
    from msgspec.structs import replace

    total: dict[str, Counts] = {}
    running = []
    for row in rows:
        if row.counts is None:
            running.append(row)
            continue
        before = total.get(row.region, Counts(0, 0, {250_000: 0, BEYOND_US: 0}))
        now = Counts(
            before.requests + row.counts.requests,
            before.errors + row.counts.errors,
            {le: before.buckets[le] + n for le, n in row.counts.buckets.items()},
        )
        total[row.region] = now
        running.append(replace(row, counts=now))
    path = tmp_path / "a.csv"
    write_file(path, running, overwrite=True)
    found = bare(read_file(path, is_cumulative=True).rows)
    first = {
        region: next((r.at_ms for r in rows if r.region == region and r.counts), 0)
        for region in ("ber", "fra")
    }
    for row, wanted in zip(found, rows, strict=True):
        if row.at_ms == first[row.region]:
            assert row.counts is None
        elif wanted.counts is not None:
            assert row.counts is not None
            assert row.counts.requests == wanted.counts.requests
            assert row.counts.errors == wanted.counts.errors


def test_regions_apart_by_less_than_half_an_interval_are_one_look(
    tmp_path: Path,
) -> None:
    text = HEAD + "".join(
        f"{at},fra,10,0,0.5\n{at + 7},ber,20,0,0.5\n" for at in range(15, 76, 15)
    )
    found = moments(read(tmp_path, text).rows)
    assert len(found) == 5
    assert all(set(one.rows) == {"fra", "ber"} for one in found)
    assert [one.span_ms for one in found] == [15_000] * 5


def test_a_region_that_is_missing_is_blind_and_a_gap_is_blind_for_all(
    tmp_path: Path,
) -> None:
    text = HEAD + (
        "15,fra,10,0,0.5\n15,ber,10,0,0.5\n30,ber,10,0,0.5\n45,fra,10,0,0.5\n"
        "45,ber,10,0,0.5\n60,fra,10,0,0.5\n60,ber,10,0,0.5\n"
        "105,fra,10,0,0.5\n105,ber,10,0,0.5\n"
    )
    found = moments(read(tmp_path, text).rows)
    given_ = looks(found, "fra", ("ber", "fra"), [5000] * len(found))
    assert [one.at_ms for one in given_] == [
        15_000, 30_000, 45_000, 60_000, 75_000, 90_000, 105_000,
    ]  # fmt: skip
    assert given_[1].regions["fra"] is None and given_[1].regions["ber"]
    assert given_[4].regions == given_[5].regions == {"ber": None, "fra": None}


def test_the_examples_of_the_documentation_are_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "gate-file.md").read_text()
    blocks = [block for block in page.split("\n\n") if block.startswith("    ")]
    as_csv = next(one for one in blocks if one.startswith("    time,"))
    as_json = next(one for one in blocks if one.startswith("    {"))
    rows = read(tmp_path, as_csv.replace("    ", "")).rows
    again = read(tmp_path, " ".join(as_json.split())).rows
    fra = next(row for row in rows if row.region == "fra")
    assert fra.counts == again[0].counts and fra.at_ms == again[0].at_ms
    assert fra.share_bp == again[0].share_bp == 5_000
    native = next(word for word in page.split("`") if word.startswith('{"schema"'))
    line = json.dumps({"time": 1, "region": "fra", "requests": 45, "errors": 0,
                       "native": json.loads(native)})  # fmt: skip
    counts = read(tmp_path, line).rows[0].counts
    assert counts and counts.buckets[BEYOND_US] == 45
