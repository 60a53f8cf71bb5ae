"""`dayshift`: parses, calls the verb, and turns every error into its Reason.

Exit codes and the shape of errors are promised here. Verbs are found in `verbs` and
imported only when they are typed.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from dayshift.cli import say
from dayshift.cli.everywhere import (
    STATE_DIR,
    asked_for_json,
    everywhere,
    root,
)
from dayshift.cli.verbs import VERBS, Verb
from dayshift.errors import (
    EXIT_DONE,
    EXIT_ERROR,
    EXIT_USAGE,
    Bug,
    DayshiftError,
    Reason,
)

EPILOG = """\
Exit codes:

\b
  0  done
  1  error (a driver, the journal, a bug)
  2  usage, or a file that is not right
  3  held: it stopped and needs you
  4  aborted: it went back, verified
  5  refused by a guard: nothing moved

Every error says what, because, so, next. `dayshift VERB --help` has an example.
"""
EXIT_INTERRUPTED = 130


class LazyCommand(TyperCommand):
    """Stands for a verb in the help; becomes the verb when it is typed."""

    def __init__(self, verb: Verb) -> None:
        super().__init__(verb.name, short_help=verb.summary, rich_help_panel=verb.panel)
        self._verb = verb

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        return load(self._verb).make_context(info_name, args, parent, **extra)


class VerbGroup(TyperGroup):
    """All verbs, none of them imported."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for verb in VERBS:
            self.add_command(LazyCommand(verb))


def load(verb: Verb) -> Any:
    """Import a verb and make its command."""
    module = importlib.import_module(f"dayshift.cli.{verb.module}")
    found = getattr(module, verb.function)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    one = typer.Typer(add_completion=False, rich_markup_mode="rich")
    help_names = {"help_option_names": ["--help", "-h"]}
    one.command(verb.name, context_settings=help_names)(_with_options(found))
    return typer.main.get_command(one)


def _with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The common options, unless the function has its own idea of them."""
    takes_cli = "cli" in function.__annotations__
    return everywhere(function) if takes_cli else function


app = typer.Typer(
    name="dayshift",
    cls=VerbGroup,
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.callback()(root)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never a traceback for what can be
    expected."""
    given = list(sys.argv[1:] if argv is None else argv)
    as_json = asked_for_json(given)
    try:
        code = app(given, prog_name="dayshift", standalone_mode=False)
        return code if isinstance(code, int) else EXIT_DONE
    except Bug as error:
        say.reason(_bug(error, given), as_json)
        return error.exit_code
    except DayshiftError as error:
        say.error(error, as_json)
        return error.exit_code
    except typer.Abort:
        say.reason(_left(), as_json)
        return EXIT_ERROR
    except typer.TyperException as error:
        return _usage(error, as_json)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader went away; nothing can be said to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except Exception as error:
        say.reason(_bug(error, given), as_json)
        return EXIT_ERROR


def _usage(error: typer.TyperException, as_json: bool) -> int:
    """What was typed cannot be understood."""
    text = getattr(error, "format_message", error.__str__)()
    ctx = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return EXIT_USAGE
    path = ctx.command_path if ctx is not None else "dayshift"
    wrong = Reason(
        "USAGE",
        text.rstrip("."),
        so="nothing was read and nothing moved",
        next=f"`{path} --help`",
    )
    say.reason(wrong, as_json)
    return EXIT_USAGE


def _left() -> Reason:
    return Reason(
        "NOT-CONFIRMED",
        "you did not agree",
        so="nothing moved",
        next="the same command again, or with `--yes`",
    )


def _bug(error: Exception, argv: list[str]) -> Reason:
    """An error that nobody foresaw: its traceback goes into a file."""
    path = _crash_file("".join(traceback.format_exception(error)), argv)
    return Reason(
        "BUG",
        f"{type(error).__name__}: {_first_line(error)}",
        because="this should not have happened; it is our mistake",
        so=f"this command ended; the traceback is in {path}. What runs in other "
        "processes goes on, and no dial was moved by this",
        next="`dayshift status` says where things stand; please report the file",
    )


def _first_line(error: Exception) -> str:
    text = error.reason.what if isinstance(error, DayshiftError) else str(error)
    return text.splitlines()[0] if text else "no message"


def _crash_file(text: str, argv: list[str]) -> str:
    """Write the traceback beside the journal, or at least print it."""
    folder = next(
        (p / STATE_DIR for p in _places(argv) if (p / STATE_DIR).is_dir()), None
    )
    if folder is not None:
        path = folder / f"crash-{os.getpid()}.log"
        try:
            path.write_text(text)
        except OSError:
            folder = None
        else:
            return str(path)
    sys.stderr.write(text)
    return "the lines above"


def _places(argv: list[str]) -> tuple[Path, ...]:
    """Where a journal may be: as `Cli.base`, but without a parsed command line."""
    for option in ("--dir", "-C"):
        if option in argv[:-1]:
            return (Path(argv[argv.index(option) + 1]),)
    here = Path.cwd()
    return (here, *here.parents)
