"""Dial `envoy`: the weights of one route configuration that Envoys take from a file.

The write replaces the file and waits until each Envoy says that it runs the claim; the
read asks the Envoys, not the file. An Envoy starts from the file, so that no restart
undoes anything. Not here: one Envoy's word (`envoy_instance`), the file (`rds_file`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
from dayshift.drivers.dials.envoy_instance import EnvoyInstance, Word
from dayshift.drivers.dials.rds_file import RdsFile, RdsText
from dayshift.drivers.fetch import RETRY_MS, Fetcher
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
)
from dayshift.model.points import Point
from dayshift.model.units import elapsed_ms

POLL_MS = (2, 2, 3, 5, 5, 10, 20, 50)
"""Waits between looks for the acknowledgement; the last repeats."""
DISAGREE_MS = 50
"""A write may be under way: file and Envoy get this long before they disagree."""


class InstanceOptions(StrictOptions):
    """One Envoy: the file it watches (`path_config_source`) and its admin address."""

    name: str = Field(min_length=1)
    rds_file: str = Field(min_length=1)
    admin: str = Field(pattern=r"^https?://")


class EnvoyDial:
    """A split over the regions whose clusters one route configuration weighs."""

    class Options(StrictOptions):
        """`clusters` maps each region to its cluster in the weighted routes.

        `one_machine` vouches that every controller runs on this machine, as in a lab:
        the files' lock then fences all of them.
        """

        route_config: str = Field(min_length=1)
        clusters: dict[str, str] = Field(min_length=1)
        instances: tuple[InstanceOptions, ...] = Field(min_length=1)
        ack_timeout: Millis = 2_000
        one_machine: bool = False

        @model_validator(mode="after")
        def _distinct(self) -> Self:
            for what, values in (
                ("cluster", list(self.clusters.values())),
                ("instance name", [one.name for one in self.instances]),
                ("rds_file", [one.rds_file for one in self.instances]),
            ):
                often = Counter(values)
                twice = sorted(one for one, times in often.items() if times > 1)
                if twice:
                    raise ValueError(f"{what} {twice[0]!r} is named twice")
            return self

    OFFERS: ClassVar[tuple[Abilities, ...]] = (
        Abilities(DialKind.SPLIT, 1, False, Fence.MACHINE, 50),
    )

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        self._clock = context.clock
        self._points = context.points
        self._fetch = Fetcher(context.clock)
        self._instances = [
            EnvoyInstance(
                one.name,
                one.admin,
                RdsFile(
                    context.base_dir / one.rds_file,
                    self._options.route_config,
                    self._options.clusters,
                ),
                self._fetch,
            )
            for one in self._options.instances
        ]

    def describe(self) -> Abilities:
        return Abilities(
            kind=DialKind.SPLIT,
            granularity_bp=1,
            lease=False,
            fence=Fence.DEVICE if self._options.one_machine else Fence.MACHINE,
            propagation_ms=50,
        )

    async def close(self) -> None:
        await self._fetch.close()

    async def read(self) -> DialReading:
        """What every Envoy routes by now, as it says itself."""
        readings = await asyncio.gather(
            *(self._read_instance(one) for one in self._instances)
        )
        return DialReading(self.name, self._clock.now(), tuple(readings))

    async def set(
        self,
        setting: Setting,
        token: Token,
        revert_to: Setting | None = None,
        lease_ms: int = 0,
    ) -> None:
        """Write every instance's file, then wait for every Envoy to run it.

        `revert_to` and `lease_ms` have no effect: an Envoy's file does not expire, as
        `describe` says. A file is written even where that one Envoy does not answer, so
        that it comes back with the truth; if none answers, none is written.
        """
        self._check_setting(setting, token)
        await self._install(setting, token)

    async def _install(self, setting: Setting, token: Token) -> None:
        before = await self._words_before()
        former = await self._write(setting, token)
        results = await asyncio.gather(
            *(
                self._acknowledged(one, token.claim, before[one.name], former[one.name])
                for one in self._instances
            ),
            return_exceptions=True,
        )
        failed = [one for one in results if isinstance(one, BaseException)]
        failed.sort(key=lambda error: isinstance(error, DriverRetry))
        if failed:
            raise failed[0]

    async def hold(self, token: Token) -> None:
        """Assert the present setting again under `token` and read it back.

        Nobody is asked who serves: no user moves, and a dial that feeds only dead
        regions must be claimed before it can feed a living one.
        """
        now = await self.read()
        if now.setting is None or now.fault:
            raise self._fault(
                "DIAL-MIXED",
                f"dial {self.name} has no one setting to hold",
                because=now.fault or "its instances disagree",
            )
        await self._install(now.setting, token)
        after = await self.read()
        claims = {one.claim for one in after.instances}
        if after.setting != now.setting or claims != {token.claim}:
            raise self._fault(
                "DIAL-NOT-HELD",
                f"dial {self.name} shows {after.setting} under {claims}, "
                f"not {now.setting} under {token.claim}",
                because=after.fault,
            )

    def _check_setting(self, setting: Setting, token: Token) -> None:
        why = setting_reason(setting, token)
        if why is None and setting.kind is not DialKind.SPLIT:
            why = f"is a {setting.kind}, this dial is a split"
        if why is None and set(setting.rows) != {ALL}:
            why = f"has rows {sorted(setting.rows)}, a split has one"
        if why is None and set(setting.rows[ALL]) != set(self._options.clusters):
            named, known = sorted(setting.rows[ALL]), sorted(self._options.clusters)
            why = f"names the regions {named}, the dial has {known}"
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

    async def _words_before(self) -> dict[str, Word | None]:
        """Each Envoy's word before the write; raises if not one of them answers."""
        words: dict[str, Word | None] = {}
        last: DriverRetry | None = None
        for instance in self._instances:
            try:
                words[instance.name] = await instance.word()
            except DriverRetry as error:
                words[instance.name], last = None, error
        if last is not None and not any(words.values()):
            raise last
        return words

    async def _write(self, setting: Setting, token: Token) -> dict[str, RdsText]:
        """Check every file's claim, then replace every file; returns the former ones.

        Why: a claim that refuses at the second instance must not find the first moved.
        Nothing is awaited between the check and the last rename, so that a cancelled
        call leaves either the old files or the new ones.
        """
        begun = self._clock.now()
        while True:
            with self._all_locked() as locked:
                if locked:
                    return self._write_locked(setting, token)
            if elapsed_ms(begun, self._clock.now()) > self._options.ack_timeout:
                raise self._retry("DIAL-LOCKED", "another process is writing its files")
            await self._clock.sleep(POLL_MS[-3])

    @contextmanager
    def _all_locked(self) -> Iterator[bool]:
        with ExitStack() as stack:
            files = sorted((one.file for one in self._instances), key=lambda f: f.path)
            yield all(stack.enter_context(file.locked()) for file in files)

    def _write_locked(self, setting: Setting, token: Token) -> dict[str, RdsText]:
        former = {one.name: one.file.load() for one in self._instances}
        for instance in self._instances:
            why = fresh_claim_reason(former[instance.name].claim, token)
            if why:
                raise Refused(
                    Reason(
                        "CLAIM-REFUSED",
                        f"dial {self.name}, instance {instance.name}: {why}",
                        because=f"{instance.file.path} was written by another, "
                        f"this write is {token.claim}",
                        so="nothing moved",
                        next="find who else steers it; `dayshift adopt` if it is right",
                    )
                )
        texts = {
            one.name: one.file.rendered(former[one.name], setting, token.claim)
            for one in self._instances
        }
        for number, instance in enumerate(self._instances):
            if number:
                self._points.at(Point.HALF_APPLIED)
            instance.file.replace(texts[instance.name])
        return former

    async def _acknowledged(
        self,
        instance: EnvoyInstance,
        claim: Claim,
        before: Word | None,
        former: RdsText,
    ) -> None:
        """Return when the Envoy runs `claim`; raise if it refused or never says so."""
        begun, looks = self._clock.now(), 0
        while True:
            word, away = None, None
            try:
                word = await instance.word()
            except DriverRetry as error:
                away = error
            if word and before and word.bad > before.bad:
                raise self._put_back(instance, claim, former)
            if word and word.version == str(claim):
                again = before is not None and before.version == word.version
                if not again or (before and word.good != before.good):
                    return
            if elapsed_ms(begun, self._clock.now()) >= self._options.ack_timeout:
                break
            await self._clock.sleep(POLL_MS[min(looks, len(POLL_MS) - 1)])
            looks += 1
        shown = word.version if word else "nothing"
        raise self._retry(
            "NOT-ACKNOWLEDGED",
            f"instance {instance.name} shows {shown} instead of {claim} after "
            f"{self._options.ack_timeout} ms",
            because=away.reason.because if away else "it did not take the file up",
            so="its file is written, what it routes by is not proven",
        )

    def _put_back(
        self, instance: EnvoyInstance, claim: Claim, former: RdsText
    ) -> DriverFault:
        """Restore the file, so that the Envoy can start again; say what it runs."""
        with instance.file.locked() as locked:
            if locked and instance.file.load().claim == claim:
                instance.file.replace(former.raw)
        return self._fault(
            "ENVOY-REJECTED",
            f"dial {self.name}: instance {instance.name} rejected {claim}",
            because="its update_rejected or update_failure grew; its log says why",
            so=f"it still routes by {former.version or 'its former routes'}, "
            "and its file was put back",
        )

    async def _read_instance(self, instance: EnvoyInstance) -> InstanceReading:
        reading = await instance.look()
        if reading.fault and reading.setting is not None:
            await self._clock.sleep(DISAGREE_MS)
            reading = await instance.look()
        return reading

    def _fault(self, code: str, what: str, because: str, so: str = "") -> DriverFault:
        way = "mend the instance, then `dayshift check`"
        return DriverFault(Reason(code, what, because, so, way))

    def _retry(
        self, code: str, what: str, because: str = "", so: str = ""
    ) -> DriverRetry:
        text = f"dial {self.name}: {what}"
        so = so or "nothing moved"
        return DriverRetry(
            Reason(code, text, because, so, "it is tried again"), RETRY_MS
        )
