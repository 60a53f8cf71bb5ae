"""The admin_state file of one gdnsd: what is forced down, and by whose write.

Here: our own lines of the file, the claim among them, and the rest kept as it is. Not
here: what gdnsd made of it, which only gdnsd can say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from dayshift.drivers.dials.names.saying import fault
from dayshift.drivers.files import locked, replace_file
from dayshift.errors import DriverFault
from dayshift.model.dial import Claim, parse_claim


class AdminText(msgspec.Struct, frozen=True):
    """One version of the file: everybody else's lines, and the claim on ours."""

    others: tuple[str, ...]
    claim: Claim | None
    fault: str = ""


class AdminState:
    """The lines that one dial keeps in the file, between two marks of its own."""

    def __init__(self, path: Path, label: str) -> None:
        self._path = path
        self._begin = f"# dayshift {label} "
        self._end = f"# dayshift {label} end"

    def load(self) -> AdminText:
        """What the file says; one that is not there says nothing.

        Raises:
            DriverFault: it cannot be read.
        """
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return AdminText((), None)
        except (OSError, UnicodeDecodeError) as error:
            raise self._unusable("cannot be read", str(error)) from None
        return self._parsed(text.splitlines())

    def _parsed(self, lines: Sequence[str]) -> AdminText:
        others: list[str] = []
        words: list[str] = []
        ours = False
        for line in lines:
            if line == self._end:
                ours = False
            elif line.startswith(self._begin):
                ours = True
                words.append(line.removeprefix(self._begin))
            elif not ours:
                others.append(line)
        if not words:
            return AdminText(tuple(others), None)
        claim = parse_claim(words[0])
        if claim is None or len(words) > 1 or ours:
            why = f"its marks are not as they were written: {', '.join(words)}"
            return AdminText(tuple(others), None, why)
        return AdminText(tuple(others), claim)

    def replace(self, found: AdminText, down: Sequence[str], claim: Claim) -> None:
        """Force exactly these states down; our lines come last, and so decide.

        Raises:
            DriverFault: it cannot be written.
        """
        ours = [f"{self._begin}{claim}", *(f"{one} => DOWN" for one in down), self._end]
        text = "".join(f"{line}\n" for line in (*found.others, *ours))
        try:
            replace_file(self._path, text.encode())
        except OSError as error:
            raise self._unusable("cannot be replaced", str(error)) from None

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the file's lock, or yield False at once when another process has it."""
        with ExitStack() as stack:
            try:
                mine = stack.enter_context(locked(self._path))
            except OSError as error:
                raise self._unusable("cannot be locked", str(error)) from None
            yield mine

    def _unusable(self, what: str, because: str) -> DriverFault:
        return fault(
            "ADMIN-STATE-UNUSABLE",
            f"{self._path} {what}",
            because=because,
            so="nothing was written there",
        )
