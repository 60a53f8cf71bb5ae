"""`dayshift keys`: an authority for controllers and agents, for who has none."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from dayshift.cli import say
from dayshift.cli.everywhere import ESTATE_FILE, Cli, everywhere, family
from dayshift.cli.keys_list import listed
from dayshift.cli.keys_options import (
    HERE,
    AnyHolders,
    Days,
    Holders,
    KeysDir,
    Passphrase,
    holder,
    identity,
    named_agents,
    passphrase,
)
from dayshift.drivers.agents.names import Identity, Role
from dayshift.errors import EXIT_DONE, Reason, Refused, SettingsInvalid
from dayshift.runtime.clock import RealClock

if TYPE_CHECKING:
    from dayshift.keys.folder import Authority, Issued

HELP = """\
Certificates for controllers and agents, and the small authority that signs them.

`create` makes it and whoever is named; `renew` prolongs; `list` says until when;
`revoke` takes a certificate's power away at once. An authority of your own does as
well: docs/keys.md says what a certificate needs.

Example: `dayshift keys create --estate shop --controller a --agent edge-fra=10.0.0.5`
"""
DAYS = 90
Wanted = list[tuple[Identity, list[str]]]
EstateName = Annotated[
    str,
    typer.Option("--estate", metavar="NAME", help="Whose. Default: dayshift.yaml's."),
]
Controllers = Annotated[
    list[str] | None,
    typer.Option("--controller", metavar="NAME", help="A controller. Repeat it."),
]
Agents = Annotated[
    list[str] | None,
    typer.Option(
        "--agent",
        metavar="NAME=HOST[,HOST]",
        help="An agent, and the addresses or names at which it is reached. Repeat it.",
    ),
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Overwrite keys that are there already.")
]


def create(
    cli: Cli,
    estate: EstateName = "",
    controller: Controllers = None,
    agent: Agents = None,
    days: Days = DAYS,
    replace: Replace = False,
    keys_dir: KeysDir = HERE,
    secret: Passphrase = "",
) -> int:
    """Make certificates, and first the authority where there is none yet.

    With nobody named: for every agent and controller of dayshift.yaml that has none.
    `ca.pem` and `revoked.pem` go to every agent and controller; `ca.key` goes nowhere.

    Example: `dayshift keys create --estate shop --controller a
    --agent edge-fra=10.0.0.5,edge-fra.example --passphrase ask`
    """
    from dayshift.keys import folder as keys

    place, now_ms = cli.path(keys_dir), RealClock().now().wall_ms
    register = keys.register_of(place)
    name = estate or (register.estate if register else "") or _estate_of(cli)
    if register and register.estate != name:
        raise Refused(_other_estate(place, register.estate, name))
    agents = named_agents(agent or ())
    wanted: Wanted = [
        *((identity(name, Role.CONTROLLER, one), []) for one in controller or ()),
        *((identity(name, Role.AGENT, one), hosts) for one, hosts in agents),
    ]
    if not wanted and not estate:
        wanted = [one for one in _of_estate(cli, name) if not _is_there(place, one[0])]
    word = passphrase(cli, secret, keys.is_locked(place), new=register is None)
    if register is None:
        keys.make(place, name, now_ms, word)
    with keys.opened(place, now_ms, word) as authority:
        for who, _ in () if replace else wanted:
            authority.require_vacant(who)
        made = [authority.create(who, hosts, days, replace) for who, hosts in wanted]
    _told(cli, place, made, "created", new=register is None)
    return EXIT_DONE


def renew(
    cli: Cli,
    who: AnyHolders = None,
    days: Days = DAYS,
    keys_dir: KeysDir = HERE,
    secret: Passphrase = "",
) -> int:
    """Make new keys and certificates for the same names, and a new list.

    With nobody named: for whoever has less than a third of the time left. The old
    certificate stays valid until its end, so nothing is cut while files are copied;
    agents and controllers take the new files without a restart.

    Example: `dayshift keys renew agent/edge-fra`
    """
    from dayshift.keys.reading import is_due, listing

    place, now_ms = cli.path(keys_dir), RealClock().now().wall_ms
    with _opened(cli, place, now_ms, secret) as authority:
        names = [holder(authority.estate, one) for one in who or ()]
        if not names:
            due = {
                one.who for one in listing(place, now_ms).certificates if is_due(one)
            }
            issued = authority.register.issued
            names = [*dict.fromkeys(one.identity for one in issued if one.who in due)]
        made = [authority.renew(one, days) for one in names]
    _told(cli, place, made, "renewed")
    return EXIT_DONE


def revoke(
    cli: Cli, who: Holders, keys_dir: KeysDir = HERE, secret: Passphrase = ""
) -> int:
    """Let no certificate of somebody count any more, the older ones included.

    Copy `revoked.pem` to every agent and controller: both sides heed it with the next
    request, also on open streams, without a restart.

    Example: `dayshift keys revoke controller/old-laptop`
    """
    place = cli.path(keys_dir)
    with _opened(cli, place, RealClock().now().wall_ms, secret) as authority:
        gone = [
            one
            for given in who
            for one in _revoked(authority, holder(authority.estate, given))
        ]
    number = authority.register.list_number
    if cli.as_json:
        say.document({"revoked": gone, "list": number})
        return EXIT_DONE
    for one in gone:
        say.out(f"revoked  {one.who}, serial {one.serial}")
    say.out(f"next     copy {place / 'revoked.pem'} (list {number}) to every agent and")
    say.out("         controller; until then it still counts there")
    return EXIT_DONE


def _revoked(authority: Authority, who: Identity) -> tuple[Issued, ...]:
    gone = authority.revoke(who)
    if not gone:
        raise Refused(
            Reason(
                "KEY-UNKNOWN",
                f"no certificate of {who} counts now",
                because="none was issued here, or all were revoked or have ended",
                so="nothing was revoked",
                next="`dayshift keys list` shows what there is",
            )
        )
    return gone


def _opened(
    cli: Cli, place: Path, now_ms: int, secret: str
) -> AbstractContextManager[Authority]:
    from dayshift.keys import folder as keys

    word = passphrase(cli, secret, keys.is_locked(place))
    return keys.opened(place, now_ms, word)


def _told(
    cli: Cli, place: Path, made: Iterable[Issued], verb: str, new: bool = False
) -> None:
    """What was written, and where it has to go."""
    from dayshift.keys.folder import stem

    made = tuple(made)
    if cli.as_json:
        say.document({"folder": str(place), "authority": new, verb: made})
        return
    if new:
        say.out(f"authority  {place / 'ca.pem'}; keep ca.key away from everything else")
    for one in made:
        file = place / stem(one.identity)
        hosts = f" at {', '.join(one.hosts)}" if one.hosts else ""
        say.out(f"{verb:<9}  {file}.pem and .key: {one.who}{hosts}")
    if not made and not new:
        say.out(f"{verb:<9}  nobody: none is missing or near its end")
    say.out("next       each pair, with ca.pem and revoked.pem, to its machine; no")
    say.out("           restart is needed. `dayshift keys list` says until when")


def _estate_of(cli: Cli) -> str:
    from dayshift.cli.files import load_estate

    try:
        return load_estate(cli).name
    except SettingsInvalid as error:
        if error.reason.code != "NO-ESTATE":
            raise
        what = f"no --estate was named, and there is no {ESTATE_FILE}"
        then = "`dayshift keys create --estate NAME …`"
        wrong = Reason("NO-ESTATE", what, so="nothing was written", next=then)
        raise SettingsInvalid((wrong,)) from None


def _of_estate(cli: Cli, name: str) -> Wanted:
    """Whoever dayshift.yaml names."""
    from dayshift.cli.files import load_estate

    estate = load_estate(cli)
    return [
        *(
            (identity(name, Role.CONTROLLER, one.name), [])
            for one in estate.controllers
        ),
        *(
            (identity(name, Role.AGENT, one.name), [urlsplit(one.url).hostname or ""])
            for one in estate.agents
        ),
    ]


def _is_there(place: Path, who: Identity) -> bool:
    from dayshift.keys.folder import stem

    return (place / f"{stem(who)}.pem").exists()


def _other_estate(place: Path, known: str, named: str) -> Reason:
    return Reason(
        "OTHER-ESTATE",
        f"the authority in {place} is of estate {known}, not of {named}",
        because="an agent obeys controllers of one estate",
        so="nothing was written",
        next="`--keys-dir DIR` for an authority of its own",
    )


app = typer.Typer(
    name="keys",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.callback(help=HELP)(family)
for verb in (create, renew, revoke):
    app.command(verb.__name__)(everywhere(verb))
app.command("list")(everywhere(listed))
