"""The users' view: what k6 and the shop's database counted, never what Dayshift says.

Three sources, none of them ours to bend: k6's rows (each request as its sender saw it),
the database (each order and each night of the job), and the access logs of the regions'
edges (when did a request enter which region). Integers only.
"""

from __future__ import annotations

import gzip
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import parse_qs

import msgspec

from dayshift.lab import estate, ledger, users
from dayshift.lab.ledger import JobCount

SLOW_US = 250_000
GAP_MS_MIN = 2_000
"""A region without a user request for this long was out of the traffic."""
# k6 is told to stop while its last second of rows is still in its buffer.
END_SLACK_MS = 2_000


class PassMarks(msgspec.Struct, frozen=True):
    """One region's pass, as instants (milliseconds since the epoch, 0: not reached).

    `zero_ms` is the decision, before its durable intent, that the share goes to zero.
    """

    region: str
    drain_ms: int = 0
    zero_ms: int = 0
    empty_ms: int = 0
    return_ms: int = 0
    done_ms: int = 0


class Marks(msgspec.Struct, frozen=True):
    """When the maintenance began and ended, and each pass in it."""

    start_ms: int
    end_ms: int
    passes: tuple[PassMarks, ...] = ()


class Latency(msgspec.Struct, frozen=True):
    """Of requests that are not downloads."""

    requests: int = 0
    p50_us: int = 0
    p99_us: int = 0


class Second(msgspec.Struct, frozen=True):
    """One second of one region; region `?` is nobody's answer."""

    at_ms: int
    region: str
    requests: int
    failures: int
    p50_us: int
    p99_us: int


class OrderCount(msgspec.Struct, frozen=True):
    """Orders sent, orders confirmed, and confirmed ones that are not there once."""

    sent: int = 0
    confirmed: int = 0
    missing: int = 0
    duplicate: int = 0


class Absence(msgspec.Struct, frozen=True):
    """When a region's edge saw its last new user request, and its first one again.

    `back_ms` is 0 while it did not return.
    """

    left_ms: int
    back_ms: int


class UsersView(msgspec.Struct, frozen=True):
    """Everything the users felt. `hurt` is wrong + resets + timeouts; slow is apart."""

    start_ms: int
    end_ms: int
    complete: bool
    requests: int
    hurt: int
    wrong: int
    resets: int
    timeouts: int
    unsent: int
    slow: int
    first_hurt_ms: int
    last_hurt_ms: int
    by_region: dict[str, int]
    by_version: dict[str, int]
    by_protocol: dict[str, int]
    before: Latency
    during: Latency
    after: Latency
    orders: OrderCount
    logins: int
    sessions_lost: int
    downloads: int
    downloads_broken: int
    job: JobCount
    absences: dict[str, Absence]
    redirect_ms: dict[str, int]
    series: tuple[Second, ...]


class Row(msgspec.Struct, frozen=True):
    """One request as k6 saw it; `at_ms` is when it ended."""

    at_ms: int
    took_us: int
    kind: str
    region: str
    version: str
    protocol: str
    code: str
    why: str


class Arrival(msgspec.Struct, frozen=True):
    """One line of an edge's access log; `start` is seconds with six decimals."""

    start: str
    cluster: str | None


class Rows(msgspec.Struct):
    """All that k6 wrote and we need."""

    requests: list[Row] = []
    confirmed: list[int] = []
    sent: int = 0
    unsent: int = 0


def users_view(directory: Path, marks: Marks) -> UsersView:
    """Count what the latest users felt, and write it as `users.json`.

    Args:
        directory: of the lab; its users must have been stopped.
        marks: when the maintenance was; the view itself does not depend on Dayshift.
    """
    spec = estate.load(directory)
    load = users.latest(spec)
    stopped = load.stopped_ms or ledger.now_ms()
    rows = read_rows(Path(load.dir) / users.ROWS)
    arrivals = {
        region.name: _arrivals(spec, region.name, load.started_ms, stopped)
        for region in spec.regions
    }
    base = spec.path("data", "shop.db")
    view = _view(rows, marks, load, stopped)
    view = msgspec.structs.replace(
        view,
        orders=_orders(rows, ledger.order_counts(base, load.prefix + "-"), load.prefix),
        job=ledger.job_count(base, load.started_ms, stopped),
        absences=_absences(arrivals, stopped),
        redirect_ms=_redirects(arrivals, marks),
    )
    spec.path("users.json").write_bytes(msgspec.json.encode(view))
    return view


def read_rows(path: Path) -> Rows:
    """Read k6's CSV; every request it sent is there, one row each."""
    rows = Rows()
    with gzip.open(path, "rb") as lines:
        columns = next(lines).decode().strip().split(",")
        tags_at = columns.index("extra_tags")
        for line in lines:
            if line.startswith(b"user_ms,"):
                rows.requests.append(_row(line.decode().split(","), tags_at))
            elif line.startswith(b"order_n,"):
                fields = line.decode().split(",")
                rows.sent += 1
                if "ok=1" in fields[tags_at]:
                    rows.confirmed.append(int(float(fields[2])))
            elif line.startswith(b"dropped_iterations,"):
                rows.unsent += int(float(line.decode().split(",")[2]))
    rows.requests.sort(key=lambda row: row.at_ms)
    return rows


