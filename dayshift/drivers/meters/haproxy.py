"""Meter `haproxy`: counts of backends and servers by the runtime sockets of HAProxys.

Here: requests, errors, what is in flight and what waits, and which life of a process
counted it. Not here: latency, of which HAProxy keeps averages only, and averages are no
counts; sessions of a former process after a reload, which have no socket any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import msgspec
from pydantic import Field

from dayshift.drivers.base import Context, OptionsMap, StrictOptions
from dayshift.drivers.haproxy import BACKEND, FRONTEND, Runtime, number
from dayshift.drivers.meters.access_log import AccessLog
from dayshift.errors import DriverFault, Reason
from dayshift.model.evidence import MeterReading
from dayshift.model.units import Instant, elapsed_ms

LIFE = ("Pid", "Start_time_sec")
QUEUE, RETRIES, SLOTS = "queue", "retries", "slots"
THOUSANDTHS = 1_000


class RegionOptions(StrictOptions):
    """Where one region is measured.

    `socket` may list several HAProxys, whose counts are summed. `users` names what
    carries them: `backend`, or `backend/server` at an entry that has one server for
    each region; `ignored` the same for each class that is no user. `access_log` is a
    file of JSON lines with the keys `client` and `cluster` (the backend), from which
    the residue is told.
    """

    socket: str | tuple[str, ...]
    users: str = Field(pattern=r"^[^/\s]+(/[^/\s]+)?$")
    ignored: dict[str, str] = {}
    access_log: str | None = None

    def sockets(self) -> tuple[str, ...]:
        return (self.socket,) if isinstance(self.socket, str) else self.socket

    def classes(self) -> dict[str, str]:
        """Which class each carrier is; users have none."""
        return {self.users: ""} | {name: kind for kind, name in self.ignored.items()}


class Row(msgspec.Struct, frozen=True):
    """One carrier's counts at one HAProxy, or of several together."""

    requests: int
    errors: int
    sessions: int
    queued: int
    retried: int
    connections: int
    slots: int

    def __add__(self, other: Row) -> Row:
        return Row(
            self.requests + other.requests,
            self.errors + other.errors,
            self.sessions + other.sessions,
            self.queued + other.queued,
            self.retried + other.retried,
            self.connections + other.connections,
            self.slots + other.slots,
        )


NOTHING = Row(0, 0, 0, 0, 0, 0, 0)


