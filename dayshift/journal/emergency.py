"""Where records go when the store cannot take them: a file that has its room already.

Frames of whole batches after two slots that count them. A batch that is counted was
acknowledged; one that is not counted but whole was durable and is kept; torn ones never
were. Which chain the entries belong to is found out by `findings`.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from dayshift.errors import DayshiftError, JournalFull, Reason
from dayshift.journal.base import Head, Row
from dayshift.journal.chain import read_link, seal
from dayshift.journal.codec import decode_record
from dayshift.journal.durable import open_with_room
from dayshift.journal.slots import Slots, read_slots
from dayshift.limits import EMERGENCY_BYTES
from dayshift.model.points import NOWHERE, Point, Points
from dayshift.model.records import Merged, Record
from dayshift.model.units import Instant

EMERGENCY = "emergency"
_FRAMES_START = 4096
_FRAME = struct.Struct(">4sQI32s")
_MAGIC = b"DSE1"


class _Count(msgspec.Struct, frozen=True):
    """`generation` grows with each reset: frames of before never count again."""

    generation: int
    batches: int


class EmergencyLog(NamedTuple):
    """What an emergency file holds. `base` is the head that its first entry follows."""

    base: Head
    records: tuple[Record, ...]
    rows: tuple[Row, ...]

    @property
    def end(self) -> Head:
        return Head(self.rows[-1].seq, self.rows[-1].hash)

    def after(self, count: int) -> EmergencyLog | None:
        """What follows the first `count` entries; None if nothing does."""
        if count >= len(self.rows):
            return None
        last = self.rows[count - 1] if count else None
        base = Head(last.seq, last.hash) if last else self.base
        return EmergencyLog(base, self.records[count:], self.rows[count:])


class EmergencyDamaged(ValueError):
    """An acknowledged entry cannot be read any more."""


class EmergencyFile:
    """The open file; `append` is durable on return."""

    def __init__(self, path: Path, points: Points = NOWHERE) -> None:
        self._points = points
        try:
            self._fd = open_with_room(path, EMERGENCY_BYTES)
        except OSError as error:
            raise JournalFull(_no_room(f"its file cannot be made: {error}")) from None
        self._slots = Slots(self._fd)
        self._count = _read_count(self._slots.payload)
        if self._slots.payload is None:
            # Else the first frame, not counted yet, would look like a lost count.
            self._write_count(self._count)
            self._write_count(self._count)
        data = os.pread(self._fd, EMERGENCY_BYTES, 0)
        frames = _frames(data, self._count.generation)
        self._end = _FRAMES_START + sum(_FRAME.size + len(one) for one in frames)
        self._batches = len(frames)

    def append(self, rows: Sequence[Row]) -> None:
        """Keep a batch: the frame first, then its count, each synced.

        Raises:
            JournalFull: even this file cannot take it.
        """
        payload = msgspec.msgpack.encode([tuple(row) for row in rows])
        generation = self._count.generation
        if self._end + _FRAME.size + len(payload) > EMERGENCY_BYTES:
            raise JournalFull(
                _no_room(f"{self._end + len(payload)} bytes (limit {EMERGENCY_BYTES})")
            )
        digest = hashlib.sha256(payload).digest()
        header = _FRAME.pack(_MAGIC, generation, len(payload), digest)
        try:
            os.pwrite(self._fd, header + payload, self._end)
            os.fsync(self._fd)
            self._points.at(Point.FRAMED)
            self._write_count(_Count(generation, self._batches + 1))
        except OSError as error:
            raise JournalFull(_no_room(str(error))) from None
        self._end += len(header) + len(payload)
        self._batches += 1

    def reset(self) -> None:
        """Forget every entry, in both slots: no torn one brings them back."""
        empty = _Count(self._count.generation + 1, 0)
        self._write_count(empty)
        self._write_count(empty)
        self._end, self._batches = _FRAMES_START, 0

    def _write_count(self, count: _Count) -> None:
        self._slots.write(msgspec.json.encode(count), durable=True)
        self._count = count

    def close(self) -> None:
        os.close(self._fd)


def read_emergency(path: Path) -> EmergencyLog | None:
    """The entries of an emergency file; None if there are none.

    Raises:
        EmergencyDamaged: fewer entries can be read than were acknowledged.
    """
    payload = read_slots(path)
    begin = _begin(path)
    if payload is None and begin.startswith(_MAGIC):
        raise EmergencyDamaged("both counts of its batches are unreadable")
    count = _read_count(payload)
    ours = begin.startswith(_MAGIC + count.generation.to_bytes(8, "big"))
    if not ours and not count.batches:
        return None
    frames = _frames(path.read_bytes(), count.generation)
    if len(frames) < count.batches:
        raise EmergencyDamaged(f"{len(frames)} of {count.batches} batches are readable")
    rows = tuple(
        Row(*fields)
        for frame in frames
        for fields in msgspec.msgpack.decode(frame, type=list[tuple[int, str, bytes]])
    )
    if not rows:
        return None
    try:
        base = Head(rows[0].seq - 1, decode_record(rows[0].data).prev)
        return EmergencyLog(base, _linked(base, rows), rows)
    except (ValueError, DayshiftError) as error:
        raise EmergencyDamaged(str(error)) from None


def _begin(path: Path) -> bytes:
    """The header of the first frame: enough to see that there is no entry."""
    try:
        with path.open("rb") as file:
            file.seek(_FRAMES_START)
            return file.read(_FRAME.size)
    except FileNotFoundError:
        return b""


def _linked(base: Head, rows: Sequence[Row]) -> tuple[Record, ...]:
    records = []
    for row in rows:
        records.append(read_link(base, row))
        base = Head(row.seq, row.hash)
    return tuple(records)


def _frames(data: bytes, generation: int) -> list[bytes]:
    """Payloads of the whole frames of this generation, up to the first that is not."""
    frames = []
    at = _FRAMES_START
    while at + _FRAME.size <= len(data):
        magic, written_in, length, digest = _FRAME.unpack_from(data, at)
        payload = data[at + _FRAME.size : at + _FRAME.size + length]
        ours = magic == _MAGIC and written_in == generation
        if not ours or hashlib.sha256(payload).digest() != digest:
            break
        frames.append(payload)
        at += _FRAME.size + length
    return frames


def _read_count(payload: bytes | None) -> _Count:
    return msgspec.json.decode(payload, type=_Count) if payload else _Count(0, 0)


def _no_room(text: str) -> Reason:
    return Reason(
        "EMERGENCY-FULL",
        f"the emergency journal cannot take a record ({text})",
        because="the journal's disk is full, and so is what was set aside for this",
        so="no further action is taken, not even safe ones",
        next="make room at the journal's directory, then start again",
    )


def merged_rows(log: EmergencyLog, head: Head, now: Instant, epoch: int) -> list[Row]:
    """The entries and a record that says where they lay, as they follow `head`.

    Where they follow it as they are, they keep their numbers, and the record stands
    behind them: claims at dials go on naming them. Where the store went on meanwhile,
    under `epoch`, it stands before them, and they get new numbers.
    """
    merged = Merged(len(log.records), log.end.hash, log.base.seq)
    if log.base == head:
        return [*log.rows, seal(log.end, now, log.records[-1].epoch, "", merged)[0]]
    rows = [seal(head, now, epoch, "", merged)[0]]
    for one in log.records:
        prev = Head(rows[-1].seq, rows[-1].hash)
        rows.append(seal(prev, one.at, one.epoch, one.run, one.body)[0])
    return rows
