"""Lua records of PowerDNS that pick an address by weight. Pure text, both ways.

    A "pickwrandom({{5000,'192.0.2.1'},{5000,'198.51.100.1'}})"

Members of weight 0 are left out. Not here: any other Lua, which is somebody's own work
and is never overwritten.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from ipaddress import ip_address

from dayshift.drivers.dials.names.pool import Pool, Shown
from dayshift.limits import FULL_BP
from dayshift.model.dial import ALL, Setting, split
from dayshift.model.units import apportion

RECORD = re.compile(r'(A|AAAA) "pickwrandom\(\{(.*)\}\)"')
MEMBER = r"\{\s*(\d{1,9})\s*,\s*'([0-9a-fA-F:.]+)'\s*\}"
MEMBERS = re.compile(rf"\s*{MEMBER}(\s*,\s*{MEMBER})*\s*")


def lua_records(pool: Pool, setting: Setting) -> tuple[str, ...]:
    """The records that give each region its share, over all of its addresses."""
    row, found = setting.rows[ALL], []
    for kind, family in sorted(pool.families.items()):
        parts = math.lcm(*(len(listed) for listed in family.values()))
        members = [
            f"{{{row[region] * parts // len(family[region])},'{one}'}}"
            for region in pool.regions
            if row[region]
            for one in family[region]
        ]
        found.append(f'{kind} "pickwrandom({{{",".join(members)}}})"')
    return tuple(found)


def lua_shown(pool: Pool, contents: Iterable[str]) -> Shown:
    """The shares that these records give; every family must say the same."""
    found: dict[str, Setting] = {}
    for content in contents:
        match = RECORD.fullmatch(content.strip())
        if match is None or MEMBERS.fullmatch(match[2]) is None:
            return Shown(None, f"it has another Lua record: {content}")
        kind = match[1]
        if kind in found:
            return Shown(None, f"it has two Lua records for {kind}")
        weights = dict.fromkeys(pool.regions, 0)
        for weight, address in re.findall(MEMBER, match[2]):
            region = _region_of(pool, kind, address)
            if region is None:
                return Shown(None, f"it has {address}, of no region in `addresses`")
            weights[region] += int(weight)
        if not any(weights.values()):
            return Shown(None, f"every weight for {kind} is 0")
        found[kind] = split(apportion(FULL_BP, weights))
    if sorted(found) != sorted(pool.families):
        kinds = " and ".join(sorted(pool.families))
        return Shown(None, f"it has no Lua record for each of {kinds}")
    settings = list(found.values())
    if any(one != settings[0] for one in settings):
        return Shown(None, f"its A and AAAA records disagree: {found}")
    return Shown(settings[0])


def _region_of(pool: Pool, kind: str, address: str) -> str | None:
    try:
        known = str(ip_address(address))
    except ValueError:
        return None
    region = pool.region_of.get(known)
    if region is None or known not in pool.families.get(kind, {}).get(region, ()):
        return None
    return region
