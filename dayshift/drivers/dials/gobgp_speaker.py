"""One GoBGP: the file that its service replays, and what each neighbour was told.

gobgpd has no place for a word of ours, so the mark stands in the file alone; what is
announced is read from gobgpd. Not here: several GoBGPs (`gobgp`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from dayshift.drivers.base import Context
from dayshift.drivers.dials.routes.asking import Command
from dayshift.drivers.dials.routes.layers import Layer
from dayshift.drivers.dials.routes.mark import Mark
from dayshift.drivers.dials.routes.options import family_of
from dayshift.drivers.dials.routes.replayed import Replay
from dayshift.drivers.dials.routes.speaker import GoBack, Kept, Say, Word
from dayshift.errors import DriverRetry

GRACEFUL_SHUTDOWN = ("community", "65535:0")
NOT_UP = "session is not established"
"""A neighbour that is away was told nothing."""


class GobgpSpeaker:
    """One GoBGP of one region; `hops` is the next hop of each of its prefixes."""

    def __init__(
        self,
        name: str,
        region: str,
        replay: Replay,
        command: tuple[str, ...],
        neighbours: Sequence[str],
        hops: Mapping[str, str],
        context: Context,
    ) -> None:
        self.name, self.region = name, region
        self.lock = replay.lock
        self._replay = replay
        self._gobgp = Command(name, command, context)
        self._neighbours = tuple(neighbours)
        self._hops = dict(hops)

    async def kept(self) -> Kept:
        """The file's mark; alive where gobgpd answers."""
        mark = self._replay.mark()
        try:
            await self._gobgp.text("global")
        except DriverRetry:
            return Kept((mark,), False)
        return Kept((mark,), True)

    async def word(self) -> Word:
        """The file's mark, and what every neighbour was told."""
        told = await asyncio.gather(*map(self._told, self._neighbours))
        return Word(self._replay.mark(), tuple(told))

    async def write(self, mark: Mark, say: Say, back: GoBack | None = None) -> None:
        """Keep mark and routes for the next start, then add or delete the routes."""
        adds = [self._add(prefix) for prefix in self._hops]
        lines = [] if say is Say.WITHDRAWN else [" ".join(words) for words in adds]
        self._replay.keep(mark, lines)
        if say is Say.WITHDRAWN:
            adds = [self._rib("del", prefix) for prefix in self._hops]
        elif say is Say.LEAVING:
            adds = [(*words, *GRACEFUL_SHUTDOWN) for words in adds]
        for words in adds:
            await self._gobgp.text(*words)

    def _add(self, prefix: str) -> tuple[str, ...]:
        hop = self._hops[prefix]
        return (*self._rib("add", prefix), "nexthop", hop, "origin", "igp")

    def _rib(self, verb: str, prefix: str) -> tuple[str, ...]:
        return ("global", "rib", verb, "-a", f"ipv{family_of(prefix)}", prefix)

    async def _told(self, neighbour: str) -> Layer:
        family = 6 if ":" in neighbour else 4
        ask = ("-j", "neighbor", neighbour, "adj-out", "-a", f"ipv{family}")
        try:
            found = await self._gobgp.json(*ask)
        except DriverRetry as error:
            if NOT_UP not in error.reason.because:
                raise
            found = {}
        told = frozenset(found or {}) & frozenset(self._hops)
        covers = frozenset(one for one in self._hops if family_of(one) == family)
        return Layer(f"adj-out to {neighbour}", self.name, told, covers)
