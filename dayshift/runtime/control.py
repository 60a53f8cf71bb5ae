"""How other terminals reach the one writer: a Unix socket, mode 0600, JSON lines.

The peer's user is taken from the kernel and recorded with every request. The socket
only passes requests on; the core answers them.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from dayshift.errors import JournalFull, Reason
from dayshift.runtime.frame import Frame, decode, encode
from dayshift.runtime.orchestrator import Orchestrator

LINE_MAX = 64 * 1024 * 1024


class Request(msgspec.Struct, frozen=True):
    """One line to the controller: a verb, and who is meant if not the peer's user."""

    verb: str
    args: dict[str, str] = {}
    person: str = ""


class Reply(msgspec.Struct, frozen=True):
    """One line back."""

    accepted: bool
    reason: Reason | None = None


class ControlServer:
    """Listens while a controller runs."""

    def __init__(self, path: Path, orchestrator: Orchestrator) -> None:
        self.path = path
        self.orchestrator = orchestrator
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Bind the socket; one left by a dead controller is replaced (the journal's
        lock says that nobody else is alive)."""
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _short(self.path) as address:
            listener.bind(address)
        self.path.chmod(0o600)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listener, limit=LINE_MAX
        )

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.path.unlink(missing_ok=True)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            line = await reader.readline()
            request = msgspec.json.decode(line, type=Request)
            await self._answer(request, _peer(writer), writer)
        except (msgspec.DecodeError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, request: Request, peer: str, writer: asyncio.StreamWriter
    ) -> None:
        if request.verb == "frame":
            await self._frames(writer, once=True)
        elif request.verb == "watch":
            await self._frames(writer, once=False)
        else:
            person = f"{request.person} (as {peer})" if request.person else peer
            try:
                answered = await self.orchestrator.ask(
                    request.verb, person, request.args
                )
                reply = Reply(answered.accepted, answered.reason)
            except JournalFull as error:
                reply = Reply(False, error.reason)
            writer.write(msgspec.json.encode(reply) + b"\n")
            await writer.drain()

    async def _frames(self, writer: asyncio.StreamWriter, once: bool) -> None:
        queue: asyncio.Queue[Frame] = asyncio.Queue(maxsize=1)
        self.orchestrator.watchers.add(queue)
        try:
            while True:
                frame = await queue.get()
                writer.write(encode(frame) + b"\n")
                await writer.drain()
                if once:
                    return
        finally:
            self.orchestrator.watchers.discard(queue)


def _peer(writer: asyncio.StreamWriter) -> str:
    """The name of the user at the other end, from the kernel."""
    peer = writer.get_extra_info("socket")
    data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", data)[1]
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of `path` that fits a socket address, however deep the directory lies.

    Why: an address has room for 107 bytes, and an estate may lie deeper than that.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


async def _connect(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    with _short(path) as address:
        return await asyncio.open_unix_connection(address, limit=LINE_MAX)


async def call(path: Path, verb: str, args: Mapping[str, str], person: str) -> Reply:
    """Ask the running controller.

    Raises:
        ConnectionError, FileNotFoundError: no controller runs here.
    """
    reader, writer = await _connect(path)
    writer.write(msgspec.json.encode(Request(verb, dict(args), person)) + b"\n")
    await writer.drain()
    line = await reader.readline()
    writer.close()
    if not line:
        raise ConnectionError("the controller ended before it answered")
    return msgspec.json.decode(line, type=Reply)


async def frames(path: Path, once: bool = False) -> AsyncIterator[Frame]:
    """The running controller's frames; the latest only, when this reader is slow."""
    reader, writer = await _connect(path)
    verb = "frame" if once else "watch"
    writer.write(msgspec.json.encode(Request(verb)) + b"\n")
    await writer.drain()
    try:
        while line := await reader.readline():
            yield decode(line)
    finally:
        writer.close()
