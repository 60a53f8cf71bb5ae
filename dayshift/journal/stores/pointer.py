"""A note in the journal's folder that says in which store its records lie.

For the verbs that must work while `dayshift.yaml` is broken or gone. The estate's file
outranks it. Secrets are not in it: settings hold references only.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

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
    draft = folder / f"{POINTER}.new"
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(mine)))
    draft.chmod(0o600)
    draft.replace(folder / POINTER)


def recall(folder: Path) -> Pointer | None:
    """What the note says; None where there is none that can be read."""
    try:
        return msgspec.json.decode((folder / POINTER).read_bytes(), type=Pointer)
    except (OSError, ValueError):
        return None
