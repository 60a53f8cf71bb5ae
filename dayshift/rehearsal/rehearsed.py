"""The last rehearsal of each plan, kept beside the journal and bound to the digest.

A plan that was changed since was not rehearsed: its digest is another.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from dayshift.rehearsal.summary import Summary

FILE = "rehearsals.json"
KEPT = 20


class Rehearsed(msgspec.Struct, frozen=True):
    """When a plan was rehearsed last, how often, and how that went."""

    digest: str
    wall_ms: int
    runs: int
    done: int
    violations: int


def note(folder: Path, found: Summary, wall_ms: int) -> None:
    """Remember this campaign; a folder that cannot be written is no reason to fail."""
    new = Rehearsed(
        found.digest,
        wall_ms,
        found.runs,
        found.endings.get("done", 0),
        sum(found.violations.values()),
    )
    kept = [one for one in _read(folder) if one.digest != found.digest]
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / FILE).write_bytes(msgspec.json.encode([new, *kept[: KEPT - 1]]))


def last(folder: Path, digest: str) -> Rehearsed | None:
    """The last rehearsal of exactly this plan."""
    return next((one for one in _read(folder) if one.digest == digest), None)


def _read(folder: Path) -> list[Rehearsed]:
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=list[Rehearsed])
    except (OSError, msgspec.DecodeError):
        return []
