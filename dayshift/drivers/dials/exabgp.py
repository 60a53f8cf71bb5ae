"""Dial `exabgp`: ExaBGP speakers whose routes are announced through its control pipe.

An ExaBGP forgets what it was told when it ends: the file keeps the routes with the
mark, and a process of ExaBGP's own replays it. Not here: the order of several speakers
(`routes`).
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from dayshift.drivers.base import Context, OptionsMap
from dayshift.drivers.dials.exabgp_pipe import ExabgpPipe
from dayshift.drivers.dials.exabgp_speaker import ExabgpSpeaker
from dayshift.drivers.dials.routes.dial import RouteDial
from dayshift.drivers.dials.routes.options import PeerOptions, RouteOptions
from dayshift.drivers.dials.routes.replayed import (
    Replay,
    ReplayedSpeakerOptions,
    check_replayed,
)


class ExabgpSpeakerOptions(ReplayedSpeakerOptions):
    """One ExaBGP and its pipes: `pipe` is their path without `.in` and `.out`."""

    pipe: str = Field(min_length=1)


class ExabgpDial(RouteDial):
    """A switch over regions whose ExaBGPs announce anycast routes."""

    class Options(RouteOptions):
        """`speakers` are the ExaBGPs of every region that this machine reaches.

        An ExaBGP cannot say what a neighbour has, only what it was told: so at least
        one of `peers` must.
        """

        speakers: tuple[ExabgpSpeakerOptions, ...] = Field(min_length=1)
        peers: tuple[PeerOptions, ...] = Field(min_length=1)

        @model_validator(mode="after")
        def _reachable(self) -> Self:
            check_replayed(self, self.speakers)
            pipes = [one.pipe for one in self.speakers]
            if len(set(pipes)) < len(pipes):
                raise ValueError("two speakers have one `pipe`")
            return self

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        given = self.Options.model_validate(options)
        speakers = [
            ExabgpSpeaker(
                one.name,
                one.region,
                Replay(one.name, context.base_dir / one.file),
                ExabgpPipe(one.name, context.base_dir / one.pipe, context),
                [*one.ipv4, *one.ipv6],
                one.hops(given.prefixes),
            )
            for one in given.speakers
        ]
        super().__init__(name, given, speakers, context)
