"""Runs a command of the operator's: argv, never a shell; bounded in time and output.

Shared by the drivers that ask a command (duty, bracket, notify, check of a worker).
Here: their common options, the environment they get, and one run to its end. Not here:
work that must survive Dayshift (`workers.supervise`).
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
from pydantic import AfterValidator, BeforeValidator, Field

from dayshift.drivers.base import Context, Millis, StrictOptions
from dayshift.errors import DriverFault, DriverRetry, Reason
from dayshift.limits import DRIVER_TIMEOUT_MS
from dayshift.model.units import Clock

RETRY_MS = 1_000
OUTPUT_BYTES_MAX = 1_048_576
GRACE_MS = 500
"""From SIGTERM to SIGKILL for a command past its limit, and how long output may lag
behind the end of the command that wrote it."""
INHERITED = (
    *("HOME", "LOGNAME", "PATH", "SHELL", "TMPDIR", "USER", "XDG_RUNTIME_DIR"),
    *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_DIR", "SSL_CERT_FILE"),
)
"""All that a command inherits: Dayshift's own environment may hold secrets."""


def _words(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(
            'is one text; write a list of words such as [./upgrade, "2"]: '
            "no shell ever reads it"
        )
    if isinstance(value, list | tuple):
        for word in value:
            if not isinstance(word, str):
                raise ValueError(f'{word!r} is not a text; write "{word}"')
            if "\0" in word:
                raise ValueError("a word holds a NUL character")
        if not value or not value[0]:
            raise ValueError("names no command")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(f"{value!r} is not the name of a variable")
    if value.startswith("DAYSHIFT_"):
        raise ValueError(f"{value} is Dayshift's own to set")
    return value


Argv = Annotated[tuple[str, ...], BeforeValidator(_words)]
"""A command and its arguments; an empty list and a single text are refused."""
VariableName = Annotated[str, AfterValidator(_name)]


class CommandOptions(StrictOptions):
    """What every driver that runs commands takes.

    `environment` adds variables, `secrets` adds variables whose values are references,
    `inherit` names more of Dayshift's own variables to pass on; `answer_limit` bounds a
    question to the command.
    """

    cwd: str = ""
    environment: dict[VariableName, str] = {}
    secrets: dict[VariableName, str] = {}
    inherit: tuple[VariableName, ...] = ()
    answer_limit: Annotated[Millis, Field(gt=0)] = DRIVER_TIMEOUT_MS


class Ran(msgspec.Struct, frozen=True):
    """A command that ended by itself; a negative code is the signal that ended it."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def last_words(self) -> str:
        """Its last line, for messages."""
        lines = [*self.stdout.splitlines(), *self.stderr.splitlines()]
        return next((one for one in map(plain, reversed(lines)) if one), "")


def plain(text: str, length_max: int = 200) -> str:
    """`text` without what could move a terminal's cursor or colour its screen."""
    text = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text)
    shown = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(shown.split())[:length_max]


def inherited(options: CommandOptions) -> dict[str, str]:
    """The part of Dayshift's own environment that a command gets."""
    names = (*INHERITED, *options.inherit)
    return {name: os.environ[name] for name in names if name in os.environ}


async def resolved(options: CommandOptions, context: Context) -> dict[str, str]:
    """The secrets of a command, in a thread: a reference may itself be a command."""
    return {
        name: await asyncio.to_thread(context.secret, reference)
        for name, reference in options.secrets.items()
    }


async def ask(
    options: CommandOptions,
    context: Context,
    argv: Sequence[str],
    facts: Mapping[str, str],
    stdin: bytes = b"",
) -> Ran:
    """Run a command of the estate with its options and the DAYSHIFT_ variables `facts`.

    Raises:
        DriverRetry: it took longer than `answer_limit`.
        DriverFault: it cannot be started, or a secret is missing.
    """
    secrets = await resolved(options, context)
    environment = {**inherited(options), **options.environment, **facts, **secrets}
    ran = await run(
        argv,
        clock=context.clock,
        limit_ms=options.answer_limit,
        cwd=context.base_dir / options.cwd,
        environment=environment,
        stdin=stdin,
    )
    return Ran(ran.exit_code, context.redact(ran.stdout), context.redact(ran.stderr))


