"""One HAProxy that draws a backend from a map: shares to the basis point.

    use_backend %[rand(10000),map_int(/etc/haproxy/shares.map,be_ber)]

The map's file holds ranges of 0..9999 for each backend, and the claim under 10000,
which is never drawn. HAProxy reads the file when it starts or reloads; the running map
is replaced in one step (`prepare`, `add`, `commit`), claim and shares together. Read
back by asking HAProxy's own look-up, not the list that was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dayshift.drivers.files import replace_file
from dayshift.drivers.haproxy import BACKEND, Runtime
from dayshift.errors import Driver, DriverFault, Reason
from dayshift.limits import FULL_BP
from dayshift.model.dial import (
    ALL,
    Claim,
    InstanceReading,
    Setting,
    parse_claim,
    split,
)
from dayshift.model.units import Row

Entries = dict[str, str]
"""Key to value, as they stand in a map."""


class MapPart:
    """One instance of the dial in the way `map`."""

    def __init__(
        self, name: str, runtime: Runtime, path: Path, backends: Mapping[str, str]
    ) -> None:
        self.name = name
        self.path = path
        self._runtime = runtime
        self._backends = dict(backends)

    async def look(self) -> InstanceReading:
        try:
            runs = await self._running()
            file = self._file()
            fault = await self._lookup_fault(runs)
            missing = await self._missing()
        except Driver as error:
            return InstanceReading(self.name, None, None, error.reason.what)
        setting, wrong = self._setting(runs)
        fault = wrong or fault or missing
        if not fault and runs != file:
            fault = f"it runs {_short(runs)}, {self.path} says {_short(file)}"
        return InstanceReading(self.name, setting, _claim(runs), fault)

    def kept_claim(self) -> Claim | None:
        return _claim(self._file())

    async def running_claim(self) -> Claim | None:
        return _claim(await self._running())

    async def draining_ms(self) -> int | None:
        return None

    def keep(self, setting: Setting, claim: Claim) -> None:
        text = "".join(f"{k} {v}\n" for k, v in self._entries(setting, claim).items())
        try:
            replace_file(self.path, text.encode())
        except OSError as error:
            raise self._unusable("cannot be replaced", str(error)) from None

    async def apply(self, setting: Setting, claim: Claim, last: bool) -> None:
        """Swap the running map; a map half filled is never looked at."""
        del last
        made = await self._runtime.ask(f"prepare map {self.path}")
        version = made.strip().rpartition(" ")[2]
        if not version.isdigit():
            raise self._runtime.fault(
                f"knows no map {self.path}: {made.strip()[:120]}",
                "a rule of its configuration must use this very path",
            )
        at = f"@{version}"
        entries = self._entries(setting, claim).items()
        orders = [f"add map {at} {self.path} {key} {value}" for key, value in entries]
        await self._runtime.order(*orders, f"commit map {at} {self.path}")

    def _entries(self, setting: Setting, claim: Claim) -> Entries:
        entries, start = {}, 0
        for region, share in setting.rows[ALL].items():
            if share:
                key = f"{start}:{start + share - 1}"
                entries[key] = self._backends[region]
                start += share
        return entries | {str(FULL_BP): str(claim)}

    async def _running(self) -> Entries:
        text = await self._runtime.ask(f"show map {self.path}")
        rows = [one.split(maxsplit=2) for one in text.splitlines() if one.strip()]
        if any(len(one) != 3 or not one[0].startswith("0x") for one in rows):
            raise self._runtime.fault(
                f"knows no map {self.path}: {text.strip()[:120]}",
                "a rule of its configuration must use this very path",
            )
        return {key: value for _, key, value in rows}

    def _file(self) -> Entries:
        try:
            lines = self.path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise self._unusable("cannot be read", str(error)) from None
        kept = (one.split(maxsplit=1) for one in lines if one.strip())
        return {
            one[0]: one[1].strip()
            for one in kept
            if len(one) == 2 and not one[0].startswith("#")
        }

    async def _lookup_fault(self, runs: Entries) -> str:
        """Ask for the ends of every range: the look-up that each request takes."""
        ends = [(edge, runs[key]) for key in _ranges(runs) for edge in _edges(key)]
        asked = [f"get map {self.path} {edge}" for edge, _ in ends]
        if not asked:
            return ""
        said = [one for one in (await self._runtime.ask(*asked)).splitlines() if one]
        if len(said) != len(ends):
            return f"its look-up gave {len(said)} answers to {len(ends)} questions"
        for (edge, value), one in zip(ends, said, strict=True):
            if f'value="{value}"' not in one:
                return f"its look-up of {edge} gives {one[:80]}, its list {value}"
        return ""

    async def _missing(self) -> str:
        """A backend that is not there would be replaced by the default in silence."""
        rows = await self._runtime.table("show stat")
        known = {one["pxname"] for one in rows if one["svname"] == BACKEND}
        lost = sorted(set(self._backends.values()) - known)
        return f"it has no backend {', '.join(lost)}" if lost else ""

    def _setting(self, entries: Entries) -> tuple[Setting | None, str]:
        region_of = {backend: region for region, backend in self._backends.items()}
        row: Row = dict.fromkeys(self._backends, 0)
        expected = 0
        for key in _ranges(entries):
            first, last = _edges(key)
            region = region_of.get(entries[key])
            if region is None:
                return None, f"its map names {entries[key]}, which is no region's"
            if first != expected or last < first:
                return None, f"its map has a gap or an overlap before {key}"
            row[region] += last - first + 1
            expected = last + 1
        if expected != FULL_BP:
            return None, f"its map ends at {expected}, not at {FULL_BP}"
        return split(row), ""

    def _unusable(self, what: str, because: str) -> DriverFault:
        return DriverFault(
            Reason(
                "MAP-UNUSABLE",
                f"{self.path} {what}",
                because=because,
                so="nothing was written there",
                next="mend the file, or the instance's `file`",
            )
        )


def _ranges(entries: Entries) -> list[str]:
    """The keys that are drawn, in their order; what is no range sorts last."""
    drawn = (key for key in entries if key != str(FULL_BP))
    return sorted(drawn, key=lambda key: _edges(key)[0])


def _edges(key: str) -> tuple[int, int]:
    first, _, last = key.partition(":")
    numbers = (first, last or first)
    if not all(one.isdigit() for one in numbers):
        return FULL_BP, -1
    return int(numbers[0]), int(numbers[1])


def _claim(entries: Entries) -> Claim | None:
    return parse_claim(entries.get(str(FULL_BP), ""))


def _short(entries: Entries) -> str:
    return str(entries)[:160]
