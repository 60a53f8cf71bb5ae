"""Moves a journal while nobody leads it: between stores, out to a file, in from one.

Here is decided who may be led, in which order, and what is left behind; how records are
carried is `transfer`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from dayshift.errors import JournalHeld, Reason, Refused
from dayshift.journal.base import ORIGIN, Head, Store, Wave
from dayshift.journal.durable import make_folder
from dayshift.journal.findings import known_keys
from dayshift.journal.lock import LOCK, WriterLock, read_holder
from dayshift.journal.reader import absent_reason
from dayshift.journal.stores import Access, note_store, open_reader, open_writer
from dayshift.journal.transfer import (
    JournalFile,
    Progress,
    arrived_reason,
    pour,
    write_file,
)
from dayshift.model.estate import StoreSpec
from dayshift.model.units import Clock


def export_journal(
    folder: Path, access: Access, target: Path, progress: Progress
) -> Head:
    """Write the journal into a new file, which is there whole or not at all.

    Raises:
        Refused: there is no journal, or the file exists.
        JournalBroken: its chain does not hold.
    """
    if target.exists():
        raise Refused(_in_the_way(target))
    store = open_reader(access, folder)
    if store is None:
        raise Refused(absent_reason(folder))
    draft = target.with_name(target.name + ".part")
    try:
        if store.head() == ORIGIN:
            raise Refused(absent_reason(folder))
        with draft.open("wb") as file:
            keys = known_keys(folder, store)
            head = write_file(file, access.estate, keys, store, progress)
        draft.replace(target)
        return head
    finally:
        store.close()
        draft.unlink(missing_ok=True)


def import_journal(
    source: Path, folder: Path, access: Access, who: str, clock: Clock, tell: Progress
) -> Head:
    """Bring a journal from a file into a store that is empty, or holds its beginning.

    Raises:
        Refused: the file is no whole journal or another estate's, or the store holds
            something else.
        JournalBroken: the file's chain does not hold.
        JournalHeld: a controller leads there.
    """
    with source.open("rb") as file, _locked(folder, who, clock) as lock:
        found = JournalFile(file, str(source))
        if found.estate != access.estate:
            raise Refused(_of_another(found.estate, access.estate))
        with _led(access, folder, lock) as into:
            head = pour(found.rows(), found.heads, found.keys, into, tell)
            into.set_moved("")
        note_store(folder, access.estate, access)
        return head


def move_journal(
    folder: Path, source: Access, target: Access, who: str, clock: Clock, tell: Progress
) -> Head:
    """Bring a journal from one store to another, and close the first for writing.

    What is done twice is done once: an interrupted move goes on where it stopped.

    Raises:
        Refused: there is nothing to move, or the target holds something else.
        JournalBroken: the chain does not hold.
        JournalHeld: a controller leads here or there.
    """
    if source.store == target.store:
        raise Refused(_there_already(source.store))
    with _locked(folder, who, clock) as lock, _led(source, folder, lock) as out:
        wanted = out.head()
        if wanted == ORIGIN or out.moved_to():
            raise Refused(_nothing_to_move(source.store, out.moved_to()))
        with _led(target, folder, lock) as into:
            keys = known_keys(folder, out)
            found = pour(out.read(0), out.heads(), keys, into, tell)
            reason = arrived_reason(wanted, found)
            if reason is not None:
                raise Refused(reason)
            for snapshot in reversed(list(out.snapshots())):
                into.put_snapshot(snapshot)
            _hand_over_wave(out, into)
            into.set_moved("")
            out.set_moved(described(target.store))
        note_store(folder, target.estate, target)
        return found


def _hand_over_wave(out: Store, into: Store) -> None:
    wave = out.wave()
    if wave is None:
        return
    has = into.wave()
    if has is not None and has.journal != wave.journal:
        raise Refused(_two_waves(has))
    # Released first: two journals of one store share one token.
    out.release_wave(wave.journal)
    into.take_wave(wave)


def described(spec: StoreSpec) -> str:
    """A store in a few words, without what opens it."""
    where = (
        spec.options.get("endpoints") or spec.options.get("hosts") or ("this folder",)
    )
    return f"{spec.driver} at {', '.join(where)}"


@contextlib.contextmanager
def _locked(folder: Path, who: str, clock: Clock) -> Iterator[WriterLock]:
    make_folder(folder)
    lock = WriterLock.take(folder / LOCK, who, clock.now())
    if lock is None:
        holder = read_holder(folder / LOCK)
        raise JournalHeld(_busy(str(holder or "it is just starting")))
    try:
        yield lock
    finally:
        lock.release(clean=True)


@contextlib.contextmanager
def _led(access: Access, folder: Path, lock: WriterLock) -> Iterator[Store]:
    """A store that nobody else writes meanwhile. No record says so: no epoch begins."""
    store = open_writer(access, folder, lock)
    try:
        store.lease(replace(lock.holder, epoch=0), store.head())
        yield store
    finally:
        store.close()


def _busy(holder: str) -> Reason:
    return Reason(
        "JOURNAL-HELD",
        f"a controller writes this journal: {holder}",
        because="a journal is moved while nobody writes it",
        so="nothing was moved",
        next="let it end or stop it; a run goes on afterwards, from the new store",
    )


def _in_the_way(target: Path) -> Reason:
    return Reason(
        "FILE-EXISTS",
        f"{target} is there already",
        because="an older export might be the only copy of something",
        so="nothing was written",
        next="name another file, or remove that one",
    )


def _of_another(found: str, wanted: str) -> Reason:
    return Reason(
        "JOURNAL-OF-ANOTHER-ESTATE",
        f"the file is of estate {found}, the store is for {wanted}",
        because="a journal belongs to the one estate that its first record names",
        so="nothing was written",
        next="name the right file, or the right directory with --dir",
    )


def _there_already(spec: StoreSpec) -> Reason:
    return Reason(
        "STORE-THE-SAME",
        f"the journal lies there already: {described(spec)}",
        because="`journal:` in dayshift.yaml is where it was last opened",
        so="nothing was moved",
        next="write the new store under `journal:` in dayshift.yaml first",
    )


def _two_waves(has: Wave) -> Reason:
    return Reason(
        "WAVE-TAKEN",
        f"the other store has a run of this estate in flight: {has}",
        because="invariant: one wave in the whole estate",
        so="the journal stays where it was",
        next="let that run end first",
    )


def _nothing_to_move(spec: StoreSpec, moved_to: str) -> Reason:
    went = f"it went on to {moved_to}" if moved_to else "it has no record"
    return Reason(
        "JOURNAL-ABSENT",
        f"there is no journal to move in {described(spec)}: {went}",
        because="a journal is in one place at a time",
        so="nothing was moved",
        next="name the store where it is with --from FILE",
    )