async def run(
    argv: Sequence[str],
    *,
    clock: Clock,
    limit_ms: int,
    cwd: Path,
    environment: Mapping[str, str],
    stdin: bytes = b"",
    output_bytes_max: int = OUTPUT_BYTES_MAX,
) -> Ran:
    """Run `argv` to its end; past `limit_ms` its whole process group is ended.

    Raises:
        DriverRetry: it ran into its limit.
        DriverFault: it cannot be started.
    """
    outputs = _Output(), _Output()
    try:
        for output in outputs:
            await output.listen()
        child = _Child(argv, cwd, environment, stdin, outputs)
        try:
            talk = _talk(child, outputs, clock, output_bytes_max)
            return await clock.within(limit_ms, talk)
        finally:
            if not child.ended:
                await _end(child, clock)
    except TimeoutError:
        raise _too_long(argv[0], limit_ms) from None
    except OSError as error:
        raise _not_started(argv[0], cwd, error) from None
    finally:
        for output in outputs:
            output.close()


class _Output:
    """One pipe of a command."""

    def __init__(self) -> None:
        self._source, self.into = map(os.fdopen, os.pipe(), ("rb", "wb"))
        self.stream = asyncio.StreamReader()
        self._transport: asyncio.BaseTransport | None = None

    async def listen(self) -> None:
        """Begin to hear what comes."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self.stream), self._source
        )

    def close_ours(self) -> None:
        """Let go of the end that the command writes to."""
        self.into.close()

    def close(self) -> None:
        self.close_ours()
        if self._transport is not None:
            self._transport.close()
        else:
            self._source.close()


class _Child:
    """A command that runs, at the head of its own process group.

    Not asyncio's: what waits for one of those waits for ever when it is cancelled while
    the loop closes, and for every daemon that was left with a pipe in its hands.
    """

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        stdin: bytes,
        outputs: tuple[_Output, _Output],
    ) -> None:
        with os.fdopen(os.memfd_create("stdin"), "w+b") as source:
            source.write(stdin)
            source.seek(0)
            self._popen = subprocess.Popen(
                argv,
                cwd=cwd,
                env=environment,
                stdin=source,
                stdout=outputs[0].into,
                stderr=outputs[1].into,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        return self._popen.poll() is not None

    async def wait(self) -> int:
        """Its exit code."""
        if not self.ended:
            loop, gone = asyncio.get_running_loop(), asyncio.Event()
            seen = os.pidfd_open(self._popen.pid)
            loop.add_reader(seen, gone.set)
            try:
                await gone.wait()
            finally:
                loop.remove_reader(seen)
                os.close(seen)
        return self._popen.wait()

    def signal(self, number: signal.Signals) -> None:
        """To all of its group."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)


async def _talk(
    child: _Child, outputs: tuple[_Output, _Output], clock: Clock, most: int
) -> Ran:
    texts = bytearray(), bytearray()
    readers = []
    for output, text in zip(outputs, texts, strict=True):
        output.close_ours()
        readers.append(asyncio.ensure_future(_collect(output.stream, text, most)))
    try:
        code = await child.wait()
        with suppress(TimeoutError):
            await clock.within(GRACE_MS, asyncio.gather(*readers))
    finally:
        for reader in readers:
            reader.cancel()
    stdout, stderr = (bytes(one).decode(errors="replace") for one in texts)
    return Ran(code, stdout, stderr)


async def _collect(stream: asyncio.StreamReader, into: bytearray, most: int) -> None:
    while chunk := await stream.read(65_536):
        into += chunk[: most - len(into)]


async def _end(child: _Child, clock: Clock) -> None:
    """SIGTERM to the group, then SIGKILL to whoever is left of it. One that the kernel
    does not let die is not waited for."""
    child.signal(signal.SIGTERM)
    try:
        with suppress(TimeoutError):
            await clock.within(GRACE_MS, child.wait())
    finally:
        child.signal(signal.SIGKILL)
    with suppress(TimeoutError):
        await clock.within(GRACE_MS, child.wait())


def _not_started(command: str, cwd: Path, error: OSError) -> DriverFault:
    return DriverFault(
        Reason(
            "COMMAND-MISSING",
            f"{command} cannot be started in {cwd}",
            because=error.strerror or type(error).__name__,
            so="it did not run",
            next="see that it is there and may be executed, then `dayshift check`",
        )
    )


def _too_long(command: str, limit_ms: int) -> DriverRetry:
    return DriverRetry(
        Reason(
            "COMMAND-TIMEOUT",
            f"{command} did not end within {limit_ms} ms",
            because="it ran into its limit, `answer_limit`",
            so="its process group was ended; what it did so far is unknown",
            next="it is asked again; see why it hangs, or raise the limit",
        ),
        RETRY_MS,
    )


def nonsense(asked: str, ran: Ran, expected: str) -> DriverFault:
    """A command answered with an exit code that means nothing here."""
    return DriverFault(
        Reason(
            "COMMAND-FAILED",
            f"{asked} ended with exit code {ran.exit_code} (expected {expected})",
            because=ran.last_words or "it printed nothing",
            so="its answer counts as unknown",
            next="run the command by hand, then `dayshift check`",
        )
    )
