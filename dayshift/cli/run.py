"""`dayshift run`: do a change, region by region, or go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli import files, launch
from dayshift.cli.everywhere import Cli
from dayshift.cli.foreground import Manner
from dayshift.cli.options import ExitWhenHeld, Plain, Yes
from dayshift.model.plan import Verb
from dayshift.runtime.session import make_plan


def run(
    cli: Cli,
    change: Annotated[Path, typer.Argument(help="What to do: a change file.")],
    yes: Yes = False,
    exit_when_held: ExitWhenHeld = False,
    as_lines: Plain = False,
) -> int:
    """Do a change: drain, prove empty, work, validate, return under the gate, next.

    The same command goes on with a run that was interrupted, even by kill -9: every
    dial is read back first, nothing is repeated blindly. Ctrl-C asks; it never just
    stops. Other terminals can watch and steer it meanwhile.

    Example: `dayshift run change.yaml`; in a pipeline with `--yes --exit-when-held`.
    """
    estate = files.load_estate(cli)
    wanted = files.load_change(cli, change, estate)
    plan = make_plan(estate, wanted, Verb.MAINTAIN)
    return launch.launch(cli, plan, Manner(exit_when_held, as_lines), yes)
