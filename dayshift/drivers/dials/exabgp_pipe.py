"""The pipes of one ExaBGP: commands in, answers out, one conversation at a time.

No answer says what it answers, and one that nobody waited for comes first in the next
conversation. So each begins with questions in a random order, and what was heard before
their answers is of the past. Not here: what the commands say (`exabgp_speaker`).
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from dayshift.drivers.base import Context
from dayshift.errors import DriverFault, DriverRetry, Reason
from dayshift.limits import READ_TIMEOUT_MS
from dayshift.model.units import elapsed_ms

RETRY_MS = 500
POLL_MS = 5
CHUNK = 65_536
ENDS = {"done": True, "error": False, "shutdown": False}
NOBODY = "0.0.0.0"
ONE, ZERO = f"show neighbor {NOBODY} summary", f"show adj-rib out {NOBODY}"
"""Answered in turn with everything else: the first by a line, the second by none."""
BITS = 12


class Answer(msgspec.Struct, frozen=True):
    """What one command was answered."""

    lines: tuple[str, ...]
    accepted: bool


class ExabgpPipe:
    """`NAME.in` and `NAME.out` of one ExaBGP, as its command line uses them."""

    def __init__(self, device: str, pipe: Path, context: Context) -> None:
        self._device = device
        self._in, self._out = (
            pipe.with_name(pipe.name + end) for end in (".in", ".out")
        )
        self._clock = context.clock

    async def ask(self, *commands: str) -> list[Answer]:
        """The answer to each, one after the other.

        Raises:
            DriverRetry: it does not run, or does not answer in time.
            DriverFault: its pipes are not there, or not for this user.
        """
        begun = self._clock.now()
        with self._opened() as (into, out):
            talk = _Talk(into, out)
            while True:
                if talk.go_on(commands):
                    return talk.answers
                if elapsed_ms(begun, self._clock.now()) > READ_TIMEOUT_MS:
                    raise self._silent(f"no answer within {READ_TIMEOUT_MS} ms")
                await self._clock.sleep(POLL_MS)

    @contextmanager
    def _opened(self) -> Iterator[tuple[int, int]]:
        found: list[int] = []
        try:
            try:
                found.append(os.open(self._in, os.O_WRONLY | os.O_NONBLOCK))
                found.append(os.open(self._out, os.O_RDONLY | os.O_NONBLOCK))
            except OSError as error:
                raise self._unusable(error) from None
            yield found[0], found[1]
        finally:
            for one in found:
                os.close(one)

    def _unusable(self, error: OSError) -> DriverRetry | DriverFault:
        if isinstance(error, (PermissionError, FileNotFoundError)):
            return DriverFault(
                Reason(
                    "ROUTES-UNUSABLE",
                    f"{self._device} cannot be reached by {self._in} and {self._out}",
                    because=error.strerror or "",
                    next="make both as docs/dials/exabgp.md says, for Dayshift's user",
                )
            )
        return self._silent("nobody reads its pipe")

    def _silent(self, because: str) -> DriverRetry:
        return DriverRetry(
            Reason(
                "UNREACHABLE",
                f"{self._device} does not answer",
                because=because,
                so="what it announces is unknown",
                next="see that ExaBGP runs, with `api.ack`, and who else asks it",
            ),
            RETRY_MS,
        )


class _Talk:
    """One conversation over open pipes, which never waits."""

    def __init__(self, into: int, out: int) -> None:
        self._into, self._out = into, out
        self._mine = False
        self._token = [bool(secrets.randbits(1)) for _ in range(BITS)]
        self._present = False
        self._heard: list[Answer] = []
        self._asked = 0
        self._text = b""
        self._lines: list[str] = []
        self.answers: list[Answer] = []

    def go_on(self, commands: Sequence[str]) -> bool:
        """Say what comes next, hear what is there; True when all is answered."""
        if not self._mine and not self._begin():
            return False
        self._hear()
        if not self._present:
            return False
        if len(self.answers) == len(commands):
            return True
        if self._asked == len(self.answers):
            self._say(commands[self._asked])
            self._asked += 1
        return False

    def _begin(self) -> bool:
        """Take the pipe for ourselves, and ask what tells the past from now."""
        try:
            fcntl.flock(self._into, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._mine = True
        self._say("\n".join(ONE if bit else ZERO for bit in self._token))
        return True

    def _say(self, text: str) -> None:
        """A full pipe is one that nobody reads; that no answer comes is told."""
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._into, f"{text}\n".encode())

    def _hear(self) -> None:
        try:
            self._text += os.read(self._out, CHUNK)
        except BlockingIOError:
            return
        *lines, self._text = self._text.split(b"\n")
        for line in lines:
            self._line(line.decode(errors="replace"))

    def _line(self, line: str) -> None:
        if line not in ENDS:
            self._lines.append(line)
            return
        answer = Answer(tuple(self._lines), ENDS[line])
        self._lines = []
        if self._present:
            self.answers.append(answer)
            return
        self._heard.append(answer)
        told = [bool(one.lines) for one in self._heard[-BITS:]]
        self._present = told == self._token
