"""Duty `exec`: three commands say who holds the duty, let it go, and take it.

Here: asking every region, each time. Not here: believing `release` and `take`; the
caller reads the holders back.
"""

from __future__ import annotations

import asyncio

from dayshift.drivers.base import Context, OptionsMap
from dayshift.drivers.process import Argv, CommandOptions, ask, nonsense
from dayshift.errors import DriverFault, Reason


class ExecDuty:
    """Each command gets the region as DAYSHIFT_REGION and the duty as DAYSHIFT_DUTY."""

    class Options(CommandOptions):
        """`holder` answers 0 (this region holds it) or 1 (it does not); `release` and
        `take` end with 0. The loader adds `regions`, all that may hold the duty."""

        holder: Argv
        release: Argv
        take: Argv
        regions: tuple[str, ...] = ()

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        self._context = context

    async def holders(self) -> tuple[str, ...]:
        """Every region that says it holds the duty; all are asked.

        Why: with one region unheard, "nobody else holds it" is a guess.

        Raises:
            DriverRetry: a region did not answer in time.
            DriverFault: a region answered neither yes nor no, or none is known.
        """
        regions = self._options.regions
        if not regions:
            raise DriverFault(
                Reason(
                    "DUTY-NOWHERE",
                    f"duty {self.name} names 0 regions (at least 1)",
                    because="an empty list would read as `nobody holds it`",
                    so="who holds it is unknown",
                    next=f"name its regions in the estate: duties.{self.name}.regions",
                )
            )
        answers = await asyncio.gather(
            *(self._holds(region) for region in regions), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        pairs = zip(regions, answers, strict=True)
        return tuple(region for region, holds in pairs if holds)

    async def release(self, region: str) -> None:
        await self._do("release", self._options.release, region)

    async def take(self, region: str) -> None:
        await self._do("take", self._options.take, region)

    async def _holds(self, region: str) -> bool:
        facts = self._facts(region)
        ran = await ask(self._options, self._context, self._options.holder, facts)
        if ran.exit_code not in (0, 1):
            asked = f"holder of duty {self.name} in {region}"
            raise nonsense(asked, ran, "0 holds it, 1 does not")
        return ran.exit_code == 0

    async def _do(self, verb: str, argv: tuple[str, ...], region: str) -> None:
        ran = await ask(self._options, self._context, argv, self._facts(region))
        if ran.exit_code:
            raise nonsense(f"{verb} of duty {self.name} in {region}", ran, "0")

    def _facts(self, region: str) -> dict[str, str]:
        return {"DAYSHIFT_REGION": region, "DAYSHIFT_DUTY": self.name}
