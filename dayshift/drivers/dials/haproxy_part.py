"""What the two ways to steer one HAProxy have in common, as the dial sees them.

Here: nouns and the protocol of one instance. Not here: several instances, fences.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from dayshift.model.dial import Claim, InstanceReading, Setting
from dayshift.model.units import Row


class Part(Protocol):
    """One HAProxy and the file from which it comes back as it was left.

    `keep` is durable and needs no HAProxy; `apply` moves the running one. `kept_claim`
    stands in the file, `running_claim` in the process, which must answer; the same
    where a process has no place for one.
    """

    name: str
    path: Path

    async def look(self) -> InstanceReading: ...

    def kept_claim(self) -> Claim | None: ...

    async def running_claim(self) -> Claim | None: ...

    def keep(self, setting: Setting, claim: Claim) -> None: ...

    async def apply(self, setting: Setting, claim: Claim, last: bool) -> None:
        """`last`: nobody may stay who could be moved."""
        ...

    async def draining_ms(self) -> int | None:
        """How long its pinned users have been asked to leave; None where none are."""
        ...


def row_reason(row: Row, regions: set[str]) -> str | None:
    """Why a row is none of this dial's."""
    if set(row) != regions:
        return f"names the regions {sorted(row)}, the dial has {sorted(regions)}"
    return None
