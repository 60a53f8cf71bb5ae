"""A switch over regions whose speakers announce anycast routes or do not.

What is switched on is announced, and seen by every layer, before anything is withdrawn;
what goes is announced with GRACEFUL_SHUTDOWN for a while first. Read back are the
speaker's own table of what it sent and, where they are named, transit routers and their
kernels. Not here: how a daemon is written to (`Speaker`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import ClassVar

from msgspec.structs import replace

from dayshift.drivers.base import Context, fresh_claim_reason, setting_reason
from dayshift.drivers.dials.routes.asking import RETRY_MS
from dayshift.drivers.dials.routes.lock import locked
from dayshift.drivers.dials.routes.looking import Looking
from dayshift.drivers.dials.routes.mark import Mark, switch
from dayshift.drivers.dials.routes.options import SHUT_PAUSE_MS, RouteOptions
from dayshift.drivers.dials.routes.speaker import GoBack, Say, Speaker
from dayshift.drivers.whole import ended
from dayshift.errors import Driver, DriverFault, DriverRetry, Reason, Refused
from dayshift.limits import FULL_BP
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
from dayshift.model.units import Row, elapsed_ms

POLL_MS = 20
DISAGREE_MS = 100
"""A route is on its way: layers get this long before they disagree."""
PROPAGATION_MS = 100
LOCK_MS = 2_000


def offered(lease: bool) -> Abilities:
    """What a dial of routes can do with the usual options."""
    propagation_ms = PROPAGATION_MS + SHUT_PAUSE_MS
    return Abilities(DialKind.SWITCH, FULL_BP, lease, Fence.MACHINE, propagation_ms)


class RouteDial:
    """The dial; a daemon's own class builds the speakers."""

    leases = False
    OFFERS: ClassVar[tuple[Abilities, ...]] = (offered(lease=False),)

    def __init__(
        self,
        name: str,
        options: RouteOptions,
        speakers: Sequence[Speaker],
        context: Context,
    ) -> None:
        self.name = name
        self._options = options
        self._speakers = tuple(speakers)
        self._clock = context.clock
        self._points = context.points
        self._looking = Looking(options, context)
        self._under_way: asyncio.Task[None] | None = None
        self._left_alone = False
        self._moving: set[str] = set()
        """Speakers between two marks, because this very process is writing them."""

    def describe(self) -> Abilities:
        """During the pause before a withdrawal users may still go the old way."""
        return Abilities(
            kind=DialKind.SWITCH,
            granularity_bp=FULL_BP,
            lease=self.leases,
            fence=Fence.DEVICE if self._options.one_machine else Fence.MACHINE,
            propagation_ms=PROPAGATION_MS + self._options.shut_pause,
        )

    async def close(self) -> None:
        await self._ended()

    async def read(self) -> DialReading:
        """What every layer shows of every speaker.

        One that is being written shows the old until it shows the new: a region that is
        leaving is still on.
        """
        if self._left_alone:
            await self._ended()
        found = await self._looking.at(self._speakers, {*self._moving})
        if any(one.fault for one in found):
            await self._clock.sleep(DISAGREE_MS)
            found = await self._looking.at(self._speakers, {*self._moving})
        return DialReading(self.name, self._clock.now(), found)

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        """Announce, see it everywhere, then withdraw, and see that.

        Each speaker keeps the whole row and the claim. A write that was begun is ended,
        also when the caller no longer waits: half of it would be neither.
        """
        self._check_setting(setting, token)
        back: tuple[Row, int] | None = None
        if self.leases and revert_to is not None and lease_ms > 0:
            self._check_setting(revert_to, token)
            back = revert_to.rows[ALL], lease_ms
        await self._whole(lambda: self._install(setting.rows[ALL], token, back))

    async def hold(self, token: Token) -> None:
        """Claim what stands there, for good, and read it back."""
        now = await self.read()
        if now.setting is None or now.fault:
            raise self._fault(
                "DIAL-MIXED",
                f"dial {self.name} has no one setting to hold",
                now.fault or "its instances disagree",
            )
        row = now.setting.rows[ALL]
        await self._whole(lambda: self._install(row, token, None))
        after = await self.read()
        claims = {one.claim for one in after.instances}
        if after.setting != now.setting or claims != {token.claim}:
            raise self._fault(
                "DIAL-NOT-HELD",
                f"dial {self.name} shows {after.setting} under {claims}, "
                f"not {now.setting} under {token.claim}",
                after.fault,
            )

    async def _whole(self, write: Callable[[], Awaitable[None]]) -> None:
        await self._ended()

        async def run() -> None:
            try:
                await write()
            finally:
                self._moving = set()

        task = self._under_way = asyncio.create_task(run())
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            self._left_alone = True
            raise

    async def _ended(self) -> None:
        if self._under_way is not None:
            await ended(self._under_way)
        self._left_alone = False

    async def _install(
        self, row: Row, token: Token, back: tuple[Row, int] | None
    ) -> None:
        async with self._writing():
            alive = await self._check_claims(token)
            self._moving = {one.name for one in self._speakers}
            on = [one for one in self._speakers if row[one.region]]
            off = [one for one in self._speakers if not row[one.region]]
            mark = Mark(token.claim, row)
            errors = await self._write(on, mark, Say.ANNOUNCED, back)
            errors += await self._settled([one for one in on if one in alive], mark)
            if off:
                await self._check_served(row, token)
            if on and off:
                self._points.at(Point.HALF_APPLIED)
            errors += await self._withdraw(off, alive, mark, back)
        errors.sort(key=lambda error: isinstance(error, DriverRetry))
        if errors:
            raise errors[0]

    async def _withdraw(
        self,
        off: Sequence[Speaker],
        alive: Sequence[Speaker],
        mark: Mark,
        back: tuple[Row, int] | None,
    ) -> list[Driver]:
        sends = [one for one in off if one in alive and await self._sends(one)]
        errors: list[Driver] = []
        if sends and self._options.shut_pause:
            errors = await self._write(sends, mark, Say.LEAVING, back)
            await self._clock.sleep(self._options.shut_pause)
        errors += await self._write(off, mark, Say.WITHDRAWN, back)
        return errors + await self._settled([one for one in off if one in alive], mark)

    async def _sends(self, speaker: Speaker) -> bool:
        try:
            return any(layer.shown for layer in (await speaker.word()).sent)
        except Driver:
            return False

    async def _write(
        self,
        speakers: Sequence[Speaker],
        mark: Mark,
        say: Say,
        back: tuple[Row, int] | None,
    ) -> list[Driver]:
        """Write one after the other; a speaker that fails does not save the next."""
        errors: list[Driver] = []
        for number, speaker in enumerate(speakers):
            if number:
                self._points.at(Point.HALF_APPLIED)
            try:
                await speaker.write(mark, say, _go_back(mark, speaker.region, back))
            except Driver as error:
                errors.append(error)
        return errors

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        """Hold every speaker's lock, in one order: two writers never wait crosswise.

        Raises:
            DriverRetry: another process has one of them for too long.
        """
        begun = self._clock.now()
        with ExitStack() as stack:
            for path in sorted({one.lock for one in self._speakers}):
                while not stack.enter_context(locked(path)):
                    if elapsed_ms(begun, self._clock.now()) > LOCK_MS:
                        raise self._retry(
                            "DIAL-LOCKED", "another process is writing", str(path)
                        )
                    await self._clock.sleep(POLL_MS)
            yield

    async def _check_claims(self, token: Token) -> list[Speaker]:
        """Refuse before anything moved; returns the speakers whose daemon answers."""
        found = await asyncio.gather(
            *(one.kept() for one in self._speakers), return_exceptions=True
        )
        alive: list[Speaker] = []
        last: DriverRetry | None = None
        for speaker, kept in zip(self._speakers, found, strict=True):
            if isinstance(kept, DriverRetry):
                last = kept
                continue
            if isinstance(kept, BaseException):
                raise kept
            for mark in kept.marks:
                why = fresh_claim_reason(mark.claim, token)
                if why:
                    raise self._refused_claim(speaker, why, token)
            if kept.alive:
                alive.append(speaker)
        if not alive:
            raise last or self._retry("UNREACHABLE", "not one of its speakers answers")
        return alive

    def _refused_claim(self, speaker: Speaker, why: str, token: Token) -> Refused:
        return Refused(
            Reason(
                "CLAIM-REFUSED",
                f"dial {self.name}, instance {speaker.name}: {why}",
                because=f"another wrote it, this write is {token.claim}",
                so="nothing moved",
                next="find who else steers it; `dayshift adopt` if it is right",
            )
        )

    async def _check_served(self, row: Row, token: Token) -> None:
        """Withdraw nothing unless a region that stays is announced by now.

        Why: the setting names it, the token proves it, and still its speaker may be
        silent: then the last route would go. Where this process sees no speaker of such
        a region (an agent of one region), only the token proves it.
        """
        stay = {name for name, share in row.items() if share} & set(token.serving)
        theirs = [one for one in self._speakers if one.region in stay]
        if not theirs:
            return
        looks = await self._looking.at(theirs)
        if not any(one.setting and not one.fault for one in looks):
            raise self._retry(
                "LAST-ROUTE",
                f"no region of {', '.join(sorted(stay))} is announced",
                looks[0].fault,
                "nothing was withdrawn",
            )

    async def _settled(self, speakers: Sequence[Speaker], mark: Mark) -> list[Driver]:
        """Wait until every layer shows what was written, or say which does not."""
        begun = self._clock.now()
        while speakers:
            looks = await self._looking.at(speakers)
            wrong = [one for one in looks if not _shows(one, mark)]
            if not wrong:
                break
            if elapsed_ms(begun, self._clock.now()) >= self._options.settle:
                return [self._not_settled(one, mark) for one in wrong]
            await self._clock.sleep(POLL_MS)
        return []

    def _not_settled(self, one: InstanceReading, mark: Mark) -> DriverRetry:
        shown = Mark(one.claim, one.setting.rows[ALL]) if one.setting else "nothing"
        return self._retry(
            "NOT-PROPAGATED",
            f"instance {one.instance} shows {shown} instead of {mark} after "
            f"{self._options.settle} ms",
            one.fault or "its daemon did not take it up",
            "it is written, and what users are routed by is not proven",
        )

    def _check_setting(self, setting: Setting, token: Token) -> None:
        why = setting_reason(setting, token) or self.misfit(setting)
        if why:
            raise Refused(
                Reason(
                    "SETTING-REFUSED",
                    f"dial {self.name}: the setting {why}",
                    because=f"asked for {setting.rows}",
                    so="nothing moved",
                    next="`dayshift plan` again",
                )
            )

    def misfit(self, setting: Setting) -> str | None:
        """As `KnowsItsSteps`."""
        if setting.kind is not DialKind.SWITCH:
            return f"is a {setting.kind}, this dial is a switch"
        if set(setting.rows) != {ALL}:
            return f"has rows {sorted(setting.rows)}, a switch has one"
        if set(setting.rows[ALL]) != set(self._options.regions):
            named, known = sorted(setting.rows[ALL]), sorted(self._options.regions)
            return f"names the regions {named}, the dial has {known}"
        return None

    def _fault(self, code: str, what: str, because: str) -> DriverFault:
        way = "mend the instance, then `dayshift check`"
        return DriverFault(Reason(code, what, because, next=way))

    def _retry(
        self, code: str, what: str, because: str = "", so: str = "nothing moved"
    ) -> DriverRetry:
        text = f"dial {self.name}: {what}"
        return DriverRetry(
            Reason(code, text, because, so, "it is tried again"), RETRY_MS
        )


def _go_back(mark: Mark, region: str, back: tuple[Row, int] | None) -> GoBack | None:
    """Where one speaker goes when the lease of `mark` runs out, marked as its own."""
    if back is None or mark.claim is None:
        return None
    row, lease_ms = back
    say = Say.ANNOUNCED if row[region] else Say.WITHDRAWN
    return GoBack(Mark(replace(mark.claim, reverted=True), row), say, lease_ms)


def _shows(one: InstanceReading, mark: Mark) -> bool:
    return (one.fault, one.claim, one.setting) == ("", mark.claim, switch(mark.row))
