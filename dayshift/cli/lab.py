"""`dayshift lab`: an estate of real parts on this machine, to use and to break."""

from __future__ import annotations

import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from dayshift.cli import lab_network
from dayshift.errors import EXIT_DONE, EXIT_ERROR, DayshiftError, Reason, Refused
from dayshift.lab import by_hand as hand
from dayshift.lab import estate, many, processes, trouble, up, users, view
from dayshift.lab.network import spec as net_layout
from dayshift.lab.network import up as net_up
from dayshift.lab.network import users as net_users

app = typer.Typer(
    name="lab",
    help="An estate of real parts on this machine: two regions, an entry, users. "
    "With `up --controllers 3` also a store of three etcd members, three controllers "
    "that serve, and an agent between them and the entry. With `up --network` three "
    "regions behind real name servers, routers and load balancers. `break kill` and "
    "`break freeze` hit any part of it (`--part leader`: whoever leads); `break heal` "
    "mends.",
    no_args_is_help=True,
    add_completion=False,
)
DIRECTORY = Path("var/lab")
SURGE_FACTOR = 3
SURGE_S = 30.0
AFTER_S = 4.0
NETWORK = (
    "Three regions behind name servers, routers and load balancers, in namespaces of "
    "their own (root, Linux)."
)
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}

Dir = Annotated[Path, typer.Option("--dir", help="Where the lab lives.")]


class BreakKind(StrEnum):
    """What `break` takes: troubles of a region, of one part, and their end."""

    SLOW = "slow"
    ERRORS = "errors"
    DEAD = "dead"
    SURGE = "surge"
    KILL = "kill"
    FREEZE = "freeze"
    HEAL = "heal"


SIGNALS = {BreakKind.KILL: signal.SIGKILL, BreakKind.FREEZE: signal.SIGSTOP}


def seconds(text: str) -> float:
    """A duration as people write it: `30s`, `5 min`, `1h`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip())
    if match is None or match[2] not in UNITS_S:
        raise typer.BadParameter(f"{text!r} is not a duration such as 30s or 5min")
    return float(match[1]) * UNITS_S[match[2]]


def _console() -> Console:
    return Console(highlight=False)


@app.command("up")
def up_command(
    directory: Dir = DIRECTORY,
    detach: Annotated[bool, typer.Option(help="Return; the lab stays.")] = False,
    base_port: Annotated[int, typer.Option(help="First port; 0 finds free ones.")] = 0,
    controllers: Annotated[
        int,
        typer.Option(help="3: a store, three controllers, an agent. 0: none serves."),
    ] = 0,
    rps: Annotated[int, typer.Option(help="Users' requests per second.")] = 100,
    users_for: Annotated[
        str, typer.Option("--for", help="How long users come.")
    ] = "1h",
    network: Annotated[bool, typer.Option("--network", help=NETWORK)] = False,
    ttl: Annotated[
        str, typer.Option(help="With --network: how long an answer is cached.")
    ] = "10s",
    streams: Annotated[
        int, typer.Option(help="With --network: connections of 20 to 60 s.")
    ] = 10,
) -> None:
    """Build and start the lab, or what is missing of it; send users."""
    limit_s = int(seconds(users_for))
    console = _console()
    if network or net_layout.is_built(directory):
        net = net_layout.make(directory, int(seconds(ttl)))
        with _attended(console, detach, lambda: net_up.down(net)):
            lab_network.start(console, net, net_users.Load(rps, streams), limit_s)
        return
    spec = estate.build(directory, base_port, controllers)
    with _attended(console, detach, lambda: up.down(spec)):
        up.up(spec)
        if rps:
            users.start(spec, rps, limit_s)
        _show(console, spec)
        console.print(_next_steps(spec), markup=False)


@contextmanager
def _attended(
    console: Console, detach: bool, end: Callable[[], object]
) -> Iterator[None]:
    """Stay until Ctrl-C after the lab has come up, unless it shall stay alone."""
    try:
        yield
        if not detach:
            console.print("\nCtrl-C ends the lab.", markup=False)
            while True:
                time.sleep(1.0)
    except KeyboardInterrupt:
        end()
        console.print("\nThe lab is down.", markup=False)
    except DayshiftError:
        if not detach:
            end()
        raise


@app.command()
def down(
    directory: Dir = DIRECTORY,
    wipe: Annotated[bool, typer.Option(help="Remove its directory too.")] = False,
) -> None:
    """End exactly the processes of the lab."""
    if net_layout.is_built(directory):
        lab_network.down(directory, wipe)
        return
    spec = estate.load(directory)
    ended = up.down(spec)
    typer.echo(f"ended {len(ended)}: {', '.join(ended)}" if ended else "nothing ran")
    if wipe:
        shutil.rmtree(spec.dir)


@app.command()
def status(
    directory: Dir = DIRECTORY,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Say what runs and how each region stands; exit 1 if a part is dead or frozen."""
    if net_layout.is_built(directory):
        lab_network.status(directory, as_json)
    spec = estate.load(directory)
    now = up.status(spec)
    if as_json:
        sys.stdout.write(msgspec.json.encode(now).decode() + "\n")
    else:
        _show(_console(), spec, now)
    whole = now.running and not now.dead and not now.frozen
    raise typer.Exit(EXIT_DONE if whole else EXIT_ERROR)


