"""One dial under the agent: fence, claim and lease around the driver, under one lock.

Holds: the comparison and the write are one step, so that a controller that was stopped
between its own check and its write loses here; and what expires goes back by itself,
also after the agent was killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from msgspec.structs import replace

from dayshift.agent import guards
from dayshift.agent.ledger import Entry, Lease, Ledger
from dayshift.drivers.base import Dial, PreparedDial
from dayshift.errors import Driver, DriverFault, DriverRetry, Reason, Refused
from dayshift.limits import DRIVER_TIMEOUT_MS
from dayshift.model.dial import (
    Abilities,
    Claim,
    InstanceReading,
    Setting,
    Token,
)
from dayshift.model.units import Clock, Instant, elapsed_ms

RETRY_MS = 500
LEASE_MS_MAX = 3_600_000
AGE_MS_MAX = 5_000
"""No write rests on a reading that this agent gave longer ago: a controller asks for
one right before, and waits for its answer no longer than that."""


class Keeper:
    """The one way to a dial on this machine."""

    def __init__(
        self,
        dial: Dial,
        rules: guards.Rules,
        ledger: Ledger,
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self.dial = dial
        self.name = dial.name
        self._rules = rules
        self._ledger = ledger
        self._clock = clock
        self._say = say
        self._entry: Entry = ledger.load(dial.name)
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._trouble = ""
        self.went_back = 0
        """How often since this process began."""

    def lease_left_ms(self) -> int | None:
        """How long what is armed still runs; None where nothing is."""
        lease = self._entry.lease
        return lease.left_ms(self._clock.now()) if lease else None

    def describe(self) -> Abilities:
        return self.dial.describe()

    async def read(self) -> tuple[InstanceReading, ...]:
        """What the device says, with what the agent alone knows."""
        reading = await self.dial.read()
        fence, left = self._entry.fence, self.lease_left_ms()
        epoch = fence.epoch if fence else 0
        return tuple(
            replace(one, expires_ms=left, fence=epoch, fault=one.fault or self._trouble)
            for one in reading.instances
        )

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
        as_of: Instant | None = None,
    ) -> None:
        """Write, and go back to `revert_to` by ourselves unless that is renewed.

        Args:
            as_of: when the reading was given that this rests on, if it came by wire.

        Raises:
            DriverRetry: that is too long ago, or the device does not answer in time.
        """
        async with self._lock:
            self._check_age(as_of, token.claim)
            self._check_claim(token)
            self._check_setting(setting, token, "the setting")
            lease = None
            if revert_to is not None or lease_ms:
                lease = self._lease(revert_to, lease_ms, token)
            with self._let_in(token.claim, lease):
                await self._in_time(self.dial.set(setting, token))
            self._say(f"{self.name}: set {setting.rows} under {token.claim}")

    async def hold(self, token: Token) -> None:
        """Claim what stands there; nothing expires any more."""
        async with self._lock:
            self._check_claim(token)
            with self._let_in(token.claim, None):
                await self._in_time(self.dial.hold(token))
            self._say(f"{self.name}: held under {token.claim}")

    async def prepare(self, token: Token) -> None:
        """Let caches keep answers for a short time only; nothing expires any more."""
        async with self._lock:
            dial = self._prepared(token)
            with self._let_in(token.claim, None):
                await self._in_time(dial.prepare(token))
            self._say(f"{self.name}: answers live shortly under {token.claim}")

    async def restore(self, token: Token) -> None:
        """Let caches keep answers as long as usual; nothing expires any more."""
        async with self._lock:
            dial = self._prepared(token)
            with self._let_in(token.claim, None):
                await self._in_time(dial.restore(token))
            self._say(f"{self.name}: answers live as usual under {token.claim}")

    def _prepared(self, token: Token) -> PreparedDial:
        self._check_claim(token)
        if not isinstance(self.dial, PreparedDial):
            why = "its device keeps no lifetime of answers"
            raise self._refused("NOT-PREPARED", why, token.claim)
        return self.dial

    async def renew(self, claim: Claim, lease_ms: int) -> None:
        """Let the lease of the write `claim` run from now."""
        async with self._lock:
            why = guards.fence_reason(self._entry, claim)
            lease, stands = self._entry.lease, self._entry.newest
            if why is None and (lease is None or stands is None):
                why = "no lease is armed"
            elif why is None and stands != claim:
                why = f"the lease is of {stands}"
            elif why is None and lease and not lease.left_ms(self._clock.now()):
                why = "the lease has run out"
            if why or lease is None:
                raise self._refused("LEASE-GONE", why or "", claim)
            armed = replace(lease, armed=self._clock.now(), lease_ms=_bounded(lease_ms))
            self._keep(replace(self._entry, lease=armed))

    async def fence(self, claim: Claim) -> None:
        """Let no epoch before that of `claim` write any more."""
        async with self._lock:
            why = guards.fence_reason(self._entry, claim)
            if why:
                raise self._refused("CLAIM-REFUSED", why, claim)
            fence = self._entry.fence
            if fence is None or claim.epoch > fence.epoch:
                self._keep(replace(self._entry, fence=claim))
                self._say(f"{self.name}: fenced for epoch {claim.epoch}")

    async def tend(self) -> None:
        """Go back when a lease runs out; for ever."""
        while True:
            self._changed.clear()
            left = self.lease_left_ms()
            if left == 0:
                left = await self._go_back()
            if left is None:
                await self._changed.wait()
            else:
                with suppress(TimeoutError):
                    await self._clock.within(max(1, left), self._changed.wait())

    async def _go_back(self) -> int | None:
        """Write what the lease says, marked as our own; the pause before trying again
        if that fails."""
        async with self._lock:
            lease, stands = self._entry.lease, self._entry.newest
            if lease is None or stands is None or lease.left_ms(self._clock.now()):
                return 1
            to = lease.revert_to
            fed = (n for row in to.rows.values() for n, share in row.items() if share)
            mark = replace(stands, reverted=True)
            try:
                token = Token(mark, tuple(sorted(set(fed))), stands)
                await self._in_time(self.dial.set(to, token))
                self._keep(replace(self._entry, claim=mark, pending=None, lease=None))
            except (Driver, Refused) as error:
                self._trouble = f"its lease ran out, and: {error.reason.what}"
                self._say(f"{self.name}: {self._trouble}")
                return RETRY_MS
            self._trouble = ""
            self.went_back += 1
            self._say(f"{self.name}: nobody renewed; went back to {to.rows}")
            return None

    async def _in_time(self, work: Awaitable[None]) -> None:
        """A device that never answers must not keep the lock: what is armed would not
        go back any more."""
        try:
            await self._clock.within(DRIVER_TIMEOUT_MS, work)
        except TimeoutError:
            raise DriverRetry(
                Reason(
                    "NO-ANSWER",
                    f"dial {self.name} had no answer within {DRIVER_TIMEOUT_MS} ms",
                    because="the device, or its driver, does not return",
                    so="its effect is unknown until it is read back",
                    next="see to the device; it is asked again",
                ),
                RETRY_MS,
            ) from None

    def _check_age(self, as_of: Instant | None, claim: Claim) -> None:
        """A request that lay about while this machine slept proves nothing any more."""
        if as_of is None:
            return
        now = self._clock.now()
        age_ms = elapsed_ms(as_of, now) if now.boot_id == as_of.boot_id else None
        if age_ms is None or age_ms > AGE_MS_MAX:
            old = "before this machine booted" if age_ms is None else f"{age_ms} ms ago"
            raise DriverRetry(
                Reason(
                    "PROOF-OUTDATED",
                    f"dial {self.name}: the request {claim} rests on what was read "
                    f"{old} (limit {AGE_MS_MAX} ms)",
                    because="invariant: no write without fresh observations",
                    so="nothing moved; it is decided again",
                    next="let the agent's machine run without pauses",
                ),
                RETRY_MS,
            )

    def _check_claim(self, token: Token) -> None:
        why = guards.claim_reason(self._entry, token)
        if why:
            raise self._refused("CLAIM-REFUSED", why, token.claim)

    def _check_setting(self, setting: Setting, token: Token, what: str) -> None:
        why = guards.setting_reason(self._rules, setting, token)
        if why:
            raise self._refused("SETTING-REFUSED", f"{what} {why}", token.claim)

    def _lease(self, to: Setting | None, lease_ms: int, token: Token) -> Lease:
        if to is None or lease_ms <= 0:
            why = "a lease needs both a time and where to go back to"
            raise self._refused("SETTING-REFUSED", why, token.claim)
        self._check_setting(to, token, "what it would go back to")
        return Lease(to, self._clock.now(), _bounded(lease_ms))

    @contextmanager
    def _let_in(self, claim: Claim, lease: Lease | None) -> Iterator[None]:
        """Durably before the device is asked, and again once it has answered.

        Until it has, the lease before stays armed where the write brings none of its
        own: whoever dies in between leaves something that goes back.
        """
        before = self._entry
        self._keep(replace(before, pending=claim, lease=lease or before.lease))
        try:
            yield
        except Refused:
            self._keep(before)
            raise
        fence = before.fence
        if fence is None or claim.epoch > fence.epoch:
            fence = claim
        self._trouble = ""
        self._keep(Entry(claim=claim, fence=fence, lease=lease))

    def _keep(self, entry: Entry) -> None:
        self._ledger.save(self.name, entry)
        self._entry = entry
        self._changed.set()

    def _refused(self, code: str, why: str, claim: Claim) -> Refused:
        return Refused(
            Reason(
                code,
                f"dial {self.name}: {why}",
                because=f"the agent's own guard; this request is {claim}",
                so="nothing moved",
                next="find who else steers it; `dayshift agent --forget` only when "
                "that journal is gone for good",
            )
        )


def _bounded(lease_ms: int) -> int:
    if not 0 < lease_ms <= LEASE_MS_MAX:
        what = f"a lease of {lease_ms} ms (limit {LEASE_MS_MAX} ms)"
        raise DriverFault(Reason("LEASE-LENGTH", what, next="see policy.lease"))
    return lease_ms
