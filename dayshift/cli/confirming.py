"""Asks a person before something moves; a program must say `--yes`."""

from __future__ import annotations

import sys

import typer

from dayshift.cli.everywhere import Cli
from dayshift.errors import Reason, SettingsInvalid


def confirm(cli: Cli, question: str, yes: bool) -> None:
    """Return only if the person agrees.

    Raises:
        SettingsInvalid: nobody is there who could agree, and no `--yes`.
        typer.Abort: the person does not.
    """
    if yes:
        return
    if cli.as_json or not sys.stdin.isatty():
        why = "--json asks nobody" if cli.as_json else "stdin is no terminal"
        raise SettingsInvalid(
            (
                Reason(
                    "NEEDS-YES",
                    question,
                    because=f"{why}, so nobody can agree to it",
                    so="nothing moved",
                    next="the same command with `--yes`",
                ),
            )
        )
    typer.confirm(question, abort=True, err=True)
