"""One service behind one dial, in the world of the rehearsal, as the tests like to ask.

Here: short names for a small world. What happens in it is `dayshift.rehearsal.world`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from dayshift.core import steering
from dayshift.limits import FULL_BP
from dayshift.model.dial import Claim, DialKind, Setting
from dayshift.model.estate import (
    DialSpec,
    Disposition,
    DriverRef,
    ResidueClass,
    Service,
)
from dayshift.model.units import Clock, Row
from dayshift.rehearsal import world as rehearsed
from dayshift.rehearsal.history import History
from dayshift.rehearsal.world import WHOLE, Place, served_parts

SERVICE, DIAL = "shop", "entry"
PROBES = ResidueClass("probe", Disposition.EXPECTED, "dayshift", 600)


@dataclass
class Device(rehearsed.Device):
    """One instance, which can keep a lease itself, as an agent beside it does."""

    leased: bool = False

    def expire(self) -> None:
        leased = self.leased
        super().expire()
        if leased and self.claim is not None:
            self.claim = replace(self.claim, reverted=True)
        self.leased = False

    def install(self, setting: Setting, claim: Claim | None) -> None:
        super().install(setting, claim)
        self.leased = False

    def revert_at(self, then_ms: int, to: Setting) -> None:
        super().revert_at(then_ms, to)
        self.leased = False

    def lease_until(self, then_ms: int, to: Setting) -> None:
        """What it was asked to do unless somebody renews."""
        super().revert_at(then_ms, to)
        self.leased = True


class World(rehearsed.World):
    """Regions under a constant load, and the instances that share it out."""

    def __init__(
        self,
        clock: Clock,
        regions: Mapping[str, int],
        rps: int,
        instances: int = 1,
        kind: DialKind = DialKind.SPLIT,
    ) -> None:
        spec = DialSpec(DIAL, kind, DriverRef("test"))
        service = Service(SERVICE, dict(regions), {}, (spec,), (), (), (PROBES,))
        usual = steering.baseline(spec, service)
        self.devices = [
            Device(DIAL, f"one{number + 1}", usual) for number in range(instances)
        ]
        load = {SERVICE: rps}
        super().__init__(clock, (service,), load, {DIAL: self.devices}, History())
        self.service = service
        self.places = {region: self._all[SERVICE, region] for region in regions}

    @property
    def rps(self) -> int:
        return self.load_rps[SERVICE]

    @rps.setter
    def rps(self, rps: int) -> None:
        self.load_rps[SERVICE] = rps

    def __getitem__(self, region: str) -> Place:
        """A region's place, counted up to now."""
        return self.place(SERVICE, region)

    def send(self, region: str, requests: int, probe: bool = False) -> None:
        """Requests beside the constant load, at this instant."""
        place = self[region]
        if probe:
            place.probes += requests
        else:
            place.count(requests)

    def shares(self) -> Row:
        """What users really get of each region, in basis points."""
        self.advance()
        parts = served_parts(self.service, self.dials)
        return {
            region: round(parts.get(region, 0) * FULL_BP / WHOLE)
            for region in self.places
        }
