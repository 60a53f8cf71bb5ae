"""`dayshift seal`: the bundle for break-glass, and what becomes of what was done.

Here: show, carry and renew bundles; merge the entries of a break-glass, or give up
those of a machine that is lost. Acting on a bundle is `evacuate` and `return --now`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from dayshift.cli import say
from dayshift.cli.bundles import age, brief
from dayshift.cli.confirming import confirm
from dayshift.cli.everywhere import Cli, everywhere, family
from dayshift.cli.files import load_estate
from dayshift.cli.looking import look
from dayshift.cli.options import Yes
from dayshift.errors import EXIT_DONE, EXIT_ERROR, Reason, Refused
from dayshift.journal.durable import make_folder
from dayshift.journal.glass import bring, entries
from dayshift.journal.reader import JournalReader
from dayshift.journal.sealed import (
    Sealed,
    install_bundle,
    pin,
    read_bundle,
    read_file,
    trusted,
)
from dayshift.journal.signing import public_keys
from dayshift.journal.stores import note_store
from dayshift.model.glass import mark
from dayshift.runtime.clock import RealClock
from dayshift.runtime.glass import give_up, lost_epochs
from dayshift.runtime.locating import access_to
from dayshift.runtime.sealing import (
    entries_file,
    host_here,
    pack,
    sealed_now,
    unpack,
)
from dayshift.runtime.session import Session, Workspace, holder, load

HELP = """\
The sealed bundle: what `evacuate` and `return --now` act on while the store is gone.

Every controller keeps one beside its journal, by itself. `show` says how old it is;
`export` and `install` carry one to a laptop; `now` renews it, and merges what was done
with broken glass. docs/break-glass.md has the monthly drill.

