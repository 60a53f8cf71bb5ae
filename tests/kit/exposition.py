"""What a process with a native histogram shows to Prometheus: delimited protobuf.

Written by hand from the public `io.prometheus.client` messages, because that is the
only exposition that carries native histograms to the Prometheus of a distribution.
"""

from __future__ import annotations

import struct

KIND = (
    "application/vnd.google.protobuf; "
    "proto=io.prometheus.client.MetricFamily; encoding=delimited"
)
COUNTER, HISTOGRAM = 0, 4
VARINT, DOUBLE, BYTES = 0, 1, 2


def counter(name: str, value: float) -> bytes:
    """One counter without labels."""
    return _family(name, COUNTER, _field(3, _double(1, value)))


def histogram(
    name: str, schema: int, counts: dict[int, int], zero_count: int = 0
) -> bytes:
    """One native histogram without labels; `counts` by index, not cumulative."""
    total = zero_count + sum(counts.values())
    body = _number(1, total) + _double(2, 1.0) + _number(5, _zigzag(schema))
    body += _double(6, 0.001) + _number(7, zero_count)
    last, end, spans, deltas = 0, 0, b"", b""
    for index, count in sorted(counts.items()):
        spans += _field(12, _number(1, _zigzag(index - end)) + _number(2, 1))
        deltas += _number(13, _zigzag(count - last))
        last, end = count, index + 1
    return _family(name, HISTOGRAM, _field(7, body + spans + deltas))


def _family(name: str, kind: int, metric: bytes) -> bytes:
    body = _field(1, name.encode()) + _number(3, kind) + _field(4, metric)
    return _varint(len(body)) + body


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | VARINT) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | DOUBLE) + struct.pack("<d", value)


def _field(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | BYTES) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])
