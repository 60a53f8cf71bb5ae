"""What a sealed bundle holds, and who keeps it fresh: the leader, and whoever follows.

Estate and folded state, no secrets: options hold references only. The signed envelope
is the journal's (`journal.sealed`); acting on it is in `runtime.glass`.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import msgspec
from msgspec.structs import replace

from dayshift.core.state import JournalState
from dayshift.errors import Reason, Refused
from dayshift.journal.base import Head, Holder
from dayshift.journal.emergency import EmergencyLog
from dayshift.journal.journal import Journal
from dayshift.journal.reader import JournalView
from dayshift.journal.sealed import Sealed, Sealer, note_of, seal
from dayshift.journal.signing import Signer
from dayshift.limits import SEAL_MS
from dayshift.model.estate import Estate
from dayshift.model.units import Clock, Instant, elapsed_ms

CONTENTS_FORMAT = 1
_BYTES_MAX = 256 * 1024 * 1024
"""What a payload may grow to when it is unpacked."""


class Contents(msgspec.Struct, frozen=True):
    """The payload of a bundle."""

    format: int
    estate: Estate
    state: JournalState


def pack(estate: Estate, state: JournalState) -> bytes:
    """Estate and state as the payload of a bundle."""
    whole = msgspec.json.encode(Contents(CONTENTS_FORMAT, estate, state))
    return zlib.compress(whole, 1)


def unpack(sealed: Sealed) -> Contents:
    """What the bundle knows.

    Raises:
        Refused: a Dayshift of another kind sealed it.
    """
    try:
        whole = zlib.decompressobj().decompress(sealed.payload, _BYTES_MAX)
        found = msgspec.json.decode(whole, type=Contents)
    except (zlib.error, ValueError) as error:
        raise Refused(_unreadable(sealed, str(error))) from None
    if found.format != CONTENTS_FORMAT:
        raise Refused(_unreadable(sealed, f"format {found.format}"))
    return found


class Seals:
    """Keeps the leader's bundle fresh while a run is open."""

    def __init__(self, journal: Journal, estate: Estate, clock: Clock) -> None:
        self._journal = journal
        self._estate = estate
        self._due = _Due(clock)
        self._packed: tuple[JournalState, bytes] | None = None
        """The last payload, and the state that it holds."""

    def freshen(self, state: JournalState) -> None:
        """Seal `state` if something is at stake that the bundle does not know, or if
        the bundle is getting old."""
        if self._due.is_due(state):
            self.seal(state)

    def seal(self, state: JournalState) -> None:
        """Seal `state`, the fold of the whole journal, now."""
        self._due.done(state)
        self._journal.seal(lambda: self._pack(state))

    def _pack(self, state: JournalState) -> bytes:
        """Packed once for each state: most bundles only tell that nothing is new."""
        if self._packed is None or self._packed[0] is not state:
            self._packed = state, pack(self._estate, state)
        return self._packed[1]


class Copies:
    """Keeps this machine's bundle fresh from a journal that another controller leads.

    For whoever follows: call `follow` whenever the state was folded on.
    """

    def __init__(self, view: JournalView, clock: Clock, name: str) -> None:
        self._view = view
        self._sealer = Sealer(view.folder, Signer(view.folder))
        self._clock = clock
        self._holder = holder_here(name, clock)
        self._due = _Due(clock)

    def follow(self, head: Head, state: JournalState, estate: Estate) -> bool:
        """Seal `state`, the fold of all up to `head`, if it is time; True if it was
        sealed."""
        if not self._due.is_due(state):
            return False
        self._due.done(state)
        note = note_of(self._view, self._holder, self._clock, head, state.epoch)
        return self._sealer.keep(note, pack(estate, state))

    def close(self) -> None:
        self._sealer.close()


class _Due:
    """When the next bundle is to be sealed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: tuple[object, Instant] | None = None

    def is_due(self, state: JournalState) -> bool:
        if self._last is None:
            return True
        known, at = self._last
        return known != _stake(state) or elapsed_ms(at, self._clock.now()) >= SEAL_MS

    def done(self, state: JournalState) -> None:
        self._last = _stake(state), self._clock.now()


def _stake(state: JournalState) -> object:
    """What is sealed at once when it changes: where the open run is, and who is out."""
    run = state.open_run
    if run is None:
        return state.left_drained, state.run.run if state.run else ""
    here = run.now_at
    return run.run, run.status, here.region, here.phase, here.retreat, here.index


def sealed_now(folder: Path, view: JournalView, payload: bytes, clock: Clock) -> bytes:
    """A bundle of this moment, for a file."""
    mine = holder_here("dayshift seal", clock)
    note = note_of(view, mine, clock, view.head, view.epoch)
    return seal(Signer(folder), note, payload)


def entries_file(
    folder: Path, bundle: Sealed, log: EmergencyLog, payload: bytes, clock: Clock
) -> bytes:
    """What was done with broken glass here, for a file."""
    note = replace(
        bundle.note,
        kind="entries",
        seq=log.end.seq,
        hash=log.end.hash,
        epoch=log.records[-1].epoch,
        wall_ms=clock.now().wall_ms,
        machine=host_here(),
    )
    return seal(Signer(folder), note, payload)


def host_here() -> str:
    """This machine's name, as bundles and break-glass epochs know it."""
    return os.uname().nodename


def holder_here(name: str, clock: Clock) -> Holder:
    """This process, as bundles name it."""
    return Holder(os.getpid(), host_here(), "", name, clock.now().wall_ms)


def _unreadable(sealed: Sealed, why: str) -> Reason:
    return Reason(
        "SEAL-UNREADABLE",
        f"the bundle of {sealed.note.machine} cannot be read here ({why})",
        because="another version of Dayshift sealed it",
        so="nothing moved",
        next="use the version that sealed it, or another machine's bundle",
    )
