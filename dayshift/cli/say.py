"""How the command line speaks: results on stdout, errors and questions on stderr.

With `--json` stdout carries exactly one JSON document, errors included, and nobody is
asked anything.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from dayshift.errors import DayshiftError, Reason, SettingsInvalid


def error(what: DayshiftError, as_json: bool) -> None:
    """An expected error: its Reason, or all of them."""
    reasons = what.reasons if isinstance(what, SettingsInvalid) else (what.reason,)
    if as_json:
        document(_error_document(reasons))
        return
    for one in reasons:
        _print_reason(one)


def reason(what: Reason, as_json: bool) -> None:
    """One Reason that no exception carried."""
    if as_json:
        document(_error_document((what,)))
    else:
        _print_reason(what)


def _error_document(reasons: tuple[Reason, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {"error": reasons[0]}
    if len(reasons) > 1:
        found["errors"] = reasons
    return found


def _print_reason(one: Reason) -> None:
    from rich.console import Console
    from rich.text import Text

    lines = str(one).splitlines()
    text = Text(lines[0], "bold red" if sys.stderr.isatty() else "")
    for line in lines[1:]:
        text.append(f"\n{line}", "not bold default")
    Console(stderr=True, highlight=False, soft_wrap=True).print(text)


def document(content: Any) -> None:
    """The one JSON document of this command."""
    data = msgspec.json.format(msgspec.json.encode(content), indent=2)
    sys.stdout.write(data.decode() + "\n")
    sys.stdout.flush()


def line(content: str) -> None:
    """One JSON document of a stream, on one line."""
    sys.stdout.write(content + "\n")
    sys.stdout.flush()


def text(content: str) -> None:
    """A document that was rendered already."""
    sys.stdout.write(content.rstrip("\n") + "\n")
    sys.stdout.flush()


def out(text: str = "") -> None:
    """A line of the result."""
    print(text, flush=True)


def note(text: str) -> None:
    """A line for the person in front that is no part of the result."""
    print(text, file=sys.stderr, flush=True)
