"""The records of one name at one authority, by the answers that users get.

Here: asking for addresses and claim together and turning both into what is seen. Not
here: how they are written.
"""

from __future__ import annotations

import asyncio

import dns.name
import msgspec

from dayshift.drivers.dials.names.asking import Answer, Asker
from dayshift.drivers.dials.names.options import claim_name
from dayshift.drivers.dials.names.pool import Pool
from dayshift.drivers.dials.names.steering import Seen
from dayshift.model.dial import Claim, parse_claim

LOOKS = 3
"""A write may come between two questions: the claim is the same before and after."""


class Records(msgspec.Struct, frozen=True):
    """What stands there: addresses by record type, and the texts beside the name."""

    answers: dict[str, Answer]
    texts: tuple[str, ...]

    @property
    def addresses(self) -> dict[str, tuple[str, ...]]:
        return {kind: one.values for kind, one in self.answers.items()}

    @property
    def ttl_s(self) -> int | None:
        """The longest that any of them may be kept."""
        ttls = [one.ttl_s for one in self.answers.values() if one.ttl_s is not None]
        return max(ttls, default=None)

    @property
    def claim(self) -> Claim | None:
        """Whose write stands there; None where there is no text, or none of ours."""
        return parse_claim(self.texts[0]) if len(self.texts) == 1 else None

    @property
    def claim_fault(self) -> str:
        """Why the texts beside the name are no claim, or nothing."""
        if not self.texts or self.claim:
            return ""
        return f"its claim record says {', '.join(map(repr, self.texts))}"

    def seen(self, pool: Pool) -> Seen:
        """What these records mean."""
        shown = pool.shown(self.addresses)
        every = {one for values in self.addresses.values() for one in values}
        return Seen(
            shown.setting,
            self.claim,
            self.ttl_s,
            shown.fault or self.claim_fault,
            tuple(sorted(every - set(pool.region_of))),
        )


async def records_of(asker: Asker, name: dns.name.Name, pool: Pool) -> Records:
    """Ask one authority for everything at once, and again while it is being written.

    Raises:
        DriverRetry: it does not answer.
        DriverFault: it is no authority for the name.
    """
    beside = claim_name(name)
    kinds = sorted(pool.families)
    texts = (await asker.authority(beside, "TXT")).values
    for _ in range(LOOKS):
        found = await asyncio.gather(*(asker.authority(name, kind) for kind in kinds))
        again = (await asker.authority(beside, "TXT")).values
        if again == texts:
            break
        texts = again
    return Records(dict(zip(kinds, found, strict=True)), texts)
