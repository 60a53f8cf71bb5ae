"""The emergency journal comes home once, wherever the merge is cut off."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from dayshift.errors import JournalFull
from dayshift.journal.audit import audit
from dayshift.journal.base import Head, Row, Store
from dayshift.journal.emergency import EMERGENCY, read_emergency
from dayshift.journal.journal import Journal
from dayshift.journal.stores import Access
from dayshift.journal.stores.etcd import EtcdStore
from dayshift.journal.stores.etcd_layout import TXN_OPS_MAX
from dayshift.journal.stores.reasons import full_reason
from dayshift.model.points import Point
from dayshift.model.records import Lease, Merged, Record
from tests.journal.desk import phased
from tests.stores.backing import Backing

ENTRIES = 2 * TXN_OPS_MAX + 7
"""More than one transaction of etcd takes."""


class Killed(BaseException):
    """The process ends here: nothing is caught, nothing is undone."""


class Struck:
    """A store at whose next append of many rows something happens instead."""

    def __init__(self, store: Store, append: Callable[..., None]) -> None:
        self._store = store
        self._append: Callable[..., None] | None = append

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def append(self, rows: Sequence[Row], after: Head) -> None:
        if len(rows) > 1 and self._append is not None:
            strike, self._append = self._append, None
            strike(self._store, rows, after)
        else:
            self._store.append(rows, after)


def landed_unheard(store: Store, rows: Sequence[Row], after: Head) -> None:
    """The rows are durable; whoever wrote them never hears of it."""
    store.append(rows, after)
    raise JournalFull(full_reason("the answer was lost"))


def killed_before(store: Store, rows: Sequence[Row], after: Head) -> None:
    raise Killed


def killed_after(store: Store, rows: Sequence[Row], after: Head) -> None:
    store.append(rows, after)
    raise Killed


def killed_between(store: Store, rows: Sequence[Row], after: Head) -> None:
    """Half of the rows arrive: as one transaction of several, or as none."""
    if isinstance(store, EtcdStore):
        store._write(rows[:TXN_OPS_MAX], after, after)
    raise Killed


def stranded(backing: Backing) -> list[str]:
    """A controller that could write to its emergency file alone, and ended."""
    journal = backing.journal("a")
    journal.append(phased("stored"))
    whys = [f"in need {number}" for number in range(ENTRIES)]
    for begin in range(0, ENTRIES, 50):
        journal.append_emergency(*map(phased, whys[begin : begin + 50]), run="r")
    journal.close()
    return whys


def struck(backing: Backing, append: Callable[..., None]) -> Access:
    whole = backing.access
    return Access(
        whole.store,
        whole.estate,
        whole.base_dir,
        whole.secret,
        whole.clock,
        lambda store: Struck(store, append),  # type: ignore[arg-type,return-value]
    )


def opened(backing: Backing, access: Access, **more: object) -> Journal:
    folder = backing.folder("a")
    estate, clock = backing.estate, backing.clock
    return Journal.open(folder, estate, clock, "a", access=access, **more)  # type: ignore[arg-type]


def home(backing: Backing, whys: list[str], after: Sequence[str] = ()) -> None:
    """Every entry once, in order; nothing waits any more; the chain holds."""
    with backing.journal("a") as journal:
        assert not journal.stranded
        journal.append(phased("goes on"))
        records = list(journal.records())
    told = [one.body.why for one in records if hasattr(one.body, "why")]
    assert told == ["stored", *whys, *after, "goes on"]
    assert read_emergency(backing.folder("a") / EMERGENCY) is None
    assert [one.seq for one in records] == list(range(1, len(records) + 1))
    epochs = [one.body.epoch for one in records if isinstance(one.body, Lease)]
    assert epochs == sorted(set(epochs))
    report = audit(backing.folder("a"), access=backing.access)
    assert report.ok, report.bad


@pytest.mark.parametrize("strike", [killed_before, killed_between, killed_after])
def test_a_merge_that_was_killed_is_made_once(
    backing: Backing, strike: Callable[..., None]
) -> None:
    whys = stranded(backing)
    with pytest.raises(Killed):
        opened(backing, struck(backing, strike))
    home(backing, whys)


@pytest.mark.parametrize("point", [Point.MERGING, Point.MERGED])
def test_a_merge_that_was_killed_at_a_point_is_made_once(
    backing: Backing, point: Point
) -> None:
    class Deadly:
        def at(self, here: Point, *_: object) -> None:
            if here is point:
                raise Killed

    whys = stranded(backing)
    with pytest.raises(Killed):
        opened(backing, backing.access, points=Deadly())
    home(backing, whys)


def refused_unheard(backing: Backing) -> None:
    """In a shared store nobody leads who cannot write that down there: the next one
    would lead under the same epoch."""
    before = len(stored(backing))
    with pytest.raises(JournalFull):
        opened(backing, struck(backing, landed_unheard))
    assert not any(isinstance(one.body, Lease) for one in stored(backing)[before:])


def stored(backing: Backing) -> list[Record]:
    with backing.read("a") as reader:
        return list(reader.records())


def test_a_merge_that_landed_unheard_is_not_made_again(backing: Backing) -> None:
    """Its controller goes on in the emergency file, behind what it takes for unmerged:
    of that file only the new entries are still to come."""
    whys = stranded(backing)
    if backing.access.shared:
        refused_unheard(backing)
        home(backing, whys)
        return
    journal = opened(backing, struck(backing, landed_unheard))
    assert journal.stranded
    seen = [one.body.why for one in journal.records() if hasattr(one.body, "why")]
    assert seen == ["stored", *whys]
    journal.append_emergency(phased("even then"), run="r")
    journal.let_go(clean=False)
    with backing.read("a") as reader:
        told = [one.body.why for one in reader.records() if hasattr(one.body, "why")]
    assert told == ["stored", *whys, "even then"]
    home(backing, whys, ["even then"])
    with backing.read("a") as reader:
        merged = [o.body for o in reader.records() if isinstance(o.body, Merged)]
    assert [one.entries for one in merged] == [ENTRIES, 2]


def test_twice_unheard_is_not_made_again_either(backing: Backing) -> None:
    whys = stranded(backing)
    if backing.access.shared:
        refused_unheard(backing)
        opened(backing, struck(backing, landed_unheard)).close()
        home(backing, whys)
        return
    for number in range(2):
        journal = opened(backing, struck(backing, landed_unheard))
        journal.append_emergency(phased(f"still {number}"), run="r")
        journal.let_go(clean=False)
    home(backing, whys, ["still 0", "still 1"])
