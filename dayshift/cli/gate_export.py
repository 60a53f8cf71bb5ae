"""`dayshift gate export`: a recorded file from Prometheus, to be tried on the gate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from msgspec.structs import replace

from dayshift.cli import files, say
from dayshift.cli.everywhere import Cli
from dayshift.cli.gate_options import Region, moment_ms, progress, span_ms
from dayshift.drivers.base import HistoryMeter
from dayshift.errors import EXIT_DONE, Reason, SettingsInvalid
from dayshift.limits import FULL_BP
from dayshift.model.estate import DriverRef, Estate, MeterSpec
from dayshift.model.estate import Region as RegionSpec
from dayshift.model.estate import Service as ServiceSpec
from dayshift.model.evidence import Side
from dayshift.model.units import apportion
from dayshift.runtime import wiring
from dayshift.runtime.clock import RealClock
from dayshift.runtime.history import meters, moments, returning, shares
from dayshift.runtime.history.meters import Source
from dayshift.runtime.history.rows import Recording, Row
from dayshift.runtime.history.write import when, write_file
from dayshift.runtime.session import Workspace, context
from dayshift.surfaces import words

PROMETHEUS = "prometheus"
SHARE, SHARE_PARTS = "share", 1_000_000
QUERIES = "Own queries (default: the meters of dayshift.yaml)"
STEPS_SHOWN = 12
Tell = Callable[[str], None]

Out = Annotated[
    Path, typer.Option("-o", "--out", help="CSV, or JSON lines as .jsonl; also .gz.")
]
Since = Annotated[str, typer.Option(help="From when: 6h ago, or a moment.")]
Until = Annotated[str, typer.Option(help="Until when. Default: now.")]
Service = Annotated[str, typer.Option(help="Only this service.")]
Step = Annotated[str, typer.Option(help="A row every so often. Default: the scrapes.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
Url = Annotated[
    str,
    typer.Option("--url", "--prometheus", help="Ask this Prometheus instead."),
]
Requests = Annotated[
    str, typer.Option(help="PromQL with {region}.", rich_help_panel=QUERIES)
]
Errors = Annotated[
    str, typer.Option(help="PromQL with {region}.", rich_help_panel=QUERIES)
]
Buckets = Annotated[
    str, typer.Option(help="PromQL with {region}, by (le).", rich_help_panel=QUERIES)
]
Share = Annotated[
    str,
    typer.Option(
        help="PromQL: the returning region's share, 0 to 1. Default: reckoned from "
        "the requests.",
        rich_help_panel=QUERIES,
    ),
]
Regions = Annotated[
    str, typer.Option(help="fra,ber", rich_help_panel=QUERIES, metavar="NAMES")
]


class _Queries(NamedTuple):
    """Own queries, empty where none was given."""

    url: str
    requests: str
    errors: str
    buckets: str
    share: str
    regions: tuple[str, ...]
    step_ms: int


def export(
    cli: Cli,
    out: Out,
    since: Since = "6h",
    until: Until = "",
    region: Region = "",
    service: Service = "",
    url: Url = "",
    requests: Requests = "",
    errors: Errors = "",
    buckets: Buckets = "",
    share: Share = "",
    regions: Regions = "",
    step: Step = "",
    force: Force = False,
) -> int:
    """Write what Prometheus counted into a file for `dayshift gate replay`.

    Asks the `prometheus` meters of dayshift.yaml, or your own queries, which
    are cumulative: `--requests 'sum(http_requests_total{at="{region}"})'`.

    Example: `dayshift gate export --since 2026-11-03T09:00:00Z -o incident.csv`
    """
    now_ms = RealClock().now().wall_ms
    window = (
        moment_ms(since, now_ms, "--since"),
        moment_ms(until, now_ms, "--until") if until else now_ms,
    )
    if window[0] >= window[1]:
        raise typer.BadParameter("--since is not before --until")
    names = tuple(one.strip() for one in regions.split(",") if one.strip())
    step_ms = span_ms(step, "--step") if step else 0
    asked = _Queries(url, requests, errors, buckets, share, names, step_ms)
    with progress(cli.as_json) as tell:
        recording, told = asyncio.run(_read(cli, asked, service, window, tell))
        rows, region, steps = _with_share(recording, region, told)
        tell(f"writing {out}")
        write_file(cli.path(out), rows, force)
    _say(cli, out, recording, region, steps)
    return EXIT_DONE


async def _read(
    cli: Cli,
    asked: _Queries,
    service: str,
    window: tuple[int, int],
    tell: Tell,
) -> tuple[Recording, dict[int, int]]:
    """Rows of the window, and the share at each time if there is a query for it."""
    estate = _own(asked, service) if asked.requests else _configured(cli, asked)
    base = Path.cwd() if asked.requests else cli.base
    clock = RealClock()
    drivers = wiring.wire(estate, None, context(Workspace(base), estate, clock))
    try:
        sources = meters.with_past(estate, drivers, service)
        if not sources:
            raise SettingsInvalid((_no_meter(estate),))
        if asked.step_ms:
            sources = [replace(one, step_ms=asked.step_ms) for one in sources]
        found = await meters.past(sources, drivers, window, False, tell)
    finally:
        await drivers.close()
    if not asked.share:
        return found, {}
    tell("asking for the share")
    url = asked.url or str(sources[0].spec.ref.options.get("url", ""))
    return found, await _asked_share(asked, url, sources[0], window)


def _configured(cli: Cli, asked: _Queries) -> Estate:
    """The estate of this directory, its Prometheus perhaps another one."""
    if asked.errors or asked.buckets or asked.regions:
        raise typer.BadParameter("own queries begin with --requests, --errors, --url")
    estate = files.load_estate(cli)
    if not asked.url:
        return estate
    services = [
        replace(one, meters=tuple(_elsewhere(spec, asked.url) for spec in one.meters))
        for one in estate.services
    ]
    return replace(estate, services=tuple(services))


def _elsewhere(spec: MeterSpec, url: str) -> MeterSpec:
    if spec.ref.driver != PROMETHEUS:
        return spec
    options = {**spec.ref.options, "url": url}
    return replace(spec, ref=DriverRef(PROMETHEUS, options))


def _own(asked: _Queries, service: str) -> Estate:
    """An estate of one meter that asks the given queries."""
    missing = [
        option
        for option, value in (
            ("--errors", asked.errors),
            ("--regions", asked.regions),
            ("--url", asked.url),
        )
        if not value
    ]
    if missing:
        raise typer.BadParameter(f"--requests needs {' and '.join(missing)} beside it")
    queries = {"requests": asked.requests, "errors": asked.errors}
    queries |= {"buckets": asked.buckets} if asked.buckets else {}
    return _one_meter(asked, service or moments.STREAM_DEFAULT, queries)


def _one_meter(asked: _Queries, service: str, queries: dict[str, str]) -> Estate:
    # What a meter must also tell of the present has no past that anybody asks for.
    queries = {**queries, "in_flight": "vector(0)\n# {region}\n"}
    options: dict[str, Any] = {"url": asked.url, "queries": queries}
    for text in queries.values():
        if "{region}" not in text:
            raise typer.BadParameter(f"the query {text!r} has no {{region}}")
    ref = DriverRef(PROMETHEUS, options)
    every_ms = asked.step_ms or meters.STEP_MS_DEFAULT
    spec = MeterSpec("queries", Side.USERS, ref, asked.regions, every_ms=every_ms)
    shares = apportion(FULL_BP, dict.fromkeys(asked.regions, 1))
    named = tuple(RegionSpec(name) for name in asked.regions)
    one = ServiceSpec(service, shares, {}, (), (spec,), ())
    return Estate("export", named, (one,))


async def _asked_share(
    asked: _Queries, url: str, source: Source, window: tuple[int, int]
) -> dict[int, int]:
    """The share at each time, asked as if it were a counter."""
    text = f"({asked.share}\n# {{region}}\n) * {SHARE_PARTS}"
    queries = {"requests": text, "errors": "vector(0)\n# {region}\n"}
    regions = source.spec.regions
    given = asked._replace(url=url, regions=regions, step_ms=source.step_ms)
    estate = _one_meter(given, SHARE, queries)
    clock = RealClock()
    drivers = wiring.wire(estate, None, context(Workspace(Path.cwd()), estate, clock))
    try:
        meter = drivers.meters[SHARE, "queries"]
        assert isinstance(meter, HistoryMeter)
        first = window[0] // source.step_ms * source.step_ms
        found = await meter.history(regions[0], first, window[1], source.step_ms)
    finally:
        await drivers.close()
    parts = {one.at.wall_ms: one.requests for one in found}
    most = max(parts.values())
    if most > SHARE_PARTS:
        raise SettingsInvalid((_no_fraction(asked.share, most / SHARE_PARTS),))
    return {at: round(part * FULL_BP / SHARE_PARTS) for at, part in parts.items()}


def _with_share(
    recording: Recording, region: str, told: dict[int, int]
) -> tuple[list[Row], str, list[int]]:
    """Rows with their share and the returning region, and the steps of the share."""
    found = moments.moments(recording.rows)
    region = region or _returning(recording)
    returning.check_regions(recording, region)
    measured = shares.measured(found, region)
    rows = []
    steps = []
    for one, share in zip(found, measured, strict=True):
        at_share = told.get(one.at_ms, None if told else share)
        steps += [at_share] if at_share is not None else []
        for name in sorted(one.rows):
            row = one.rows[name]
            rows.append(replace(row, share_bp=at_share, returning=region))
    return rows, region, [share for share, _ in groupby(steps)]


def _returning(recording: Recording) -> str:
    """The one region whose share drops in this time.

    Raises:
        SettingsInvalid: none does, or several do.
    """
    found = moments.moments(recording.rows)
    regions = recording.regions()
    dropped = []
    for name in regions:
        seen = shares.measured(found, name)
        if seen and min(seen) < returning.DROPS_PART * max(seen):
            dropped.append((min(seen) / max(seen), name))
    low = sorted(dropped)[:2]
    if low and (len(low) == 1 or low[0][0] < returning.DROPS_PART * low[1][0]):
        return low[0][1]
    raise SettingsInvalid((_unsaid(regions),))


def _say(
    cli: Cli, out: Path, recording: Recording, region: str, steps: Sequence[int]
) -> None:
    rows = recording.rows
    shown = [words.short_share(one) for one in steps[:STEPS_SHOWN]]
    more = " → …" if len(steps) > STEPS_SHOWN else ""
    if cli.as_json:
        say.document(
            {
                "written": str(cli.path(out)),
                "rows": len(rows),
                "regions": recording.regions(),
                "returning": region,
                "shares_bp": steps,
                "notes": recording.notes,
            }
        )
        return
    say.out(
        f"wrote {out}: {len(rows):,} rows of {', '.join(recording.regions())}, "
        f"{when(rows[0].at_ms)} to {when(rows[-1].at_ms)}"
    )
    say.out(f"share of {region}: {' → '.join(shown)}{more}")
    for note in recording.notes:
        say.out(f"note: {note}")
    say.out(f"next: dayshift gate replay {out}")


def _no_meter(estate: Estate) -> Reason:
    return Reason(
        "NO-HISTORY",
        f"no meter of {estate.name} on the users' side remembers what it counted",
        because="only meters such as `prometheus` do",
        so="nothing was written",
        next="give your own queries: `--requests`, `--errors`, `--regions`, `--url`",
    )


def _no_fraction(query: str, most: float) -> Reason:
    return Reason(
        "SHARE-INVALID",
        f"the share query gave {most:g}, and all of the traffic is 1: {query}",
        because="a share is a fraction from 0 to 1",
        so="nothing was written",
        next="divide it by 100 if it is per cent",
    )


def _unsaid(regions: Sequence[str]) -> Reason:
    return Reason(
        "REGION-UNSAID",
        f"no single region's share drops in this time; there are {', '.join(regions)}",
        because="a recording is of one region's return",
        so="nothing was written",
        next="name it with `--region REGION`",
    )
