"""A note in the journal's folder that says in which store its records lie.

For the verbs that must work while `dayshift.yaml` is broken or gone. The estate's file
outranks it. Secrets are not in it: settings hold references only.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from dayshift.journal.durable import write_whole
from dayshift.model.estate import StoreSpec

POINTER = "store.json"


class Pointer(msgspec.Struct, frozen=True):
    """The store of an estate's journal, as it was last opened from here."""

    estate: str
    store: StoreSpec


def remember(folder: Path, estate: str, store: StoreSpec) -> None:
    """Write the note, if it says something new."""
    mine = Pointer(estate, store)
    if recall(folder) == mine:
        return
    text = msgspec.json.format(msgspec.json.encode(mine))
    write_whole(folder / POINTER, text, 0o600)


def recall(folder: Path) -> Pointer | None:
    """What the note says; None where there is none that can be read."""
    try:
        return msgspec.json.decode((folder / POINTER).read_bytes(), type=Pointer)
    except (OSError, ValueError):
        return None
