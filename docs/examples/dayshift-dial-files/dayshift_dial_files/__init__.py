"""Dial `files`: an example whose devices are JSON files, one for each instance.

Take it as the start of your own: what a device is stands in `Device`, and everything
else is what any dial owes to Dayshift.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from dayshift.drivers.base import (
    Context,
    OptionsMap,
    StrictOptions,
    fresh_claim_reason,
    setting_reason,
)
from dayshift.drivers.files import locked, replace_file
from dayshift.errors import DriverFault, DriverRetry, Reason, Refused
from dayshift.model.dial import (
    ALL,
    Abilities,
    Claim,
    DialKind,
    DialReading,
    Fence,
    InstanceReading,
    Setting,
    Token,
    parse_claim,
    split,
)

ABLE = Abilities(DialKind.SPLIT, 1, False, Fence.MACHINE, propagation_ms=0)
RETRY_MS = 500


class Device:
    """One device: what it shows, and how it is told. Yours is a socket or an API."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.path = path

    def shown(self) -> tuple[Setting, Claim | None]:
        try:
            state = json.loads(self.path.read_bytes())
        except OSError as error:
            raise DriverRetry(
                Reason("DEVICE-AWAY", f"{self.path} cannot be read", str(error)),
                RETRY_MS,
            ) from None
        return split(state["row"]), parse_claim(state.get("claim", ""))

    def install(self, setting: Setting, claim: Claim) -> None:
        """Both in one step: a claim without its setting would be a lie."""
        state = {"row": setting.rows[ALL], "claim": str(claim)}
        replace_file(self.path, json.dumps(state).encode())


class FilesDial:
    """A split over regions, at one or more devices."""

    class Options(StrictOptions):
        """Strict: a key that is not here is an error with file and line."""

        files: tuple[str, ...] = Field(min_length=1)
        regions: tuple[str, ...] = Field(min_length=1)

    OFFERS: ClassVar[tuple[Abilities, ...]] = (ABLE,)

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        self._clock = context.clock
        self._devices = [Device(context.base_dir / one) for one in self._options.files]

    def describe(self) -> Abilities:
        return ABLE

    async def close(self) -> None:
        return None

    async def read(self) -> DialReading:
        """Every instance, each time; one that does not answer is a fault, not a gap."""
        at = self._clock.now()
        return DialReading(self.name, at, tuple(map(self._look, self._devices)))

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        """Refuse what must not be; then every device that answers."""
        why = setting_reason(setting, token) or self.misfit(setting)
        if why:
            raise self._refused(f"the setting {why}")
        self._write(setting, token)

    async def hold(self, token: Token) -> None:
        """Claim what stands there; nothing of ours expires."""
        now = await self.read()
        if now.fault or now.setting is None:
            what = f"dial {self.name} has no one setting to hold"
            raise DriverFault(Reason("DIAL-MIXED", what, now.fault))
        self._write(now.setting, token)

    def _look(self, device: Device) -> InstanceReading:
        try:
            setting, claim = device.shown()
        except DriverRetry as error:
            return InstanceReading(device.name, None, None, error.reason.what)
        return InstanceReading(device.name, setting, claim)

    def _write(self, setting: Setting, token: Token) -> None:
        """Compare every claim before the first device moves, under one lock."""
        away: list[DriverRetry] = []
        answering = []
        with self._all_locked():
            for device in self._devices:
                try:
                    _, found = device.shown()
                except DriverRetry as error:
                    away.append(error)
                    continue
                why = fresh_claim_reason(found, token)
                if why:
                    raise self._refused(f"{device.name}: {why}")
                answering.append(device)
            for device in answering:
                device.install(setting, token.claim)
        if away:
            raise away[0]

    @contextmanager
    def _all_locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            locks = [stack.enter_context(locked(one.path)) for one in self._devices]
            if not all(locks):
                why = Reason("DIAL-LOCKED", f"another process writes {self.name}")
                raise DriverRetry(why, RETRY_MS)
            yield

    def misfit(self, setting: Setting) -> str | None:
        """Why this dial could not hold it, for the plan as well."""
        if setting.kind is not DialKind.SPLIT or set(setting.rows) != {ALL}:
            return "is not one row of shares"
        if set(setting.rows[ALL]) != set(self._options.regions):
            return f"names others than {sorted(self._options.regions)}"
        return None

    def _refused(self, why: str) -> Refused:
        return Refused(
            Reason(
                "DIAL-REFUSED",
                f"dial {self.name}: {why}",
                so="nothing moved",
                next="find who else steers it",
            )
        )


class Rig:
    """What the conformance suite needs: two devices at 50 : 50, never claimed."""

    granularity_bp = 1
    lease_ms = 1_000

    def __init__(self, place: Path) -> None:
        self.place = place
        self.files = [place / "a.json", place / "b.json"]
        for number in (0, 1):
            self.tamper(number, self.row(5000))

    def row(self, fra: int) -> Setting:
        return split({"fra": fra, "ber": 10_000 - fra})

    def dial(self) -> FilesDial:
        from dayshift.runtime.clock import RealClock

        where = Context(
            "demo", self.place, self.place, RealClock(), lambda ref: ref, lambda t: t
        )
        files = [str(one) for one in self.files]
        return FilesDial("entry", {"files": files, "regions": ["fra", "ber"]}, where)

    def restart(self) -> None:
        """A file is what it was."""

    def stop(self, instance: int) -> None:
        self.files[instance].rename(self.files[instance].with_suffix(".away"))

    def start(self, instance: int) -> None:
        self.files[instance].with_suffix(".away").rename(self.files[instance])

    def tamper(self, instance: int, setting: Setting) -> None:
        """Somebody else moves one device and leaves the claim."""
        file = self.files[instance]
        state: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(state | {"row": setting.rows[ALL]}))