def _row(fields: list[str], tags_at: int) -> Row:
    tags = {key: value[0] for key, value in parse_qs(fields[tags_at]).items()}
    return Row(
        at_ms=int(fields[1]) // 1000,
        took_us=round(float(fields[2]) * 1000),
        kind=tags["kind"],
        region=tags.get("region", "?"),
        version=tags.get("version", "?"),
        protocol=tags.get("proto", "?"),
        code=tags.get("code", "0"),
        why=tags.get("why", ""),
    )


def _view(rows: Rows, marks: Marks, load: users.Load, stopped: int) -> UsersView:
    every = rows.requests
    bad = [row for row in every if row.why]
    why = Counter(row.why for row in bad)
    short = [row for row in every if row.kind != "download"]
    end = every[-1].at_ms if every else load.started_ms
    loads = [row for row in every if row.kind == "download"]
    return UsersView(
        start_ms=every[0].at_ms if every else load.started_ms,
        end_ms=end,
        complete=end >= stopped - END_SLACK_MS,
        requests=len(every),
        hurt=len(bad),
        wrong=why["wrong"],
        resets=why["reset"],
        timeouts=why["timeout"],
        unsent=rows.unsent,
        slow=sum(1 for row in short if not row.why and row.took_us > SLOW_US),
        first_hurt_ms=bad[0].at_ms if bad else 0,
        last_hurt_ms=bad[-1].at_ms if bad else 0,
        by_region=_tally(row.region for row in every),
        by_version=_tally(row.version for row in every),
        by_protocol=_tally(row.protocol for row in every),
        before=latency(row for row in short if row.at_ms < marks.start_ms),
        during=latency(
            row for row in short if marks.start_ms <= row.at_ms <= marks.end_ms
        ),
        after=latency(row for row in short if row.at_ms > marks.end_ms),
        orders=OrderCount(),
        logins=sum(1 for row in every if row.kind == "login"),
        sessions_lost=sum(1 for row in every if row.code == "401"),
        downloads=len(loads),
        downloads_broken=sum(1 for row in loads if row.why),
        job=JobCount(),
        absences={},
        redirect_ms={},
        series=_series(every),
    )


def _tally(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def latency(rows: Iterable[Row]) -> Latency:
    took = sorted(row.took_us for row in rows)
    if not took:
        return Latency()
    return Latency(len(took), _quantile(took, 50), _quantile(took, 99))


def _quantile(ordered: list[int], percent: int) -> int:
    """The smallest value that `percent` of all values do not exceed."""
    return ordered[-(-len(ordered) * percent // 100) - 1]


def _series(rows: Iterable[Row]) -> tuple[Second, ...]:
    cells: defaultdict[tuple[int, str], list[Row]] = defaultdict(list)
    for row in rows:
        cells[row.at_ms // 1000 * 1000, row.region].append(row)
    return tuple(_second(*key, cell) for key, cell in sorted(cells.items()))


def _second(at_ms: int, region: str, cell: list[Row]) -> Second:
    times = latency(row for row in cell if row.kind != "download")
    bad = sum(1 for row in cell if row.why)
    return Second(at_ms, region, len(cell), bad, times.p50_us, times.p99_us)


def _orders(rows: Rows, present: Mapping[str, int], prefix: str) -> OrderCount:
    missing = sum(1 for number in rows.confirmed if f"{prefix}-{number}" not in present)
    return OrderCount(
        sent=rows.sent,
        confirmed=len(rows.confirmed),
        missing=missing,
        duplicate=sum(1 for count in present.values() if count > 1),
    )


def _arrivals(spec: estate.LabSpec, region: str, from_ms: int, to_ms: int) -> list[int]:
    """Start of every user request at the region's edge, in microseconds, in order."""
    starts: list[int] = []
    decoder = msgspec.json.Decoder(Arrival)
    with spec.path("run", region, "access.log").open("rb") as lines:
        for line in lines:
            # The last line may be half written.
            if line.endswith(b"\n"):
                arrival = decoder.decode(line)
                if arrival.cluster == "app":
                    starts.append(int(arrival.start.replace(".", "")))
    return sorted(at for at in starts if from_ms * 1000 <= at <= to_ms * 1000)


def _absences(arrivals: Mapping[str, list[int]], end_ms: int) -> dict[str, Absence]:
    """The longest time that each region was without users, if it was at all."""
    found = {}
    for region, starts in arrivals.items():
        gaps = [
            (after - before, before, after)
            for before, after in itertools.pairwise(starts)
        ]
        if starts:
            gaps.append((end_ms * 1000 - starts[-1], starts[-1], 0))
        longest = max(gaps, default=(0, 0, 0))
        if longest[0] >= GAP_MS_MIN * 1000:
            found[region] = Absence(longest[1] // 1000, longest[2] // 1000)
    return found


def _redirects(arrivals: Mapping[str, list[int]], marks: Marks) -> dict[str, int]:
    """From the decision to the last new request in the region, for each pass."""
    found = {}
    for one in marks.passes:
        if not one.zero_ms:
            continue
        until = one.return_ms or marks.end_ms
        late = [
            at
            for at in arrivals.get(one.region, [])
            if one.zero_ms * 1000 <= at < until * 1000
        ]
        found[one.region] = -(-(late[-1] - one.zero_ms * 1000) // 1000) if late else 0
    return found
