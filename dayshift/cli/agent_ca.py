"""`dayshift agent-ca`: an authority for agents and controllers, for who has none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli import say
from dayshift.cli.everywhere import Cli, everywhere, family
from dayshift.drivers.agents.names import Identity, Role
from dayshift.errors import EXIT_DONE
from dayshift.runtime.clock import RealClock

HELP = """\
An authority for agents and controllers, for who has none.

`init` makes it; `issue` makes or renews a certificate; `show` says when each expires.
An authority of your own does as well: docs/agent.md, Certificates.

Example: `dayshift agent-ca issue agent edge-fra --estate shop --host 10.0.0.5`
"""
Folder = Annotated[
    Path, typer.Option("--ca-dir", help="Where the authority and its issue lie.")
]
EstateName = Annotated[str, typer.Option("--estate", help="The estate's name.")]
HERE = Path("agent-ca")


def init(cli: Cli, estate: EstateName, ca_dir: Folder = HERE) -> int:
    """Make an authority. Keep its key away from agents and controllers."""
    from dayshift.agent import certificates

    path = certificates.init(cli.path(ca_dir), estate, RealClock().now().wall_ms)
    say.out(f"{path} goes to every agent and controller; ca.key goes nowhere")
    return EXIT_DONE


def issue(
    cli: Cli,
    role: Annotated[Role, typer.Argument(help="controller or agent")],
    called: Annotated[
        str, typer.Argument(metavar="NAME", help="its name in the estate")
    ],
    estate: EstateName,
    host: Annotated[
        list[str] | None, typer.Option("--host", help="An agent's names, addresses.")
    ] = None,
    days: Annotated[int, typer.Option(help="How long it is valid.")] = 90,
    ca_dir: Folder = HERE,
) -> int:
    """Make or renew a certificate. Put it in place; no restart is needed."""
    from dayshift.agent import certificates

    now_ms = RealClock().now().wall_ms
    who = Identity(estate, role, called)
    cert, key = certificates.issue(cli.path(ca_dir), who, host or [], now_ms, days)
    say.out(f"{cert} and {key}: {who}, valid for {days} days")
    return EXIT_DONE


def show(cli: Cli, ca_dir: Folder = HERE) -> int:
    """Every certificate that was issued, and when it expires."""
    from dayshift.agent import certificates

    for file, who, left in certificates.shown(
        cli.path(ca_dir), RealClock().now().wall_ms
    ):
        when = f"{left} days left" if left >= 0 else "EXPIRED"
        say.out(f"{file:<28} {when:<14} {who}")
    return EXIT_DONE


app = typer.Typer(
    name="agent-ca",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.callback(help=HELP)(family)
for verb in (init, issue, show):
    app.command(verb.__name__)(everywhere(verb))
