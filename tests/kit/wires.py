"""TCP wires between controllers and what they ask, which a test can cut.

All controllers have the same estate file, so all use the same port of a wire: which
controller is at the other end is found out by the process that owns the socket. What
is sent over a cut wire waits, as packets do that are sent again; it arrives, late, when
the wire is whole. Needs no rights.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path

from tests.kit.envoys import free_ports

CHUNK = 65_536


class Cut(Enum):
    """What does not arrive any more."""

    BOTH = "both"
    ANSWERS = "answers"


class Wires:
    """One wire to each far port; `pids` tells who runs under which name now."""

    def __init__(self, far: Mapping[str, int], pids: Callable[[], dict[str, int]]):
        self.ports = dict(zip(far, free_ports(len(far)), strict=True))
        self._far = dict(far)
        self._pids = pids
        self._cut: dict[tuple[str, str], Cut] = {}
        self._mended = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Wires:
        self._thread.start()
        for name, port in self.ports.items():
            serving = self._serve(name, port)
            asyncio.run_coroutine_threadsafe(serving, self._loop).result(30)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    async def _end(self) -> None:
        rest = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        for one in rest:
            one.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def cut(self, who: str, *ends: str, how: Cut = Cut.BOTH) -> None:
        """Between `who` and these ends, or all of them."""
        for end in ends or self._far:
            self._cut[who, end] = how

    def mend(self) -> None:
        """All of them, everywhere."""
        self._cut.clear()
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._mended.set()
        self._mended = asyncio.Event()

    async def _serve(self, end: str, port: int) -> None:
        async def accepted(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            # Cancelled at the end of the test; asyncio would complain of that.
            with contextlib.suppress(asyncio.CancelledError):
                await self._join(end, reader, writer)

        await asyncio.start_server(accepted, "127.0.0.1", port)

    async def _join(
        self, end: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        peer = writer.get_extra_info("peername")[1]
        who = await asyncio.to_thread(owner, peer, self._pids())
        try:
            far = await asyncio.open_connection("127.0.0.1", self._far[end])
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(
            self._pump(reader, far[1], (who, end), frozenset({Cut.BOTH})),
            self._pump(far[0], writer, (who, end), frozenset(Cut)),
        )

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        wire: tuple[str, str],
        stopped_by: frozenset[Cut],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                while self._cut.get(wire) in stopped_by:
                    await self._mended.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


def owner(port: int, pids: Mapping[str, int]) -> str:
    """Which of these processes has the socket bound to `port`; empty for none."""
    wanted = f"0100007F:{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()
    rows = [line.split() for line in lines if wanted in line]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1] == wanted}
    for name, pid in pids.items():
        with contextlib.suppress(OSError):
            for one in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(one.readlink()) in inodes:
                        return name
    return ""
