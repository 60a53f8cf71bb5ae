"""What the dials send each region, as they were read, and since when.

So that a counter that stands still can be told from a region without users. Memory of
the process, like the watch that keeps it. Here no word on what the meters say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from dayshift.core import steering
from dayshift.model.dial import DialReading, Setting
from dayshift.model.estate import Estate, Service
from dayshift.model.units import Instant, elapsed_ms

MISSED_MIN = 20
"""So many requests should have been counted before a counter is called frozen."""


class Fed(NamedTuple):
    """A region's share of a service, and since when it is that."""

    share_bp: int
    since: Instant


@dataclass
class Feeding:
    """The shares that users get, by the settings that the dials show.

    `settles_ms` is for how long after a change requests still go the old way.
    """

    estate: Estate
    settles_ms: dict[str, int] = field(default_factory=dict)
    _settings: dict[str, Setting | None] = field(default_factory=dict)
    _fed: dict[tuple[str, str], Fed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._service = {
            dial.name: service
            for service in self.estate.services
            for dial in service.dials
        }

    def dial(self, reading: DialReading) -> None:
        """Take a reading; shares that changed count from now."""
        setting = None if reading.fault else reading.setting
        known = self._settings.get(reading.dial)
        if setting is known or setting == known:
            return
        self._settings[reading.dial] = setting
        service = self._service.get(reading.dial)
        if service is not None:
            self._share_out(service, reading.at)

    def _share_out(self, service: Service, at: Instant) -> None:
        settings = {
            dial.name: one
            for dial in service.dials
            if (one := self._settings.get(dial.name)) is not None
        }
        row = steering.served(service, settings) or {}
        for region in service.shares:
            key, share = (service.name, region), row.get(region, 0)
            if key not in self._fed or self._fed[key].share_bp != share:
                self._fed[key] = Fed(share, at)

    def missed(
        self,
        service: Service,
        region: str,
        still_since: Instant,
        rates_mrps: dict[str, int],
        own_mrps: int,
        now: Instant,
    ) -> int:
        """How many requests should have come to `region` since its counter stood still.

        `rates_mrps` is what the same source counts elsewhere: by their shares it tells
        how many users there are. Where none of them has a share, `own_mrps` does: what
        the region had until then. 0 where the region has no share.
        """
        fed = self._fed.get((service.name, region))
        if fed is None or not fed.share_bp:
            return 0
        settles_ms = sum(self.settles_ms.get(one.name, 0) for one in service.dials)
        fed_ms = elapsed_ms(fed.since, now) - settles_ms
        span_ms = min(fed_ms, elapsed_ms(still_since, now))
        others = {
            name: self._fed[service.name, name].share_bp
            for name in rates_mrps
            if name != region and (service.name, name) in self._fed
        }
        if span_ms <= 0:
            return 0
        shares = sum(others.values())
        if not shares:
            return own_mrps * span_ms // 1_000_000
        load_mrps = sum(rates_mrps[name] for name in others)
        return load_mrps * fed.share_bp * span_ms // (shares * 1_000_000)
