"""Signatures of heads: who vouches for the journal up to a record.

The private key lies in the journal's directory, readable by its owner only; the public
keys lie beside it, one per line, so that a lost key does not orphan old signatures.
What this proves: nobody without the key rewrote what lies below a signed head. It
proves nothing against the key's holder; that needs a cosigner elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from dayshift.journal.base import SignedHead
from dayshift.journal.codec import canonical
from dayshift.journal.durable import write_whole

PRIVATE_KEY = "key"
PUBLIC_KEYS = "key.pub"
_DOMAIN = b"dayshift/head/1\0"


class HeadNote(msgspec.Struct, frozen=True):
    """What is signed."""

    estate: str
    hash: str
    journal: str
    seq: int
    wall_ms: int


class Signer:
    """Signs heads with the key in `folder`, made if absent."""

    def __init__(self, folder: Path) -> None:
        path = folder / PRIVATE_KEY
        try:
            self._key = Ed25519PrivateKey.from_private_bytes(path.read_bytes())
        except FileNotFoundError:
            self._key = Ed25519PrivateKey.generate()
            write_whole(path, self._key.private_bytes_raw(), 0o600)
        self.public_hex = self._key.public_key().public_bytes_raw().hex()
        known = public_keys(folder)
        if self.public_hex not in known:
            lines = "".join(f"{one}\n" for one in (*known, self.public_hex))
            write_whole(folder / PUBLIC_KEYS, lines.encode(), 0o644)

    def sign(self, note: HeadNote) -> SignedHead:
        data = canonical(note)
        return SignedHead(note.seq, data, self.sign_bytes(_DOMAIN + data))

    def sign_bytes(self, data: bytes) -> bytes:
        """A signature over bytes that begin with a domain of their own."""
        return self._key.sign(data)


def is_signed(key: str, signature: bytes, data: bytes) -> bool:
    """Whether `key` (in hexadecimal) signed `data`."""
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        public.verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_keys(folder: Path) -> tuple[str, ...]:
    """The keys whose signatures count, oldest first, in hexadecimal."""
    try:
        return tuple((folder / PUBLIC_KEYS).read_text("ascii").split())
    except FileNotFoundError:
        return ()


def read_note(signed: SignedHead, keys: tuple[str, ...]) -> HeadNote | None:
    """What was signed, or None when no key of ours signed it."""
    for key in keys:
        if is_signed(key, signed.signature, _DOMAIN + signed.note):
            return msgspec.json.decode(signed.note, type=HeadNote)
    return None


def pack(signed: SignedHead) -> bytes:
    """A signed head as one line of bytes, for a file."""
    return signed.signature + signed.note


def unpack(data: bytes) -> SignedHead | None:
    """A signed head from `pack`; None when it is none."""
    signature, note = data[:64], data[64:]
    try:
        seq = msgspec.json.decode(note, type=HeadNote).seq
    except ValueError:
        return None
    return SignedHead(seq, note, signature)
