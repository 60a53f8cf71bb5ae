"""`dayshift lab up --network` and its `down` and `status`: what is said of them.

Everything that is done lies in `dayshift.lab.network`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from dayshift.errors import EXIT_DONE, EXIT_ERROR, Reason, Refused
from dayshift.lab.network import spec as layout
from dayshift.lab.network import up as lab
from dayshift.lab.network import users
from dayshift.lab.network.spec import NetSpec


def start(console: Console, spec: NetSpec, load: users.Load, limit_s: int) -> None:
    """Start what is not running; send users; say how it is, and what to type next."""
    lab.up(spec)
    if load.rps:
        users.start(spec, load, limit_s)
    show(console, spec, lab.status(spec))
    console.print(_next_steps(spec), markup=False)


def down(directory: Path, wipe: bool) -> None:
    """End exactly what belongs to the lab, and take its network away."""
    spec = layout.load(directory)
    ended = lab.down(spec)
    typer.echo(f"ended {len(ended)}: {', '.join(ended)}" if ended else "nothing ran")
    felt = users.felt(spec)
    if felt is not None:
        typer.echo(told(felt))
    if wipe:
        shutil.rmtree(spec.dir)


def status(directory: Path, as_json: bool) -> None:
    """Say what runs and where users are led; exit 1 if a part is dead."""
    spec = layout.load(directory)
    now = lab.status(spec)
    if as_json:
        sys.stdout.write(msgspec.json.encode(now).decode() + "\n")
    else:
        show(Console(highlight=False), spec, now)
    raise typer.Exit(EXIT_DONE if now.running and not now.dead else EXIT_ERROR)


def refuse_other(directory: Path) -> None:
    """For the verbs that only the lab without a network has."""
    if layout.is_built(directory):
        raise Refused(
            Reason(
                "LAB-IS-NETWORK",
                f"{directory} holds a network lab",
                because="this verb is for the lab of Envoys",
                so="nothing was done",
                next="`up`, `status` and `down` work here, and every verb in its "
                "directory; ip, birdc and the sockets in /run break the rest",
            )
        )


def told(felt: users.Felt) -> str:
    """What the users who have gone felt, in one line."""
    asked = sum(one.asked for one in felt.kinds.values())
    reset = sum(one.reset for one in felt.kinds.values())
    return (
        f"users: {asked:,} requests, {felt.failed} failed ({reset} connections reset), "
        f"{felt.unsent} never sent"
    )


def show(console: Console, spec: NetSpec, now: lab.NetStatus) -> None:
    """The lab as it is."""
    table = Table(box=None, pad_edge=False)
    for name in ("region", "version", "users are given", "which leads to"):
        table.add_column(name)
    for one in now.regions:
        edges = sorted({edge or "nobody" for edge in one.addresses.values()})
        table.add_row(
            one.name,
            one.answers or f"none ({one.installed} installed)",
            ", ".join(one.addresses) or "none of its addresses",
            ", ".join(edges),
        )
    comes = now.users
    console.print(
        f"name   http://{layout.NAME}, https (HTTP/2), {spec.ttl_s} s lifetime"
    )
    console.print(
        f"users  {comes.rps} requests/s, {comes.streams} connections of "
        f"{comes.stream_s} s"
        if comes
        else "users  none"
    )
    console.print(table)
    console.print(f"runs   {', '.join(now.running) or 'nothing'}", markup=False)
    if now.dead:
        console.print(f"dead: {', '.join(now.dead)}", style="red")


def _next_steps(spec: NetSpec) -> str:
    return (
        f"\ncd {spec.dir}\n"
        "dayshift check\n"
        "dayshift plan change.yaml         # the layers, and what each waits for\n"
        "dayshift run change.yaml          # version 2 through all three regions\n"
        f"ip netns exec {spec.space('t2')} ip route     # where the prefixes lead\n"
        "dayshift lab status --dir .\n"
        "dayshift lab down --dir ."
    )
