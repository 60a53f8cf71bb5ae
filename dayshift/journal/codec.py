"""Records ↔ canonical bytes (RFC 8785, integers only).

Here lives the one byte form of a record: what is hashed, signed and stored. What cannot
be written so that every reader reads the same is refused as our own `Bug`. A body too
long for one record is written packed, and read as if it were not. Hashes and links live
in `chain`.
"""

from __future__ import annotations

import base64
import json
import lzma
import re
from typing import Any

import msgspec

from dayshift.errors import Bug, JournalNewer, Reason
from dayshift.limits import RECORD_BYTES_MAX, UNPACKED_BYTES_MAX
from dayshift.model.records import AnyBody, Record
from dayshift.model.units import Instant

VERSION = 1
"""The form that this code writes."""
READER = 2
"""The newest `min_reader` that this code understands."""
PACKED_READER = 2
"""What a packed record asks for."""
XZ_PRESET, XZ_MEMORY_MAX = 3, 64 << 20
INTEGER_MAX = 2**53 - 1
"""Beyond this a JSON reader may round (RFC 8785 builds on IEEE doubles)."""

_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Record)
_body_decoder: msgspec.json.Decoder[AnyBody] = msgspec.json.Decoder(AnyBody)
_loose = msgspec.json.Decoder(dict[str, Any])

_SUSPECT_NUMBER = re.compile(rb"[:,\[]-?(?:[0-9]+[.eE]|[0-9]{16})")
_BEYOND_BASIC_PLANE = re.compile(rb"[\xf0-\xf4]")


class Packed(msgspec.Struct, frozen=True):
    """A body too long for one record, compressed: base64 of xz of its bytes."""

    kind: str
    packed: str


class Envelope(msgspec.Struct, frozen=True):
    """A record without its hash: what the hash is taken of."""

    at: Instant
    body: AnyBody
    epoch: int
    min_reader: int
    prev: str
    run: str
    seq: int
    v: int


class _PackedEnvelope(msgspec.Struct, frozen=True):
    at: Instant
    body: Packed
    epoch: int
    min_reader: int
    prev: str
    run: str
    seq: int
    v: int


_packed_decoder = msgspec.json.Decoder(_PackedEnvelope)


def canonical(value: msgspec.Struct | dict[Any, Any]) -> bytes:
    """Return the RFC 8785 form of `value`.

    Why: one value must have one byte form, or a hash of it proves nothing.

    Raises:
        Bug: floats, integers beyond ±(2⁵³ - 1), keys that are neither text nor integer,
            text that is not Unicode.
    """
    try:
        data = _encoder.encode(value)
        if not _suspect(data) and (b"null" not in data or _is_finite(value)):
            return data
    except TypeError:
        pass  # integer keys; the slow way renders or refuses them
    except UnicodeEncodeError as error:
        raise Bug(f"a record holds text that is not Unicode: {error.reason}") from None
    try:
        return msgspec.json.encode(_plain(msgspec.to_builtins(value)))
    except (TypeError, UnicodeEncodeError) as error:
        raise Bug(f"a record holds what cannot be written: {error}") from None


def _suspect(data: bytes) -> bool:
    """Whether msgspec's sorted form may differ from RFC 8785, or hide a float: a
    number with a fraction or of 16 digits, characters beyond the basic plane (it sorts
    keys by code point, RFC 8785 by UTF-16 unit)."""
    return _SUSPECT_NUMBER.search(data) is not None or (
        not data.isascii() and _BEYOND_BASIC_PLANE.search(data) is not None
    )


