"""Dial `frr`: FRR speakers that announce through one entry of an outbound route map.

The write turns the entry from permit to deny and keeps the mark in its description,
which `write memory` saves; the read asks for the map and for what each neighbour was
told. Not here: the order of several speakers (`routes`).
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from dayshift.drivers.base import Context, OptionsMap
from dayshift.drivers.dials.frr_speaker import FrrSpeaker
from dayshift.drivers.dials.routes.dial import RouteDial
from dayshift.drivers.dials.routes.options import (
    Address,
    CommandedSpeakerOptions,
    RouteOptions,
    Word,
    family_of,
)


class FrrSpeakerOptions(CommandedSpeakerOptions):
    """One FRR: `vtysh`, its neighbours of each family, the map and its entry.

    `lock` is a file on this machine that every controller here takes before it writes.
    """

    lock: str = Field(min_length=1)
    ipv4: tuple[Address, ...] = ()
    ipv6: tuple[Address, ...] = ()
    route_map: Word
    entry: int = Field(default=10, ge=1, le=65_535)


class FrrDial(RouteDial):
    """A switch over regions whose FRRs announce anycast routes."""

    class Options(RouteOptions):
        """`speakers` are the FRRs of every region that this machine reaches."""

        speakers: tuple[FrrSpeakerOptions, ...] = Field(min_length=1)

        @model_validator(mode="after")
        def _reachable(self) -> Self:
            for family in sorted({family_of(one) for one in self.prefixes}):
                for one in self.speakers:
                    if not (one.ipv4 if family == 4 else one.ipv6):
                        raise ValueError(
                            f"speaker {one.name!r} names no neighbour in `ipv{family}`"
                        )
            return self

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        given = self.Options.model_validate(options)
        speakers = [
            FrrSpeaker(
                one.name,
                one.region,
                context.base_dir / one.lock,
                one.command,
                {4: one.ipv4, 6: one.ipv6},
                (one.route_map, one.entry),
                given.prefixes,
                context,
            )
            for one in given.speakers
        ]
        super().__init__(name, given, speakers, context)
