"""Dial `exec`: two commands of the operator's own, one that reads and one that writes.

Both speak one JSON document, strictly; never a shell. The claim is compared here, under
a lock, with what the reading command says; the writing command may compare it again.
Not here: running a command (`..process`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Annotated, ClassVar, Self, TypeVar

import msgspec
from pydantic import Field, model_validator

from dayshift.drivers.base import (
    Context,
    Millis,
    OptionsMap,
    fresh_claim_reason,
    setting_reason,
)
from dayshift.drivers.files import locked
from dayshift.drivers.process import Argv, CommandOptions, Ran, ask, nonsense, plain
from dayshift.drivers.whole import Whole
from dayshift.errors import DriverFault, DriverRetry, Reason, Refused
from dayshift.limits import DRIVER_TIMEOUT_MS, FULL_BP, READ_TIMEOUT_MS
from dayshift.model.dial import (
    ALL,
    Abilities,
    DialKind,
    DialReading,
    Fence,
    InstanceReading,
    Setting,
    Token,
    parse_claim,
)
from dayshift.model.units import elapsed_ms

REFUSED, LATER = 3, 75
RETRY_MS = 500
LOCK_MS = 20
READ_MS_MAX = 1_000
WRITE_MS_MAX = 3_000
"""Together shorter than a controller waits for a write, which reads before."""
assert READ_MS_MAX < READ_TIMEOUT_MS
assert READ_MS_MAX + WRITE_MS_MAX < DRIVER_TIMEOUT_MS
INSTANCES_MAX = 1_000
T = TypeVar("T")


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `set` and `hold` are told on standard input."""

    dial: str
    do: str
    setting: Setting
    claim: str
    expected: str | None
    serving: tuple[str, ...]
    first: bool
    revert_to: Setting | None = None
    lease_ms: int = 0


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A setting in the answer of `read`."""

    kind: DialKind
    rows: dict[str, dict[str, int]]


class Shown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One instance in the answer of `read`."""

    instance: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    setting: Form | None
    claim: str | None
    fault: str = ""
    expires_ms: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer of `read`: every instance, each time."""

    instances: Annotated[
        tuple[Shown, ...], msgspec.Meta(min_length=1, max_length=INSTANCES_MAX)
    ]


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer of `set` and `hold`: why not, or nothing."""

    why: str = ""


