"""The sealed bundle: what break-glass knows when the store is gone.

A payload (the runtime's: estate and folded state) with a note that says of which
journal, up to which record, by whom and when; signed. In the journal's folder it lies
in two areas that were given their room, so that it is written on a full disk too and a
crash while writing leaves the older one. A file for a laptop has the same bytes.
Only keys that are pinned in the folder count. Not here: what the payload means.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from dayshift.errors import Reason, Refused
from dayshift.journal.base import Head, Holder
from dayshift.journal.codec import canonical
from dayshift.journal.durable import open_with_room, sync_folder, write_whole
from dayshift.journal.reader import JournalView
from dayshift.journal.signing import (
    Signer,
    is_signed,
    public_keys,
)
from dayshift.limits import SEAL_BYTES_MAX
from dayshift.model.units import Clock

BUNDLE = "break-glass"
PINNED = "break-glass.pub"
_DOMAIN = b"dayshift/break-glass/1\0"
_ENVELOPE = struct.Struct(">4s32s64sII")
_MAGIC = b"DSB1"
_AREA = struct.Struct(">4sQI32s")
_AREA_MAGIC = b"DSBA"
_AREA_BYTES = SEAL_BYTES_MAX + 4096


class SealNote(msgspec.Struct, frozen=True):
    """What is signed: the payload by its hash, and where the journal stood. `kind` is
    `bundle`, or `entries` for what was done with broken glass."""

    kind: str
    estate: str
    journal: str
    seq: int
    hash: str
    epoch: int
    wall_ms: int
    holder: str
    machine: str
    sha256: str

    @property
    def head(self) -> Head:
        return Head(self.seq, self.hash)


class Sealed(NamedTuple):
    """A bundle that was verified; `key` signed it."""

    note: SealNote
    payload: bytes
    key: str


class SealDamaged(ValueError):
    """The bytes are not those that were signed."""


def seal(signer: Signer, note: SealNote, payload: bytes) -> bytes:
    """The bytes of a bundle; the note's hash is set here."""
    digest = hashlib.sha256(payload).hexdigest()
    data = canonical(msgspec.structs.replace(note, sha256=digest))
    signature = signer.sign_bytes(_DOMAIN + data)
    key = bytes.fromhex(signer.public_hex)
    header = _ENVELOPE.pack(_MAGIC, key, signature, len(data), len(payload))
    return header + data + payload


def unseal(data: bytes) -> Sealed:
    """What was sealed, whoever sealed it.

    Raises:
        SealDamaged: a byte is missing or not the one that was signed.
    """
    if len(data) < _ENVELOPE.size:
        raise SealDamaged(f"it has {len(data)} bytes")
    magic, key, signature, note_len, payload_len = _ENVELOPE.unpack_from(data)
    end = _ENVELOPE.size + note_len
    note, payload = data[_ENVELOPE.size : end], data[end : end + payload_len]
    if magic != _MAGIC or len(data) != end + payload_len:
        raise SealDamaged("it is cut off, or no bundle at all")
    if not is_signed(key.hex(), signature, _DOMAIN + note):
        raise SealDamaged("its note is not the one that was signed")
    found = msgspec.json.decode(note, type=SealNote)
    if hashlib.sha256(payload).hexdigest() != found.sha256:
        raise SealDamaged("its contents are not those that were signed")
    return Sealed(found, payload, key.hex())


class SealFile:
    """The two areas in a journal's folder, to be written."""

    def __init__(self, folder: Path) -> None:
        self._fd = open_with_room(folder / BUNDLE, 2 * _AREA_BYTES)

    def write(self, data: bytes) -> bool:
        """Replace the older bundle; False if it is too large or just being written.

        The bytes first, then the header that makes them count.
        """
        if len(data) > SEAL_BYTES_MAX:
            return False
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        try:
            count = max((one for one, _ in _areas(self._fd)), default=0) + 1
            start = (count % 2) * _AREA_BYTES
            header = _AREA.pack(
                _AREA_MAGIC, count, len(data), hashlib.sha256(data).digest()
            )
            os.pwrite(self._fd, bytes(_AREA.size), start)
            os.pwrite(self._fd, data, start + _AREA.size)
            os.fdatasync(self._fd)
            os.pwrite(self._fd, header, start)
            os.fdatasync(self._fd)
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        return True

    def close(self) -> None:
        os.close(self._fd)


