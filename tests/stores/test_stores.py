"""One suite for every store: what the protocol promises, over real servers."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from dayshift.errors import Bug, JournalError, JournalHeld
from dayshift.journal.base import (
    ORIGIN,
    Head,
    Message,
    SignedHead,
    Stir,
    StoredSnapshot,
    Wave,
)
from dayshift.journal.codec import canonical
from dayshift.journal.signing import HeadNote
from dayshift.limits import MESSAGE_BYTES_MAX, RECORD_BYTES_MAX
from tests.stores.backing import Backing, end, holder, rows

RACES = 20


def test_an_empty_store_says_so(backing: Backing) -> None:
    store = backing.writer("a")
    assert store.head() == ORIGIN
    assert list(store.read(0)) == []
    assert list(store.heads()) == [] and store.last_signed() is None
    assert list(store.snapshots()) == []
    assert store.public_keys() == ()
    assert store.wave() is None
    assert store.moved_to() == ""
    assert store.inbox() == ()
    assert store.hash_at(0) == ORIGIN.hash and store.hash_at(1) is None


def test_what_was_appended_is_read(backing: Backing) -> None:
    store = backing.leading("a")
    made = rows(ORIGIN, 5)
    store.append(made[:1], ORIGIN)
    store.append(made[1:], end(made[:1]))
    other = backing.reader()
    for one in (store, other):
        assert one.head() == end(made)
        assert list(one.read(0)) == made
        assert list(one.read(3)) == made[3:]
        assert list(one.read(5)) == []
        assert one.hash_at(2) == made[1].hash
        assert one.hash_at(6) is None


@pytest.mark.parametrize("count", [1, 3])
def test_an_append_compares_the_head(backing: Backing, count: int) -> None:
    store = backing.leading("a")
    made = rows(ORIGIN, 4)
    store.append(made, ORIGIN)
    for wrong in (ORIGIN, end(made[:2]), Head(4, "ab" * 32), Head(9, "cd" * 32)):
        with pytest.raises(JournalHeld):
            store.append(rows(wrong, count, begin=90), wrong)
    assert list(store.read(0)) == made
    store.append(rows(end(made), count), end(made))


def test_a_batch_is_whole_or_not_there(backing: Backing) -> None:
    """Longer than any single transaction of etcd: many records, and large ones."""
    store = backing.leading("a")
    many = rows(ORIGIN, 450)
    store.append(many, ORIGIN)
    large = rows(end(many), 4, size=RECORD_BYTES_MAX - 600)
    store.append(large, end(many))
    assert list(store.read(0)) == many + large
    with pytest.raises(JournalHeld):
        store.append(rows(end(many), 300, begin=7), end(many))
    assert list(store.read(0)) == many + large


def test_only_one_leads(backing: Backing) -> None:
    first = backing.leading("a", epoch=3)
    found = first.leader()
    if backing.shared:
        assert found is not None and (found.name, found.epoch) == ("a", 3)
        with pytest.raises(JournalHeld, match=r"a \(pid 1"):
            backing.leading("b")
        with pytest.raises(JournalHeld):
            backing.writer("c").append(rows(ORIGIN, 1), ORIGIN)
    first.append(rows(ORIGIN, 1), ORIGIN)
    assert not first.lost
    first.close()
    second = backing.leading("b", epoch=4)
    assert second.head().seq == 1


def test_leading_compares_the_head(backing: Backing) -> None:
    first = backing.leading("a")
    made = rows(ORIGIN, 1)
    first.append(made, ORIGIN)
    first.close()
    second = backing.writer("b")
    with pytest.raises(JournalHeld):
        second.lease(holder("b"), ORIGIN)
    second.lease(holder("b"), end(made))


def test_of_two_who_race_exactly_one_leads_and_writes(shared: Backing) -> None:
    head = ORIGIN
    for race in range(RACES):
        contenders = [shared.writer(f"{race}-{one}") for one in range(2)]

        def run(at: int, made=contenders, head=head, race=race) -> bool:
            try:
                made[at].lease(holder(f"{race}-{at}", race + 1), head)
                made[at].append(rows(head, 2, begin=10 * at), head)
            except JournalHeld:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            won = list(pool.map(run, range(2)))
        assert sum(won) == 1, race
        winner = contenders[won.index(True)]
        written = list(winner.read(head.seq))
        assert written == rows(head, 2, begin=10 * won.index(True))
        head = end(written)
        for one in contenders:
            one.close()


def test_reading_while_writing(backing: Backing) -> None:
    store, reader = backing.leading("a"), backing.reader()
    made = rows(ORIGIN, 300)
    for at in range(0, 300, 3):
        store.append(made[at : at + 3], end(made[:at]))
        if at % 30 == 0:
            found = list(reader.read(0))
            assert found == made[: at + 3]
    passing = reader.read(0)
    assert next(passing) == made[0]
    store.append(rows(end(made), 1), end(made))
    assert list(passing)[:299] == made[1:]


def test_signed_heads_are_kept_in_order(backing: Backing) -> None:
    store = backing.leading("a")

    def signed(seq: int) -> SignedHead:
        note = HeadNote("e", "ab" * 32, "j", seq, 5)
        return SignedHead(seq, canonical(note), bytes([seq % 256]) * 64)

    for seq in (3, 12, 100):
        store.put_head(signed(seq))
    assert list(backing.reader().heads()) == [signed(3), signed(12), signed(100)]
    assert store.last_signed() == signed(100)


def test_the_two_newest_snapshots_are_kept_whatever_their_size(
    backing: Backing,
) -> None:
    store = backing.leading("a")
    made = {seq: os.urandom(size) for seq, size in ((5, 9), (9, 2_500_000), (20, 0))}
    for seq, data in made.items():
        store.put_snapshot(StoredSnapshot(seq, "ab" * 32, data))
    found = list(backing.reader().snapshots())
    assert [one.seq for one in found] == [20, 9]
    assert [one.data for one in found] == [made[20], made[9]]
    assert {one.hash for one in found} == {"ab" * 32}


def test_keys_travel_with_the_journal(backing: Backing) -> None:
    store = backing.leading("a")
    for key in ("ff" * 32, "aa" * 32, "ff" * 32):
        store.put_key(key)
    assert backing.reader().public_keys() == ("ff" * 32, "aa" * 32)


def test_the_wave_token_is_one(backing: Backing) -> None:
    store = backing.leading("a")
    mine, others = Wave("j-1", "run-1", "ada", 5), Wave("j-2", "run-2", "grace", 6)
    assert store.take_wave(mine) == mine
    again = Wave("j-1", "run-9", "ada", 7)
    assert store.take_wave(others) == mine
    assert store.take_wave(again) == again
    assert backing.reader().wave() == again
    store.release_wave("j-2")
    assert store.wave() == again
    store.release_wave("j-1")
    assert store.wave() is None
    assert store.take_wave(others) == others


def test_moved_away_and_back(backing: Backing) -> None:
    store = backing.leading("a")
    store.set_moved("etcd elsewhere")
    assert backing.reader().moved_to() == "etcd elsewhere"
    store.set_moved("")
    assert store.moved_to() == ""


def test_the_inbox(backing: Backing) -> None:
    store = backing.leading("a")
    anybody = backing.reader()
    anybody.post("b-2", b"first")
    anybody.post("a-1", b"second")
    assert store.inbox() == (Message("b-2", b"first"), Message("a-1", b"second"))
    store.take("b-2")
    store.take("b-2")
    assert anybody.inbox() == (Message("a-1", b"second"),)
    for token, data in (("../x", b""), ("t", b"x" * (MESSAGE_BYTES_MAX + 1))):
        with pytest.raises(Bug):
            anybody.post(token, data)
    anybody.post("t", b"x" * MESSAGE_BYTES_MAX)


def test_watching(backing: Backing) -> None:
    store, watcher = backing.leading("a"), backing.reader()
    everything = frozenset(Stir)

    async def wait(head: Head, wanted: frozenset[Stir], ms: int) -> frozenset[Stir]:
        return await watcher.watch(head, wanted, backing.clock, ms)

    async def program() -> None:
        some = frozenset({Stir.HEAD, Stir.INBOX})
        assert await wait(ORIGIN, some, 300) == frozenset()
        made = rows(ORIGIN, 1)
        waiting = asyncio.create_task(wait(ORIGIN, some, 60_000))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(store.append, made, ORIGIN)
        assert await waiting == {Stir.HEAD}
        waiting = asyncio.create_task(wait(end(made), some, 60_000))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(backing.reader().post, "t", b"please")
        assert await waiting == {Stir.INBOX}
        assert await wait(ORIGIN, some, 60_000) == {Stir.HEAD, Stir.INBOX}
        store.take("t")
        if backing.shared:
            waiting = asyncio.create_task(wait(end(made), everything, 60_000))
            await asyncio.sleep(0.5)
            await asyncio.to_thread(store.close)
            assert await waiting == {Stir.VACANT}

    asyncio.run(program())


def test_health_and_room(backing: Backing) -> None:
    store = backing.leading("a")
    found = store.health()
    assert found.driver == backing.access.store.driver
    assert found.members and all(one.reachable for one in found.members)
    if found.room_bytes is not None:
        assert found.room_bytes > 0
        assert store.room_bytes()


def test_a_stale_leader_is_refused_whatever_it_tries(shared: Backing) -> None:
    """Its lease ended and another leads: nothing of it arrives any more."""
    stale = shared.leading("a")
    made = rows(ORIGIN, 1)
    stale.append(made, ORIGIN)
    take_lease_away(stale)
    fresh = shared.leading("b", epoch=2)
    for write in (
        lambda: stale.append(rows(end(made), 1), end(made)),
        lambda: stale.append(rows(end(made), 300), end(made)),
        lambda: stale.take_wave(Wave("j", "r", "a", 1)),
    ):
        with pytest.raises(JournalError, match=r"b \(pid 1"):
            write()
    stale.put_head(SignedHead(1, b"{}", b"x" * 64))
    stale.put_snapshot(StoredSnapshot(1, "ab" * 32, b"stale"))
    assert list(fresh.read(0)) == made
    assert fresh.wave() is None
    assert list(fresh.heads()) == [] and list(fresh.snapshots()) == []


def take_lease_away(store) -> None:  # type: ignore[no-untyped-def]
    """What the server does when a lease ends; the keeper has not noticed yet."""
    store._keeper.stop()
    if hasattr(store, "_revoke"):
        store._revoke()
    else:
        store._link.rows("UPDATE {s}.journals SET until = clock_timestamp()")
