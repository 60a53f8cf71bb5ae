"""One write at several authorities, and what they all answer afterwards.

Here: checking what is asked, comparing claims before anything moves, writing to one
authority after the other, waiting until each one answers it, holding, and the lifetime
of answers around a drain. Not here: how one server is looked at and written to
(`Authority`), which is the driver's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import msgspec

from dayshift.drivers.base import Context, fresh_claim_reason, setting_reason
from dayshift.drivers.dials.names.caches import ResolverWatch
from dayshift.drivers.dials.names.pool import Pool
from dayshift.drivers.dials.names.saying import (
    claim_refused,
    fault,
    not_acknowledged,
    raced,
    setting_refused,
    shares,
)
from dayshift.drivers.whole import ended
from dayshift.errors import Driver, DriverRetry, Refused
from dayshift.model.dial import (
    ALL,
    Caching,
    Claim,
    DialReading,
    InstanceReading,
    Setting,
    Token,
)
from dayshift.model.points import Point
from dayshift.model.units import elapsed_ms

POLL_MS = (5, 10, 20, 50, 100, 200)
"""Waits between looks for the acknowledgement; the last repeats."""


class Seen(msgspec.Struct, frozen=True):
    """What one authority shows: its setting, who wrote it, how long answers may live.

    `fault` says what contradicts the setting, or why there is none; `foreign` names
    addresses there that are no region's.
    """

    setting: Setting | None
    claim: Claim | None
    ttl_s: int | None = None
    fault: str = ""
    foreign: tuple[str, ...] = ()


class Wanted(msgspec.Struct, frozen=True):
    """What one write installs at one authority."""

    setting: Setting
    ttl_s: int
    claim: Claim


class Authority(Protocol):
    """One server that answers for the name; `writes` is false where it only follows."""

    name: str
    writes: bool

    async def look(self) -> Seen:
        """What it answers now, by another way than `write`."""
        ...

    async def write(self, wanted: Wanted, token: Token) -> None:
        """Install it, if what stands there still lets the token in.

        Raises:
            Refused: the claim that stands there does not; nothing moved here.
        """
        ...


class Lifetimes(msgspec.Struct, frozen=True):
    """How long caches may keep answers: as usual, and around a drain."""

    usual_s: int
    low_s: int


class NamesDial:
    """A dial over the answers for one name, at every authority for it."""

    def __init__(
        self,
        name: str,
        context: Context,
        pool: Pool,
        authorities: Sequence[Authority],
        resolvers: Sequence[ResolverWatch],
        lifetimes: Lifetimes,
        ack_timeout_ms: int,
    ) -> None:
        self.name = name
        self.lifetimes = lifetimes
        self._clock = context.clock
        self._points = context.points
        self._pool = pool
        self._authorities = tuple(authorities)
        self._resolvers = tuple(resolvers)
        self._ack_timeout_ms = ack_timeout_ms
        self.lifetime_ms = 1_000 * lifetimes.usual_s
        self._left: asyncio.Task[None] | None = None
        """A write that whoever asked for it did not wait for."""

    async def read(self) -> DialReading:
        """What every authority answers, and whichever resolver contradicts them."""
        if self._left is not None:
            await ended(self._left)
            self._left = None
        seen, told = await asyncio.gather(
            asyncio.gather(*(self._reading(one) for one in self._authorities)),
            asyncio.gather(
                *(one.ask() for one in self._resolvers), return_exceptions=True
            ),
        )
        now = self._clock.now()
        reading = DialReading(self.name, now, tuple(seen))
        told_ms = [one.lifetime_ms for one in seen if one.lifetime_ms]
        self.lifetime_ms = max(told_ms, default=self.lifetime_ms)
        stray: list[InstanceReading] = []
        for watch, answer in zip(self._resolvers, told, strict=True):
            if isinstance(answer, Driver):
                text = _words(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                setting = reading.setting
                text = watch.fault(answer, setting, now) if setting else ""
            if text:
                stray.append(InstanceReading(watch.label, None, None, text))
        return DialReading(self.name, now, (*seen, *stray))

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        """Write at every authority that is written to, until every one answers it.

        `revert_to` and `lease_ms` have no effect: records do not expire, as `describe`
        says. The lifetime of answers stays as it is. Authorities that do not answer are
        told of afterwards; if none does, nothing is written.
        """
        self._check_setting(setting, token)
        await self._to_its_end(self._install(setting, token, None))

    async def hold(self, token: Token) -> None:
        """Assert the present setting again under `token` and read it back.

        Nobody is asked who serves: no user moves.
        """
        await self._again(token, None)

    async def _to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        """A cancelled caller leaves; the write goes on, and the next read waits for it:
        between its parts it shows what nobody asked for."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            self._left = task
            raise

    async def _again(self, token: Token, ttl_s: int | None) -> None:
        now = await self.read()
        if now.setting is None or now.fault:
            raise fault(
                "DIAL-MIXED",
                f"dial {self.name} has no one setting to hold",
                because=now.fault or "its authorities disagree",
            )
        await self._to_its_end(self._install(now.setting, token, ttl_s))
        after = await self.read()
        claims = sorted({str(one.claim) for one in after.instances})
        if after.setting != now.setting or claims != [str(token.claim)]:
            raise fault(
                "DIAL-NOT-HELD",
                f"dial {self.name} shows {after.setting} under {', '.join(claims)}, "
                f"not {now.setting} under {token.claim}",
                because=after.fault,
            )

    def _check_setting(self, setting: Setting, token: Token) -> None:
        why = setting_reason(setting, token) or self.misfit(setting)
        if why:
            raise setting_refused(self.name, why, setting)

    def misfit(self, setting: Setting) -> str | None:
        """As `KnowsItsSteps`."""
        known = list(self._pool.regions)
        if setting.kind is not self._pool.kind:
            return f"is a {setting.kind}, this dial is a {self._pool.kind}"
        if set(setting.rows) != {ALL}:
            return f"has rows {sorted(setting.rows)}, this dial has one"
        if sorted(setting.rows[ALL]) != known:
            return (
                f"names the regions {sorted(setting.rows[ALL])}, the dial has {known}"
            )
        if not self._expressible(setting):
            return f"cannot be told by these addresses ({self._steps()})"
        return None

    def _expressible(self, setting: Setting) -> bool:
        """True when the records can say this setting exactly."""
        return self._pool.records(setting) is not None

    def _steps(self) -> str:
        return f"any step of {self._pool.granularity_bp / 100:.2f} % can"

    async def _install(self, setting: Setting, token: Token, ttl_s: int | None) -> None:
        async with self._alone():
            seen = await self._before(token)
            failed = await _carried_out(self._write(seen, setting, token, ttl_s))
        written = [one for one in self._authorities if one.name not in failed]
        results = await asyncio.gather(
            *(self._acknowledged(one, setting, token.claim) for one in written),
            return_exceptions=True,
        )
        errors: list[BaseException] = [one for one in results if one is not None]
        errors = sorted(
            [*errors, *failed.values()], key=lambda one: isinstance(one, DriverRetry)
        )
        if errors:
            raise errors[0]

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Nobody else on this machine writes inside; for servers without a fence."""
        yield

    async def _before(self, token: Token) -> dict[str, Seen | Driver]:
        """What each authority shows before the write, or why it says nothing.

        Why: a claim that refuses at the second authority must not find the first moved.

        Raises:
            Refused: a claim, or somebody's address, stands in the way.
        """
        found = await asyncio.gather(
            *(one.look() for one in self._authorities), return_exceptions=True
        )
        seen: dict[str, Seen | Driver] = {}
        for one, result in zip(self._authorities, found, strict=True):
            if isinstance(result, BaseException) and not isinstance(result, Driver):
                raise result
            seen[one.name] = result
            if isinstance(result, Driver) or not one.writes:
                continue
            why = fresh_claim_reason(result.claim, token)
            if why:
                raise claim_refused(self.name, one.name, why, token)
            if result.foreign:
                raise fault(
                    "STRANGE-ADDRESS",
                    f"dial {self.name}, {one.name}: {', '.join(result.foreign)} stands "
                    "among its records",
                    because="it is no region's in `addresses`, and a write removes it",
                    so="nothing moved",
                )
        writers = [seen[one.name] for one in self._authorities if one.writes]
        away = [one for one in writers if isinstance(one, Driver)]
        if len(away) == len(writers):
            raise away[0]
        return seen

    async def _write(
        self,
        before: dict[str, Seen | Driver],
        setting: Setting,
        token: Token,
        ttl_s: int | None,
    ) -> dict[str, Driver]:
        """One authority after the other, in their order; returns who failed.

        Why: of two writers who meet here, both ask the same authority first, and one is
        refused there before it moved anything.
        """
        failed: dict[str, Driver] = {}
        moved: list[str] = []
        for one in self._authorities:
            seen = before[one.name]
            if isinstance(seen, Driver):
                failed[one.name] = seen
            if isinstance(seen, Driver) or not one.writes:
                continue
            if moved:
                self._points.at(Point.HALF_APPLIED)
            lifetime = ttl_s or seen.ttl_s or self.lifetimes.usual_s
            try:
                await one.write(Wanted(setting, lifetime, token.claim), token)
                moved.append(one.name)
            except Refused as error:
                if moved:
                    raise raced(self.name, one.name, moved, error) from None
                raise
            except Driver as error:
                failed[one.name] = error
        return failed

    async def _acknowledged(
        self, one: Authority, setting: Setting, claim: Claim
    ) -> None:
        """Return when it answers the setting under the claim; raise if it does not."""
        begun, looks, shown = self._clock.now(), 0, "nothing"
        while True:
            try:
                seen = await one.look()
                if (seen.setting, seen.claim, seen.fault) == (setting, claim, ""):
                    return
                shown = f"{shares(seen.setting)} under {seen.claim}"
                because = seen.fault
            except DriverRetry as error:
                because = _words(error)
            if elapsed_ms(begun, self._clock.now()) >= self._ack_timeout_ms:
                wish = f"{shares(setting)} under {claim}"
                raise not_acknowledged(
                    self.name, one.name, shown, wish, self._ack_timeout_ms, because
                )
            await self._clock.sleep(POLL_MS[min(looks, len(POLL_MS) - 1)])
            looks += 1

    async def _reading(self, one: Authority) -> InstanceReading:
        try:
            seen = await one.look()
        except Driver as error:
            return InstanceReading(one.name, None, None, _words(error))
        lifetime_ms = None if seen.ttl_s is None else 1_000 * seen.ttl_s
        return InstanceReading(
            one.name, seen.setting, seen.claim, seen.fault, lifetime_ms=lifetime_ms
        )


class RecordsDial(NamesDial):
    """One that writes the records itself, with the lifetime that caches keep."""

    @property
    def caching(self) -> Caching:
        """As `describe` says it."""
        usual_s, low_s = self.lifetimes.usual_s, self.lifetimes.low_s
        return Caching(1_000 * usual_s, 1_000 * low_s)

    async def prepare(self, token: Token) -> None:
        """Let caches keep answers for a short time only, from now on."""
        await self._again(token, self.lifetimes.low_s)

    async def restore(self, token: Token) -> None:
        """Let caches keep answers as long as usual."""
        await self._again(token, self.lifetimes.usual_s)


async def _carried_out(
    work: Coroutine[Any, Any, dict[str, Driver]],
) -> dict[str, Driver]:
    """Finish a write that has begun, also when the caller gives up.

    Why: one that was cut off between two authorities would leave them apart.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task])
        raise


def _words(error: Driver) -> str:
    because = f" ({error.reason.because})" if error.reason.because else ""
    return f"{error.reason.what}{because}"
