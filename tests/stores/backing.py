"""The stores that the suite runs over, each as a test uses it."""

from __future__ import annotations

import itertools
from pathlib import Path

from dayshift.journal.base import ORIGIN, Head, Holder, Row, Store
from dayshift.journal.chain import seal
from dayshift.journal.journal import Journal
from dayshift.journal.lock import LOCK, WriterLock
from dayshift.journal.reader import JournalReader
from dayshift.journal.stores import Access, open_reader, open_writer
from dayshift.model.estate import StoreSpec
from dayshift.model.records import AnyBody, Observed
from dayshift.model.units import Instant
from dayshift.runtime.clock import RealClock

_numbers = itertools.count(1)


class Backing:
    """One empty store of one estate; every controller gets a folder of its own, but
    for `sqlite`, which is the folder."""

    def __init__(self, base: Path, spec: StoreSpec) -> None:
        self.base = base
        self.clock = RealClock()
        self._spec = spec
        self.estate = f"e{next(_numbers)}"
        self.only: Path | None = None
        self._open: list[Store] = []

    def _secret(self, reference: str) -> str:
        return (self.base / reference.removeprefix("file:")).read_text()

    @property
    def access(self) -> Access:
        return Access(self._spec, self.estate, self.base, self._secret, self.clock)

    @property
    def shared(self) -> bool:
        return self.access.shared

    def folder(self, who: str) -> Path:
        path = self.only or self.base / (who if self.shared else "journal")
        path.mkdir(parents=True, exist_ok=True)
        return path

    def writer(self, who: str) -> Store:
        """A store that may try to lead."""
        folder = self.folder(who)
        lock = WriterLock.take(
            folder / f"{LOCK}-{next(_numbers)}", who, self.clock.now()
        )
        assert lock is not None
        return self._kept(open_writer(self.access, folder, lock))

    def reader(self, who: str = "reader") -> Store:
        store = open_reader(self.access, self.folder(who))
        assert store is not None
        return self._kept(store)

    def leading(self, who: str, epoch: int = 1) -> Store:
        store = self.writer(who)
        store.lease(holder(who, epoch), store.head())
        return store

    def journal(self, who: str, **more: object) -> Journal:
        return Journal.open(
            self.folder(who),
            self.estate,
            self.clock,
            who,
            access=self.access,
            **more,  # type: ignore[arg-type]
        )

    def read(self, who: str = "reader") -> JournalReader:
        return JournalReader.open(self.folder(who), self.access)

    def beside(self, journal: str) -> Backing:
        """Another journal of the same estate, in the same store."""
        options = {**self._spec.options, "journal": journal}
        other = Backing(self.base / journal, StoreSpec(self._spec.driver, options))
        other.estate = self.estate
        return other

    def _kept(self, store: Store) -> Store:
        self._open.append(store)
        return store

    def close(self) -> None:
        for one in reversed(self._open):
            one.close()
        self._open.clear()


def holder(name: str, epoch: int = 1) -> Holder:
    return Holder(1, "here", "root", name, 1_700_000_000_000, epoch)


def body(number: int, size: int = 0) -> AnyBody:
    return Observed({"n": number, "pad": "x" * size})


def rows(after: Head, count: int, begin: int = 0, size: int = 0) -> list[Row]:
    """Rows that follow `after`."""
    made: list[Row] = []
    at = Instant(1_700_000_000_000, 1, "boot")
    for number in range(begin, begin + count):
        row, _ = seal(after, at, 1, "run", body(number, size))
        made.append(row)
        after = Head(row.seq, row.hash)
    return made


def end(made: list[Row]) -> Head:
    return Head(made[-1].seq, made[-1].hash) if made else ORIGIN
