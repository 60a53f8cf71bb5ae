"""A small file that is overwritten in place and survives it.

Two slots with a counter and a checksum: a write goes to the older one, so that a torn
write leaves the other. What the payload means is the caller's matter.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from dayshift.journal.durable import open_with_room

_HEADER = struct.Struct(">4sQHI")
_MAGIC = b"DSS1"
_SLOT_BYTES = 1024
SLOTS_BYTES = 2 * _SLOT_BYTES
PAYLOAD_MAX = _SLOT_BYTES - _HEADER.size


class Slots:
    """Two slots at the start of an open file."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._count, self._payload = _newest(os.pread(fd, SLOTS_BYTES, 0))

    @property
    def payload(self) -> bytes | None:
        """What was written last; None when neither slot is whole."""
        return self._payload

    def write(self, payload: bytes, durable: bool) -> None:
        """Replace the payload; `durable` waits until it would survive a power cut."""
        assert len(payload) <= PAYLOAD_MAX
        count = self._count + 1
        check = zlib.crc32(payload, count & 0xFFFFFFFF)
        header = _HEADER.pack(_MAGIC, count, len(payload), check)
        os.pwrite(self._fd, header + payload, (count % 2) * _SLOT_BYTES)
        if durable:
            os.fsync(self._fd)
        self._count, self._payload = count, payload

    def close(self) -> None:
        os.close(self._fd)


def read_slots(path: Path) -> bytes | None:
    """The payload of a slots file, without opening it for writing; None if absent."""
    try:
        with path.open("rb") as file:
            return _newest(file.read(SLOTS_BYTES))[1]
    except FileNotFoundError:
        return None


def _newest(data: bytes) -> tuple[int, bytes | None]:
    best: tuple[int, bytes | None] = (0, None)
    for start in (0, _SLOT_BYTES):
        slot = data[start : start + _SLOT_BYTES]
        if len(slot) < _HEADER.size:
            continue
        magic, count, length, check = _HEADER.unpack_from(slot)
        payload = slot[_HEADER.size : _HEADER.size + length]
        whole = magic == _MAGIC and len(payload) == length
        if (
            whole
            and count > best[0]
            and zlib.crc32(payload, count & 0xFFFFFFFF) == check
        ):
            best = count, payload
    return best


def open_slots(path: Path) -> Slots:
    """Open a slots file for writing, made if absent, readable by its owner only."""
    return Slots(open_with_room(path, SLOTS_BYTES))