class HaproxyMeter:
    """Cumulative counts of one service in each region."""

    class Options(StrictOptions):
        """Levels that a policy may bound: `queue` (requests that wait), `retries` (a
        second), `slots` (the part of the sessions' limit in use)."""

        regions: dict[str, RegionOptions] = Field(min_length=1)

        def gauge_names(self) -> tuple[str, ...]:
            return (QUEUE, RETRIES, SLOTS)

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._regions = self.Options.model_validate(options).regions
        self._clock = context.clock
        self._runtimes = {
            region: [Runtime(socket, context) for socket in one.sockets()]
            for region, one in self._regions.items()
        }
        self._logs = {
            region: AccessLog(context.base_dir / one.access_log, one.classes())
            for region, one in self._regions.items()
            if one.access_log
        }
        self._retried: dict[str, tuple[Instant, str, int]] = {}

    async def close(self) -> None:
        return None

    async def read(self, region: str) -> MeterReading:
        """Counts of `region` now, summed over its HAProxys.

        Raises:
            DriverRetry: a HAProxy does not answer; a part is never taken for the whole.
            DriverFault: it has no such backend or server.
        """
        options = self._regions.get(region)
        if options is None:
            raise self._unknown(region)
        answers = await asyncio.gather(
            *(self._one(one, options) for one in self._runtimes[region])
        )
        users = sum((rows[options.users] for _, rows in answers), NOTHING)
        ignored: Counter[str] = Counter(dict.fromkeys(options.ignored, 0))
        for kind, carrier in options.ignored.items():
            ignored[kind] += sum(rows[carrier].requests for _, rows in answers)
        at, series = self._clock.now(), " ".join(life for life, _ in answers)
        log = self._logs.get(region)
        return MeterReading(
            at=at,
            requests=users.requests,
            errors=users.errors,
            in_flight=users.sessions + users.queued,
            connections=users.connections,
            buckets={},
            ignored=dict(ignored),
            series=series,
            residue=log.since_last() if log else (),
            gauges=self._gauges(region, users, at, series),
        )

    async def _one(
        self, runtime: Runtime, options: RegionOptions
    ) -> tuple[str, dict[str, Row]]:
        """Which life of one HAProxy it is, then its counts.

        Why this order: a restart between the two gives small counts under the old name,
        which `since` takes for a restart; never large ones that look like traffic.
        """
        life = await self._life(runtime)
        table = await runtime.table("show stat")
        return life, {name: _row(table, name, runtime) for name in options.classes()}

    async def _life(self, runtime: Runtime) -> str:
        lines = (await runtime.ask("show info")).splitlines()
        facts = dict(line.split(": ", 1) for line in lines if ": " in line)
        if not all(one in facts for one in LIFE):
            raise runtime.fault("does not say which process it is", str(lines[:2]))
        return "-".join(facts[one].strip() for one in LIFE)

    def _gauges(
        self, region: str, users: Row, at: Instant, series: str
    ) -> dict[str, int]:
        gauges = {QUEUE: users.queued * THOUSANDTHS}
        if users.slots:
            gauges[SLOTS] = users.sessions * THOUSANDTHS // users.slots
        before = self._retried.get(region)
        self._retried[region] = (at, series, users.retried)
        if before is not None and before[1] == series:
            passed_ms = elapsed_ms(before[0], at)
            grown = users.retried - before[2]
            if passed_ms and grown >= 0:
                gauges[RETRIES] = grown * THOUSANDTHS * 1_000 // passed_ms
        return gauges

    def _unknown(self, region: str) -> DriverFault:
        return DriverFault(
            Reason(
                "REGION-UNKNOWN",
                f"meter {self.name} does not measure {region!r}",
                because=f"its regions are {', '.join(sorted(self._regions))}",
                next="add the region to the meter's options",
            )
        )


def _row(table: Sequence[dict[str, str]], carrier: str, runtime: Runtime) -> Row:
    """The counts of `backend`, or of `backend/server`."""
    backend, _, server = carrier.partition("/")
    mine = [one for one in table if one["pxname"] == backend]
    wanted = server or BACKEND
    found = next((one for one in mine if one["svname"] == wanted), None)
    if found is None:
        known = sorted({one["pxname"] for one in table if one["svname"] == BACKEND})
        raise runtime.fault(
            f"has no {carrier!r}", f"its statistics know: {', '.join(known)[:200]}"
        )
    members = [one for one in mine if one["svname"] not in (BACKEND, FRONTEND)]
    return _counts(found, [found] if server else members, bool(server))


def _counts(
    row: dict[str, str], servers: Sequence[dict[str, str]], is_server: bool
) -> Row:
    """A server's row leaves out what never got an answer; a backend's has the answer
    that HAProxy gave in its place."""
    http = row.get("mode") != "tcp"
    unanswered = number(row, "econ") + number(row, "eresp")
    requests, errors = number(row, "stot"), unanswered
    if http and is_server:
        requests = number(row, "req_tot") + unanswered
        errors = number(row, "hrsp_5xx") + unanswered
    elif http:
        requests, errors = number(row, "req_tot"), number(row, "hrsp_5xx")
    held = ("used_conn_cur", "idle_conn_cur")
    return Row(
        requests=requests,
        errors=min(errors, requests),
        sessions=number(row, "scur"),
        queued=number(row, "qcur"),
        retried=number(row, "wretr") + number(row, "wredis"),
        connections=sum(number(one, column) for one in servers for column in held),
        slots=number(row, "slim"),
    )
