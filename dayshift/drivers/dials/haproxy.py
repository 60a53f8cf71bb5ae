"""Dial `haproxy`: shares of regions over one or more HAProxys, by their sockets.

Here: all instances together, the fence, the grace of pinned users. Not here: one
HAProxy in either way (`haproxy_map`, `haproxy_weights`), the socket (`..haproxy`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import ClassVar, Self

from pydantic import Field, model_validator

from dayshift.drivers.base import (
    Context,
    Millis,
    OptionsMap,
    StrictOptions,
    fresh_claim_reason,
    setting_reason,
)
from dayshift.drivers.dials.haproxy_map import MapPart
from dayshift.drivers.dials.haproxy_part import Part, row_reason
from dayshift.drivers.dials.haproxy_weights import STEP_BP, WeightsPart, weights_of
from dayshift.drivers.files import locked
from dayshift.drivers.haproxy import RETRY_MS, Runtime
from dayshift.drivers.whole import Whole
from dayshift.errors import DriverFault, DriverRetry, Reason, Refused
from dayshift.model.dial import (
    ALL,
    Abilities,
    DialKind,
    DialReading,
    Fence,
    InstanceReading,
    Setting,
    Token,
)
from dayshift.model.points import Point
from dayshift.model.units import elapsed_ms

DISAGREE_MS = 50
"""A write of another process may be under way: so long before parts disagree."""
LOCK_MS = 20
PROPAGATION_MS = 50


class InstanceOptions(StrictOptions):
    """One HAProxy: its `stats socket` (a path, or `tcp://host:port`), and the file from
    which it comes back: the map in the way `map`, else its server state."""

    name: str = Field(min_length=1)
    socket: str = Field(min_length=1)
    file: str = Field(min_length=1)


class HaproxyDial:
    """A split, by drawing from a map or by the weights of servers."""

    class Options(StrictOptions):
        """Give `map` (each region's backend; shares to 0.01 %) or `backend` with
        `servers` (each region's server in it; shares to 0.5 %, finer where exact).

        `pinned`: users stick to servers by cookie; a region at zero is put to drain,
        and, once that has lasted `grace`, to maintenance when the shares are held, so
        that `option redispatch` moves them. `one_machine` vouches that every controller
        runs on this machine: the files' lock then fences all of them.
        """

        instances: tuple[InstanceOptions, ...] = Field(min_length=1)
        map: dict[str, str] = {}
        backend: str = ""
        servers: dict[str, str] = {}
        pinned: bool = False
        grace: Millis = 0
        lock_timeout: Millis = 2_000
        one_machine: bool = False

        @model_validator(mode="after")
        def _one_way(self) -> Self:
            if bool(self.map) == bool(self.backend or self.servers):
                raise ValueError("give either `map`, or `backend` with `servers`")
            if not self.map and not (self.backend and self.servers):
                raise ValueError("`backend` and `servers` go together")
            if self.map and (self.pinned or self.grace):
                raise ValueError("`pinned` and `grace` belong to `servers`")
            return self

        @model_validator(mode="after")
        def _distinct(self) -> Self:
            for what, values in (
                ("backend", list(self.map.values())),
                ("server", list(self.servers.values())),
                ("instance name", [one.name for one in self.instances]),
                ("socket", [one.socket for one in self.instances]),
                ("file", [one.file for one in self.instances]),
            ):
                twice = sorted({one for one in values if values.count(one) > 1})
                if twice:
                    raise ValueError(f"{what} {twice[0]!r} is named twice")
            return self

    OFFERS: ClassVar[tuple[Abilities, ...]] = (
        Abilities(DialKind.SPLIT, 1, False, Fence.MACHINE, PROPAGATION_MS),
        Abilities(DialKind.SPLIT, STEP_BP, False, Fence.MACHINE, PROPAGATION_MS),
    )

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        self._clock = context.clock
        self._points = context.points
        self._whole = Whole()
        self._parts = [self._part(one, context) for one in self._options.instances]

    def _part(self, one: InstanceOptions, context: Context) -> Part:
        options, runtime = self._options, Runtime(one.socket, context)
        path = context.base_dir / one.file
        if options.map:
            return MapPart(one.name, runtime, path, options.map)
        return WeightsPart(
            one.name, runtime, path, options.backend, options.servers, options.pinned
        )

    def describe(self) -> Abilities:
        return Abilities(
            kind=DialKind.SPLIT,
            granularity_bp=1 if self._options.map else STEP_BP,
            lease=False,
            fence=Fence.DEVICE if self._options.one_machine else Fence.MACHINE,
            propagation_ms=PROPAGATION_MS,
        )

    async def close(self) -> None:
        await self._whole.close()

    async def read(self) -> DialReading:
        """What every HAProxy sends where, as its own look-up or statistics say."""
        return await self._whole.run(self._read())

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        """Write every file, then move every HAProxy; the files need none to run.

        `revert_to` and `lease_ms` have no effect: HAProxy has nothing that expires.
        """
        why = setting_reason(setting, token) or self.misfit(setting)
        if why:
            raise self._refused("SETTING-REFUSED", f"the setting {why}", setting)
        await self._whole.run(self._install(setting, token, last=False))

    async def hold(self, token: Token) -> None:
        """Assert the present setting under `token`; pinned users move now.

        Raises:
            DriverRetry: the grace of pinned users is not over.
        """
        await self._whole.run(self._hold(token))

    async def _hold(self, token: Token) -> None:
        now = await self._read()
        if now.setting is None or now.fault:
            because = now.fault or "its instances disagree"
            raise DriverFault(
                Reason(
                    "DIAL-MIXED",
                    f"dial {self.name} has no one setting to hold",
                    because,
                    next="mend the instance, then `dayshift check`",
                )
            )
        await self._wait_for_pinned()
        await self._install(now.setting, token, last=True)
        after = await self._read()
        claims = {one.claim for one in after.instances}
        if after.setting != now.setting or claims != {token.claim}:
            raise DriverFault(
                Reason(
                    "DIAL-NOT-HELD",
                    f"dial {self.name} shows {after.setting} under {claims}, "
                    f"not {now.setting} under {token.claim}",
                    after.fault,
                    next="mend the instance, then `dayshift check`",
                )
            )

    async def _wait_for_pinned(self) -> None:
        if not self._options.grace:
            return
        draining = [await part.draining_ms() for part in self._parts]
        spent = [one for one in draining if one is not None]
        left = self._options.grace - min(spent, default=self._options.grace)
        if left > 0:
            raise DriverRetry(
                Reason(
                    "PINNED-GRACE",
                    f"dial {self.name}: pinned users have {left} ms left "
                    f"(grace {self._options.grace} ms)",
                    because="a region at zero is draining, not yet in maintenance",
                    so="nothing moved",
                    next="it is asked again when the grace is over",
                ),
                left,
            )

    def misfit(self, setting: Setting) -> str | None:
        """As `KnowsItsSteps`."""
        if setting.kind is not DialKind.SPLIT:
            return f"is a {setting.kind}, this dial is a split"
        if set(setting.rows) != {ALL}:
            return f"has rows {sorted(setting.rows)}, a split has one"
        row = setting.rows[ALL]
        regions = set(self._options.map or self._options.servers)
        why = row_reason(row, regions)
        if why is None and not self._options.map and weights_of(row) is None:
            why = "is finer than weights of 0 to 256 can be (see `map`)"
        return why

    async def _install(self, setting: Setting, token: Token, last: bool) -> None:
        async with self._all_locked():
            away = await self._compare(setting, token)
            if len(away) == len(self._parts):
                raise next(iter(away.values()))
            failed: list[Exception] = list(away.values())
            for number, part in enumerate(self._parts):
                if number:
                    self._points.at(Point.HALF_APPLIED)
                try:
                    part.keep(setting, token.claim)
                    if part.name not in away:
                        await part.apply(setting, token.claim, last)
                except (DriverRetry, DriverFault) as error:
                    failed.append(error)
            failed.sort(key=lambda error: isinstance(error, DriverRetry))
            if failed:
                raise failed[0]

    async def _compare(self, setting: Setting, token: Token) -> dict[str, DriverRetry]:
        """Refuse before the first instance moved; returns those that do not answer."""
        away: dict[str, DriverRetry] = {}
        for part in self._parts:
            claims = [part.kept_claim()]
            try:
                claims.append(await part.running_claim())
            except DriverRetry as error:
                away[part.name] = error
            for found in claims:
                why = fresh_claim_reason(found, token)
                if why:
                    what = f"instance {part.name}: {why}"
                    raise self._refused("CLAIM-REFUSED", what, setting)
        return away

    @asynccontextmanager
    async def _all_locked(self) -> AsyncIterator[None]:
        begun = self._clock.now()
        paths = sorted(part.path for part in self._parts)
        while True:
            with ExitStack() as stack:
                try:
                    mine = all(stack.enter_context(locked(path)) for path in paths)
                except OSError as error:
                    raise DriverFault(self._lock_reason(str(error))) from None
                if mine:
                    yield
                    return
            if elapsed_ms(begun, self._clock.now()) > self._options.lock_timeout:
                why = self._lock_reason("another process is writing")
                raise DriverRetry(why, RETRY_MS)
            await self._clock.sleep(LOCK_MS)

    async def _read(self) -> DialReading:
        at = self._clock.now()
        found = await asyncio.gather(*(self._look(one) for one in self._parts))
        return DialReading(self.name, at, tuple(found))

    async def _look(self, part: Part) -> InstanceReading:
        reading = await part.look()
        if reading.fault and reading.setting is not None:
            await self._clock.sleep(DISAGREE_MS)
            reading = await part.look()
        return reading

    def _lock_reason(self, because: str) -> Reason:
        return Reason(
            "DIAL-LOCKED",
            f"dial {self.name}: its files cannot be locked",
            because,
            "nothing moved",
            "see who else steers it, and that Dayshift may write that folder",
        )

    def _refused(self, code: str, what: str, setting: Setting) -> Refused:
        return Refused(
            Reason(
                code,
                f"dial {self.name}: {what}",
                because=f"asked for {setting.rows}",
                so="nothing moved",
                next="find who else steers it, `dayshift adopt` if that is right"
                if code == "CLAIM-REFUSED"
                else "`dayshift plan` again",
            )
        )
