"""Where records are durable: one module for each kind of store, chosen by name.

Here lives the choice, and what it takes to reach a store. Entry points in the group
`dayshift.stores` add others. A store's module is loaded when an estate names it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec

from dayshift.errors import Bug, DriverFault, Reason
from dayshift.journal.base import Store
from dayshift.journal.lock import WriterLock
from dayshift.journal.stores.pointer import recall, remember
from dayshift.model.estate import StoreSpec
from dayshift.model.units import Clock, Instant

LOCAL = "sqlite"
"""The store that is a file in the journal's own folder: nobody shares it."""


def _no_secrets(reference: str) -> str:
    raise DriverFault(
        Reason("SECRET-MISSING", f"nobody here resolves the secret {reference}")
    )


def _as_it_is(store: Store) -> Store:
    return store


class Access(msgspec.Struct, frozen=True):
    """What it takes to reach an estate's store: its settings, and who knows secrets.

    Relative paths in the settings start at `base_dir`. A shared store needs a clock of
    its own: its lease ends by real time, whatever its journal's clock says. `around`
    is what stands between a writer and its store, such as the disk of a rehearsal;
    `driver` a store that no entry point names.
    """

    store: StoreSpec = StoreSpec()
    estate: str = ""
    base_dir: Path = Path()
    secret: Callable[[str], str] = _no_secrets
    clock: Clock | None = None
    around: Callable[[Store], Store] = _as_it_is
    driver: Any = None

    @property
    def shared(self) -> bool:
        """Whether several controllers may use it, each with a folder of its own."""
        return self.store.driver != LOCAL

    def need_clock(self) -> Clock:
        """The clock, which a shared store cannot do without, nor without a name."""
        if self.clock is None or not self.estate:
            raise Bug("a shared store needs a clock and the estate's name")
        return self.clock

    def now(self) -> Instant:
        return self.need_clock().now()


HERE = Access()
"""The store that needs no settings: the file in the journal's folder."""


def open_reader(access: Access, folder: Path) -> Store | None:
    """The store, to be read; None where there is none yet.

    Raises:
        JournalBroken: it is there and damaged.
        JournalFull: it does not answer.
    """
    found: Store | None = _driver_of(access).reader(access, folder)
    return found


def open_writer(access: Access, folder: Path, lock: WriterLock) -> Store:
    """The store, to be led (after `lease`); made if absent."""
    store: Store = access.around(_driver_of(access).writer(access, folder, lock))
    return store


def note_store(folder: Path, estate: str, access: Access) -> None:
    """Leave the note that says where the records lie, unless that goes without."""
    if access.shared or recall(folder) is not None:
        remember(folder, estate, access.store)


def _driver_of(access: Access) -> Any:
    return access.driver or _driver(access.store.driver)


@cache
def _driver(name: str) -> Any:
    for one in entry_points(group="dayshift.stores"):
        if one.name == name:
            return one.load()
    raise Bug(f"no store {name}")
