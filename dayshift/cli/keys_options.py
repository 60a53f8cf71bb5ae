"""What the verbs of `dayshift keys` share: where, for whom, and the passphrase."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli.everywhere import Cli
from dayshift.drivers.agents.names import Identity, Role
from dayshift.errors import Reason, SettingsInvalid

HERE = Path("keys")
ASK = "ask"
SLASH = "/"
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def _known(ctx: typer.Context, incomplete: str) -> list[str]:
    """Holders that the folder has certificates of, for the shell."""
    from dayshift.keys.folder import register_of

    found = register_of(Path(ctx.params.get("keys_dir") or HERE))
    names = [one.identity for one in found.issued] if found else []
    shown = sorted({f"{one.role.value}/{one.name}" for one in names})
    return [one for one in shown if one.startswith(incomplete)]


KeysDir = Annotated[
    Path,
    typer.Option(
        "--keys-dir", metavar="DIR", help="Where the authority and its issue lie."
    ),
]
Passphrase = Annotated[
    str,
    typer.Option(
        "--passphrase",
        metavar="ask|REFERENCE",
        help="For the authority's key: `ask` at this terminal, or file:PATH, env:NAME, "
        'exec:["command", "argument"]. Never the passphrase itself.',
    ),
]
Days = Annotated[
    int, typer.Option("--days", min=1, max=825, help="How long a certificate is valid.")
]
Holders = Annotated[
    list[str],
    typer.Argument(
        metavar="WHO...",
        help="agent/NAME or controller/NAME.",
        autocompletion=_known,
    ),
]
AnyHolders = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[WHO...]",
        help="agent/NAME or controller/NAME. Nobody: whoever is near the end.",
        autocompletion=_known,
    ),
]


def holder(estate: str, given: str) -> Identity:
    """Whom `agent/NAME` or `controller/NAME` means.

    Raises:
        SettingsInvalid: nobody.
    """
    role, slash, name = given.partition(SLASH)
    if not slash or role not in list(Role):
        raise SettingsInvalid((unnamed(given, "write agent/NAME or controller/NAME"),))
    return identity(estate, Role(role), name)


def identity(estate: str, role: Role, name: str) -> Identity:
    """Somebody by name.

    Raises:
        SettingsInvalid: that is no name.
    """
    from dayshift.runtime.settings.units import name_fault

    for text in (estate, name):
        fault = name_fault(text)
        if fault:
            raise SettingsInvalid((unnamed(text, fault),))
    return Identity(estate, role, name)


def unnamed(given: str, why: str) -> Reason:
    """Why a word on the command line names nobody."""
    return Reason(
        "NAME-INVALID",
        f"`{given}` names no controller and no agent",
        because=why,
        so="nothing was written",
        next="`dayshift keys list` shows whom there is",
    )


def passphrase(cli: Cli, given: str, wanted: bool, new: bool = False) -> bytes:
    """The passphrase of the authority's key, from where `given` says; empty for none.

    Args:
        wanted: the key is enciphered; somebody at a terminal is asked if nothing else
            was said.
        new: it is a new one, and must be typed twice.
    """
    from dayshift.runtime.secrets import Secrets

    if given and given != ASK:
        return Secrets(Path.cwd()).resolve(given).encode()
    may_ask = not cli.as_json and sys.stdin.isatty()
    if given == ASK and not may_ask:
        raise SettingsInvalid((_nobody(),))
    if not given and not (wanted and may_ask):
        return b""
    said: str = typer.prompt(
        "Passphrase of the authority's key",
        hide_input=True,
        err=True,
        confirmation_prompt=new,
    )
    return said.encode()


def named_agents(given: Sequence[str]) -> list[tuple[str, list[str]]]:
    """`NAME=HOST,HOST` as names and hosts.

    Raises:
        SettingsInvalid: an agent without a host, or with one that nobody can reach.
    """
    found = []
    for one in given:
        name, _, hosts = one.partition("=")
        listed = [host.strip() for host in hosts.split(",") if host.strip()]
        wrong = [host for host in listed if not _is_host(host)]
        if wrong or not listed:
            why = "an agent is reached at an address or a name: write NAME=ADDRESS"
            if wrong:
                why = f"`{wrong[0]}` is neither an address nor the name of a machine"
            raise SettingsInvalid((unnamed(one, why),))
        found.append((name, listed))
    return found


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True


def _nobody() -> Reason:
    return Reason(
        "NEEDS-TERMINAL",
        "nobody can be asked for a passphrase here",
        because="stdin is no terminal, or --json was given",
        so="nothing was written",
        next="`--passphrase file:PATH`",
    )
