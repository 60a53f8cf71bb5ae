"""What transit routers have of a speaker: their table, and their kernel's routes.

Here: asking one transit router by its own daemon's command and by `ip`. Not here: what
a difference means (`dial`), and anything that writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

import msgspec

from dayshift.drivers.base import Context
from dayshift.drivers.dials.routes.asking import Command
from dayshift.drivers.dials.routes.options import PeerKind, PeerOptions, family_of

Hops = frozenset[str]


class Layer(msgspec.Struct, frozen=True):
    """The prefixes of one speaker that one layer of one device shows.

    `covers` are those it could show; `every` is false where what is announced need not
    show: one best route of several.
    """

    name: str
    device: str
    shown: frozenset[str]
    covers: frozenset[str]
    every: bool = True

    def against(self, wanted: frozenset[str], speaker: str) -> str:
        """What differs from `wanted`, in words; nothing where nothing does."""
        wanted &= self.covers
        too_few = self.every and wanted - self.shown
        if not too_few and not self.shown - wanted:
            return ""
        return (
            f"layer {self.name} of {self.device} has {_list(self.shown)} "
            f"of {speaker}, which should announce {_list(wanted)}"
        )


class Peer:
    """One transit router; each question asks for all prefixes at once."""

    def __init__(
        self, options: PeerOptions, prefixes: Sequence[str], context: Context
    ) -> None:
        self.name = options.name
        self._options = options
        self._prefixes = tuple(prefixes)
        self._daemon = Command(f"peer {options.name}", options.command, context)
        kernel = options.kernel
        self._kernel = (
            Command(f"the kernel of {options.name}", kernel, context)
            if kernel
            else None
        )

    async def tables(self) -> tuple[tuple[str, Mapping[str, Hops]], ...]:
        """By layer, the next hops of every prefix.

        Raises:
            DriverRetry: it does not answer.
            DriverFault: it answers what its kind would not.
        """
        named, tables = [("rib", self._ribs())], self._prefixes
        if self._kernel is not None:
            named.append(("fib", self._fibs(self._kernel)))
        found = await asyncio.gather(*(work for _, work in named))
        return tuple(
            (name, dict(zip(tables, hops, strict=True)))
            for (name, _), hops in zip(named, found, strict=True)
        )

    def layer(self, name: str, hops: Mapping[str, Hops], own: Iterable[str]) -> Layer:
        """The part of one table that is of the speaker with the next hops `own`."""
        mine = frozenset(own)
        shown = frozenset(prefix for prefix, one in hops.items() if one & mine)
        every = name != "fib" or self._options.ecmp
        return Layer(name, self.name, shown, frozenset(self._prefixes), every)

    async def _ribs(self) -> list[Hops]:
        if self._options.kind is PeerKind.BIRD:
            return await asyncio.gather(*map(self._bird, self._prefixes))
        asked = [
            f"show bgp ipv{family_of(one)} unicast {one} json" for one in self._prefixes
        ]
        words = [part for one in asked for part in ("-c", one)]
        tables = await self._daemon.jsons("-d", "bgpd", *words)
        if len(tables) != len(asked):
            raise self._daemon.fault(
                f"answered {len(tables)} of {len(asked)} questions",
                because="it speaks no BGP of one of the families",
            )
        return [_frr_hops(one) for one in tables]

    async def _bird(self, prefix: str) -> Hops:
        ran = await self._daemon.run("-r", "show", "route", prefix, "all")
        if ran.exit_code and "Network not found" not in ran.stdout:
            raise self._daemon.silent(ran.last_words)
        return _bird_hops(ran.stdout)

    async def _fibs(self, kernel: Command) -> list[Hops]:
        return await asyncio.gather(*(_fib(kernel, one) for one in self._prefixes))


async def _fib(kernel: Command, prefix: str) -> Hops:
    routes = await kernel.json("-j", f"-{family_of(prefix)}", "route", "show", prefix)
    return _kernel_hops(routes or [])


def _bird_hops(text: str) -> Hops:
    lines = (line.split(":", 1) for line in text.splitlines())
    ended = [one[1] for one in lines if one[0].strip() == "BGP.next_hop"]
    return _hops(word for part in ended for word in part.split())


def _frr_hops(table: Any) -> Hops:
    paths = [one for one in table.get("paths", []) if one.get("valid")]
    return _hops(hop.get("ip") for one in paths for hop in one.get("nexthops", []))


def _kernel_hops(routes: Sequence[Any]) -> Hops:
    found = []
    for route in routes:
        if route.get("type") in ("blackhole", "unreachable", "prohibit"):
            continue
        for hop in [route, *route.get("nexthops", [])]:
            via = hop.get("via", {})
            found += [hop.get("gateway"), via.get("host")]
    return _hops(one for one in found if one)


def _hops(texts: Iterable[str | None]) -> Hops:
    found = set()
    for text in texts:
        try:
            found.add(str(ip_address(text or "")))
        except ValueError:
            continue
    return frozenset(found)


def _list(prefixes: frozenset[str]) -> str:
    return ", ".join(sorted(prefixes)) or "nothing"