@app.command("break")
def break_command(
    what: Annotated[BreakKind, typer.Argument(help="Or heal, which ends the others.")],
    region: Annotated[str, typer.Option(help="Which region.")] = "fra",
    part: Annotated[
        str,
        typer.Option(
            help="What kill and freeze hit: a process of `status`, or leader."
        ),
    ] = many.LEADER,
    lasting: Annotated[
        str, typer.Option("--for", help="How long; without it, until healed.")
    ] = "",
    directory: Dir = DIRECTORY,
) -> None:
    """Bring trouble: a slow, faulty or dead region, a surge of users; or a part (an
    Envoy, and with several controllers one of these, the agent, a member of the store)
    that is killed with -9, or frozen with SIGSTOP until it is healed.

    Example: `dayshift lab break freeze --part leader --for 20s`.
    """
    lab_network.refuse_other(directory)
    spec = estate.load(directory)
    spec.region(region)
    for_s = seconds(lasting) if lasting else 0.0
    where = "the lab" if what in (BreakKind.SURGE, BreakKind.HEAL) else region
    match what:
        case BreakKind.HEAL:
            _heal(spec)
        case BreakKind.DEAD:
            up.kill_region(spec, region)
            if for_s:
                time.sleep(for_s)
                _heal(spec)
        case BreakKind.KILL | BreakKind.FREEZE:
            where = _strike(spec, what, part, for_s)
        case BreakKind.SURGE:
            rps = SURGE_FACTOR * (_rps(spec) or users.DEMO_RPS // SURGE_FACTOR)
            users.start(spec, rps, int(for_s or SURGE_S), users.SURGE)
        case BreakKind.SLOW | BreakKind.ERRORS:
            trouble.spoil(spec, region, trouble.Kind(what.value), for_s)
    typer.echo(f"{what.value}: {where}{f', for {lasting}' if lasting else ''}")


@app.command("by-hand")
def by_hand_command(
    version: Annotated[str, typer.Option(help="The version to install.")] = "2",
    as_json: Annotated[bool, typer.Option("--json")] = False,
    directory: Dir = DIRECTORY,
) -> None:
    """Upgrade both regions the old way, and count what the users feel."""
    lab_network.refuse_other(directory)
    spec = estate.load(directory)
    if not up.status(spec).users:
        raise Refused(
            Reason(
                "LAB-NO-USERS",
                "nobody is there to feel it",
                because="no users are running in this lab",
                so="nothing was upgraded",
                next="`dayshift lab up --detach --rps 100`, then this again",
            )
        )
    console = Console(stderr=as_json, highlight=False)
    load = users.latest(spec)
    marks = hand.by_hand(spec, version, lambda line: console.print(line, markup=False))
    time.sleep(AFTER_S)
    users.stop(spec)
    seen = view.users_view(directory, marks)
    users.start(spec, load.rps, int(seconds("1h")))
    if as_json:
        sys.stdout.write(msgspec.json.encode(seen).decode() + "\n")
    else:
        console.print(
            f"{seen.requests:,} requests, {seen.hurt:,} failed"
            f" ({seen.wrong} wrong answers, {seen.resets} resets,"
            f" {seen.timeouts} timeouts), {seen.downloads_broken} of"
            f" {seen.downloads} downloads broken"
        )


def _next_steps(spec: estate.LabSpec) -> str:
    home, lab = spec.dir, "."
    if spec.many is not None:
        home, lab = str(many.home(spec, next(iter(spec.many.controllers)))), "../.."
    strike = f"dayshift lab break freeze --part leader --for 20s --dir {lab}\n"
    return (
        f"\ncd {home}\n"
        "dayshift check\n"
        "dayshift run change.yaml          # version 2 through both regions\n"
        f"dayshift lab break slow --region fra --for 30s --dir {lab}\n"
        f"{strike if spec.many is not None else ''}"
        f"dayshift lab down --dir {lab}"
    )


def _strike(spec: estate.LabSpec, what: BreakKind, part: str, for_s: float) -> str:
    """Hit one process, and only that one is mended; returns its name."""
    struck = many.part(spec, part)
    processes.kill(struck, SIGNALS[what])
    if for_s:
        time.sleep(for_s)
        processes.revive(spec.path("run"), struck)
    return struck.name


def _heal(spec: estate.LabSpec) -> None:
    for process in processes.recorded(spec.path("run")):
        if processes.frozen(process):
            processes.kill(process, signal.SIGCONT)
    for one in spec.regions:
        trouble.soothe(spec, one.name)
    surge = processes.find(spec.path("run"), users.SURGE)
    if surge is not None:
        users.stop(spec, users.SURGE)
    up.up(spec)


def _rps(spec: estate.LabSpec) -> int:
    found = processes.find(spec.path("run"), users.USERS)
    return users.latest(spec).rps if found and processes.alive(found) else 0


def _show(
    console: Console, spec: estate.LabSpec, now: up.LabStatus | None = None
) -> None:
    now = now or up.status(spec)
    table = Table(box=None, pad_edge=False)
    for name in ("region", "edge", "admin", "weight", "version", "nightly", "trouble"):
        table.add_column(name)
    for one in now.regions:
        place = spec.region(one.name)
        table.add_row(
            one.name,
            f":{place.edge}",
            f":{place.admin}",
            f"{one.weight / 100:.2f} %",
            one.answers or f"none ({one.installed} installed)",
            "holds" if one.holds_nightly else "",
            one.trouble,
        )
    console.print(f"entry  http://{estate.HOST}:{spec.entry_h1} (HTTP/1.1)")
    console.print(f"       https://{estate.HOST}:{spec.entry_tls} (HTTP/2)")
    console.print(f"admin  http://{estate.HOST}:{spec.admin}")
    rps = _rps(spec)
    console.print(f"users  {f'{rps} requests/s' if rps else 'none'}")
    console.print(table)
    if spec.many is not None:
        console.print(f"leads  {now.leader or 'nobody'}", markup=False)
        alive = [one for one in now.running if one not in now.frozen]
        others = (*(one.name for one in spec.many.members), many.AGENT)
        parts = [one for one in (*spec.many.controllers, *others) if one in alive]
        console.print(f"runs   {', '.join(parts) or 'none of it'}", markup=False)
    if now.dead:
        console.print(f"dead: {', '.join(now.dead)}", style="red")
    if now.frozen:
        console.print(f"frozen: {', '.join(now.frozen)}", style="red")
