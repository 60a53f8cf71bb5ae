"""What users felt, put into words. The count itself is somebody else's (`users.json`).

Known figures are named and judged; whatever else the count holds is shown as it is, so
that a source with other fields loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Any

import msgspec

from dayshift.surfaces import words
from dayshift.surfaces.nouns import Level

INSTANT_MS_MIN = 10**12
"""Milliseconds from here on are an instant, not a duration."""
HEADLINES = {
    "requests": ("requests", False),
    "hurt": ("hurt", True),
    "failures": ("failed", True),
    "unsent": ("never sent", True),
    "slow": ("slow", False),
    "sessions_lost": ("logged out", True),
}
"""Key, what it is called, and whether anything but zero is bad."""
TIMES = ("before", "during", "after")
SENTENCES = {
    "orders": "orders",
    "job": "nightly job",
    "redirect_ms": "time to redirect",
    "by_region": "answered by region",
    "by_version": "answered by version",
    "by_protocol": "asked by protocol",
    "absences": "regions without users",
    "downloads_broken": "downloads broken",
}


class Tile(msgspec.Struct, frozen=True):
    label: str
    value: str
    level: Level


class LatencyRow(msgspec.Struct, frozen=True):
    when: str
    requests: str
    p50: str
    p99: str


class Felt(msgspec.Struct, frozen=True):
    """Headlines, latency before, during and after, and everything else as pairs."""

    tiles: tuple[Tile, ...]
    latency: tuple[LatencyRow, ...]
    more: tuple[tuple[str, str], ...]


def tell_users(users: Mapping[str, Any], zone: tzinfo | None = None) -> Felt:
    """The users' count for a page."""
    latency = tuple(
        LatencyRow(when, *_latency(users[when]))
        for when in TIMES
        if isinstance(users.get(when), Mapping)
    )
    used = {*(HEADLINES.keys() & users.keys()), *(one.when for one in latency)}
    return Felt(tuple(_tiles(users)), latency, tuple(_more(users, used, zone)))


def _tiles(users: Mapping[str, Any]) -> Iterator[Tile]:
    for key, (label, bad) in HEADLINES.items():
        value = users.get(key)
        if isinstance(value, int):
            level = Level.INFO
            if bad:
                level = Level.BAD if value else Level.GOOD
            yield Tile(label, f"{value:,}", level)


def _latency(values: Mapping[str, Any]) -> tuple[str, str, str]:
    def number(key: str) -> int:
        value = values.get(key)
        return value if isinstance(value, int) else 0

    return (
        f"{number('requests'):,}",
        words.took(number("p50_us")),
        words.took(number("p99_us")),
    )


def _more(
    users: Mapping[str, Any], used: set[str], zone: tzinfo | None
) -> Iterator[tuple[str, str]]:
    for key, value in users.items():
        if key not in used and not isinstance(value, list | tuple):
            yield SENTENCES.get(key, _name(key)), say(key, value, zone)


def _name(key: str) -> str:
    for unit in ("_ms", "_us", "_bp", "_ppm"):
        key = key.removesuffix(unit)
    return key.replace("_", " ")


def say(key: str, value: Any, zone: tzinfo | None = None) -> str:
    """A value in words, its unit taken from its key."""
    if isinstance(value, Mapping):
        unit = key[-3:] if key.endswith(("_ms", "_us")) else ""
        parts = [
            f"{_name(str(name))} {say(str(name) + unit, one, zone)}"
            for name, one in value.items()
        ]
        return ", ".join(parts) or "none"
    if isinstance(value, bool) or not isinstance(value, int):
        return {True: "yes", False: "no"}.get(value, str(value))
    if key.endswith("_ms"):
        if not value and key.removesuffix("_ms").endswith(("hurt", "back")):
            return "never"
        return (
            words.both(value, zone) if value >= INSTANT_MS_MIN else words.exact(value)
        )
    if key.endswith("_us"):
        return words.took(value)
    return f"{value:,}"
