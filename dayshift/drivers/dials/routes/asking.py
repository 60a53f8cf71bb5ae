"""Asking a routing daemon through its own command: argv, bounded, never a shell.

Here: one run of a command of the estate with some words after it, and how its failures
are told. Not here: what the answers mean.
"""

from __future__ import annotations

import json
from typing import Any

from dayshift.drivers.base import Context
from dayshift.drivers.process import CommandOptions, Ran, ask
from dayshift.errors import DriverFault, DriverRetry, Reason
from dayshift.limits import READ_TIMEOUT_MS

RETRY_MS = 500
DECODER = json.JSONDecoder()
PLAIN = CommandOptions(answer_limit=READ_TIMEOUT_MS)


class Command:
    """One daemon's command, as the estate names it."""

    def __init__(self, device: str, argv: tuple[str, ...], context: Context) -> None:
        self.device = device
        self._argv = argv
        self._context = context

    async def run(self, *words: str) -> Ran:
        """Its answer, whatever its exit code.

        Raises:
            DriverRetry: it did not end in time.
            DriverFault: it cannot be started.
        """
        return await ask(PLAIN, self._context, (*self._argv, *words), {})

    async def text(self, *words: str) -> str:
        """What it printed.

        Raises:
            DriverRetry: it does not reach its daemon, or says no.
        """
        ran = await self.run(*words)
        if ran.exit_code:
            raise self.silent(ran.last_words or f"exit code {ran.exit_code}")
        return ran.stdout

    async def json(self, *words: str) -> Any:
        """What it printed, as JSON; nothing at all is an empty object."""
        found = await self.jsons(*words)
        return found[0] if found else {}

    async def jsons(self, *words: str) -> list[Any]:
        """Every JSON value that it printed, one after the other."""
        text = (await self.text(*words)).strip()
        found: list[Any] = []
        while text:
            try:
                value, end = DECODER.raw_decode(text)
            except ValueError:
                raise self.fault("answers what is no JSON", text[:80]) from None
            found.append(value)
            text = text[end:].lstrip()
        return found

    def silent(self, because: str) -> DriverRetry:
        """It does not answer now."""
        return DriverRetry(
            Reason(
                "UNREACHABLE",
                f"{self.device} does not answer",
                because=because,
                so="what it announces is unknown",
                next="see that it runs and that its command may reach it",
            ),
            RETRY_MS,
        )

    def fault(self, what: str, because: str = "", so: str = "") -> DriverFault:
        """It answers, and not as its daemon would."""
        return DriverFault(
            Reason(
                "ROUTES-UNUSABLE",
                f"{self.device} {what}",
                because=because,
                so=so,
                next="mend its configuration as docs/dials says, then `dayshift check`",
            )
        )
