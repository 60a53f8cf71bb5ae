"""Who somebody is, as their certificate says: `dayshift://ESTATE/ROLE/NAME`.

The name stands in the certificate as a URI among its alternative names. Both sides read
it here, so that they cannot disagree about what it means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

_URI = re.compile(r"dayshift://([a-z0-9-]+)/(controller|agent)/([a-z0-9-]+)")


class Role(StrEnum):
    """What a certificate lets its holder be."""

    CONTROLLER = "controller"
    AGENT = "agent"


class Identity(msgspec.Struct, frozen=True):
    """One holder of a certificate."""

    estate: str
    role: Role
    name: str

    def __str__(self) -> str:
        return f"dayshift://{self.estate}/{self.role.value}/{self.name}"


def identities(certificate: Mapping[str, Any] | None) -> tuple[Identity, ...]:
    """Every name that a verified certificate (`getpeercert`) carries."""
    names = (certificate or {}).get("subjectAltName", ())
    found = [parse_identity(value) for kind, value in names if kind == "URI"]
    return tuple(one for one in found if one)


def parse_identity(uri: str) -> Identity | None:
    """Whom a URI names, or None."""
    found = _URI.fullmatch(uri)
    return Identity(found[1], Role(found[2]), found[3]) if found else None
