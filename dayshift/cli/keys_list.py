"""`dayshift keys list`: what there is, until when, and what is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dayshift.cli import say
from dayshift.cli.everywhere import Cli
from dayshift.cli.keys_options import HERE, KeysDir
from dayshift.errors import EXIT_DONE, Reason, Refused
from dayshift.runtime.clock import RealClock

if TYPE_CHECKING:
    from dayshift.keys.reading import Listing, ListTold, Told


def listed(cli: Cli, keys_dir: KeysDir = HERE) -> int:
    """Every certificate, its end, and what is wrong with it. Opens no key.

    Any folder with PEM files will do, also that of an agent, or one of another
    authority. Exit code 0 whatever is found; `--json` has a `state` for each.

    Example: `dayshift keys list`, `dayshift keys list --keys-dir /etc/dayshift`
    """
    from dayshift.keys.reading import listing

    place = cli.path(keys_dir)
    found = listing(place, RealClock().now().wall_ms)
    if cli.as_json:
        say.document(found)
        return EXIT_DONE
    if not found.certificates:
        raise Refused(
            Reason(
                "NO-KEYS",
                f"there is no certificate in {place}",
                so="nothing was read",
                next="`dayshift keys create` makes them; `--keys-dir DIR` looks "
                "elsewhere",
            )
        )
    _print(found)
    return EXIT_DONE


def _print(found: Listing) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("file", "who", "hosts", "until", "left", "state"):
        table.add_column(name, overflow="fold", header_style="bold")
    for one in found.certificates:
        hosts = ", ".join(one.hosts)
        style = "" if one.state == "good" else "bold red"
        table.add_row(one.file, one.who, hosts, *_ends(one), Text(one.state, style))
    if found.list:
        who = f"list {found.list.number}, {found.list.revoked} revoked"
        table.add_row(found.list.file, who, "", *_ends(found.list), found.list.state)
    console.print(table, markup=False)
    for one in found.certificates:
        for fault in one.faults:
            say.out(f"{one.file}: {fault}")
    if any(one.state in ("ending", "expired") for one in found.certificates):
        say.out("next     `dayshift keys renew`, then copy the files to their machines")


def _ends(one: Told | ListTold) -> tuple[str, str]:
    at = datetime.fromtimestamp(one.ends_ms / 1_000, UTC)
    return f"{at:%Y-%m-%d}", f"{one.days_left} days"
