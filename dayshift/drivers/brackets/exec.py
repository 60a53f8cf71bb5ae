"""Bracket `exec`: three commands open, close and look.

Here: running them. Not here: believing `enter` and `leave`; the caller looks again.
"""

from __future__ import annotations

from dayshift.drivers.base import Context, OptionsMap
from dayshift.drivers.process import Argv, CommandOptions, ask, nonsense


class ExecBracket:
    """`enter` and `leave` must bear being run twice; a lease is renewed by `enter`."""

    class Options(CommandOptions):
        """`enter` and `leave` end with 0; `read` answers 0 (open) or 1 (closed)."""

        enter: Argv
        leave: Argv
        read: Argv

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        self._context = context

    async def enter(self, run: str, region: str) -> None:
        await self._do("enter", self._options.enter, run, region)

    async def leave(self, run: str, region: str) -> None:
        await self._do("leave", self._options.leave, run, region)

    async def is_open(self) -> bool:
        """What `read` says now.

        Raises:
            DriverRetry: it did not answer in time.
            DriverFault: it answered neither open nor closed.
        """
        facts = {"DAYSHIFT_BRACKET": self.name}
        ran = await ask(self._options, self._context, self._options.read, facts)
        if ran.exit_code not in (0, 1):
            raise nonsense(f"read of bracket {self.name}", ran, "0 open, 1 closed")
        return ran.exit_code == 0

    async def _do(
        self, verb: str, argv: tuple[str, ...], run: str, region: str
    ) -> None:
        facts = {
            "DAYSHIFT_BRACKET": self.name,
            "DAYSHIFT_REGION": region,
            "DAYSHIFT_RUN": run,
        }
        ran = await ask(self._options, self._context, argv, facts)
        if ran.exit_code:
            raise nonsense(f"{verb} of bracket {self.name} for {region}", ran, "0")
