"""A store in memory that several controllers share, with leases in virtual time.

`Shared` is what the three members of a real store agree on; `SharedStore` is one
controller's connection to it. A connection can be cut: then it knows nothing and is
sure of nothing, as with a real store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
    StoredSnapshot,
    Wave,
)
from dayshift.journal.stores.watching import poll, stirred
from dayshift.model.estate import StoreSpec
from dayshift.model.units import Clock

TTL_MS = 3_000
KNOWN: dict[str, Shared] = {}
"""By what stands in the settings: the note beside a journal can hold a name only."""


class Shared:
    """What is durable, and who leads until when."""

    def __init__(self, clock: Clock) -> None:
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

    def holder(self) -> Holder | None:
        if self.clock.now().mono_ms >= self.until_ms:
            self.leader = self.leader_of = None
        return self.leader

    def access(self, estate: str) -> stores.Access:
        KNOWN[str(id(self))] = self
        return stores.Access(StoreSpec("shared", {"at": str(id(self))}), estate)

    @staticmethod
    def reader(access: stores.Access, folder: Path) -> SharedStore | None:
        return SharedStore(KNOWN[access.store.options["at"]], folder)

    @staticmethod
    def writer(access: stores.Access, folder: Path, lock: Any) -> SharedStore:
        return SharedStore(KNOWN[access.store.options["at"]], folder)


class SharedStore:
    """One connection. `paused` is a process that was stopped: it renews nothing."""

    def __init__(self, shared: Shared, folder: Path) -> None:
        self._at = shared
        self._who = folder.name
        self._sure_until_ms = -1

    def _reach(self) -> Shared:
        if self._who in self._at.cut:
            raise JournalFull(Reason("STORE-AWAY", "the store does not answer"))
        return self._at

    def renew(self) -> None:
        """What a keep-alive does in the background of a process that runs."""
        at = self._at
        if self._who not in at.cut and at.holder() and at.leader_of is self:
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

    def append(self, rows: Sequence[Row], after: Head) -> None:
        at = self._reach()
        if at.holder() is None or at.leader_of is not self or self.head() != after:
            raise JournalHeld(Reason("JOURNAL-HELD", f"{at.leader} leads"))
        at.rows.extend(rows)

    def head(self) -> Head:
        rows = self._reach().rows
        return Head(rows[-1].seq, rows[-1].hash) if rows else ORIGIN

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
        async def look() -> frozenset[Stir]:
            return stirred(self, head, wanted)

        return await poll(look, clock, timeout_ms)

    def close(self) -> None:
        if self._at.leader_of is self:
            self._at.leader = self._at.leader_of = None
        self._sure_until_ms = -1

    def post(self, token: str, data: bytes) -> None:
        self._reach().messages[token] = data

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
