"""Options that several verbs share, described once."""

from __future__ import annotations

from typing import Annotated

import typer

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; I agree.")]
ExitWhenHeld = Annotated[
    bool,
    typer.Option(
        "--exit-when-held",
        help="On a hold print the ways on and leave with exit code 3. Without it, a "
        "held run is watched until somebody chooses.",
    ),
]
Plain = Annotated[
    bool, typer.Option("--plain", help="Lines instead of a live picture.")
]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Recorded.")]
