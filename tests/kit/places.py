"""Network namespaces for the lab's controllers: real links that can be taken down.

Needs root. Each controller runs in a namespace of its own with two links, one to the
store and one to everything else. Loopback inside is not the machine's: small relays on
both sides carry the ports that the estate file names, so that all controllers have one
file. Everything is named after the test's process, and removed by it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType

STORE, REST = 0, 1
"""The two links of a place."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Places:
    """A namespace for each name; `store` and `rest` are ports on this machine."""

    def __init__(
        self, names: Sequence[str], store: Sequence[int], rest: Sequence[int]
    ) -> None:
        self._names = list(names)
        self._ports = (list(store), list(rest))
        self._relays: list[subprocess.Popen[bytes]] = []
        self._base = os.getpid() % 200 + 20

    def space(self, name: str) -> str:
        return f"ds{os.getpid()}-{self._names.index(name)}"

    def inside(self, name: str) -> list[str]:
        """What goes before a command so that it runs in this place."""
        return ["ip", "netns", "exec", self.space(name)]

    def cut(self, name: str, link: int = STORE) -> None:
        ip("link", "set", self._device(name, link), "down")

    def mend(self) -> None:
        for name in self._names:
            for link in (STORE, REST):
                ip("link", "set", self._device(name, link), "up")

    def __enter__(self) -> Places:
        for name in self._names:
            ip("netns", "add", self.space(name))
            ip("-n", self.space(name), "link", "set", "lo", "up")
            for link in (STORE, REST):
                self._lay(name, link)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in self._relays:
            one.kill()
            one.wait()
        for name in self._names:
            ip("netns", "del", self.space(name))

    def _lay(self, name: str, link: int) -> None:
        """One veth pair with addresses, and a relay at both of its ends."""
        space, device = self.space(name), self._device(name, link)
        far = f"{device}p"
        here, there = self._address(name, link, 1), self._address(name, link, 2)
        ip("link", "add", device, "type", "veth", "peer", "name", far, "netns", space)
        ip("addr", "add", f"{here}/30", "dev", device)
        ip("link", "set", device, "up")
        ip("-n", space, "addr", "add", f"{there}/30", "dev", far)
        ip("-n", space, "link", "set", far, "up")
        ports = [str(one) for one in self._ports[link]]
        relay = [sys.executable, "-m", "tests.kit.places"]
        for argv in (
            [*relay, here, "127.0.0.1", *ports],
            [*self.inside(name), *relay, "127.0.0.1", here, *ports],
        ):
            self._relays.append(subprocess.Popen(argv))

    def _device(self, name: str, link: int) -> str:
        return f"ds{os.getpid() % 1_000_000}{self._names.index(name)}{link}"

    def _address(self, name: str, link: int, end: int) -> str:
        number = 8 * self._names.index(name) + 4 * link + end
        return f"10.231.{self._base}.{number}"


async def relay(listen: str, far: str, ports: Sequence[int]) -> None:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(port: int) -> None:
        async def accepted(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            try:
                other = await asyncio.open_connection(far, port)
            except OSError:
                writer.transport.abort()
                return
            await asyncio.gather(pump(reader, other[1]), pump(other[0], writer))

        await asyncio.start_server(accepted, listen, port)

    for port in ports:
        await serve(port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(relay(sys.argv[1], sys.argv[2], [int(one) for one in sys.argv[3:]]))
