"""Secrets are references, resolved at use and known to one redactor.

    file:PATH         a file's text without its last line break; relative to the estate
    env:NAME          a variable of Dayshift's own environment
    exec:["a", "b"]   the standard output of a command, run without a shell
    systemd:NAME      a credential that systemd passed to this service

Here: references, their resolution, the redactor. A resolved value is never kept in a
message, a `repr` or a file.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from dayshift.drivers.redaction import MARK, SECRET_LENGTH_MIN, forms
from dayshift.errors import DriverFault, DriverRetry, Reason
from dayshift.limits import DRIVER_TIMEOUT_MS

SECRET_BYTES_MAX = 65_536
RETRY_MS = 1_000


class Redactor:
    """Blots out every secret that was ever resolved, in all its shapes."""

    def __init__(self) -> None:
        self._shapes: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, secret: str) -> None:
        """From here on `secret` never passes `redact`."""
        new = set(forms(secret)) - self._shapes
        if new:
            self._shapes |= new
            longest_first = sorted(self._shapes, key=lambda one: (-len(one), one))
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def redact(self, text: str) -> str:
        return self._pattern.sub(MARK, text) if self._pattern else text

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._shapes)} shapes>"


class Secrets:
    """Resolves references; relative paths start at `base_dir`.

    Args:
        names: what must stay readable in claims and answers of devices.
    """

    def __init__(self, base_dir: Path, names: Iterable[str] = ()) -> None:
        self.redactor = Redactor()
        self._base_dir = base_dir
        self._names = tuple(names)
        self._schemes: dict[str, Callable[[str], str]] = {
            "file": self._file,
            "env": self._env,
            "exec": self._exec,
            "systemd": self._systemd,
        }

    def __repr__(self) -> str:
        return f"<Secrets known to {self.redactor!r}>"

    def resolve(self, reference: str) -> str:
        """The secret's value now; the redactor knows it before anybody else does.

        Raises:
            DriverRetry: the command that tells it took too long.
            DriverFault: it is not a reference, or there is no usable value.
        """
        reason = reference_reason(reference)
        if reason:
            raise DriverFault(reason)
        scheme, _, rest = reference.partition(":")
        value = self._schemes[scheme](rest)
        if len(value) < SECRET_LENGTH_MIN:
            raise _fault(
                f"the secret {reference} has {len(value)} characters "
                f"(at least {SECRET_LENGTH_MIN})",
                "so short a value cannot be kept out of texts",
            )
        for name in self._names:
            if value in name:
                raise _fault(
                    f"the secret {reference} stands in the name `{name}`",
                    "it would be blotted out of claims, and a dial would look like "
                    "somebody else's",
                )
        self.redactor.learn(value)
        return value

    def _file(self, path: str) -> str:
        try:
            with (self._base_dir / path).open("rb") as file:
                return _text(file.read(SECRET_BYTES_MAX + 1), f"file:{path}")
        except OSError as error:
            raise _fault(
                f"the secret file:{path} cannot be read", error.strerror or "no cause"
            ) from None

    def _env(self, name: str) -> str:
        try:
            return os.environ[name]
        except KeyError:
            raise _fault(
                f"the secret env:{name} is not set", "Dayshift's own environment"
            ) from None

    def _exec(self, rest: str) -> str:
        argv: list[str] = json.loads(rest)
        try:
            ran = subprocess.run(
                argv,
                cwd=self._base_dir,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=DRIVER_TIMEOUT_MS / 1000,
                check=False,
            )
        except subprocess.TimeoutExpired:
            what = f"{argv[0]} did not tell its secret within {DRIVER_TIMEOUT_MS} ms"
            raise DriverRetry(_reason(what, "it still ran"), RETRY_MS) from None
        except OSError as error:
            raise _fault(
                f"{argv[0]} cannot be started for its secret",
                error.strerror or "no cause",
            ) from None
        if ran.returncode:
            # What it printed is not shown: half a secret may stand there.
            raise _fault(
                f"{argv[0]} told no secret: exit code {ran.returncode}, not 0",
                "its output is not shown, for what may stand in it",
            )
        return _text(ran.stdout, f"exec:{argv[0]}")

    def _systemd(self, name: str) -> str:
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise _fault(
                f"the secret systemd:{name} is not there",
                "CREDENTIALS_DIRECTORY is not set: systemd did not start this process",
            )
        return self._file(str(Path(directory) / name))


def reference_reason(reference: str) -> Reason | None:
    """Why `reference` is not a reference to a secret, or None. Resolves nothing."""
    scheme, colon, rest = reference.partition(":")
    if not colon or scheme not in ("file", "env", "exec", "systemd"):
        # The text itself is not shown: it may well be the secret.
        return _unreadable("a secret is not written as a reference")
    if not rest:
        return _unreadable(f"the secret reference `{scheme}:` names nothing")
    if scheme == "exec" and not _is_argv(rest):
        return _unreadable('a command for a secret is not a list such as ["pass", "x"]')
    if scheme == "systemd" and ("/" in rest or rest in (".", "..")):
        return _unreadable("the name of a systemd credential holds a slash")
    return None


def _is_argv(text: str) -> bool:
    try:
        argv = json.loads(text)
    except ValueError:
        return False
    return (
        isinstance(argv, list)
        and bool(argv)
        and all(isinstance(word, str) and "\0" not in word for word in argv)
        and bool(argv[0])
    )


def _unreadable(what: str) -> Reason:
    return Reason(
        "SECRET-REFERENCE",
        what,
        because="a secret never stands in a file of Dayshift itself",
        so="nothing was resolved",
        next='write file:PATH, env:NAME, exec:["command", "argument"] or systemd:NAME',
    )


def _text(data: bytes, whose: str) -> str:
    if len(data) > SECRET_BYTES_MAX:
        raise _fault(
            f"the secret {whose} is longer than {SECRET_BYTES_MAX} bytes",
            f"at least {len(data)} bytes were read",
        )
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise _fault(f"the secret {whose} is not text", "it is not UTF-8") from None


def _fault(what: str, because: str) -> DriverFault:
    return DriverFault(_reason(what, because))


def _reason(what: str, because: str) -> Reason:
    return Reason(
        "SECRET-MISSING",
        what,
        because,
        "what needs the secret was not done",
        "see that the reference is right and readable here, then `dayshift check`",
    )
