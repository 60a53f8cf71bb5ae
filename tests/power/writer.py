"""A controller's life with its journal, in stages; each is a process of its own.

Says on its standard output what was acknowledged: number, hash, text.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from dayshift.errors import JournalFull
from dayshift.journal.glass import GlassJournal
from dayshift.journal.journal import Journal
from dayshift.journal.sealed import read_bundle
from dayshift.model.records import GlassBroken, Observed, Record
from tests.journal.desk import TickingClock, open_journal, phased


def say(records: tuple[Record, ...]) -> None:
    """Acknowledge, as an answer to a person or a write at a dial would."""
    lines = [
        f"ack {one.seq} {one.hash} {getattr(one.body, 'why', '')}\n" for one in records
    ]
    os.write(1, "".join(lines).encode())


def begin(journal: Journal) -> None:
    """A first controller: appends, a batch, heads, a snapshot, side log, a seal."""
    say(journal.append(phased("first"), run="run-1"))
    journal.sign_head()
    say(journal.append(phased("second"), phased("third"), run="run-1"))
    journal.save_snapshot(journal.head.seq, b"state")
    journal.seal(lambda: b"bundle")
    say(journal.append(Observed({"pad": "x" * 9000}), run="run-1"))
    journal.sign_head()


def go_on(journal: Journal) -> None:
    say(journal.append(phased(f"epoch {journal.epoch}"), run="run-1"))
    say(journal.append(phased(f"more of {journal.epoch}"), run="run-1"))
    journal.seal(lambda: b"bundle")
    journal.sign_head()


def strand(journal: Journal) -> None:
    """The store is full: the last words go to the emergency file."""
    database = journal._store._db  # type: ignore[attr-defined]
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages + 2}")
    epoch, number = journal.epoch, 0
    try:
        while True:
            number += 1
            pad = Observed({"pad": "x" * 3000})
            say(
                journal.append(phased(f"filling {number} of {epoch}"), pad, run="run-1")
            )
    except JournalFull:
        say(journal.append_emergency(phased(f"in need {epoch}"), run="run-1"))
        journal.sign_head()
        say(
            journal.append_emergency(
                phased(f"and {epoch}"), phased(f"more {epoch}"), run="run-1"
            )
        )


def break_glass(folder: Path) -> None:
    """Somebody acts without the store; what is told then gets other numbers later."""
    sealed = read_bundle(folder)
    note = sealed.note
    journal = GlassJournal.break_open(
        folder, sealed, b"state", TickingClock(), "test", machine="laptop"
    )
    broken = GlassBroken(journal.epoch, "laptop", "ada", "fire", note.seq, note.wall_ms)
    journal.append(broken)
    for why in ("evacuated", "told"):
        journal.append(phased(why), run="run-2")
        os.write(1, f"ack 0 - {why}\n".encode())
    os._exit(0)


_WORK: dict[str, tuple[Callable[[Journal], None], bool]] = {
    "begin": (begin, True),
    "killed": (go_on, False),
    "merging-glass": (go_on, False),
    "stranded": (strand, False),
    "merging": (go_on, False),
    "stranded-again": (strand, True),
    "last": (go_on, True),
}
"""What each process does with its journal, and whether it closes it or is killed."""
GLASS = "glass"
STAGES = ("begin", "killed", GLASS, *list(_WORK)[2:])


def main(stage: str, folder: str) -> None:
    if stage == GLASS:
        break_glass(Path(folder))
    work, closes = _WORK[stage]
    journal = open_journal(Path(folder), journal_id="j-power")
    work(journal)
    if not closes:
        os._exit(0)
    journal.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
