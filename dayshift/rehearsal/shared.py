"""A store in memory that several controllers share, with leases in virtual time.

`Shared` is what the members of a real store agree on; `SharedStore` is one controller's
connection to it. A connection can be cut: then it knows nothing and is sure of nothing,
as with a real store; or late: what it was asked happens after the caller gave up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dayshift.errors import JournalFull, JournalHeld, Reason
from dayshift.journal import stores
from dayshift.journal.base import (
    ORIGIN,
    Head,
    Health,
    Holder,
    Message,
    Row,
    SignedHead,
    Stir,
    Store,
    StoredSnapshot,
    Wave,
)
from dayshift.journal.stores import watching
from dayshift.model.estate import StoreSpec
from dayshift.model.units import Clock, elapsed_ms

TTL_MS = 3_000
LOOK_MS = 1_000


def _nothing(what: str, who: str, epoch: int, at_ms: int) -> None:
    return None


class Shared:
    """What is durable, and who leads until when. `note` is told of leaders that come
    (`lead`) and whose lease ended (`lapse`), as the store has it."""

    def __init__(
        self, clock: Clock, note: Callable[[str, str, int, int], None] = _nothing
    ) -> None:
        self.clock = clock
        self.rows: list[Row] = []
        self.signed: list[SignedHead] = []
        self.snaps: list[StoredSnapshot] = []
        self.keys: list[str] = []
        self.messages: dict[str, bytes] = {}
        self.token: Wave | None = None
        self.moved = ""
        self.leader: Holder | None = None
        self.leader_of: SharedStore | None = None
        self.until_ms = 0
        self.cut: set[str] = set()
        """Folders of controllers that cannot reach the store."""
        self.late: dict[str, int] = {}
        """Appends of these land so much later, and nobody answers."""
        self._note = note
        self._stirred = asyncio.Event()
        self._landing: set[asyncio.Task[None]] = set()

    def hang_up(self, who: str) -> None:
        """A process died: whatever it held is held until it runs out."""
        if self.leader_of is not None and self.leader_of.who == who:
            self.leader_of = None

    def stir(self) -> None:
        self._stirred.set()
        self._stirred = asyncio.Event()

    async def stirred(self) -> None:
        await self._stirred.wait()

    def later(self, ms: int, land: Callable[[], None]) -> None:
        async def arrive() -> None:
            await self.clock.sleep(ms)
            with contextlib.suppress(JournalHeld):
                land()

        task = asyncio.create_task(arrive())
        self._landing.add(task)
        task.add_done_callback(self._landing.discard)

    def led(self, what: str, at_ms: int) -> None:
        """A lease began or ended."""
        if self.leader is not None:
            self._note(what, self.leader.name, self.leader.epoch, at_ms)

    def holder(self) -> Holder | None:
        if self.leader is not None and self.clock.now().mono_ms >= self.until_ms:
            self.led("lapse", self.until_ms)
            self.leader = self.leader_of = None
        return self.leader

    def access(
        self, estate: str, around: Callable[[Store], Store] = lambda store: store
    ) -> stores.Access:
        """How a controller reaches it."""
        spec = StoreSpec("shared")
        return stores.Access(spec, estate, around=around, driver=self)

    def reader(self, access: stores.Access, folder: Path) -> SharedStore:
        return SharedStore(self, folder)

    def writer(self, access: stores.Access, folder: Path, lock: object) -> SharedStore:
        return SharedStore(self, folder)


class SharedStore:
    """One connection, of the controller whose folder it is."""

    def __init__(self, shared: Shared, folder: Path) -> None:
        self._at = shared
        self.who = folder.name
        self._sure_until_ms = -1

    def _reach(self) -> Shared:
        if self.who in self._at.cut:
            raise JournalFull(Reason("STORE-AWAY", "the store does not answer"))
        return self._at

    def renew(self) -> None:
        """What a keep-alive does in the background of a process that runs."""
        at = self._at
        if self.who not in at.cut and at.holder() and at.leader_of is self:
            at.until_ms = self._sure_until_ms = at.clock.now().mono_ms + TTL_MS

    @property
    def lost(self) -> bool:
        self.renew_if_running()
        return self._at.clock.now().mono_ms >= self._sure_until_ms

    def renew_if_running(self) -> None:
        if self._sure_until_ms > self._at.clock.now().mono_ms:
            self.renew()

    def lease(self, holder: Holder, after: Head) -> None:
        at = self._reach()
        if at.holder() is not None or self.head() != after:
            raise JournalHeld(Reason("JOURNAL-HELD", f"{at.leader} leads"))
        at.leader, at.leader_of = holder, self
        at.until_ms = self._sure_until_ms = at.clock.now().mono_ms + TTL_MS
        at.led("lead", at.clock.now().mono_ms)

    def append(self, rows: Sequence[Row], after: Head) -> None:
        at = self._reach()
        late_ms = at.late.get(self.who, 0)
        if late_ms:
            at.later(late_ms, lambda: self.land(rows, after))
            raise JournalFull(Reason("STORE-SILENT", "the store did not answer"))
        self.land(rows, after)

    def land(self, rows: Sequence[Row], after: Head) -> None:
        """What the store itself does with an append, when it gets there."""
        at = self._at
        if at.holder() is None or at.leader_of is not self or _head(at.rows) != after:
            raise JournalHeld(Reason("JOURNAL-HELD", f"{at.leader} leads"))
        at.rows.extend(rows)
        at.stir()

    def head(self) -> Head:
        return _head(self._reach().rows)

    def hash_at(self, seq: int) -> str | None:
        if seq == 0:
            return ORIGIN.hash
        rows = self._reach().rows
        return rows[seq - 1].hash if 0 < seq <= len(rows) else None

    def read(self, after_seq: int) -> Iterator[Row]:
        yield from tuple(self._reach().rows[after_seq:])

    def heads(self) -> Iterator[SignedHead]:
        yield from self._reach().signed

    def last_signed(self) -> SignedHead | None:
        return self._reach().signed[-1] if self._reach().signed else None

    def snapshots(self) -> Iterator[StoredSnapshot]:
        yield from reversed(self._reach().snaps)

    def public_keys(self) -> tuple[str, ...]:
        return tuple(self._reach().keys)

    def leader(self) -> Holder | None:
        return self._reach().holder()

    def wave(self) -> Wave | None:
        return self._reach().token

    def moved_to(self) -> str:
        return self._reach().moved

    def fault(self) -> str | None:
        return None

    def health(self) -> Health:
        return Health("shared", (), None)

    def room_bytes(self) -> int | None:
        return None

    async def watch(
        self, head: Head, wanted: frozenset[Stir], clock: Clock, timeout_ms: int
    ) -> frozenset[Stir]:
        begun = clock.now()
        while not (seen := watching.stirred(self, head, wanted)):
            left = timeout_ms - elapsed_ms(begun, clock.now())
            if left <= 0:
                break
            with contextlib.suppress(TimeoutError):
                # A lease ends without a word.
                await clock.within(min(left, LOOK_MS), self._at.stirred())
        return seen

    def close(self) -> None:
        if self._at.leader_of is self:
            self._at.led("lapse", self._at.clock.now().mono_ms)
            self._at.leader = self._at.leader_of = None
            self._at.stir()
        self._sure_until_ms = -1

    def post(self, token: str, data: bytes) -> None:
        self._reach().messages[token] = data
        self._at.stir()

    def inbox(self) -> tuple[Message, ...]:
        return tuple(Message(*one) for one in self._reach().messages.items())

    def take(self, token: str) -> None:
        self._reach().messages.pop(token, None)

    def put_head(self, signed: SignedHead) -> None:
        self._reach().signed.append(signed)

    def put_snapshot(self, snapshot: StoredSnapshot) -> None:
        self._reach().snaps.append(snapshot)

    def put_key(self, public_hex: str) -> None:
        self._reach().keys.append(public_hex)

    def take_wave(self, wave: Wave) -> Wave:
        at = self._reach()
        if at.token is None or at.token.journal == wave.journal:
            at.token = wave
        return at.token

    def release_wave(self, journal: str) -> None:
        at = self._reach()
        if at.token is not None and at.token.journal == journal:
            at.token = None

    def set_moved(self, to: str) -> None:
        self._reach().moved = to


def _head(rows: Sequence[Row]) -> Head:
    return Head(rows[-1].seq, rows[-1].hash) if rows else ORIGIN
