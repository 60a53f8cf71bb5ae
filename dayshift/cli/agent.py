"""`dayshift agent`: the agent beside sockets, and what can be asked about it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli import say
from dayshift.cli.everywhere import Cli
from dayshift.errors import EXIT_DONE

Config = Annotated[Path, typer.Option("--config", help="The agent's own file.")]
Check = Annotated[
    bool, typer.Option("--check", help="Read the file and the certificates; stop.")
]
Show = Annotated[
    bool,
    typer.Option("--show-privileges", help="Print everything that it may touch."),
]
Unit = Annotated[
    bool, typer.Option("--print-unit", help="Print a hardened systemd unit.")
]
Forget = Annotated[
    str,
    typer.Option(
        "--forget",
        metavar="DIAL",
        help="Drop claim, fence and lease of a dial. Only when the journal that "
        "claimed it is gone for good; the agent must be stopped.",
    ),
]


def agent(
    cli: Cli,
    config: Config = Path("agent.yaml"),
    check: Check = False,
    show_privileges: Show = False,
    print_unit: Unit = False,
    forget: Forget = "",
) -> int:
    """Let controllers reach the sockets of this machine, fenced and leased.

    Example: `dayshift agent --config /etc/dayshift/agent.yaml`. See docs/agent.md.
    """
    from dayshift.agent import run, settings, unit

    path = cli.path(config)
    found = settings.load(path)
    if forget:
        return _forget(found, forget)
    if check:
        return _check(found)
    if show_privileges:
        for line in unit.privileges(found, path):
            say.out(line)
    elif print_unit:
        say.text(unit.systemd(found, path))
    else:
        asyncio.run(run.serve(found))
    return EXIT_DONE


def _check(found: object) -> int:
    from dayshift.agent.settings import Agent
    from dayshift.drivers.agents.trust import Trust
    from dayshift.runtime.clock import RealClock
    from dayshift.runtime.secrets import Secrets

    assert isinstance(found, Agent)
    secret = Secrets(found.base_dir).resolve
    trust = Trust(found.tls, found.base_dir, secret, server=True)
    trust.require()
    names = ", ".join(one.name for one in found.dials)
    say.out(f"agent {found.name} of {found.estate} is well described: dials {names}")
    for note in trust.notes(RealClock().now().wall_ms):
        say.out(f"but {note}")
    return EXIT_DONE


def _forget(found: object, dial: str) -> int:
    from dayshift.agent.ledger import Ledger
    from dayshift.agent.settings import Agent

    assert isinstance(found, Agent)
    ledger = Ledger(found.state_dir)
    ledger.open()
    known = ledger.forget(dial)
    ledger.close()
    say.out(f"{dial}: {'forgotten' if known else 'nothing was known of it'}")
    return EXIT_DONE
