"""`dayshift journal`: out to a file, in from one, over to another store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dayshift.cli import say
from dayshift.cli.confirming import confirm
from dayshift.cli.everywhere import ESTATE_FILE, Cli, everywhere, family
from dayshift.cli.options import Yes
from dayshift.errors import EXIT_DONE, Reason, Refused
from dayshift.journal.base import Head
from dayshift.journal.moving import (
    described,
    export_journal,
    import_journal,
    move_journal,
)
from dayshift.journal.stores import Access
from dayshift.journal.stores.pointer import recall
from dayshift.model.estate import StoreSpec
from dayshift.runtime.clock import RealClock
from dayshift.runtime.locating import access_in, access_to
from dayshift.runtime.session import Session, Workspace, holder

HELP = """\
The journal itself: keep a copy, bring one in, move it to another store.

`export` writes all of it into one file, every link checked on the way; `import` brings
such a file into a store; `move` takes the journal from the store where it lies to the
one that dayshift.yaml names now. A run that is open goes on from there.

Example: `dayshift journal move`, after writing `driver: etcd` under `journal:`
"""
TELL_EVERY = 10_000

app = typer.Typer(
    name="journal",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.callback(help=HELP)(family)

To = Annotated[
    Path | None,
    typer.Option("--to", help="Another dayshift.yaml, whose `journal:` is meant."),
]
From = Annotated[
    Path | None,
    typer.Option("--from", help="Another dayshift.yaml, whose `journal:` is meant."),
]


class _Progress:
    """Tells a person, now and then, how far it is."""

    def __init__(self, cli: Cli) -> None:
        self._quiet = cli.as_json
        self._told = 0

    def __call__(self, seq: int) -> None:
        if not self._quiet and seq - self._told >= TELL_EVERY:
            self._told = seq
            say.note(f"  {seq:,} records …")


def export(
    cli: Cli,
    file: Annotated[Path, typer.Argument(help="A file that is not there yet.")],
) -> int:
    """Write the whole journal into one file: records, signatures, public keys.

    Every link is checked on the way. Works beside a running controller; what it appends
    meanwhile may be in the file or not. Side logs and private keys are not in it.

    Example: `dayshift journal export /backup/shop.journal`
    """
    place = Workspace(cli.base)
    access = place.access()
    if not access.estate:
        access = access_in(cli.base, ESTATE_FILE)
    head = export_journal(place.state_dir, access, cli.path(file), _Progress(cli))
    return _done(cli, head, f"{file} holds the journal up to record {head.seq:,}")


def bring(
    cli: Cli,
    file: Annotated[Path, typer.Argument(help="What `export` wrote.")],
    to: To = None,
) -> int:
    """Bring a journal from a file into a store that is empty, or holds its beginning.

    The next controller's epoch is above all that are in it. Start the controllers again
    from here, and no longer where the file came from: two copies that both go on part
    for ever, and the dials refuse the second one.

    Example: `dayshift journal import /backup/shop.journal`
    """
    place, access = Workspace(cli.base), _named(cli, to)
    clock, source = RealClock(), cli.path(file)
    if not source.is_file():
        raise Refused(Reason("FILE-ABSENT", f"{source} is not there"))
    head = import_journal(
        source, place.state_dir, access, holder(), clock, _Progress(cli)
    )
    where = described(access.store)
    return _done(cli, head, f"{where} holds the journal up to record {head.seq:,}")


def move(cli: Cli, source: From = None, to: To = None, yes: Yes = False) -> int:
    """Take the journal from where it lies to the store that dayshift.yaml names.

    No controller may run meanwhile; the data path is not touched. The old store keeps
    its records, marked as moved, and is written no more. Interrupted, it goes on where
    it stopped.

    Example: `dayshift journal move`, after changing `journal:` in dayshift.yaml
    """
    place, target = Workspace(cli.base), _named(cli, to)
    if source is not None:
        old = access_in(cli.base, source.name, cli.path(source).parent)
    else:
        noted = recall(place.state_dir)
        spec = noted.store if noted else StoreSpec()
        old = access_to(cli.base, target.estate, spec)
    new_place = described(target.store)
    confirm(cli, f"Move the journal from {described(old.store)} to {new_place}?", yes)
    head = move_journal(
        place.state_dir, old, target, holder(), RealClock(), _Progress(cli)
    )
    text = f"the journal goes on in {new_place}, behind record {head.seq:,}"
    return _done(cli, head, text)


def release_wave(cli: Cli, yes: Yes = False) -> int:
    """Give the estate's wave token back for a journal that is gone for good.

    While a run is in flight its journal has the token, so that no other journal of this
    estate takes out a second region. Only when that journal is lost for ever may you
    take the token away from it.

    Example: `dayshift journal release-wave`
    """
    place = Workspace(cli.base)
    session = Session.open_at(place, _named(cli, None))
    try:
        has = session.journal.wave()
        if has is None:
            raise Refused(
                Reason("WAVE-FREE", "no run has the token", so="nothing to do")
            )
        confirm(cli, f"Take the token away from {has}?", yes)
        session.journal.release_wave(has.journal)
    finally:
        session.close()
    return _done(cli, session.journal.head, f"the token of {has} was given back")


def _named(cli: Cli, file: Path | None) -> Access:
    """The store under `journal:` of that file, or of this directory's."""
    if file is None:
        return access_in(cli.base, ESTATE_FILE)
    path = cli.path(file)
    return access_in(cli.base, path.name, path.parent)


def _done(cli: Cli, head: Head, text: str) -> int:
    if cli.as_json:
        say.document({"ok": True, "head": head._asdict(), "text": text})
    else:
        say.out(text)
    return EXIT_DONE


for verb, name in (
    (export, "export"),
    (bring, "import"),
    (move, "move"),
    (release_wave, "release-wave"),
):
    app.command(name)(everywhere(verb))
