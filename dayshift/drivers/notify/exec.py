"""Notify `exec`: a command gets the page, another one says who took it.

Here: running them. Not here: whom to call next, and when (`core`).
"""

from __future__ import annotations

import msgspec

from dayshift.drivers.base import Context, OptionsMap, Page
from dayshift.drivers.process import Argv, CommandOptions, ask, nonsense, plain


class ExecNotify:
    """The page is JSON on standard input; its key is also DAYSHIFT_PAGE."""

    class Options(CommandOptions):
        """`argv` ends with 0 once the page is on its way. `ack` answers 0 and the name
        of who took it, or 1 (nobody yet); without it nobody can ever acknowledge."""

        argv: Argv
        ack: Argv | None = None

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        self._context = context

    async def send(self, page: Page) -> None:
        """Hand the page over.

        Raises:
            DriverRetry: the command did not end in time.
            DriverFault: it did not take the page.
        """
        body = self._context.redact(msgspec.json.encode(page).decode()).encode()
        facts = {"DAYSHIFT_PAGE": page.key, "DAYSHIFT_RUN": page.run}
        argv = self._options.argv
        ran = await ask(self._options, self._context, argv, facts, stdin=body)
        if ran.exit_code:
            raise nonsense(f"page by {self.name}", ran, "0")

    async def acknowledged(self, key: str) -> str | None:
        """Who took the page, or None.

        Raises:
            DriverFault: the command failed, or said 0 without a name.
        """
        argv = self._options.ack
        if argv is None:
            return None
        facts = {"DAYSHIFT_PAGE": key}
        ran = await ask(self._options, self._context, argv, facts)
        name = plain(ran.stdout.partition("\n")[0])
        if ran.exit_code == 1:
            return None
        if ran.exit_code or not name:
            asked = f"acknowledgement by {self.name}"
            raise nonsense(asked, ran, "0 and a name, or 1 nobody yet")
        return name
