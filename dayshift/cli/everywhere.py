"""What every verb has: `--dir`, `--json`, `--no-color`, `--as`; and where they lead.

Here lives the decorator that gives a function these options, and the `Cli` that it is
handed in return. No verb, and nothing that reads an estate.
"""

from __future__ import annotations

import getpass
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from dayshift.errors import Reason, SettingsInvalid

ESTATE_FILE = "dayshift.yaml"
STATE_DIR = ".dayshift"
PANEL = "Everywhere"

Dir = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        "-C",
        help=f"Where {ESTATE_FILE} lies. Default: here, or a directory above.",
        rich_help_panel=PANEL,
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=PANEL),
]
NoColor = Annotated[
    bool,
    typer.Option(
        "--no-color", help="No colours (or set NO_COLOR).", rich_help_panel=PANEL
    ),
]
As = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="NAME",
        help="Who you are; recorded as `NAME (as user)`.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True)
class Cli:
    """Where this command works, for whom, and in which form it answers."""

    directory: Path | None = None
    as_json: bool = False
    name: str = ""

    @property
    def person(self) -> str:
        """Who asks, as it is recorded."""
        user = getpass.getuser()
        return f"{self.name} (as {user})" if self.name else user

    @property
    def base(self) -> Path:
        """The directory of the estate: the one named, or the nearest above.

        Raises:
            SettingsInvalid: there is neither an estate file nor a journal.
        """
        start = (self.directory or Path.cwd()).resolve()
        above = () if self.directory else start.parents
        for place in (start, *above):
            if (place / ESTATE_FILE).is_file() or (place / STATE_DIR).is_dir():
                return place
        raise SettingsInvalid((_no_estate(start, bool(above)),))

    def path(self, given: Path) -> Path:
        """A file named on the command line: relative to `--dir`, or to here."""
        return (self.directory or Path.cwd()) / given


def _no_estate(start: Path, searched: bool) -> Reason:
    return Reason(
        "NO-ESTATE",
        f"there is no {ESTATE_FILE} in {start}",
        because="nor in any directory above it" if searched else "--dir names it",
        so="nothing was read and nothing moved",
        next="`dayshift init` writes one; `--dir DIR` names another place; "
        "`dayshift lab up` makes an estate to play with",
    )


def root(
    ctx: typer.Context,
    directory: Dir = None,
    as_json: Json = False,
    no_color: NoColor = False,
    name: As = "",
) -> None:
    """Take a region out of live traffic, prove it empty, maintain it, give it back.

    Start with `dayshift lab up` and play, or with `dayshift init` for your own estate;
    then `dayshift check`, `dayshift plan change.yaml`, `dayshift run change.yaml`.
    """
    ctx.obj = _cli(None, directory, as_json, no_color, name)


def family(
    ctx: typer.Context,
    directory: Dir = None,
    as_json: Json = False,
    no_color: NoColor = False,
    name: As = "",
) -> None:
    """The same options on a verb that has verbs of its own."""
    root = ctx.find_root()
    root.obj = _cli(root.obj, directory, as_json, no_color, name)


def _cli(
    outer: Cli | None, directory: Path | None, as_json: bool, no_color: bool, name: str
) -> Cli:
    """The options of a verb over those that were given before it."""
    outer = outer or Cli()
    if no_color:
        os.environ["NO_COLOR"] = "1"
    return Cli(
        directory or outer.directory,
        as_json or outer.as_json,
        name or outer.name,
    )


def everywhere(verb: Callable[..., int]) -> Callable[..., int]:
    """Give `verb(cli, …)` the common options; it returns the exit code."""
    own = inspect.signature(verb, eval_str=True)
    common = inspect.signature(root, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [one.replace(kind=keyword) for one in common.parameters.values()]
    mine = [one for name, one in own.parameters.items() if name != "cli"]
    mine = [one.replace(kind=keyword) for one in mine]

    @wraps(verb)
    def wrapped(**given: Any) -> int:
        ctx: typer.Context = given.pop("ctx")
        options = [given.pop(one.name) for one in shared[1:]]
        return verb(_cli(ctx.find_root().obj, *options), **given)

    parameters = [*mine, *shared]
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in parameters}
    return wrapped


def asked_for_json(argv: list[str]) -> bool:
    """Whether errors must be JSON too, even where the options cannot be parsed."""
    return "--json" in argv


def on_terminal() -> bool:
    """Is a person at both ends?"""
    return sys.stdin.isatty() and sys.stdout.isatty()
