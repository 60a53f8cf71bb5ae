"""Dial `bird`: BIRD 2 speakers whose export filter reads an include file.

The write replaces the file and has BIRD configure itself; the read asks BIRD which mark
it runs by and what it has sent. Not here: the order of several speakers (`routes`).
"""

from __future__ import annotations

import asyncio
from typing import Self

from pydantic import Field, model_validator

from dayshift.drivers.base import Context, OptionsMap
from dayshift.drivers.dials.bird_speaker import BirdSpeaker
from dayshift.drivers.dials.routes.dial import RouteDial, offered
from dayshift.drivers.dials.routes.options import (
    CommandedSpeakerOptions,
    RouteOptions,
    Word,
    family_of,
)
from dayshift.errors import DriverRetry
from dayshift.model.dial import Claim


class BirdSpeakerOptions(CommandedSpeakerOptions):
    """One BIRD: its include file, its command, and its sessions of each family."""

    file: str = Field(min_length=1)
    ipv4: tuple[Word, ...] = ()
    ipv6: tuple[Word, ...] = ()


class BirdDial(RouteDial):
    """A switch over regions whose BIRDs announce anycast routes."""

    class Options(RouteOptions):
        """`speakers` are the BIRDs of every region that this machine reaches."""

        speakers: tuple[BirdSpeakerOptions, ...] = Field(min_length=1)

        @model_validator(mode="after")
        def _reachable(self) -> Self:
            families = {family_of(one) for one in self.prefixes}
            for one in self.speakers:
                named = {4: one.ipv4, 6: one.ipv6}
                for family in sorted(families):
                    if not named[family]:
                        raise ValueError(
                            f"speaker {one.name!r} names no session in `ipv{family}`"
                        )
            files = [one.file for one in self.speakers]
            if len(set(files)) < len(files):
                raise ValueError("two speakers have one `file`")
            return self

    leases = True
    OFFERS = (offered(lease=True),)

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        given = self.Options.model_validate(options)
        self._birds = [
            BirdSpeaker(
                one.name,
                one.region,
                context.base_dir / one.file,
                one.command,
                {4: one.ipv4, 6: one.ipv6},
                given.prefixes,
                context,
            )
            for one in given.speakers
        ]
        super().__init__(name, given, self._birds, context)

    async def renew(self, claim: Claim, lease_ms: int) -> None:
        """Let every BIRD's timer run from now; no route changes."""
        async with self._writing():
            # All to their ends: one that refuses must not leave another writing
            # after the locks are given back.
            ends = await asyncio.gather(
                *(one.renew(claim, lease_ms) for one in self._birds),
                return_exceptions=True,
            )
        errors = [one for one in ends if isinstance(one, BaseException)]
        errors.sort(key=lambda error: isinstance(error, DriverRetry))
        if errors:
            raise errors[0]
