"""HAProxy's runtime socket: one question, one answer; and its tables of text.

Shared by the dial and the meter. Not here: what a question means, and who may ask it.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Sequence
from pathlib import Path

from dayshift.drivers.base import Context
from dayshift.errors import DriverFault, DriverRetry, Reason
from dayshift.limits import READ_TIMEOUT_MS

RETRY_MS = 500
ANSWER_BYTES_MAX = 33_554_432
TCP = "tcp://"
PROBLEMS = ("Unknown command", "Permission denied")
BACKEND, FRONTEND = "BACKEND", "FRONTEND"


class Runtime:
    """One `stats socket`: a path, or `tcp://host:port` where HAProxy listens on one."""

    def __init__(self, address: str, context: Context) -> None:
        self.address = address
        self._base = context.base_dir
        self._clock = context.clock

    async def ask(self, *commands: str) -> str:
        """What it answers to the commands, in one turn.

        Raises:
            DriverRetry: it does not answer.
            DriverFault: it does not take such commands from us.
        """
        try:
            text = await self._clock.within(READ_TIMEOUT_MS, self._talk(commands))
        except TimeoutError:
            raise self._away(f"no answer within {READ_TIMEOUT_MS} ms") from None
        except (OSError, ValueError) as error:
            raise self._away(str(error) or type(error).__name__) from None
        problem = next((one for one in PROBLEMS if text.startswith(one)), "")
        if problem:
            raise self.fault(
                f"does not take `{commands[0].split(maxsplit=2)[0]}`: {problem}",
                "HAProxy 2.4 or newer, and `level admin` on its stats socket, are "
                "needed",
            )
        return text

    async def order(self, *commands: str) -> None:
        """Give orders; HAProxy says nothing where all went well.

        Raises:
            DriverRetry: it does not answer.
            DriverFault: it objects.
        """
        said = " ".join((await self.ask(*commands)).split())
        if said:
            raise self.fault(f"objects: {said[:200]}", f"it was told {commands}")

    async def table(self, command: str) -> list[dict[str, str]]:
        """A table with a heading (`# …`): CSV, or columns between blanks."""
        lines = [one for one in (await self.ask(command)).splitlines() if one.strip()]
        start = next((n for n, one in enumerate(lines) if one.startswith("#")), None)
        if start is None:
            said = " ".join(lines)[:120]
            raise self.fault(f"answers `{command}` without a table: {said}", said)
        heading, *rows = (one.removeprefix("#").strip() for one in lines[start:])
        if "," in heading:
            return list(csv.DictReader(rows, heading.split(",")))
        keys = heading.split()
        return [dict(zip(keys, row.split(), strict=False)) for row in rows]

    def fault(self, what: str, because: str) -> DriverFault:
        return DriverFault(
            Reason(
                "HAPROXY-REFUSED",
                f"HAProxy at {self.address} {what}",
                because=because,
                so="what it does now has to be read again",
                next="mend its configuration or the driver's options, then "
                "`dayshift check`",
            )
        )

    async def _talk(self, commands: Sequence[str]) -> str:
        reader, writer = await self._connection()
        try:
            writer.write(("; ".join(commands) + "\n").encode())
            await writer.drain()
            answer = bytearray()
            while part := await reader.read(65_536):
                answer += part
                if len(answer) > ANSWER_BYTES_MAX:
                    raise ValueError(f"it says more than {ANSWER_BYTES_MAX} bytes")
            return answer.decode(errors="replace")
        finally:
            writer.close()

    async def _connection(
        self,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.address.startswith(TCP):
            host, _, port = self.address.removeprefix(TCP).rpartition(":")
            return await asyncio.open_connection(host.strip("[]"), int(port))
        return await asyncio.open_unix_connection(str(self._base / Path(self.address)))

    def _away(self, cause: str) -> DriverRetry:
        return DriverRetry(
            Reason(
                "UNREACHABLE",
                f"HAProxy at {self.address} did not answer",
                because=cause,
                so="what it would have said is unknown",
                next="see that it runs, and that this user may open its socket",
            ),
            RETRY_MS,
        )


def number(row: dict[str, str], column: str) -> int:
    """A count of a table; an empty cell is none."""
    text = row.get(column) or "0"
    return int(text) if text.lstrip("-").isdigit() else 0