def _is_finite(value: Any) -> bool:
    """False when a NaN or an infinity hides behind a `null` of msgspec's."""
    try:
        json.dumps(msgspec.to_builtins(value), allow_nan=False)
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    """The value with its keys in order, or a `Bug` that names what may not be in it."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise Bug(f"a record holds the integer {value} (limit ±{INTEGER_MAX})")
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        named = {_key(key): one for key, one in value.items()}
        if len(named) != len(value):
            raise Bug(f"a record holds a key twice: {sorted(map(str, value))}")
        return {key: _plain(named[key]) for key in sorted(named, key=_utf16)}
    raise Bug(f"a record holds the {type(value).__name__} {value!r}")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise Bug(f"a record holds the key {key!r}, neither text nor integer")


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def encode_record(
    prev: str, seq: int, at: Instant, epoch: int, run: str, body: AnyBody
) -> tuple[bytes, Record]:
    """Return the record's canonical bytes, and the record as a reader will read them.

    Why: a live state folded from what was meant, and a replayed one folded from what
    was written, could differ; so the caller gets the written one.

    Raises:
        Bug: a body that cannot be written, read back, or is too long.
    """
    data = canonical(Envelope(at, body, epoch, 1, prev, run, seq, VERSION))
    if len(data) > RECORD_BYTES_MAX:
        packed = _packed(body)
        data = canonical(
            _PackedEnvelope(at, packed, epoch, PACKED_READER, prev, run, seq, VERSION)
        )
    if len(data) > RECORD_BYTES_MAX:
        raise Bug(f"a record has {len(data)} bytes (limit {RECORD_BYTES_MAX})")
    try:
        return data, decode_record(data)
    except msgspec.DecodeError as error:
        raise Bug(f"a {kind_of(body)} record could not be read back: {error}") from None


def _packed(body: AnyBody) -> Packed:
    data = canonical(body)
    if len(data) > UNPACKED_BYTES_MAX:
        raise Bug(f"a body has {len(data)} bytes (limit {UNPACKED_BYTES_MAX})")
    # xz, for its window is longer than a row of shares over 1,000 regions.
    short = lzma.compress(data, preset=XZ_PRESET)
    return Packed(kind_of(body), base64.b64encode(short).decode())


def _unpacked(data: bytes) -> Record:
    """Read a record whose body is packed.

    Raises:
        ValueError: it is not, or it would become longer than any that is written.
    """
    outer = _packed_decoder.decode(data)
    unzip = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_MAX)
    try:
        raw = base64.b64decode(outer.body.packed, validate=True)
        body = unzip.decompress(raw, UNPACKED_BYTES_MAX)
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(f"its body cannot be unpacked: {error}") from None
    if not unzip.eof or unzip.unused_data:
        raise ValueError("its body does not end where it should")
    inner = _body_decoder.decode(body)
    if kind_of(inner) != outer.body.kind:
        raise ValueError(f"a {kind_of(inner)} is packed as {outer.body.kind}")
    return Record(
        outer.seq,
        outer.prev,
        outer.at,
        outer.epoch,
        outer.run,
        inner,
        outer.v,
        outer.min_reader,
    )


def decode_record(data: bytes) -> Record:
    """Read a record from its bytes; its `hash` is still empty.

    Raises:
        JournalNewer: the record asks for a newer Dayshift.
        ValueError: the bytes are no record.
    """
    try:
        record = _decoder.decode(data)
    except ValueError:
        asked = min_reader_of(data)
        _newer(asked)
        if asked != PACKED_READER:
            raise
        record = _unpacked(data)
    _newer(record.min_reader)
    return record


def _newer(min_reader: int) -> None:
    if min_reader > READER:
        raise JournalNewer(
            Reason(
                "JOURNAL-NEWER",
                f"a record asks for reader {min_reader} (this Dayshift is {READER})",
                because="a newer Dayshift wrote in this journal",
                so="nothing was read further; this Dayshift may not lead",
                next="use the newer Dayshift",
            )
        )


def min_reader_of(data: bytes) -> int:
    """The reader that bytes ask for, even where the rest of them is unknown here."""
    try:
        found = _loose.decode(data).get("min_reader")
    except ValueError:
        return 0
    return found if isinstance(found, int) else 0


def kind_of(body: AnyBody) -> str:
    """The kind of a body, as its bytes name it."""
    return str(body.__struct_config__.tag)
