"""What a dial of routes needs of one speaker, whatever daemon it is."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from dayshift.drivers.dials.routes.layers import Layer
from dayshift.drivers.dials.routes.mark import Mark


class Say(StrEnum):
    """What a speaker tells its neighbours of the region's routes.

    `leaving` announces them with GRACEFUL_SHUTDOWN (RFC 8326): whoever has another way
    takes it before this one is withdrawn.
    """

    ANNOUNCED = "announced"
    LEAVING = "leaving"
    WITHDRAWN = "withdrawn"


class GoBack(msgspec.Struct, frozen=True):
    """Where the speaker goes by itself after `lease_ms`, unless that is renewed."""

    mark: Mark
    say: Say
    lease_ms: int


class Kept(msgspec.Struct, frozen=True):
    """The marks at a speaker before a write; `alive` when its daemon answered."""

    marks: tuple[Mark, ...]
    alive: bool


class Word(msgspec.Struct, frozen=True):
    """What a speaker says now: its mark, what it sent, and what is wrong with it."""

    mark: Mark
    sent: tuple[Layer, ...]
    fault: str = ""
    expires_ms: int | None = None


class Speaker(Protocol):
    """One routing daemon that announces the routes of one region."""

    name: str
    region: str
    lock: Path

    async def kept(self) -> Kept:
        """Every mark that stands there, from whatever can be read without the daemon
        too.

        Raises:
            DriverRetry: nothing can be read now.
            DriverFault: there is no mark.
        """
        ...

    async def word(self) -> Word:
        """What it says of itself.

        Raises:
            DriverRetry: it does not answer.
            DriverFault: it answers, and nothing of ours is there.
        """
        ...

    async def write(self, mark: Mark, say: Say, back: GoBack | None = None) -> None:
        """Install both, so that a restart of the daemon brings them back.

        Raises:
            DriverRetry: it does not answer; what can be kept without it is kept.
            DriverFault: it refuses.
        """
        ...
