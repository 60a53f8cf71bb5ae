"""A dial that is reached through agents: each agent's instances are its instances.

The same driver code runs in the agent, beside the sockets; here is only the asking.
Calls go to all agents at once; an agent that does not answer is an instance fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from dayshift.drivers.agents.link import READ_MS, RETRY_MS, AgentLink
from dayshift.drivers.agents.messages import (
    Fence,
    Hold,
    Prepare,
    Read,
    Renew,
    Request,
    Restore,
    Set,
    Shown,
)
from dayshift.errors import Driver, DriverFault, DriverRetry, Reason, Refused
from dayshift.model import dial as d
from dayshift.model.units import Clock, Instant

HOP_MS = 50
NEVER = Instant(0, 0, "")
"""For an agent that gave no reading: it refuses what rests on none."""
Asked = Callable[[AgentLink], Request]


class RemoteDial:
    """One dial of the estate, wherever its sockets are."""

    def __init__(
        self, name: str, kind: d.DialKind, links: Sequence[AgentLink], clock: Clock
    ) -> None:
        self.name = name
        self._links = tuple(links)
        self._clock = clock
        self._said = d.Abilities(kind, 1, True, d.Fence.DEVICE, HOP_MS)
        self._as_of: dict[str, Instant] = {}
        """When each agent gave its last reading, by its own clock."""

    def describe(self) -> d.Abilities:
        """What the agents said of the dial last; lease and fence are their own."""
        return self._said

    async def read(self) -> d.DialReading:
        """Every instance behind every agent, as of when the question was asked."""
        at = self._clock.now()
        found = await asyncio.gather(*(self._read(one) for one in self._links))
        return d.DialReading(self.name, at, tuple(i for part in found for i in part))

    async def _read(self, link: AgentLink) -> tuple[d.InstanceReading, ...]:
        try:
            answer = await link.call(Read(self.name), READ_MS)
        except (Driver, Refused) as error:
            return (d.InstanceReading(link.name, None, None, error.reason.what),)
        assert isinstance(answer, Shown)
        self._as_of[link.name] = answer.at
        said = answer.abilities
        self._said = replace(
            said,
            lease=True,
            fence=d.Fence.DEVICE,
            propagation_ms=said.propagation_ms + HOP_MS,
        )
        return tuple(
            replace(one, instance=f"{link.name}/{one.instance}")
            for one in answer.instances
        )

    async def set(
        self,
        setting: d.Setting,
        token: d.Token,
        revert_to: d.Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        """Install it everywhere; an agent that is away is told of afterwards."""
        if not self._as_of:
            await self.read()

        def rests_on(link: AgentLink) -> Set:
            as_of = self._as_of.get(link.name, NEVER)
            return Set(self.name, setting, token, as_of, revert_to, lease_ms)

        await self._write(rests_on, token)

    async def hold(self, token: d.Token) -> None:
        """Keep what stands everywhere; every lease ends.

        Raises:
            DriverRetry: an agent, or what is behind it, does not answer now.
            DriverFault: the agents' instances have no one setting to keep.
        """
        now = await self.read()
        if now.fault:
            raise self._silent(now.fault)
        if now.setting is None:
            raise DriverFault(
                Reason(
                    "DIAL-MIXED",
                    f"dial {self.name} has no one setting to hold",
                    because="its instances disagree",
                    next="mend the instance, then `dayshift check`",
                )
            )
        await self._write(lambda link: Hold(self.name, token), token)

    async def prepare(self, token: d.Token) -> None:
        """Let caches keep answers for a short time only, at every agent."""
        await self._write(lambda link: Prepare(self.name, token), token)

    async def restore(self, token: d.Token) -> None:
        """Let caches keep answers as long as usual, at every agent."""
        await self._write(lambda link: Restore(self.name, token), token)

    async def renew(self, claim: d.Claim, lease_ms: int) -> None:
        """Let every agent's lease of this write run on."""
        await self._all(lambda link: Renew(self.name, claim, lease_ms))

    async def fence(self, claim: d.Claim) -> None:
        """Install this epoch at every agent; no earlier one may write any more."""
        await self._all(lambda link: Fence(self.name, claim))

    async def close(self) -> None:
        for link in self._links:
            await link.close()

    async def _write(self, request: Asked, token: d.Token) -> None:
        """Where several agents share the dial, all are asked to let the claim in before
        the first of them moves: a refusal finds nothing moved.
        """
        if len(self._links) > 1:
            try:
                await self.fence(token.claim)
            except Driver as error:
                if not isinstance(error, DriverRetry) or await self._nobody():
                    raise
        await self._all(request)

    async def _nobody(self) -> bool:
        """True when not one agent answers."""
        reading = await self.read()
        return all(one.fault for one in reading.instances)

    def _silent(self, fault: str) -> DriverRetry:
        return DriverRetry(
            Reason(
                "DIAL-SILENT",
                f"dial {self.name} cannot be held: {fault}",
                because="what stands there is read before it is kept",
                so="nothing moved, and an armed lease runs on",
                next="see to the agent or the device; it is asked again",
            ),
            RETRY_MS,
        )

    async def _all(self, request: Asked) -> None:
        results = await asyncio.gather(
            *(one.call(request(one)) for one in self._links), return_exceptions=True
        )
        failed = [one for one in results if isinstance(one, BaseException)]
        failed.sort(key=_rank)
        if failed:
            raise failed[0]


def _rank(error: BaseException) -> int:
    """A refusal is heard before a fault, and a fault before an agent that is away."""
    return 0 if isinstance(error, Refused) else 1 + isinstance(error, DriverRetry)
