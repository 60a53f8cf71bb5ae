"""The meters of an estate as a source of rows: what they remember, or a while of now.

Driver-agnostic: a meter that is a `HistoryMeter` has a past, any meter has a present.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import msgspec

from dayshift.core.deciding import deciding, stream_of
from dayshift.drivers.base import HistoryMeter, Meter
from dayshift.errors import Driver, Reason, Refused
from dayshift.model.estate import Estate, MeterSpec, Service
from dayshift.model.evidence import Counts, MeterReading, Side
from dayshift.model.units import Clock
from dayshift.runtime.history.order import since
from dayshift.runtime.history.rows import Recording, Row
from dayshift.runtime.wiring import Drivers

STEP_MS_DEFAULT = 15_000
"""How often most Prometheus servers scrape."""
LIVE_MS_DEFAULT = 1_000
STILL_REQUESTS = 20
"""A source that usually counts so many in a step, and then none, stood still."""
Told = Callable[[str], None]


class Source(msgspec.Struct, frozen=True):
    """One meter that is listened to for one stream."""

    stream: str
    service: str
    spec: MeterSpec
    step_ms: int


def with_past(estate: Estate, drivers: Drivers, service: str = "") -> list[Source]:
    """For each stream, the deciding meter if it remembers, else the first one of the
    stream that does."""
    found: dict[str, Source] = {}
    for one in _services(estate, service):
        first = list(deciding(one).values())
        rest = [spec for spec in one.meters if spec.side is Side.USERS and spec.gate]
        for spec in [*first, *rest]:
            stream = stream_of(one.name, spec)
            if isinstance(drivers.meters[one.name, spec.name], HistoryMeter):
                step_ms = spec.every_ms or STEP_MS_DEFAULT
                found.setdefault(stream, Source(stream, one.name, spec, step_ms))
    return list(found.values())


def present(estate: Estate, service: str = "") -> list[Source]:
    """The deciding meter of each stream."""
    return [
        Source(stream, one.name, spec, spec.every_ms or LIVE_MS_DEFAULT)
        for one in _services(estate, service)
        for stream, spec in deciding(one).items()
    ]


def _services(estate: Estate, name: str) -> list[Service]:
    found = [one for one in estate.moving() if not name or one.name == name]
    if found:
        return found
    there = ", ".join(one.name for one in estate.moving()) or "none"
    raise Refused(
        Reason(
            "UNKNOWN-SERVICE",
            f"no service {name} is moved by a pass; these are: {there}",
            because=f"estate {estate.name}",
            so="nothing was read",
            next="name one of them, or none for all",
        )
    )


async def past(
    sources: Sequence[Source],
    drivers: Drivers,
    window_ms: tuple[int, int],
    still_is_blind: bool,
    told: Told = lambda text: None,
) -> Recording:
    """What the sources remember of a window.

    Args:
        still_is_blind: a busy region that counts nothing for a while was not scraped
            then. Not so in an incident, where it may have had no traffic.

    Raises:
        DriverRetry: a source has nothing of a region.
    """
    rows: list[Row] = []
    notes: list[str] = []
    for source in sources:
        meter = drivers.meters[source.service, source.spec.name]
        assert isinstance(meter, HistoryMeter)
        step = source.step_ms
        first = window_ms[0] // step * step
        for region in source.spec.regions:
            told(f"{source.stream} in {region}: asking meter {source.spec.name}")
            readings = await meter.history(region, first, window_ms[1], step)
            found = _new(readings)
            found = _moving(found) if still_is_blind else found
            mine = list(_rows(found, region, source))
            rows += mine
            blind = sum(row.counts is None for row in mine)
            if blind:
                gaps = f"{blind} gaps or restarts, blind there"
                notes.append(f"{source.stream} in {region}: {gaps}")
    names = ", ".join(f"meter {one.spec.name}" for one in sources)
    rows.sort(key=lambda row: (row.at_ms, row.stream, row.region))
    return Recording(names, tuple(rows), tuple(notes))


async def live(
    sources: Sequence[Source],
    drivers: Drivers,
    clock: Clock,
    lasting_ms: int,
    told: Callable[[int], None] = lambda left_ms: None,
) -> Recording:
    """What the meters count from now on, for so long.

    Raises:
        Driver: no read ever succeeded; the last failure.
    """
    readings: dict[tuple[str, str], list[MeterReading]] = {}
    failures: list[Driver] = []
    due = dict.fromkeys([one.stream for one in sources], clock.now().mono_ms)
    end = clock.now().mono_ms + lasting_ms
    tick = min(one.step_ms for one in sources)
    while (now := clock.now().mono_ms) <= end:
        told(end - now)
        for source in sources:
            if now < due[source.stream]:
                continue
            due[source.stream] += source.step_ms
            meter: Meter = drivers.meters[source.service, source.spec.name]
            for region in source.spec.regions:
                try:
                    reading = await meter.read(region)
                except Driver as error:
                    failures.append(error)
                else:
                    readings.setdefault((source.stream, region), []).append(reading)
        await clock.sleep(max(1, min(tick, end - clock.now().mono_ms)))
    rows = [
        row
        for source in sources
        for region in source.spec.regions
        for row in _rows(readings.get((source.stream, region), []), region, source)
    ]
    rows.sort(key=lambda row: (row.at_ms, row.stream, row.region))
    if failures and not rows:
        raise failures[-1]
    notes = (f"{len(failures)} reads failed: blind there",) if failures else ()
    names = ", ".join(f"meter {one.spec.name}" for one in sources)
    return Recording(names, tuple(rows), notes)


def _new(readings: Sequence[MeterReading]) -> list[MeterReading]:
    """Without those that show the very sample of the one before."""
    again = {
        two.at.wall_ms
        for one, two in pairwise(readings)
        if two.tick and two.tick == one.tick
    }
    return [one for one in readings if one.at.wall_ms not in again]


def _moving(readings: Sequence[MeterReading]) -> list[MeterReading]:
    """Without those in which a busy source stood still."""
    if len(readings) < 2:
        return list(readings)
    steps = [(one, two) for one, two in pairwise(readings)]
    grown = [two.requests - one.requests for one, two in steps]
    usual = sum(one for one in grown if one > 0) / len(steps)
    if usual < STILL_REQUESTS:
        return list(readings)
    return [readings[0], *(two for one, two in steps if two.requests != one.requests)]


def _rows(
    readings: Sequence[MeterReading], region: str, source: Source
) -> Iterator[Row]:
    """What each reading added; blind after a gap and after a restart."""
    for before, after in pairwise(readings):
        far = after.at.wall_ms - before.at.wall_ms > source.step_ms * 3 // 2
        counts = None
        if not far and before.series == after.series:
            counts = since(_counts(before), _counts(after))
        yield Row(
            after.at.wall_ms,
            region,
            source.stream,
            counts,
            gauges=after.gauges,
        )


def _counts(reading: MeterReading) -> Counts:
    return Counts(reading.requests, reading.errors, reading.buckets)
