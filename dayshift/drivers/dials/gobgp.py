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
from dayshift.drivers.dials.routes.options import (
    Address,
    RouteOptions,
    SpeakerOptions,
    family_of,
)
from dayshift.drivers.process import Argv


class GobgpSpeakerOptions(SpeakerOptions):
    """One GoBGP: the file to replay, its command, and its neighbours of each family.

    `next_hops` are what it announces the routes with.
    """

    file: str = Field(min_length=1)
    command: Argv
    ipv4: tuple[Address, ...] = ()
    ipv6: tuple[Address, ...] = ()


class GobgpDial(RouteDial):
    """A switch over regions whose GoBGPs announce anycast routes."""

    class Options(RouteOptions):
        """`speakers` are the GoBGPs of every region that this machine reaches."""

        speakers: tuple[GobgpSpeakerOptions, ...] = Field(min_length=1)

        @model_validator(mode="after")
        def _reachable(self) -> Self:
            for family in sorted({family_of(one) for one in self.prefixes}):
                for one in self.speakers:
                    if not (one.ipv4 if family == 4 else one.ipv6):
                        raise ValueError(
                            f"speaker {one.name!r} names no neighbour in `ipv{family}`"
                        )
                    six = family == 6
                    hops = [hop for hop in one.next_hops if (":" in hop) == six]
                    if len(hops) != 1:
                        raise ValueError(
                            f"speaker {one.name!r} needs one next hop of IPv{family}"
                        )
            files = [one.file for one in self.speakers]
            if len(set(files)) < len(files):
                raise ValueError("two speakers have one `file`")
            return self

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        given = self.Options.model_validate(options)
        speakers = [
            GobgpSpeaker(
                one.name,
                one.region,
                context.base_dir / one.file,
                one.command,
                [*one.ipv4, *one.ipv6],
                {
                    prefix: hop
                    for prefix in given.prefixes
                    for hop in one.next_hops
                    if (":" in hop) == (":" in prefix)
                },
                context,
            )
            for one in given.speakers
        ]
        super().__init__(name, given, speakers, context)
