"""Every layer of every speaker as one reading: the speaker, transit routers, kernels.

Holds: a region is off only where no layer shows any of its prefixes; whatever
contradicts the mark is a fault that names layer, device and both values.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from dayshift.drivers.base import Context
from dayshift.drivers.dials.routes.layers import Hops, Layer, Peer
from dayshift.drivers.dials.routes.mark import switch
from dayshift.drivers.dials.routes.options import RouteOptions
from dayshift.drivers.dials.routes.speaker import Speaker, Word
from dayshift.errors import Driver
from dayshift.limits import FULL_BP
from dayshift.model.dial import InstanceReading, Setting

Tables = Sequence[tuple[Peer, Sequence[tuple[str, Mapping[str, Hops]]]]]


class Looking:
    """Reads speakers beside the transit routers of one dial."""

    def __init__(self, options: RouteOptions, context: Context) -> None:
        self._options = options
        self._hops = {one.name: one.next_hops for one in options.of_speakers()}
        self._peers = [Peer(one, options.prefixes, context) for one in options.peers]

    async def at(
        self, speakers: Sequence[Speaker], moving: Collection[str] = ()
    ) -> tuple[InstanceReading, ...]:
        """Every speaker as its layers show it.

        Args:
            moving: names of those that are being written right now: what their layers
                show is between two marks, which is no fault.
        """
        answers = await asyncio.gather(
            *(one.tables() for one in self._peers), return_exceptions=True
        )
        tables, silent = [], ""
        for peer, answer in zip(self._peers, answers, strict=True):
            if isinstance(answer, Driver):
                silent = silent or _told(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                tables.append((peer, answer))
        return tuple(
            await asyncio.gather(
                *(
                    self._look(one, tables, silent, one.name in moving)
                    for one in speakers
                )
            )
        )

    async def _look(
        self, speaker: Speaker, tables: Tables, silent: str, moves: bool
    ) -> InstanceReading:
        try:
            word = await speaker.word()
        except Driver as error:
            return InstanceReading(speaker.name, None, None, _told(error))
        layers = list(word.sent)
        for peer, found in tables:
            layers += [
                peer.layer(name, hops, self._hops[speaker.name]) for name, hops in found
            ]
        setting, fault = self._joined(speaker, word, layers)
        fault = "" if moves else word.fault or fault
        return InstanceReading(
            speaker.name, setting, word.mark.claim, fault or silent, word.expires_ms
        )

    def _joined(
        self, speaker: Speaker, word: Word, layers: Sequence[Layer]
    ) -> tuple[Setting | None, str]:
        """What the layers amount to, and the first of them that is not as marked."""
        row, whole = word.mark.row, frozenset(self._options.prefixes)
        if set(row) != set(self._options.regions):
            known = ", ".join(self._options.regions)
            return None, f"its mark names {', '.join(row)}; the dial has {known}"
        wanted = whole if row[speaker.region] else frozenset()
        told = (one.against(wanted, speaker.name) for one in layers)
        fault = next((one for one in told if one), "")
        shown = frozenset().union(*(one.shown for one in layers))
        if shown not in (frozenset(), whole):
            return None, fault
        return switch({**row, speaker.region: FULL_BP if shown else 0}), fault


def _told(error: Driver) -> str:
    because = f" ({error.reason.because})" if error.reason.because else ""
    return f"{error.reason.what}{because}"
