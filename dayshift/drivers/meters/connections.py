"""Meters `ss` and `conntrack`: who is connected to a region's edge, and since when.

Both count connections, not requests: one is counted when it is first seen here, and
again whenever its client has said something between two looks. What came and went
between them is not seen, so this meter says who stays, never how many came. Here:
classes of clients and ages. Not here: the listing (`flows`).
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable
from typing import ClassVar

import msgspec
from pydantic import Field, field_validator

from dayshift.drivers.base import Context, OptionsMap, StrictOptions
from dayshift.drivers.meters import flows
from dayshift.drivers.meters.flows import Flow
from dayshift.drivers.process import Argv
from dayshift.errors import DriverFault, Reason
from dayshift.model.evidence import MeterReading, Residue
from dayshift.model.units import Instant, elapsed_ms

CLIENTS_MAX = 100
USER = "user"
AGES_MS = ((60_000, "under 1 min"), (600_000, "under 10 min"))
OLDER = "older"
Key = tuple[str, int, str]


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


class RegionOptions(StrictOptions):
    """The ways into one region: `address:port` each, `*:port` for any address.

    `classes` names clients that are no users, each by its networks: health checks,
    scrapes, and the survivors, whose connections into the region are residue as well.
    """

    ways: tuple[str, ...] = Field(min_length=1)
    classes: dict[str, tuple[str, ...]] = {}

    @field_validator("ways")
    @classmethod
    def _each_way(cls, ways: tuple[str, ...]) -> tuple[str, ...]:
        for one in ways:
            address, port = flows.split_end(one)
            if not port:
                raise ValueError(f"{one!r} names no port, such as `10.0.0.1:443`")
            if address != "*":
                ipaddress.ip_address(address)
        return ways

    @field_validator("classes")
    @classmethod
    def _each_network(
        cls, classes: dict[str, tuple[str, ...]]
    ) -> dict[str, tuple[str, ...]]:
        if any(not networks for networks in classes.values()):
            raise ValueError("a class without networks would be everybody or nobody")
        return {kind: tuple(map(_network, nets)) for kind, nets in classes.items()}


class Known(msgspec.Struct):
    """One connection as it was seen before."""

    since: Instant
    moved: int


class ConnectionsMeter:
    """Connections into the regions whose edge is this machine."""

    argv: ClassVar[tuple[str, ...]]

    class Options(StrictOptions):
        """`command` replaces the listing command, where it must be run in a namespace
        or by a helper; it prints the same."""

        regions: dict[str, RegionOptions] = Field(min_length=1)
        command: Argv | None = None

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        self._context = context
        self._clock = context.clock
        self._begun = context.clock.now()
        self._networks = {
            region: [
                (ipaddress.ip_network(net), kind)
                for kind, nets in one.classes.items()
                for net in nets
            ]
            for region, one in self._options.regions.items()
        }
        self._known: dict[str, dict[Key, Known]] = {}
        self._counts: dict[str, Counter[str]] = {}

    async def close(self) -> None:
        return None

    async def read(self, region: str) -> MeterReading:
        """Who is connected now, and how many were first seen since this meter began.

        Raises:
            DriverRetry: the kernel was not asked; nobody seen is not nobody there.
            DriverFault: the region has no way in here.
        """
        options = self._options.regions.get(region)
        if options is None:
            raise self._unknown(region)
        lines = await flows.listed(self._options.command or self.argv, self._context)
        now = self._clock.now()
        here = [one for one in self.flows(lines) if _comes_by(one, options.ways)]
        kinds = {one.key: self._kind(region, one.client) for one in here}
        fresh = self._remember(region, here, now)
        counts = self._counts.setdefault(
            region, Counter(dict.fromkeys([USER, *options.classes], 0))
        )
        counts.update(kinds[one.key] for one in fresh)
        users = [one for one in here if kinds[one.key] == USER]
        return MeterReading(
            at=now,
            requests=counts[USER],
            errors=0,
            in_flight=len(users),
            connections=len(users),
            buckets={},
            ignored={kind: n for kind, n in counts.items() if kind != USER},
            series=f"{self._begun.boot_id}-{self._begun.mono_ms}",
            residue=self._residue(region, here, kinds, now),
        )

    def flows(self, lines: list[str]) -> Iterable[Flow]:
        """What the listing means."""
        raise NotImplementedError

    def _remember(self, region: str, here: list[Flow], now: Instant) -> list[Flow]:
        """Those that are new, or that spoke again; who is gone is forgotten."""
        before = self._known.get(region, {})
        after: dict[Key, Known] = {}
        fresh = []
        for one in here:
            known = before.get(one.key)
            if known is None or one.moved != known.moved:
                fresh.append(one)
            after[one.key] = Known(known.since if known else now, one.moved)
        self._known[region] = after
        return fresh

    def _residue(
        self, region: str, here: list[Flow], kinds: dict[Key, str], now: Instant
    ) -> tuple[Residue, ...]:
        known = self._known[region]
        seen: Counter[tuple[str, str]] = Counter()
        for one in here:
            age = age_class(elapsed_ms(known[one.key].since, now))
            seen[one.client, f"{kinds[one.key]}, {age}, by {one.way}"] += 1
        return tuple(
            Residue(client, kind, count)
            for (client, kind), count in seen.most_common(CLIENTS_MAX)
        )

    def _kind(self, region: str, client: str) -> str:
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return USER
        found = (kind for net, kind in self._networks[region] if address in net)
        return next(found, USER)

    def _unknown(self, region: str) -> DriverFault:
        return DriverFault(
            Reason(
                "REGION-UNKNOWN",
                f"meter {self.name} does not see {region!r}",
                because=f"its regions are {', '.join(sorted(self._options.regions))}",
                next="add the region to the meter's options",
            )
        )


class SsMeter(ConnectionsMeter):
    """Connections that end at sockets of this machine."""

    argv = flows.SS

    def flows(self, lines: list[str]) -> Iterable[Flow]:
        return flows.of_ss(lines)


class ConntrackMeter(ConnectionsMeter):
    """Connections that pass through this machine, where the kernel tracks them."""

    argv = flows.CONNTRACK

    def flows(self, lines: list[str]) -> Iterable[Flow]:
        return flows.of_conntrack(lines)


def age_class(age_ms: int) -> str:
    """For how long it has been here, as far as this meter has looked."""
    return next((name for below, name in AGES_MS if age_ms < below), OLDER)


def _comes_by(flow: Flow, ways: tuple[str, ...]) -> bool:
    address, port = flows.split_end(flow.way)
    for one in ways:
        wanted, on = flows.split_end(one)
        if on == port and wanted in ("*", address):
            return True
    return False
