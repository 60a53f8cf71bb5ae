"""Where the journal of a directory lies: which store, and how it is reached.

For verbs that have no estate at hand. `dayshift.yaml` outranks the note that the last
controller left beside its keys; with neither, the journal is a file here.
"""

from __future__ import annotations

from pathlib import Path

from dayshift.errors import SettingsInvalid
from dayshift.journal.stores import Access
from dayshift.journal.stores.pointer import recall
from dayshift.model.estate import StoreSpec
from dayshift.runtime.clock import RealClock
from dayshift.runtime.secrets import Secrets
from dayshift.runtime.settings.load import load_journal
from dayshift.runtime.wiring import options_of

ESTATE_FILE = "dayshift.yaml"


def access_to(base: Path, estate: str, store: StoreSpec) -> Access:
    """What it takes to reach the store of an estate whose file lies in `base`."""
    return Access(store, estate, base, Secrets(base).resolve, RealClock())


def access_in(base: Path, file: str, folder: Path | None = None) -> Access:
    """The store under `journal:` of an estate's file; paths in it start at `base`.

    Raises:
        SettingsInvalid: the file is not there, or not right.
    """
    return access_to(base, *load_journal((folder or base) / file, options_of))


def locate(base: Path, state_dir: Path) -> Access:
    """How the journal of the estate in `base` is reached."""
    path = base / ESTATE_FILE
    if path.is_file():
        try:
            return access_in(base, ESTATE_FILE)
        except SettingsInvalid:
            pass  # at 3 a.m. a broken file must not hide where the run is
    noted = recall(state_dir)
    if noted is None:
        return access_to(base, "", StoreSpec())
    return access_to(base, noted.estate, noted.store)
