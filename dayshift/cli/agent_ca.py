"""`dayshift agent-ca`: an authority for agents and controllers, for who has none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli import say
from dayshift.drivers.agents.names import Identity, Role
from dayshift.runtime.clock import RealClock

app = typer.Typer(
    name="agent-ca",
    help="Certificates for agents and controllers, of an authority of our own.",
    no_args_is_help=True,
    add_completion=False,
)
Folder = Annotated[
    Path, typer.Option("--ca-dir", help="Where the authority and its issue lie.")
]
EstateName = Annotated[str, typer.Option("--estate", help="The estate's name.")]
HERE = Path("agent-ca")


@app.command()
def init(estate: EstateName, ca_dir: Folder = HERE) -> None:
    """Make an authority. Keep its key away from agents and controllers."""
    from dayshift.agent import certificates

    path = certificates.init(ca_dir, estate, RealClock().now().wall_ms)
    say.out(f"{path} goes to every agent and controller; ca.key goes nowhere")


@app.command()
def issue(
    role: Annotated[Role, typer.Argument(help="controller or agent")],
    name: Annotated[str, typer.Argument(help="its name in the estate")],
    estate: EstateName,
    host: Annotated[
        list[str] | None, typer.Option("--host", help="An agent's names, addresses.")
    ] = None,
    days: Annotated[int, typer.Option(help="How long it is valid.")] = 90,
    ca_dir: Folder = HERE,
) -> None:
    """Make or renew a certificate. Put it in place; no restart is needed."""
    from dayshift.agent import certificates

    now_ms = RealClock().now().wall_ms
    who = Identity(estate, role, name)
    cert, key = certificates.issue(ca_dir, who, host or [], now_ms, days)
    say.out(f"{cert} and {key}: {who}, valid for {days} days")


@app.command()
def show(ca_dir: Folder = HERE) -> None:
    """Every certificate that was issued, and when it expires."""
    from dayshift.agent import certificates

    for file, who, left in certificates.shown(ca_dir, RealClock().now().wall_ms):
        when = f"{left} days left" if left >= 0 else "EXPIRED"
        say.out(f"{file:<28} {when:<14} {who}")
