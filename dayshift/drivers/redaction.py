"""The shapes in which a secret can turn up in a text.

Pure and shared by the redactor (`runtime.secrets`) and by drivers that hand a secret to
another process. Not here: resolving secrets, or knowing them.
"""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_plus

MARK = "[redacted]"
SECRET_LENGTH_MIN = 6
"""A shorter value would blot out ordinary words; it is refused as a secret."""


def forms(secret: str) -> tuple[str, ...]:
    """Every shape of `secret` to blot out, the longest first.

    Why: a password appears in logs as part of an address, a header or a document.
    Holds: lines of a secret with several lines are shapes too, since logs are cut.
    """
    plain = [secret, *(line.strip() for line in secret.splitlines())]
    shapes = {one for value in plain for one in _escaped(value)}
    shapes.update(one for value in plain for one in _base64(value))
    kept = (one for one in shapes if len(one) >= SECRET_LENGTH_MIN)
    return tuple(sorted(kept, key=lambda one: (-len(one), one)))


def _escaped(value: str) -> tuple[str, ...]:
    addresses = quote(value, safe=""), quote(value), quote_plus(value)
    return (
        value,
        *addresses,
        *(re.sub("%[0-9A-F]{2}", _lower, one) for one in addresses),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
    )


def _lower(match: re.Match[str]) -> str:
    return match[0].lower()


def _base64(value: str) -> list[str]:
    """The base64 text that `value` alone decides, wherever it stands in a whole."""
    data = value.encode()
    if len(data) < SECRET_LENGTH_MIN:
        return []
    shapes = []
    for before, dropped in ((0, 0), (1, 2), (2, 3)):
        decided = (before + len(data)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * before + data).decode()
            shapes.append(text[dropped:decided])
    return shapes
