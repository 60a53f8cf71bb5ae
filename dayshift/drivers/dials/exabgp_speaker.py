"""One ExaBGP: the file that it replays when it starts, and what it is to announce.

ExaBGP has no place for a word of ours, so the mark stands in the file alone. Its table
of what goes out is what it was told, whether or not a neighbour has it; what they have
is for the peers to say. Not here: several ExaBGPs (`exabgp`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network

from dayshift.drivers.dials.exabgp_pipe import Answer, ExabgpPipe
from dayshift.drivers.dials.routes.layers import Layer
from dayshift.drivers.dials.routes.mark import Mark
from dayshift.drivers.dials.routes.options import family_of
from dayshift.drivers.dials.routes.replayed import Replay
from dayshift.drivers.dials.routes.speaker import GoBack, Kept, Say, Word
from dayshift.errors import DriverFault, DriverRetry, Reason

GRACEFUL_SHUTDOWN = " community [65535:0]"
TABLE = "show adj-rib out"


class ExabgpSpeaker:
    """One ExaBGP of one region; `hops` is the next hop of each of its prefixes."""

    def __init__(
        self,
        name: str,
        region: str,
        replay: Replay,
        pipe: ExabgpPipe,
        neighbours: Sequence[str],
        hops: Mapping[str, str],
    ) -> None:
        self.name, self.region = name, region
        self.lock = replay.lock
        self._replay = replay
        self._pipe = pipe
        self._neighbours = tuple(neighbours)
        self._hops = dict(hops)

    async def kept(self) -> Kept:
        """The file's mark; alive where ExaBGP answers."""
        mark = self._replay.mark()
        try:
            await self._pipe.ask(TABLE)
        except DriverRetry:
            return Kept((mark,), False)
        return Kept((mark,), True)

    async def word(self) -> Word:
        """The file's mark, and what every neighbour is to have."""
        (table,) = await self._pipe.ask(TABLE)
        told = [self._told(table, neighbour) for neighbour in self._neighbours]
        return Word(self._replay.mark(), tuple(told))

    async def write(self, mark: Mark, say: Say, back: GoBack | None = None) -> None:
        """Keep mark and routes for the next start, then announce or withdraw them.

        What ExaBGP was told before it does not send anew; after `flush` it does, so a
        neighbour that lost an announcement has it after the next write.
        """
        adds = [f"{head} origin igp" for head in self._routes("announce")]
        self._replay.keep(mark, [] if say is Say.WITHDRAWN else adds)
        if say is Say.WITHDRAWN:
            told = list(self._routes("withdraw"))
        elif say is Say.LEAVING:
            told = [line + GRACEFUL_SHUTDOWN for line in adds]
        else:
            told = adds
        answers = await self._pipe.ask(*told)
        for line, answer in zip(told, answers, strict=True):
            if not answer.accepted:
                raise self._refuses(line)
        if say is not Say.WITHDRAWN:
            flush = (f"neighbor {one} flush adj-rib out" for one in self._neighbours)
            await self._pipe.ask(*flush)

    def _routes(self, verb: str) -> Iterator[str]:
        for neighbour in self._neighbours:
            for prefix, hop in self._hops.items():
                if family_of(prefix) == _family(neighbour):
                    yield f"neighbor {neighbour} {verb} route {prefix} next-hop {hop}"

    def _told(self, table: Answer, neighbour: str) -> Layer:
        found = (line.split() for line in table.lines)
        told = {
            _prefix(words[4])
            for words in found
            if words[:2] == ["neighbor", neighbour] and len(words) > 4
        }
        family = _family(neighbour)
        covers = frozenset(one for one in self._hops if family_of(one) == family)
        return Layer(f"adj-rib-out to {neighbour}", self.name, covers & told, covers)

    def _refuses(self, line: str) -> DriverFault:
        return DriverFault(
            Reason(
                "ROUTES-UNUSABLE",
                f"{self.name} does not accept: {line}",
                because="it has no such neighbour, or none of this family",
                so="its file says so already, its neighbours may not hear of it",
                next="mend its configuration as docs/dials says, then `dayshift check`",
            )
        )


def _family(neighbour: str) -> int:
    return 6 if ":" in neighbour else 4


def _prefix(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        return text
