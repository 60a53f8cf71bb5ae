"""Dial `rfc2136`: the addresses of one name, by DNS UPDATE (BIND, Knot and others).

The write is a signed update whose prerequisites are the claim and the addresses that
were seen: the server compares and writes in one step, whoever else writes. The read
asks every authority as users do. Not here: the update itself (`rfc2136_update`).
"""

from __future__ import annotations

from typing import ClassVar, Self

import dns.name
from pydantic import Field, model_validator

from dayshift.drivers.base import Context, OptionsMap
from dayshift.drivers.dials.names.asking import Asker, EndpointOptions
from dayshift.drivers.dials.names.caches import ResolverWatch
from dayshift.drivers.dials.names.options import NamesOptions, offered, once
from dayshift.drivers.dials.names.steering import RecordsDial
from dayshift.drivers.dials.rfc2136_update import TsigOptions, UpdatedAuthority
from dayshift.limits import FULL_BP
from dayshift.model.dial import Abilities, DialKind, Fence


class AuthorityOptions(EndpointOptions):
    """One authority; `updates` is false where it only follows another one."""

    updates: bool = True
    update_port: int | None = Field(default=None, ge=1, le=65_535)


class Rfc2136Dial(RecordsDial):
    """Address records of one name at authorities that take DNS UPDATE.

    On offer is a split over regions with one address each; more of them weigh finer.
    """

    OFFERS: ClassVar[tuple[Abilities, ...]] = (
        offered(DialKind.SPLIT, FULL_BP, Fence.DEVICE),
        offered(DialKind.SWITCH, FULL_BP, Fence.DEVICE),
    )

    class Options(NamesOptions):
        """`authorities` are all that answer for the name; `tsig` signs the updates."""

        authorities: tuple[AuthorityOptions, ...] = Field(min_length=1)
        tsig: TsigOptions

        @model_validator(mode="after")
        def _distinct(self) -> Self:
            once("authority", (one.name for one in self.authorities))
            once("authority", (f"{a.address} port {a.port}" for a in self.authorities))
            if not any(one.updates for one in self.authorities):
                raise ValueError("no authority takes updates: nothing could be steered")
            return self

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        known = self.Options.model_validate(options)
        pool, steered = known.pool, dns.name.from_text(known.name)
        super().__init__(
            name,
            context,
            pool,
            [
                UpdatedAuthority(
                    name,
                    Asker(one, context.clock, known.ask_timeout),
                    (dns.name.from_text(known.zone), steered),
                    pool,
                    known.tsig,
                    one.update_port or one.port,
                    one.updates,
                    context,
                )
                for one in known.authorities
            ],
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
        return Abilities(
            kind=self._pool.kind,
            granularity_bp=self._pool.granularity_bp,
            lease=False,
            fence=Fence.DEVICE,
            propagation_ms=self.lifetime_ms,
            caching=self.caching,
        )

    async def close(self) -> None:
        """Every question has a socket of its own; nothing stays open."""
