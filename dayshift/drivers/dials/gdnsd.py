"""Dial `gdnsd`: regions in or out of the answers, by gdnsd's admin_state file.

The write replaces our lines of the file; the read asks gdnsd for its states and for an
answer, as users do, and each must fit the other. gdnsd keeps the file over restarts.
Not here: the file (`gdnsd_admin`), several authorities (`names.steering`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, ClassVar, Self

import dns.name
from pydantic import Field, model_validator

from dayshift.drivers.base import Context, OptionsMap, fresh_claim_reason
from dayshift.drivers.dials.gdnsd_admin import AdminState
from dayshift.drivers.dials.names.asking import ASK_MS, TRIES, Asker, EndpointOptions
from dayshift.drivers.dials.names.caches import ResolverWatch
from dayshift.drivers.dials.names.options import SECOND_MS, TTL_MS, DnsName, once
from dayshift.drivers.dials.names.pool import Addresses, Pool
from dayshift.drivers.dials.names.saying import claim_refused, fault, retry, shares
from dayshift.drivers.dials.names.steering import Lifetimes, NamesDial, Seen, Wanted
from dayshift.drivers.process import Argv, run
from dayshift.errors import DriverFault
from dayshift.limits import FULL_BP
from dayshift.model.dial import ALL, Abilities, DialKind, Fence, Setting, Token
from dayshift.model.units import elapsed_ms
from dayshift.options import Millis, StrictOptions

LOCK_POLL_MS = 20
STATES = ("-o", "states")
FORCED = "DOWN!"


class InstanceOptions(EndpointOptions):
    """One gdnsd: where it answers, its file, and how to ask it for its states."""

    admin_state: str = Field(default="/var/lib/gdnsd/admin_state", min_length=1)
    gdnsdctl: Argv = ("gdnsdctl",)


class GdnsdDial(NamesDial):
    """A switch over the regions among whose addresses gdnsd chooses."""

    OFFERS: ClassVar[tuple[Abilities, ...]] = (
        Abilities(DialKind.SWITCH, FULL_BP, False, Fence.MACHINE, TTL_MS),
    )

    class Options(StrictOptions):
        """`addresses` are what gdnsd answers for `name`; `service_type` is how it
        watches them, which names their states. `states` names them where that does not
        (`metafo/www/fra`). `ttl` is the longest lifetime that its zone gives answers.

        `one_machine` vouches that every controller runs on this machine: the files'
        lock then fences all of them.
        """

        name: DnsName
        addresses: Addresses = Field(min_length=2)
        service_type: str = Field(default="up", pattern=r"^[^/*?\[\]\s]+$")
        states: dict[str, tuple[str, ...]] = {}
        instances: tuple[InstanceOptions, ...] = Field(min_length=1)
        resolvers: tuple[EndpointOptions, ...] = ()
        ttl: Millis = Field(default=TTL_MS, ge=SECOND_MS)
        ask_timeout: Millis = Field(default=ASK_MS, ge=TRIES)
        ack_timeout: Millis = Field(default=3_000, ge=1)
        one_machine: bool = False

        @model_validator(mode="after")
        def _distinct(self) -> Self:
            once("instance", (one.name for one in self.instances))
            once("admin_state", (one.admin_state for one in self.instances))
            if self.states and sorted(self.states) != sorted(self.addresses):
                raise ValueError(
                    f"states names {sorted(self.states)}, addresses has "
                    f"{sorted(self.addresses)}"
                )
            every = [one for listed in self.states.values() for one in listed]
            once("state", every)
            if any(set(one) & set("*?[]") or not one for one in every):
                raise ValueError("a state is a wildcard: name each one")
            if not all(self.states.values()):
                raise ValueError("a region has no state")
            return self

        def commands(self) -> tuple[tuple[str, ...], ...]:
            """As `RunsCommands`."""
            return tuple((*one.gdnsdctl, *STATES) for one in self.instances)

        def states_of(self) -> dict[str, tuple[str, ...]]:
            """The names of each region's states."""
            return self.states or {
                region: tuple(f"{one}/{self.service_type}" for one in listed)
                for region, listed in self.addresses.items()
            }

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self._options = known = self.Options.model_validate(options)
        pool, steered = (
            Pool(known.addresses, DialKind.SWITCH),
            dns.name.from_text(known.name),
        )
        self._files = [
            AdminState(context.base_dir / one.admin_state, known.name)
            for one in known.instances
        ]
        super().__init__(
            name,
            context,
            pool,
            [
                GdnsdAuthority(
                    name,
                    one,
                    Asker(one, context.clock, known.ask_timeout),
                    file,
                    steered,
                    pool,
                    known.states_of(),
                    context,
                )
                for one, file in zip(known.instances, self._files, strict=True)
            ],
            [
                ResolverWatch(
                    Asker(one, context.clock, known.ask_timeout),
                    steered,
                    pool,
                    known.ttl,
                )
                for one in known.resolvers
            ],
            Lifetimes(known.ttl // SECOND_MS, known.ttl // SECOND_MS),
            known.ack_timeout,
        )

    def describe(self) -> Abilities:
        """Until its lifetime is over, a cached answer sends users the old way."""
        return Abilities(
            kind=DialKind.SWITCH,
            granularity_bp=FULL_BP,
            lease=False,
            fence=Fence.DEVICE if self._options.one_machine else Fence.MACHINE,
            propagation_ms=self.lifetime_ms,
        )

    async def close(self) -> None:
        """Every question has a socket or a process of its own; nothing stays open."""

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        begun = self._clock.now()
        while True:
            with ExitStack() as stack:
                if all(stack.enter_context(one.locked()) for one in self._files):
                    yield
                    return
            if elapsed_ms(begun, self._clock.now()) >= self._options.ack_timeout:
                raise retry(
                    "DIAL-LOCKED",
                    f"dial {self.name}: another process is writing its files",
                    because=f"it did not end within {self._options.ack_timeout} ms",
                    so="nothing moved",
                )
            await self._clock.sleep(LOCK_POLL_MS)


class GdnsdAuthority:
    """One gdnsd: written by its file, looked at by its states and its answers."""

    writes = True

    def __init__(
        self,
        dial: str,
        options: InstanceOptions,
        asker: Asker,
        file: AdminState,
        steered: dns.name.Name,
        pool: Pool,
        states: dict[str, tuple[str, ...]],
        context: Context,
    ) -> None:
        self.name = options.name
        self._dial = dial
        self._options = options
        self._file = file
        self._steered = steered
        self._pool = pool
        self._states = states
        self._context = context
        self._asker = asker

    async def look(self) -> Seen:
        """Which regions it is told to leave out, and whether its answers do.

        Nothing but the file has the claim: gdnsd shows no comments.
        """
        kinds = sorted(self._pool.families)
        states, *answers = await asyncio.gather(
            self._asked(), *(self._asker.authority(self._steered, k) for k in kinds)
        )
        file = self._file.load()
        told = self._told(states)
        records = {k: a.values for k, a in zip(kinds, answers, strict=True)}
        ttl_s = max((a.ttl_s for a in answers if a.ttl_s is not None), default=None)
        if isinstance(told, str):
            return Seen(None, file.claim, ttl_s, told)
        shown = self._pool.shown(records)
        why = shown.fault or file.fault
        if not why and shown.setting != told:
            why = (
                f"it is told {shares(told)} and answers {shares(shown.setting)}"
                f"{self._unwell(states)}"
            )
        return Seen(told, file.claim, ttl_s, why)

    async def write(self, wanted: Wanted, token: Token) -> None:
        """Compare and replace our lines, inside the file's lock.

        Raises:
            Refused: another claim stands there; nothing moved.
        """
        found = self._file.load()
        why = fresh_claim_reason(found.claim, token)
        if why:
            raise claim_refused(self._dial, self.name, why, token)
        row = wanted.setting.rows[ALL]
        down = [s for r in self._pool.regions if not row[r] for s in self._states[r]]
        self._file.replace(found, down, wanted.claim)

    def _told(self, states: dict[str, Any]) -> Setting | str:
        """What it is forced to, or why that is no setting."""
        row: dict[str, int] = {}
        for region in self._pool.regions:
            names = self._states[region]
            unknown = [one for one in names if one not in states]
            if unknown:
                return f"it has no state {', '.join(unknown)}"
            forced = [one for one in names if states[one]["state"] == FORCED]
            if forced and len(forced) < len(names):
                return f"only {', '.join(forced)} of {region} is forced down"
            row[region] = 0 if forced else FULL_BP
        return Setting(DialKind.SWITCH, {ALL: row})

    def _unwell(self, states: dict[str, Any]) -> str:
        """Which states its own health checks set, for whoever wonders."""
        found = [
            one
            for names in self._states.values()
            for one in names
            if states[one].get("real_state") == "DOWN"
        ]
        return f"; by its own checks {', '.join(found)} is down" if found else ""

    async def _asked(self) -> dict[str, Any]:
        argv = (*self._options.gdnsdctl, *STATES)
        ran = await run(
            argv,
            clock=self._context.clock,
            limit_ms=self._asker.limit_ms,
            cwd=self._context.base_dir,
            environment={},
        )
        if ran.exit_code:
            raise retry(
                "UNREACHABLE",
                f"{argv[0]} told no states of {self._options.where}",
                because=f"exit code {ran.exit_code}: {ran.last_words}",
                so="what it is told to answer is unknown",
            )
        try:
            states = json.loads(ran.stdout)
            if all("state" in one for one in states.values()):
                return dict(states)
            raise ValueError("a state is missing")
        except (ValueError, AttributeError, TypeError) as error:
            raise self._nonsense(str(error)) from None

    def _nonsense(self, because: str) -> DriverFault:
        return fault(
            "NOT-GDNSD",
            f"{self._options.gdnsdctl[0]} does not answer like gdnsdctl",
            because=because,
            so="what gdnsd is told to answer is unknown",
        )
