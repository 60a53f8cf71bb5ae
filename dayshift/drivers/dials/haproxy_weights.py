"""One HAProxy whose backend has one server for each region: weights 0 to 256.

Written by `set server`; read back from the statistics, which count effective weights,
against `show servers state`. The state file, from which HAProxy comes back, is written
anew after each change; the claim lies beside it, since HAProxy has no field that
outlives a reload, and since others write the state file too.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd
from pathlib import Path

import msgspec

from dayshift.drivers.files import replace_file
from dayshift.drivers.haproxy import BACKEND, Runtime, number
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
from dayshift.model.units import Row, apportion

WEIGHT_MAX = 256
STEP_BP = 50
"""Every multiple of this is exact: 200 steps fit into 256."""
FORCED_MAINT, FORCED_DRAIN = 0x01, 0x08
NAME, WEIGHT, ADMIN = "srv_name", "srv_uweight", "srv_admin_state"
SINCE_S = "srv_time_since_last_change"


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What lies beside the state file: whose write it was, and what it asked for."""

    claim: str
    shares: dict[str, int]


def weights_of(row: Row) -> Row | None:
    """Weights in exactly the proportion of `row`, or None where 256 is too coarse.

    Large ones, because a hashing balance spreads better over them.
    """
    step = gcd(*row.values())
    least = {region: share // step for region, share in row.items()}
    most = max(least.values())
    if most > WEIGHT_MAX:
        return None
    return {region: one * (WEIGHT_MAX // most) for region, one in least.items()}


class WeightsPart:
    """One instance of the dial in the way `servers`."""

    def __init__(
        self,
        name: str,
        runtime: Runtime,
        path: Path,
        backend: str,
        servers: Mapping[str, str],
        pinned: bool,
    ) -> None:
        self.name = name
        self.path = path
        self._runtime = runtime
        self._backend = backend
        self._servers = dict(servers)
        self._pinned = pinned
        self._record = path.with_name(f".{path.name}.dayshift-claim")

    async def look(self) -> InstanceReading:
        try:
            shown, fault = await self._statistics()
            stated = await self._stated()
            kept = self._kept()
        except Driver as error:
            return InstanceReading(self.name, None, None, error.reason.what)
        claim = parse_claim(kept.claim) if kept else None
        if fault:
            return InstanceReading(self.name, None, claim, fault)
        if not any(shown.values()):
            return InstanceReading(self.name, None, claim, "every region is at zero")
        row = apportion(FULL_BP, shown)
        if shown != stated:
            fault = f"its statistics say {shown}, its server state {stated}"
        elif kept and kept.shares != row:
            fault = f"it runs {row}, {self._record} says {kept.shares}"
        return InstanceReading(self.name, split(row), claim, fault)

    def kept_claim(self) -> Claim | None:
        kept = self._kept()
        return parse_claim(kept.claim) if kept else None

    async def running_claim(self) -> Claim | None:
        await self._stated()
        return self.kept_claim()

    async def draining_ms(self) -> int | None:
        rows = await self._state_rows()
        mine = [one for one in rows if one[NAME] in self._servers.values()]
        spent = [
            number(one, SINCE_S) * 1_000
            for one in mine
            if number(one, ADMIN) & (FORCED_MAINT | FORCED_DRAIN) == FORCED_DRAIN
        ]
        return min(spent, default=None)

    def keep(self, setting: Setting, claim: Claim) -> None:
        """The claim, and the state file of a HAProxy that is away: it must not come
        back with the traffic that it had."""
        row = setting.rows[ALL]
        kept = msgspec.json.encode(Kept(str(claim), row))
        try:
            replace_file(self._record, kept + b"\n")
            if self.path.exists():
                replace_file(self.path, self._edited(row).encode())
        except (OSError, UnicodeDecodeError) as error:
            raise self._unusable(str(error)) from None

    async def apply(self, setting: Setting, claim: Claim, last: bool) -> None:
        """Survivors are raised before anybody is lowered; then the state is kept."""
        del claim
        weights = weights_of(setting.rows[ALL])
        assert weights is not None
        state = {one[NAME]: one for one in await self._state_rows()}
        orders: list[str] = []
        for region in sorted(weights, key=lambda one: -weights[one]):
            admin = number(state.get(self._servers[region], {}), ADMIN)
            orders += self._orders(region, weights[region], admin, last)
        await self._runtime.order(*orders)
        await self._dump()

    def _orders(self, region: str, weight: int, admin: int, last: bool) -> list[str]:
        server = f"set server {self._backend}/{self._servers[region]}"
        orders = [f"{server} weight {weight}"]
        if weight:
            return [*orders, f"{server} state ready"]
        if not self._pinned:
            return orders
        resting = last or admin & FORCED_MAINT
        return [*orders, f"{server} state {'maint' if resting else 'drain'}"]

    async def _dump(self) -> None:
        text = await self._runtime.ask("show servers state")
        try:
            replace_file(self.path, text.strip("\n").encode() + b"\n")
        except OSError as error:
            raise self._unusable(str(error)) from None

    def _edited(self, row: Row) -> str:
        """The state file with these weights; what is nobody's stays as it was."""
        weights = weights_of(row) or {}
        by_server = {self._servers[region]: one for region, one in weights.items()}
        columns: list[str] = []
        lines = []
        for line in self.path.read_text().splitlines():
            fields = line.split()
            if line.startswith("#"):
                columns = fields[1:]
            elif columns and len(fields) == len(columns):
                cells = dict(zip(columns, fields, strict=True))
                mine = cells.get("be_name") == self._backend
                if mine and cells.get(NAME) in by_server:
                    cells[WEIGHT] = str(by_server[cells[NAME]])
                    cells[ADMIN] = "0" if by_server[cells[NAME]] else cells[ADMIN]
                line = " ".join(cells.values())
            lines.append(line)
        return "".join(f"{line}\n" for line in lines)

    async def _statistics(self) -> tuple[Row, str]:
        """Effective weights, and what makes them no shares."""
        rows = await self._runtime.table("show stat")
        mine = {
            one["svname"]: one
            for one in rows
            if one["pxname"] == self._backend and one["svname"] != BACKEND
        }
        missing = sorted(set(self._servers.values()) - set(mine))
        if missing:
            return {}, f"backend {self._backend} has no server {', '.join(missing)}"
        others = sorted(
            name
            for name, one in mine.items()
            if name not in self._servers.values()
            and number(one, "act")
            and _effective(one)
        )
        if others:
            return {}, f"{', '.join(others)} takes traffic and is no region's server"
        return {r: _effective(mine[server]) for r, server in self._servers.items()}, ""

    async def _stated(self) -> Row:
        """Weights as the server state has them, which is what a restart brings back."""
        state = {one[NAME]: one for one in await self._state_rows()}
        row: Row = {}
        for region, server in self._servers.items():
            found = state.get(server, {})
            away = number(found, ADMIN) & (FORCED_MAINT | FORCED_DRAIN)
            row[region] = 0 if away else number(found, WEIGHT)
        return row

    async def _state_rows(self) -> list[dict[str, str]]:
        return await self._runtime.table(f"show servers state {self._backend}")

    def _kept(self) -> Kept | None:
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=Kept)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise self._unusable(str(error)) from None

    def _unusable(self, because: str) -> DriverFault:
        return DriverFault(
            Reason(
                "STATE-UNUSABLE",
                f"{self.path}, or the claim beside it, cannot be kept",
                because=because,
                so="a restart could undo what is asked for",
                next="let Dayshift write that folder, or mend the instance's `file`",
            )
        )


def _effective(row: dict[str, str]) -> int:
    """The weight by which it gets users; none in maintenance or draining."""
    resting = row["status"].startswith(("MAINT", "DRAIN"))
    return 0 if resting else number(row, "uweight")
