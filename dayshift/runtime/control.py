"""How other terminals reach a controller: a Unix socket, mode 0600, JSON lines.

The peer's user is taken from the kernel and recorded with every request. The socket
only passes requests on; the core answers them, at whichever controller leads.
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
from typing import Protocol

import msgspec

from dayshift.errors import JournalError, Reason, Refused
from dayshift.model.records import Answered
from dayshift.runtime.frame import Frame, decode, encode

WHO = "who"
LINE_MAX = 64 * 1024 * 1024


class Request(msgspec.Struct, frozen=True):
    """One line to the controller: a verb, and who is meant if not the peer's user."""

    verb: str
    args: dict[str, str] = {}
    person: str = ""


class Reply(msgspec.Struct, frozen=True):
    """One line back; `controller` is who said it, where it serves under a name."""

    accepted: bool
    reason: Reason | None = None
    controller: str = ""


class Reception(Protocol):
    """Who is behind the socket: a run in some terminal, or a controller that serves."""

    watchers: set[asyncio.Queue[Frame]]

    async def ask(
        self, verb: str, person: str, args: Mapping[str, str]
    ) -> Answered: ...


class ControlServer:
    """Listens while a controller runs. `name` is its name where it serves."""

    def __init__(self, path: Path, reception: Reception, name: str = "") -> None:
        self.path = path
        self.reception = reception
        self.name = name
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Bind the socket; one left by a dead controller is replaced.

        Raises:
            Refused: somebody listens there.
        """
        if await _answers(self.path):
            raise Refused(_listened(self.path))
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
            await self._answer(request, *_peer(writer), writer)
        except (msgspec.DecodeError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, request: Request, peer: str, uid: int, writer: asyncio.StreamWriter
    ) -> None:
        if request.verb == "frame":
            await self._frames(writer, once=True)
        elif request.verb == "watch":
            await self._frames(writer, once=False)
        else:
            person = f"{request.person} (as {peer})" if request.person else peer
            reply = Reply(True, controller=self.name)
            if request.verb != WHO:
                reply = await self._asked(request, person, uid)
            writer.write(msgspec.json.encode(reply) + b"\n")
            await writer.drain()

    async def _asked(self, request: Request, person: str, uid: int) -> Reply:
        args = dict(request.args)
        if self.name:
            # From here it may travel: who asked must be told with it.
            args |= {"at": self.name, "uid": str(uid)}
        try:
            answered = await self.reception.ask(request.verb, person, args)
        except JournalError as error:
            return Reply(False, error.reason, self.name)
        return Reply(answered.accepted, answered.reason, self.name)

    async def _frames(self, writer: asyncio.StreamWriter, once: bool) -> None:
        queue: asyncio.Queue[Frame] = asyncio.Queue(maxsize=1)
        self.reception.watchers.add(queue)
        try:
            while True:
                frame = await queue.get()
                writer.write(encode(frame) + b"\n")
                await writer.drain()
                if once:
                    return
        finally:
            self.reception.watchers.discard(queue)


def _peer(writer: asyncio.StreamWriter) -> tuple[str, int]:
    """The user at the other end, name and number, from the kernel."""
    peer = writer.get_extra_info("socket")
    data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", data)[1]
    try:
        return pwd.getpwuid(uid).pw_name, uid
    except KeyError:
        return f"uid {uid}", uid


async def _answers(path: Path) -> bool:
    """True when somebody listens at `path`."""
    try:
        _, writer = await _connect(path)
    except OSError:
        return False
    writer.close()
    return True


def _listened(path: Path) -> Reason:
    return Reason(
        "CONTROLLER-HERE",
        f"a controller listens at {path} already",
        because="one controller for each directory",
        so="nothing was started and nothing moved",
        next="`dayshift status` shows it; end it first, or use another directory",
    )


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


async def served_by(path: Path) -> str:
    """The name of the controller that serves here; empty for a run in a terminal.

    Raises:
        ConnectionError, FileNotFoundError: nobody listens.
    """
    return (await call(path, WHO, {}, "")).controller


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
    if not line.endswith(b"\n"):
        raise ConnectionError("the controller ended before it answered")
    return msgspec.json.decode(line, type=Reply)


async def frames(path: Path, once: bool = False) -> AsyncIterator[Frame]:
    """The running controller's frames; the latest only, when this reader is slow."""
    reader, writer = await _connect(path)
    verb = "frame" if once else "watch"
    writer.write(msgspec.json.encode(Request(verb)) + b"\n")
    await writer.drain()
    try:
        # A controller that ends may do so within a line.
        while (line := await reader.readline()).endswith(b"\n"):
            yield decode(line)
    finally:
        writer.close()
