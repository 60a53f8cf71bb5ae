"""Dial `gobgp`: GoBGP speakers whose routes are added and deleted through its API.

A gobgpd forgets its routes when it ends: the file keeps them with the mark, and the
service replays it. Not here: the order of several speakers (`routes`).
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from dayshift.drivers.base import Context, OptionsMap
from dayshift.drivers.dials.gobgp_speaker import GobgpSpeaker
from dayshift.drivers.dials.routes.dial import RouteDial
from dayshift.drivers.dials.routes.options import CommandedSpeakerOptions, RouteOptions
from dayshift.drivers.dials.routes.replayed import (
    Replay,
    ReplayedSpeakerOptions,
    check_replayed,
)


class GobgpSpeakerOptions(ReplayedSpeakerOptions, CommandedSpeakerOptions):
    """One GoBGP and its command."""


class GobgpDial(RouteDial):
    """A switch over regions whose GoBGPs announce anycast routes."""

    class Options(RouteOptions):
        """`speakers` are the GoBGPs of every region that this machine reaches."""

        speakers: tuple[GobgpSpeakerOptions, ...] = Field(min_length=1)

        @model_validator(mode="after")
        def _reachable(self) -> Self:
            check_replayed(self, self.speakers)
            return self

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        given = self.Options.model_validate(options)
        speakers = [
            GobgpSpeaker(
                one.name,
                one.region,
                Replay(one.name, context.base_dir / one.file),
                one.command,
                [*one.ipv4, *one.ipv6],
                one.hops(given.prefixes),
                context,
            )
            for one in given.speakers
        ]
        super().__init__(name, given, speakers, context)
