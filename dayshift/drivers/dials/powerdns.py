"""Dial `powerdns`: the addresses of one name, by the HTTP API of PowerDNS.

Plain records (weights are numbers of addresses) or Lua records (weights of their own).
The API compares nothing, so writers on this machine take turns, and `describe` says so.
The read asks the DNS side. Not here: one authority (`powerdns_authority`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Literal, Self

import dns.name
from pydantic import Field, model_validator

from dayshift.drivers.base import Context, OptionsMap
from dayshift.drivers.dials.names.alone import MachineLock
from dayshift.drivers.dials.names.asking import Asker, EndpointOptions
from dayshift.drivers.dials.names.caches import ResolverWatch
from dayshift.drivers.dials.names.options import NamesOptions, offered, once
from dayshift.drivers.dials.names.saying import retry
from dayshift.drivers.dials.names.steering import Authority, RecordsDial
from dayshift.drivers.dials.powerdns_api import PowerdnsApi
from dayshift.drivers.dials.powerdns_authority import (
    Follower,
    LuaAuthority,
    Place,
    PlainAuthority,
)
from dayshift.limits import FULL_BP
from dayshift.model.dial import Abilities, DialKind, Fence, Setting
from dayshift.model.units import elapsed_ms

LOCK_POLL_MS = 20


class AuthorityOptions(EndpointOptions):
    """One authority; without `api` it only follows another one."""

    api: str | None = Field(default=None, pattern=r"^https?://")
    server: str = Field(default="localhost", min_length=1)


class PowerdnsDial(RecordsDial):
    """Address records of one name at PowerDNS authorities with an API.

    On offer are plain records with one address in each region, where more of them weigh
    finer, and Lua records.
    """

    OFFERS: ClassVar[tuple[Abilities, ...]] = (
        offered(DialKind.SPLIT, FULL_BP, Fence.MACHINE),
        offered(DialKind.SPLIT, 1, Fence.MACHINE),
        offered(DialKind.SWITCH, FULL_BP, Fence.MACHINE),
    )

    class Options(NamesOptions):
        """`records` says how shares are written; `samples` how many questions each look
        asks where answers are picked by weight; `api_key` is a reference.

        `one_machine` vouches that every controller runs on this machine: the lock then
        fences all of them.
        """

        authorities: tuple[AuthorityOptions, ...] = Field(min_length=1)
        api_key: str = Field(min_length=1)
        records: Literal["plain", "lua"] = "plain"
        samples: int = Field(default=40, ge=10, le=400)
        one_machine: bool = False

        @model_validator(mode="after")
        def _distinct(self) -> Self:
            once("authority", (one.name for one in self.authorities))
            once("authority", (f"{a.address} port {a.port}" for a in self.authorities))
            without = [one.name for one in self.authorities if one.api is None]
            if len(without) == len(self.authorities):
                raise ValueError("no authority has an api: nothing could be steered")
            if self.records == "lua" and without:
                raise ValueError(
                    f"{without[0]} has no api, and Lua weights are read there only"
                )
            if self.records == "lua" and self.kind is not DialKind.SPLIT:
                raise ValueError("kind is switch: Lua records weigh, use plain ones")
            return self

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self._options = known = self.Options.model_validate(options)
        pool, steered = known.pool, dns.name.from_text(known.name)
        place = Place(name, steered, pool)
        self._apis: list[PowerdnsApi] = []
        apis = sorted(one.api for one in known.authorities if one.api)
        self._lock = MachineLock(f"powerdns {known.name} {' '.join(apis)}")

        def authority(one: AuthorityOptions) -> Authority:
            asker = Asker(one, context.clock, known.ask_timeout)
            if one.api is None:
                return Follower(place, asker)
            where = (one.where, one.api, one.server, known.zone)
            api = PowerdnsApi(where, known.api_key, known.ask_timeout, context)
            self._apis.append(api)
            if known.records == "lua":
                return LuaAuthority(place, asker, api, known.samples)
            return PlainAuthority(place, asker, api)

        super().__init__(
            name,
            context,
            pool,
            [authority(one) for one in known.authorities],
            [
                ResolverWatch(
                    Asker(one, context.clock, known.ask_timeout),
                    steered,
                    pool,
                    known.ttl,
                )
                for one in known.resolvers
            ],
            known.lifetimes,
            known.ack_timeout,
        )

    def describe(self) -> Abilities:
        """Until its lifetime is over, a cached answer sends users the old way."""
        plain = self._options.records == "plain"
        return Abilities(
            kind=self._pool.kind,
            granularity_bp=self._pool.granularity_bp if plain else 1,
            lease=False,
            fence=Fence.DEVICE if self._options.one_machine else self._lock.fence,
            propagation_ms=self.lifetime_ms,
            caching=self.caching,
        )

    async def close(self) -> None:
        for api in self._apis:
            await api.close()

    def _expressible(self, setting: Setting) -> bool:
        return self._options.records == "lua" or super()._expressible(setting)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        begun = self._clock.now()
        while True:
            with self._lock.taken() as mine:
                if mine:
                    yield
                    return
            if elapsed_ms(begun, self._clock.now()) >= self._options.ack_timeout:
                raise retry(
                    "DIAL-LOCKED",
                    f"dial {self.name}: another process on this machine is writing",
                    because=f"it did not end within {self._options.ack_timeout} ms",
                    so="nothing moved",
                )
            await self._clock.sleep(LOCK_POLL_MS)
