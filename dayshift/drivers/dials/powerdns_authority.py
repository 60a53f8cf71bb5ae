"""One PowerDNS: written through its API, looked at through its answers.

Holds: claim and records change in one PATCH, which PowerDNS applies as one transaction
of the zone. The claim is compared just before it, inside the lock of this machine; the
API itself compares nothing. Not here: other authorities, requests (`powerdns_api`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import dns.name
import msgspec

from dayshift.drivers.base import fresh_claim_reason
from dayshift.drivers.dials.names.asking import Asker
from dayshift.drivers.dials.names.options import claim_name
from dayshift.drivers.dials.names.pool import Pool
from dayshift.drivers.dials.names.records import records_of
from dayshift.drivers.dials.names.sampling import Sample
from dayshift.drivers.dials.names.saying import claim_refused, fault
from dayshift.drivers.dials.names.steering import Seen, Wanted
from dayshift.drivers.dials.powerdns_api import PowerdnsApi, RecordSet
from dayshift.drivers.dials.powerdns_lua import lua_records, lua_shown
from dayshift.model.dial import Claim, Setting, Token, parse_claim

CLAIM_TTL_S = 1
LUA = "LUA"


class Place(msgspec.Struct, frozen=True):
    """What is steered, the same at every authority."""

    dial: str
    name: dns.name.Name
    pool: Pool


class Follower:
    """An authority that takes the zone from another one."""

    writes = False

    def __init__(self, place: Place, asker: Asker) -> None:
        self.name = asker.server.name
        self._place = place
        self._asker = asker

    async def look(self) -> Seen:
        """What it answers users now."""
        found = await records_of(self._asker, self._place.name, self._place.pool)
        return found.seen(self._place.pool)

    async def write(self, wanted: Wanted, token: Token) -> None:
        """It is told by its primary."""


class PlainAuthority(Follower):
    """Address records whose number is the weight."""

    writes = True

    def __init__(self, place: Place, asker: Asker, api: PowerdnsApi) -> None:
        super().__init__(place, asker)
        self._api = api

    async def write(self, wanted: Wanted, token: Token) -> None:
        """Compare the claim that the API shows, then change everything in one PATCH.

        Raises:
            Refused: another claim stands there; nothing moved.
        """
        beside = claim_name(self._place.name)
        stands, claims = await asyncio.gather(
            self._api.records(self._place.name), self._api.records(beside)
        )
        why = fresh_claim_reason(_claim(claims), token)
        if why:
            raise claim_refused(self._place.dial, self.name, why, token)
        strange = sorted(set(stands) & set(self._strangers()))
        if strange:
            raise fault(
                "STRANGE-RECORDS",
                f"dial {self._place.dial}, {self.name}: {', '.join(strange)} records "
                f"stand at {self._place.name}",
                because="this dial writes others there, and both would be answered",
                so="nothing moved there",
            )
        text = f'"{wanted.claim}"'
        await self._api.change(
            [
                *(
                    _replace(self._place.name, kind, wanted.ttl_s, values)
                    for kind, values in self._records(wanted).items()
                ),
                _replace(beside, "TXT", CLAIM_TTL_S, [text]),
            ]
        )

    def _strangers(self) -> tuple[str, ...]:
        return (LUA, "CNAME")

    def _records(self, wanted: Wanted) -> Mapping[str, list[str] | tuple[str, ...]]:
        records = self._place.pool.records(wanted.setting)
        assert records is not None
        return records


class LuaAuthority(PlainAuthority):
    """Lua records that pick an address by weight; members of weight 0 are left out."""

    def __init__(
        self, place: Place, asker: Asker, api: PowerdnsApi, samples: int
    ) -> None:
        super().__init__(place, asker, api)
        self._samples = samples
        self._sample = Sample()

    async def look(self) -> Seen:
        """The weights that its API shows, and whether its answers fit them.

        A write may come between the two: what does not fit is looked at again.
        """
        seen = await self._once()
        return await self._once() if seen.fault else seen

    async def _once(self) -> Seen:
        pool, name = self._place.pool, self._place.name
        told, claims = await asyncio.gather(
            self._api.records(name), self._api.records(claim_name(name))
        )
        claim, lua = _claim(claims), told.get(LUA)
        shown = lua_shown(pool, lua.values if lua else ())
        ttl_s = lua.ttl_s if lua else None
        if shown.setting is None:
            foreign = lua.values if lua else ()
            return Seen(None, claim, ttl_s, shown.fault, foreign)
        fault = await self._answers_fault(shown.setting, claim)
        return Seen(shown.setting, claim, ttl_s, fault)

    async def _answers_fault(self, setting: Setting, claim: Claim | None) -> str:
        """Why its answers do not fit what its API shows, or nothing."""
        pool, name = self._place.pool, self._place.name
        texts = await self._asker.authority(claim_name(name), "TXT")
        answers = [
            answer
            for kind in sorted(pool.families)
            for answer in await self._asker.sample(name, kind, self._samples)
        ]
        answered = parse_claim(texts.values[0]) if len(texts.values) == 1 else None
        if answered != claim:
            return f"its API shows the claim {claim}, its answers show {answered}"
        if any(len(one.values) != 1 for one in answers):
            return "an answer has not exactly one address"
        regions = (pool.region_of.get(one.values[0], "") for one in answers)
        return self._sample.fault(setting, claim, regions)

    def _strangers(self) -> tuple[str, ...]:
        return ("A", "AAAA", "CNAME")

    def _records(self, wanted: Wanted) -> Mapping[str, list[str] | tuple[str, ...]]:
        return {LUA: lua_records(self._place.pool, wanted.setting)}


def _claim(found: Mapping[str, RecordSet]) -> Claim | None:
    texts = found["TXT"].values if "TXT" in found else ()
    return parse_claim(texts[0].strip('"')) if len(texts) == 1 else None


def _replace(
    name: dns.name.Name, kind: str, ttl_s: int, values: Any
) -> dict[str, object]:
    return {
        "name": name.to_text(),
        "type": kind,
        "ttl": ttl_s,
        "changetype": "REPLACE",
        "records": [{"content": one, "disabled": False} for one in values],
    }
