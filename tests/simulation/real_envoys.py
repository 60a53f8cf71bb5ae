"""Real Envoys behind the dial of a world in virtual time.

The driver of production runs in a thread, on a loop and a clock of its own; virtual
time stands still meanwhile. What the Envoys say is what the world's users get.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec.structs import replace

from dayshift.drivers.base import Context
from dayshift.drivers.dials.envoy import EnvoyDial
from dayshift.errors import DriverFault, Reason, Refused
from dayshift.model.dial import Abilities, DialReading, Setting, Token
from dayshift.runtime.clock import RealClock
from tests.conformance.rigs import EnvoyDialRig
from tests.kit.envoys import Envoys
from tests.kit.world import World
from tests.simulation.witness import WatchedDial

T = TypeVar("T")
LOOKS = 100


class RealDial(WatchedDial):
    """An `EnvoyDial` as a controller in virtual time has it."""

    def __init__(
        self, name: str, world: World, lease: bool, seen: list[str], envoys: Envoys
    ) -> None:
        super().__init__(name, world, lease, seen)
        self._envoys = envoys

    def _driver(self) -> EnvoyDial:
        place = self._envoys.place
        context = Context(
            "demo",
            place,
            place,
            RealClock(),
            lambda reference: reference,
            lambda text: text,
            points=self.points,
        )
        options = {
            **self._envoys.dial_options(),
            "one_machine": True,
            "ack_timeout": 20_000,
        }
        return EnvoyDial(self.name, options, context)

    async def _really(self, ask: Callable[[EnvoyDial], Awaitable[T]]) -> T:
        async def asked() -> T:
            driver = self._driver()
            try:
                return await ask(driver)
            finally:
                await driver.close()

        def run() -> T:
            return asyncio.run(asked())

        return await asyncio.get_running_loop().run_in_executor(None, run)

    def describe(self) -> Abilities:
        return self._driver().describe()

    async def read(self) -> DialReading:
        self.world.advance()
        reading = await self._really(lambda driver: driver.read())
        for device, one in zip(self.world.devices, reading.instances, strict=True):
            if one.setting is not None and not one.fault:
                device.install(one.setting, one.claim)
        return replace(reading, at=self.world.clock.now())

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        self.judge(setting)
        await self._written(setting, token, lambda driver: driver.set(setting, token))

    async def hold(self, token: Token) -> None:
        now = await self.read()
        if now.setting is None:
            raise DriverFault(Reason("DIAL-MIXED", now.fault or "mixed"))
        await self._written(now.setting, token, lambda driver: driver.hold(token))

    async def _written(
        self,
        setting: Setting,
        token: Token,
        ask: Callable[[EnvoyDial], Awaitable[None]],
    ) -> None:
        self.writes.append((setting, token))
        try:
            await self._really(ask)
        except Refused:
            self.writes.remove((setting, token))
            raise
        await self.read()

    async def settled(self) -> None:
        for _ in range(LOOKS):
            if not (await self.read()).fault:
                return
        raise AssertionError("file and Envoy never agreed")


def steered_by(envoys: Envoys) -> Callable[..., RealDial]:
    """Makes the dial of a shift; the Envoys start from the operator's own file."""
    EnvoyDialRig(envoys)

    def make(name: str, world: World, lease: bool, seen: list[str]) -> RealDial:
        return RealDial(name, world, lease, seen, envoys)

    return make
