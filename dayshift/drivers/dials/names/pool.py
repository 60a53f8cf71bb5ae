"""The addresses of each region, and what a set of them says about shares.

A record set cannot hold an address twice, so a region's weight is how many of its
addresses are listed. Pure: no question is asked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Annotated

import msgspec
from pydantic import AfterValidator, BeforeValidator

from dayshift.limits import FULL_BP
from dayshift.model.dial import ALL, DialKind, Setting, split
from dayshift.model.units import Row, apportion

FAMILIES = {4: "A", 6: "AAAA"}


def family_of(address: str) -> str:
    """The record type that carries this address."""
    return FAMILIES[ip_address(address).version]


def _canonical(text: object) -> str:
    return str(ip_address(str(text)))


Address = Annotated[str, BeforeValidator(_canonical)]


def _usable(addresses: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Every address once, and every region in each family that any region has.

    Why: users of a family that a region lacks could not be steered to it.
    """
    owner: dict[str, str] = {}
    for region, listed in addresses.items():
        for one in listed:
            if one in owner:
                raise ValueError(f"{one} is listed for {owner[one]!r} and {region!r}")
            owner[one] = region
    every = {family_of(one) for one in owner}
    for region, listed in addresses.items():
        lacks = sorted(every - {family_of(one) for one in listed})
        if lacks or not listed:
            what = " and ".join(lacks) or "any"
            raise ValueError(f"region {region!r} has no address for {what} records")
    return addresses


Addresses = Annotated[dict[str, tuple[Address, ...]], AfterValidator(_usable)]
"""In options: each region's addresses, IPv4 and IPv6 together."""

Records = dict[str, tuple[str, ...]]
"""Addresses by record type, `A` and `AAAA`."""


class Shown(msgspec.Struct, frozen=True):
    """What records say: a setting, or why there is none."""

    setting: Setting | None
    fault: str = ""


class Pool:
    """Which records stand for which setting, both ways."""

    def __init__(self, addresses: Mapping[str, Iterable[str]], kind: DialKind) -> None:
        self.kind = kind
        self.regions = tuple(sorted(addresses))
        self.region_of = {
            one: region for region, listed in addresses.items() for one in listed
        }
        self.families: dict[str, dict[str, tuple[str, ...]]] = {}
        for one, region in self.region_of.items():
            family = self.families.setdefault(family_of(one), {})
            family[region] = (*family.get(region, ()), one)

    @property
    def granularity_bp(self) -> int:
        """The step of which every multiple can be set, in every family at once.

        Other rows that some numbers of addresses happen to give can be set as well.
        """
        if self.kind is DialKind.SWITCH:
            return FULL_BP
        fewest = min(
            len(listed)
            for family in self.families.values()
            for listed in family.values()
        )
        return FULL_BP // max(n for n in range(1, fewest + 1) if FULL_BP % n == 0)

    def records(self, setting: Setting) -> Records | None:
        """The records for a setting without fault; None when no number of addresses
        gives these shares."""
        row = setting.rows[ALL]
        found: Records = {}
        for kind, family in sorted(self.families.items()):
            counts = self._counts(row, family)
            if counts is None:
                return None
            found[kind] = tuple(
                one
                for region in self.regions
                for one in family[region][: counts[region]]
            )
        return found

    def _counts(
        self, row: Row, family: Mapping[str, tuple[str, ...]]
    ) -> dict[str, int] | None:
        most = {region: len(family[region]) for region in self.regions}
        if self.kind is DialKind.SWITCH:
            return {region: n if row[region] else 0 for region, n in most.items()}
        for total in range(sum(most.values()), 0, -1):
            counts = apportion(total, row)
            fits = all(counts[region] <= n for region, n in most.items())
            if fits and apportion(FULL_BP, counts) == row:
                return counts
        return None

    def shown(self, records: Records) -> Shown:
        """What these records do; every family must say the same."""
        found: list[Shown] = []
        for kind, family in sorted(self.families.items()):
            one = self._shown(kind, family, records.get(kind, ()))
            if one.fault:
                return one
            found.append(one)
        for one in found[1:]:
            if one != found[0]:
                return Shown(None, f"its A and AAAA records disagree: {records}")
        return found[0]

    def _shown(
        self, kind: str, family: Mapping[str, tuple[str, ...]], listed: tuple[str, ...]
    ) -> Shown:
        strange = sorted(set(listed) - set(self.region_of))
        if strange:
            known = "an address of no region in `addresses`"
            return Shown(None, f"it has {', '.join(strange)}, {known}")
        if not listed:
            return Shown(None, f"it has no {kind} record")
        counts = {r: len(set(family[r]) & set(listed)) for r in self.regions}
        if self.kind is DialKind.SPLIT:
            return Shown(split(apportion(FULL_BP, counts)))
        partly = [r for r, n in counts.items() if 0 < n < len(family[r])]
        if partly:
            of = len(family[partly[0]])
            what = f"{counts[partly[0]]} of {of} {kind} records of {partly[0]}"
            return Shown(None, f"it has {what}, neither on nor off")
        row = {r: FULL_BP if n else 0 for r, n in counts.items()}
        return Shown(Setting(DialKind.SWITCH, {ALL: row}))
