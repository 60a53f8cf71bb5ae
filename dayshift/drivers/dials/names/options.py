"""What every dial that writes the records of one name is told in the estate.

Here: the options that such dials share, and what follows from them alone. Not here: the
servers, which each driver describes for itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Self

import dns.exception
import dns.name
from pydantic import AfterValidator, Field, model_validator

from dayshift.drivers.dials.names.asking import ASK_MS, TRIES, EndpointOptions
from dayshift.drivers.dials.names.pool import Addresses, Pool
from dayshift.drivers.dials.names.steering import Lifetimes
from dayshift.model.dial import Abilities, Caching, DialKind, Fence
from dayshift.options import Millis, StrictOptions

CLAIM_LABEL = "_dayshift"
SECOND_MS = 1_000
TTL_MS, TTL_LOW_MS = 300_000, 5_000


def _absolute(text: str) -> str:
    try:
        name = dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"{text!r} is no DNS name: {error}") from None
    if name == dns.name.root or name.is_wild():
        raise ValueError(f"{text!r} is the root or a wildcard: name one service")
    return name.to_text().lower()


DnsName = Annotated[str, AfterValidator(_absolute)]


class NamesOptions(StrictOptions):
    """`name` in `zone` is steered over the regions' `addresses`.

    `kind` says whether regions are weighed by how many of their addresses are listed
    (`split`) or are in or out with all of them (`switch`). `ttl` is the usual lifetime
    of answers, `ttl_low` that around a drain. `resolvers` are caching resolvers of
    users, watched beside the authorities. `ask_timeout` bounds one question.
    """

    zone: DnsName
    name: DnsName
    kind: DialKind = DialKind.SPLIT
    addresses: Addresses = Field(min_length=2)
    ttl: Millis = Field(default=TTL_MS, ge=SECOND_MS, le=86_400_000)
    ttl_low: Millis = Field(default=TTL_LOW_MS, ge=SECOND_MS)
    resolvers: tuple[EndpointOptions, ...] = ()
    ask_timeout: Millis = Field(default=ASK_MS, ge=TRIES)
    ack_timeout: Millis = Field(default=2_000, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        zone, name = dns.name.from_text(self.zone), dns.name.from_text(self.name)
        if not name.is_subdomain(zone):
            raise ValueError(f"name {self.name} is not in zone {self.zone}")
        if self.kind is DialKind.FORWARD:
            raise ValueError("kind is forward: records are the same for all arrivals")
        for key, value in (("ttl", self.ttl), ("ttl_low", self.ttl_low)):
            if value % SECOND_MS:
                raise ValueError(f"{key} is {value} ms: DNS counts whole seconds")
        if self.ttl_low > self.ttl:
            raise ValueError(
                f"ttl_low ({self.ttl_low} ms) is above ttl ({self.ttl} ms)"
            )
        return self

    @property
    def lifetimes(self) -> Lifetimes:
        return Lifetimes(self.ttl // SECOND_MS, self.ttl_low // SECOND_MS)

    @property
    def pool(self) -> Pool:
        return Pool(self.addresses, self.kind)


def offered(kind: DialKind, step_bp: int, fence: Fence) -> Abilities:
    """What a dial of records can do with the usual options."""
    caching = Caching(TTL_MS, TTL_LOW_MS)
    return Abilities(kind, step_bp, False, fence, TTL_MS, caching)


def once(what: str, values: Iterable[str]) -> None:
    """Refuse options that name the same thing twice."""
    seen: set[str] = set()
    for one in values:
        if one in seen:
            raise ValueError(f"{what} {one!r} is named twice")
        seen.add(one)


def claim_name(name: dns.name.Name) -> dns.name.Name:
    """Where the claim on a name stands: a TXT record beside it."""
    return dns.name.Name((CLAIM_LABEL.encode(), *name.labels))
