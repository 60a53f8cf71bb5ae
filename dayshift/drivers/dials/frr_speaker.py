"""One FRR: the entry of its outbound route map, and what its neighbours were told.

The entry's description is the mark; both are saved together. Not here: several FRRs
(`frr`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dayshift.drivers.base import Context
from dayshift.drivers.dials.routes.asking import Command
from dayshift.drivers.dials.routes.layers import Layer
from dayshift.drivers.dials.routes.mark import Mark, parse_mark
from dayshift.drivers.dials.routes.options import family_of
from dayshift.drivers.dials.routes.speaker import GoBack, Kept, Say, Word
from dayshift.errors import DriverFault

OLDEST = (8, 0)
"""The first version whose route maps can be read as JSON."""
VERSION = re.compile(r"^FRRouting ([0-9]+)\.([0-9]+)", re.M)


class FrrSpeaker:
    """One FRR of one region."""

    def __init__(
        self,
        name: str,
        region: str,
        lock: Path,
        command: tuple[str, ...],
        neighbours: Mapping[int, Sequence[str]],
        entry: tuple[str, int],
        prefixes: Sequence[str],
        context: Context,
    ) -> None:
        self.name, self.region, self.lock = name, region, lock
        self._vtysh = Command(name, command, context)
        self._bgpd = Command(name, (*command, "-d", "bgpd"), context)
        self._map, self._entry = entry
        self._prefixes = frozenset(prefixes)
        self._neighbours = [
            (family, one) for family, named in neighbours.items() for one in named
        ]
        self._known = False

    async def kept(self) -> Kept:
        """The mark in the running map."""
        return Kept(((await self.word()).mark,), True)

    async def word(self) -> Word:
        """By which mark it runs, and what every neighbour was told: one call."""
        asked = [f"show route-map {self._map} json"] + [
            f"show bgp ipv{family} unicast neighbors {one} advertised-routes json"
            for family, one in self._neighbours
        ]
        found = await self._bgpd.jsons(*_each(asked))
        if len(found) != len(asked):
            raise self._bgpd.fault(
                f"answered {len(found)} of {len(asked)} questions",
                because="one of the dial's neighbours is none of its own",
            )
        maps, *told = found
        layers = map(self._told, self._neighbours, told)
        return Word(self._mark(maps), tuple(layers))

    async def write(self, mark: Mark, say: Say, back: GoBack | None = None) -> None:
        """Turn the entry, tell the neighbours at once, and save what shall last."""
        await self._check_version()
        does = "deny" if say is Say.WITHDRAWN else "permit"
        words = [
            "configure terminal",
            f"route-map {self._map} {does} {self._entry}",
            f"description {mark}",
            "set community graceful-shutdown additive"
            if say is Say.LEAVING
            else "no set community",
            "end",
            *(
                f"clear bgp ipv{family} unicast {one} soft out"
                for family, one in self._neighbours
            ),
        ]
        if say is not Say.LEAVING:
            words.append("write memory")
        ran = await self._vtysh.run(*_each(words))
        if "%" in ran.stdout:
            raise self._vtysh.fault(f"does not accept {mark}", ran.last_words)
        if ran.exit_code:
            raise self._vtysh.silent(ran.last_words)

    async def _check_version(self) -> None:
        """Refuse a version whose words are not known to mean what they mean here."""
        if self._known:
            return
        text = await self._vtysh.text("-c", "show version")
        found = VERSION.search(text)
        if found is None or (int(found[1]), int(found[2])) < OLDEST:
            said = found[0] if found else text[:40]
            oldest = ".".join(map(str, OLDEST))
            raise self._vtysh.fault(
                f"is {said}, and this dial needs FRRouting {oldest}", so="nothing moved"
            )
        self._known = True

    def _mark(self, maps: Any) -> Mark:
        rule = _entry(maps, self._map, self._entry)
        mark = parse_mark(str(rule.get("description", ""))) if rule else None
        if mark is None:
            raise self._no_mark()
        return mark

    def _told(self, whom: tuple[int, str], table: Any) -> Layer:
        family, neighbour = whom
        told = frozenset(table.get("advertisedRoutes", {})) & self._prefixes
        covers = frozenset(one for one in self._prefixes if family_of(one) == family)
        return Layer(f"adj-out to {neighbour}", self.name, told, covers)

    def _no_mark(self) -> DriverFault:
        return self._vtysh.fault(
            f"has no mark in the description of route-map {self._map} {self._entry}"
        )


def _each(commands: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for one in commands for part in ("-c", one))


def _entry(node: Any, name: str, number: int) -> dict[str, Any] | None:
    """One entry of one map, wherever this version of FRR puts the map."""
    if not isinstance(node, dict):
        return None
    found = node.get(name)
    if isinstance(found, dict) and "rules" in found:
        for rule in found["rules"]:
            if rule.get("sequenceNumber") == number:
                return dict(rule)
    below = (_entry(one, name, number) for one in node.values())
    return next((one for one in below if one), None)