Example: `dayshift seal show`
"""
Trust = Annotated[
    str,
    typer.Option(
        "--trust",
        metavar="KEY",
        help="The whole key that `seal show` prints on the machine that sealed it.",
    ),
]
File = Annotated[Path, typer.Argument(help="The file.")]


def show(cli: Cli) -> int:
    """Say how old this machine's bundle is, who sealed it and what it knows.

    Looks at no store and moves nothing.

    Example: `dayshift seal show`, monthly, on every machine that must be able to act.
    """
    folder = Workspace(cli.base).state_dir
    sealed = read_bundle(folder)
    contents = unpack(sealed)
    waiting = entries(folder)
    count = len(waiting[0].records) if waiting else 0
    if cli.as_json:
        say.document(_document(sealed, count))
        return EXIT_DONE
    for line in brief(sealed, contents):
        say.out(line)
    say.out(f"  mark     {mark(host_here())} ({host_here()}); key of this machine:")
    for key in public_keys(folder):
        say.out(f"           {key}")
    say.out(f"  regions  {', '.join(contents.estate.region_names())} can be evacuated")
    if count:
        say.out(
            f"  waiting  {count} entries of a break-glass, not merged\n"
            "  next     `dayshift seal now` merges them, once the store is back"
        )
    return EXIT_DONE


def _document(sealed: Sealed, waiting: int) -> dict[str, Any]:
    note = sealed.note
    return {
        "estate": note.estate,
        "journal": note.journal,
        "seq": note.seq,
        "epoch": note.epoch,
        "wall_ms": note.wall_ms,
        "age": age(note),
        "holder": note.holder,
        "machine": note.machine,
        "key": sealed.key,
        "waiting": waiting,
    }


def now(cli: Cli) -> int:
    """Open the journal as its controller: merge what waits here, seal a new bundle.

    Example: `dayshift seal now`, when the store is back after a break-glass.
    """
    estate = load_estate(cli)
    workspace = Workspace(cli.base)
    waiting = entries(workspace.state_dir)
    session = Session.open(workspace, estate)
    try:
        seq, stranded = session.journal.head.seq, session.journal.stranded
    finally:
        session.close()
    merged = len(waiting[0].records) if waiting and not stranded else 0
    told = f"{merged} entries of a break-glass merged; " if merged else ""
    if cli.as_json:
        say.document({"seq": seq, "merged": merged})
    else:
        say.out(f"{told}sealed at record {seq}")
    return EXIT_DONE


def export(cli: Cli, file: File) -> int:
    """Seal the present moment into a file, for a laptop that must be able to act.

    It holds the estate and where its run stands; secrets as references only.

    Example: `dayshift seal export /media/stick/shop.seal`
    """
    workspace = Workspace(cli.base)
    estate = load_estate(cli)
    with JournalReader.open(workspace.state_dir, workspace.access()) as reader:
        data = sealed_now(
            workspace.state_dir, reader, pack(estate, load(reader)), RealClock()
        )
    path = cli.path(file)
    path.write_bytes(data)
    key = read_file(path).key
    if cli.as_json:
        say.document({"file": str(path), "key": key})
    else:
        say.out(f"{path}\n  key      {key}\n  next     there: `dayshift seal install`")
    return EXIT_DONE


def install(cli: Cli, file: File, trust: Trust = "") -> int:
    """Take a bundle from a file into this directory, if a pinned key signed it.

    Example: `dayshift seal install shop.seal --trust 5c1f…`, in an empty directory.
    """
    folder = (cli.directory or Path.cwd()).resolve() / Workspace(Path()).state_dir
    sealed = _carried(folder, cli.path(file), trust, "bundle")
    contents = unpack(sealed)
    install_bundle(folder, cli.path(file).read_bytes())
    estate = contents.estate
    note_store(
        folder, estate.name, access_to(folder.parent, estate.name, estate.journal)
    )
    if cli.as_json:
        say.document(_document(sealed, 0))
        return EXIT_DONE
    for line in brief(sealed, contents):
        say.out(line)
    return EXIT_DONE


def entries_of(cli: Cli, file: File) -> int:
    """Write what was done here with broken glass into a file, signed.

    Example: `dayshift seal entries done.glass`, where this machine cannot reach the
    store and another can.
    """
    folder = Workspace(cli.base).state_dir
    found = entries(folder)
    if found is None:
        raise Refused(_nothing("nothing was done here with broken glass"))
    log, payload = found
    data = entries_file(folder, read_bundle(folder), log, payload, RealClock())
    cli.path(file).write_bytes(data)
    count = len(log.records)
    if cli.as_json:
        say.document({"file": str(cli.path(file)), "entries": count})
    else:
        say.out(f"{count} entries\n  next     elsewhere: `dayshift seal merge`")
    return EXIT_DONE


def merge(cli: Cli, file: File, trust: Trust = "") -> int:
    """Merge what another machine did with broken glass, from its file.

    Example: `dayshift seal merge done.glass`
    """
    workspace = Workspace(cli.base)
    sealed = _carried(workspace.state_dir, cli.path(file), trust, "entries")
    estate = load_estate(cli)
    bring(workspace.state_dir, sealed, holder(), RealClock())
    session = Session.open(workspace, estate)
    try:
        seq, stranded = session.journal.head.seq, session.journal.stranded
    finally:
        session.close()
    machine = sealed.note.machine
    if cli.as_json:
        say.document({"machine": machine, "seq": seq, "merged": not stranded})
    elif stranded:
        say.out(f"entries of {machine} lie here now; the store does not take them yet")
    else:
        say.out(f"entries of {machine} merged; the journal has {seq} records")
    return EXIT_ERROR if stranded else EXIT_DONE


def adopt(
    cli: Cli,
    why: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Recorded.")],
    yes: Yes = False,
) -> int:
    """Give up the entries of a machine that broke the glass and is lost for good.

    What the dials show becomes what the journal expects; regions without users are
    taken as left drained. Recorded with your name.

    Example: `dayshift seal adopt --reason "the laptop was stolen"`
    """
    workspace, estate = Workspace(cli.base), load_estate(cli)
    seen = asyncio.run(look(workspace, estate, None))
    with JournalReader.open(workspace.state_dir, workspace.access()) as reader:
        state = load(reader)
    lost = lost_epochs(state, seen.sight)
    if not lost:
        raise Refused(_nothing("no dial carries a break-glass that is unknown here"))
    what = ", ".join(f"{dial} (epoch {epoch})" for dial, epoch in lost.items())
    confirm(cli, f"Take what these dials show as it is: {what}?", yes)
    session = Session.open(workspace, estate)
    try:
        drained = give_up(session, estate, seen.sight, cli.person, why)
    finally:
        session.close()
    say.out(f"adopted: {what}; drained: {', '.join(drained) or 'none'}")
    return EXIT_DONE


def _carried(folder: Path, path: Path, trust: str, kind: str) -> Sealed:
    """What another machine sealed, if its key is pinned here, or is now."""
    sealed = read_file(path)
    if sealed.note.kind != kind:
        raise Refused(_nothing(f"{path} holds {sealed.note.kind}, not {kind}"))
    if trust and trust == sealed.key:
        make_folder(folder)
        pin(folder, trust)
    return trusted(folder, sealed)


def _nothing(what: str) -> Reason:
    return Reason(
        "NOTHING-SEALED",
        what,
        so="nothing was written and nothing moved",
        next="`dayshift seal show`",
    )


app = typer.Typer(
    name="seal",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.callback(help=HELP)(family)
for verb in (show, now, export, install, merge, adopt):
    app.command(verb.__name__)(everywhere(verb))
app.command("entries")(everywhere(entries_of))
