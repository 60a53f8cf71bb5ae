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
    found = [_URI.fullmatch(value) for kind, value in names if kind == "URI"]
    return tuple(Identity(one[1], Role(one[2]), one[3]) for one in found if one)