class ExecDial:
    """A dial of any kind, steered by commands."""

    class Options(CommandOptions):
        """`read`, `write` are argv lists. `kind`, `regions`, `granularity` (basis
        points) and `propagation` say what the device can do; `lease`: it goes back by
        itself to `revert_to`; `compares`: the writing command compares `expected` with
        the standing claim itself, in one step with the write. `lock` is the file beside
        which the lock between processes lies; absent, one of Dayshift's own.
        """

        read: Argv
        write: Argv
        regions: tuple[str, ...] = Field(min_length=1)
        kind: DialKind = DialKind.SPLIT
        granularity: int = Field(default=1, ge=1, le=FULL_BP)
        propagation: Millis = 0
        lease: bool = False
        compares: bool = False
        lock: str = ""
        answer_limit: Annotated[Millis, Field(gt=0, le=WRITE_MS_MAX)] = WRITE_MS_MAX
        read_limit: Annotated[Millis, Field(gt=0, le=READ_MS_MAX)] = READ_MS_MAX

        @model_validator(mode="after")
        def _distinct(self) -> Self:
            if len(set(self.regions)) != len(self.regions):
                raise ValueError("a region is named twice in `regions`")
            return self

        def commands(self) -> tuple[tuple[str, ...], ...]:
            """As `RunsCommands`."""
            return self.read, self.write

    OFFERS: ClassVar[tuple[Abilities, ...]] = tuple(
        Abilities(kind, 1, False, Fence.MACHINE, 0) for kind in DialKind
    )

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        quick = {"answer_limit": self._options.read_limit}
        self._quick = self._options.model_copy(update=quick)
        self._context = context
        self._clock = context.clock
        self._whole = Whole()
        own = context.state_dir / f"dial-{name}"
        lock = self._options.lock
        self._lock = context.base_dir / lock if lock else own

    def describe(self) -> Abilities:
        options = self._options
        fence = Fence.DEVICE if options.compares else Fence.MACHINE
        return Abilities(
            options.kind, options.granularity, options.lease, fence, options.propagation
        )

    async def close(self) -> None:
        await self._whole.close()

    async def read(self) -> DialReading:
        """What the reading command says of every instance.

        One that gives no answer of the right form is itself the fault.
        """
        return await self._whole.run(self._read())

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        """Compare the claim, then let the writing command write, under one lock."""
        why = setting_reason(setting, token) or self.misfit(setting)
        if why:
            raise self._refused("SETTING-REFUSED", f"the setting {why}", token)
        leased = self._options.lease and revert_to is not None
        order = self._order("set", setting, token)
        if leased:
            order = msgspec.structs.replace(
                order, revert_to=revert_to, lease_ms=lease_ms
            )
        await self._whole.run(self._set(order, token))

    async def hold(self, token: Token) -> None:
        """Let the writing command claim what stands there; nothing expires any more."""
        await self._whole.run(self._hold(token))

    async def _set(self, order: Order, token: Token) -> None:
        async with self._locked():
            self._compare(await self._read(), token)
            await self._write(order)

    async def _hold(self, token: Token) -> None:
        async with self._locked():
            now = await self._read()
            if now.setting is None or now.fault:
                because = now.fault or "its instances disagree"
                what = f"dial {self.name} has no one setting to hold"
                raise DriverFault(
                    Reason("DIAL-MIXED", what, because, next="mend the instance")
                )
            self._compare(now, token)
            await self._write(self._order("hold", now.setting, token))

    async def _read(self) -> DialReading:
        at = self._clock.now()
        facts = self._facts("read")
        try:
            ran = await ask(self._quick, self._context, self._options.read, facts)
            if ran.exit_code:
                raise nonsense(f"read of dial {self.name}", ran, "0")
            answer = self._decoded(ran, Answer, "read")
        except (DriverRetry, DriverFault) as error:
            silent = InstanceReading(self.name, None, None, _told(error.reason))
            return DialReading(self.name, at, (silent,))
        names = [one.instance for one in answer.instances]
        twice = sorted({one for one in names if names.count(one) > 1})
        return DialReading(
            self.name, at, tuple(self._shown(one, twice) for one in answer.instances)
        )

    def _shown(self, one: Shown, twice: list[str]) -> InstanceReading:
        claim = parse_claim(one.claim) if one.claim is not None else None
        form = one.setting
        setting = Setting(form.kind, form.rows) if form else None
        fault = plain(one.fault)
        if one.instance in twice:
            fault = f"instance {plain(one.instance)} is told of twice"
        elif one.claim is not None and claim is None:
            fault = fault or f"its claim is none of ours: {plain(one.claim, 80)}"
        elif setting is None:
            fault = fault or "it shows no setting"
        elif not fault:
            why = setting.fault() or self.misfit(setting)
            fault = f"what it shows {why}" if why else ""
        return InstanceReading(one.instance, setting, claim, fault, one.expires_ms)

    def _compare(self, now: DialReading, token: Token) -> None:
        """Refuse a claim that does not fit, at any instance, before anything moves."""
        heard = [one for one in now.instances if one.setting is not None]
        if not heard:
            raise self._later("cannot be read", now.fault)
        for one in heard:
            why = fresh_claim_reason(one.claim, token)
            if why:
                what = f"instance {one.instance}: {why}"
                raise self._refused("CLAIM-REFUSED", what, token)

    async def _write(self, order: Order) -> None:
        ran = await ask(
            self._options,
            self._context,
            self._options.write,
            self._facts(order.do),
            msgspec.json.encode(order) + b"\n",
        )
        if ran.exit_code == REFUSED:
            raise self._script_refused(self._decoded(ran, Said, order.do).why, order)
        if ran.exit_code == LATER:
            raise self._later(f"is not {order.do} yet", ran.last_words)
        if ran.exit_code:
            expected = f"0 done, {REFUSED} refused, {LATER} later"
            raise nonsense(f"{order.do} of dial {self.name}", ran, expected)
        self._decoded(ran, Said, order.do)

    def _order(self, do: str, setting: Setting, token: Token) -> Order:
        return Order(
            dial=self.name,
            do=do,
            setting=setting,
            claim=str(token.claim),
            expected=str(token.expected) if token.expected else None,
            serving=token.serving,
            first=token.first,
        )

    def _facts(self, do: str) -> dict[str, str]:
        return {"DAYSHIFT_DIAL": self.name, "DAYSHIFT_DO": do}

    def _decoded(self, ran: Ran, form: type[T], do: str) -> T:
        try:
            return msgspec.json.decode(ran.stdout or "{}", type=form)
        except msgspec.DecodeError as error:
            raise DriverFault(
                Reason(
                    "ANSWER-INVALID",
                    f"{do} of dial {self.name} did not answer in the form it should",
                    because=f"{plain(str(error))}; it said {plain(ran.stdout, 120)!r}",
                    so="its answer counts as unknown",
                    next="run the command by hand; docs/dials/exec.md has the form",
                )
            ) from None

    def misfit(self, setting: Setting) -> str | None:
        """As `KnowsItsSteps`."""
        regions, kind = set(self._options.regions), self._options.kind
        if setting.kind is not kind:
            return f"is a {setting.kind}, this dial is a {kind}"
        keys = regions if kind is DialKind.FORWARD else {ALL}
        if set(setting.rows) != keys:
            return f"has rows {sorted(setting.rows)}, the dial has {sorted(keys)}"
        step = self._options.granularity
        for row in setting.rows.values():
            if set(row) != regions:
                return f"names {sorted(row)}, the dial has {sorted(regions)}"
            if any(share % step for share in row.values()):
                return f"is finer than {step} basis points: {row}"
        return None

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        begun = self._clock.now()
        while True:
            with ExitStack() as stack:
                try:
                    mine = stack.enter_context(locked(self._lock))
                except OSError as error:
                    raise self._later("cannot be locked", str(error)) from None
                if mine:
                    yield
                    return
            if elapsed_ms(begun, self._clock.now()) > READ_MS_MAX:
                raise self._later("is locked", "another process is writing")
            await self._clock.sleep(LOCK_MS)

    def _later(self, what: str, because: str) -> DriverRetry:
        reason = Reason(
            "DIAL-SILENT",
            f"dial {self.name} {what}",
            because,
            "it has to be read to know what moved",
            "see why; it is tried again",
        )
        return DriverRetry(reason, RETRY_MS)

    def _script_refused(self, why: str, order: Order) -> Refused:
        return Refused(
            Reason(
                "DIAL-REFUSED",
                f"dial {self.name}: its own command refused: {plain(why) or 'no word'}",
                because=f"it was told to {order.do} under {order.claim}",
                so="nothing moved, it says",
                next="see what its command guards, then `dayshift check`",
            )
        )

    def _refused(self, code: str, what: str, token: Token) -> Refused:
        return Refused(
            Reason(
                code,
                f"dial {self.name}: {what}",
                because=f"this write is {token.claim}",
                so="nothing moved",
                next="find who else steers it; `dayshift adopt` if it is right",
            )
        )


def _told(reason: Reason) -> str:
    return f"{reason.what} ({reason.because})" if reason.because else reason.what
