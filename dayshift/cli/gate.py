"""`dayshift gate`: learn what is usual, try an incident on the gate, record one."""

from __future__ import annotations

import typer

from dayshift.cli.everywhere import everywhere, family
from dayshift.cli.gate_calibrate import calibrate
from dayshift.cli.gate_export import export
from dayshift.cli.gate_replay import replay

HELP = """\
Learn what is usual, before anyone drains; try last month's incident.

`calibrate` learns how the regions differ when nothing is wrong;
`replay` gives a recorded file to the gate: what would it have done, when?
`export` writes such a file from Prometheus. Format: docs/gate-file.md.

Example: `dayshift gate calibrate --since 4h --write`
"""

app = typer.Typer(
    name="gate",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.callback(help=HELP)(family)
for verb in (calibrate, replay, export):
    app.command(verb.__name__)(everywhere(verb))