class Sealer:
    """Keeps the newest bundle in a folder; used by the leader and by whoever follows.

    Why not raise: a bundle that could not be written must not stop what moves traffic;
    its age is shown.
    """

    def __init__(self, folder: Path, signer: Signer) -> None:
        self._signer = signer
        self._file: SealFile | None = None
        with contextlib.suppress(OSError):
            self._file = SealFile(folder)

    def keep(self, note: SealNote, payload: bytes) -> bool:
        """Seal `payload`; True once it is durable."""
        if self._file is None:
            return False
        with contextlib.suppress(OSError):
            return self._file.write(seal(self._signer, note, payload))
        return False

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def note_of(
    view: JournalView, holder: Holder, clock: Clock, head: Head, epoch: int
) -> SealNote:
    """What a bundle says of the journal that it stands for."""
    return SealNote(
        kind="bundle",
        estate=view.estate,
        journal=view.journal_id,
        seq=head.seq,
        hash=head.hash,
        epoch=epoch,
        wall_ms=clock.now().wall_ms,
        holder=holder.name,
        machine=holder.host,
        sha256="",
    )


def _areas(fd: int) -> Iterator[tuple[int, bytes]]:
    """Count and bytes of each area whose header and bytes belong together."""
    for start in (0, _AREA_BYTES):
        head = os.pread(fd, _AREA.size, start)
        if len(head) < _AREA.size:
            continue
        magic, count, length, digest = _AREA.unpack(head)
        if magic != _AREA_MAGIC or length > SEAL_BYTES_MAX:
            continue
        data = os.pread(fd, length, start + _AREA.size)
        if hashlib.sha256(data).digest() == digest:
            yield count, data


def read_bundle(folder: Path, estate: str = "") -> Sealed:
    """The newest bundle in the folder that can be trusted.

    Raises:
        Refused: there is none, it is damaged, not of this estate, or signed by a key
            that is not pinned here.
    """
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(folder / BUNDLE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = sorted(_areas(fd), reverse=True)
        finally:
            os.close(fd)
        if not found:
            raise Refused(_damaged(folder / BUNDLE, "neither of its areas is whole"))
        for _, data in found:
            with contextlib.suppress(SealDamaged):
                return trusted(folder, unseal(data), estate)
        raise Refused(_damaged(folder / BUNDLE, "neither signature holds"))
    raise Refused(_absent(folder))


def install_bundle(folder: Path, data: bytes) -> None:
    """Keep a bundle that was carried here, as this folder's newest."""
    file = SealFile(folder)
    try:
        file.write(data)
        sync_folder(folder)
    finally:
        file.close()


def read_file(path: Path) -> Sealed:
    """The bundle in a file that was carried here; its key is the caller's to check.

    Raises:
        Refused: it is damaged.
    """
    try:
        return unseal(path.read_bytes())
    except (SealDamaged, OSError) as error:
        raise Refused(_damaged(path, str(error))) from None


def trusted(folder: Path, sealed: Sealed, estate: str = "") -> Sealed:
    """The bundle, if a key that is pinned here signed it.

    Raises:
        Refused: none did, or it is another estate's.
    """
    if sealed.key not in pinned_keys(folder):
        raise Refused(_untrusted(sealed))
    if estate and sealed.note.estate != estate:
        raise Refused(_foreign(sealed.note, estate))
    return sealed


def pinned_keys(folder: Path) -> tuple[str, ...]:
    """The keys whose bundles count here: this folder's own, and those pinned."""
    with contextlib.suppress(FileNotFoundError):
        mine = public_keys(folder)
        return (*mine, *(folder / PINNED).read_text("ascii").split())
    return public_keys(folder)


def pin(folder: Path, key: str) -> None:
    """Trust bundles that `key` signs."""
    if key not in pinned_keys(folder):
        path = folder / PINNED
        known = path.read_text("ascii") if path.exists() else ""
        write_whole(path, f"{known}{key}\n".encode(), 0o644)


def _absent(folder: Path) -> Reason:
    return Reason(
        "SEAL-ABSENT",
        f"there is no sealed bundle in {folder}",
        because="no controller led here yet, and none was brought with `dayshift seal "
        "install FILE`",
        so="nothing can be done from here while the store is gone; nothing moved",
        next="use a machine that has one (`dayshift seal show`), or move the dials "
        "by hand",
    )


def _damaged(path: Path, why: str) -> Reason:
    return Reason(
        "SEAL-DAMAGED",
        f"the bundle {path} cannot be used: {why}",
        because="its bytes are not those that were signed",
        so="nothing moved",
        next="use another machine's, or one of `dayshift seal export`",
    )


def _untrusted(sealed: Sealed) -> Reason:
    return Reason(
        "SEAL-UNTRUSTED",
        f"the bundle of {sealed.note.machine} is signed by key {sealed.key[:16]}…",
        because="no key that is pinned here signed it",
        so="nothing moved; a forged bundle could send users anywhere",
        next="compare the key with `dayshift seal show` on that machine, then "
        "`dayshift seal install FILE --trust KEY`",
    )


def _foreign(note: SealNote, estate: str) -> Reason:
    return Reason(
        "SEAL-OF-ANOTHER-ESTATE",
        f"the bundle is of estate {note.estate}, this is {estate}",
        because="a bundle belongs to the one estate that it names",
        so="nothing moved",
        next="use the bundle of this estate",
    )
