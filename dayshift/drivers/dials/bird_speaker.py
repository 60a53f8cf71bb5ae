"""One BIRD 2: the file it includes, what it runs by, and its confirm-or-undo timer.

A lease is BIRD's own: `configure timeout` goes back to the configuration before unless
it is confirmed. So what it goes back to is configured first (`soft`, which tells no
neighbour), then what is wanted; the file holds what it would go back to meanwhile, so
that a BIRD that restarts has gone back too. Not here: several BIRDs (`bird`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from dayshift.drivers.base import Context
from dayshift.drivers.dials.routes import kept_file
from dayshift.drivers.dials.routes.asking import Command
from dayshift.drivers.dials.routes.layers import Layer
from dayshift.drivers.dials.routes.mark import Mark, parse_mark
from dayshift.drivers.dials.routes.options import family_of
from dayshift.drivers.dials.routes.speaker import GoBack, Kept, Say, Word
from dayshift.errors import DriverFault, DriverRetry, Reason, Refused
from dayshift.model.dial import Claim

FILE = """\
# Written by Dayshift: who wrote last, and which regions should announce.
define DAYSHIFT_MARK = "{mark}";
define DAYSHIFT_ANNOUNCE = {announce};
define DAYSHIFT_LEAVING = {leaving};
"""
DEFINED = re.compile(r'^define DAYSHIFT_(MARK|ANNOUNCE|LEAVING) = "?([^";]*)"?;', re.M)
UNDO = re.compile(r"undo in ([0-9]+)\.?([0-9]{0,3})")
PREFIX = re.compile(r"^([0-9a-f.:]+/[0-9]+)\s")
BUSY_LOOKS = 50
BUSY_MS = 20


class State(msgspec.Struct, frozen=True):
    """What an include file makes a BIRD do."""

    mark: Mark
    say: Say

    def __str__(self) -> str:
        return FILE.format(
            mark=self.mark,
            announce=int(self.say is not Say.WITHDRAWN),
            leaving=int(self.say is Say.LEAVING),
        )


class BirdSpeaker:
    """One BIRD of one region."""

    def __init__(
        self,
        name: str,
        region: str,
        file: Path,
        command: tuple[str, ...],
        sessions: Mapping[int, Sequence[str]],
        prefixes: Sequence[str],
        context: Context,
    ) -> None:
        self.name, self.region = name, region
        self.lock = kept_file.lock_of(file)
        self._file = file
        self._bird = Command(name, command, context)
        self._clock = context.clock
        self._prefixes = frozenset(prefixes)
        self._sessions = {
            session: frozenset(one for one in prefixes if family_of(one) == family)
            for family, named in sessions.items()
            for session in named
        }

    async def kept(self) -> Kept:
        """The file's mark, and that of the running BIRD where it answers."""
        file = self._state().mark
        try:
            return Kept((file, await self._running()), True)
        except DriverRetry:
            return Kept((file,), False)

    async def word(self) -> Word:
        """By which mark it runs, whether its file says the same, what it has sent."""
        sent = asyncio.gather(*map(self._sent, self._sessions))
        mark, expires_ms, layers = await asyncio.gather(
            self._running(), self._expires_ms(), sent
        )
        file = self._state().mark
        return Word(mark, tuple(layers), _differs(mark, file, expires_ms), expires_ms)

    async def write(self, mark: Mark, say: Say, back: GoBack | None = None) -> None:
        """Replace the file, have BIRD configure itself, and see that it runs by it."""
        former, wanted = kept_file.load(self._file), State(mark, say)
        if back is None:
            await self._configure(wanted, former)
            return
        held = State(back.mark, back.say)
        if await self._alive():
            await self._configure(held, former, "soft")
        await self._configure(wanted, former, "timeout", _seconds(back.lease_ms))
        kept_file.replace(self._file, str(held))

    async def renew(self, claim: Claim, lease_ms: int) -> None:
        """Arm the timer anew: back and forth, and neighbours hear of it nothing."""
        mark, expires_ms = await self._running(), await self._expires_ms()
        file = self._state()
        if expires_ms is None or mark.claim != claim or not _goes_back(file, mark):
            raise Refused(
                Reason(
                    "NO-LEASE",
                    f"{self.name}: no lease of {claim} is armed",
                    because=f"it runs by {mark}",
                    so="nothing was renewed",
                )
            )
        announce = await self._bird_says("DAYSHIFT_ANNOUNCE")
        say = Say.ANNOUNCED if announce == "1" else Say.WITHDRAWN
        await self.write(mark, say, GoBack(file.mark, file.say, lease_ms))

    async def _configure(self, wanted: State, former: str, *how: str) -> None:
        kept_file.replace(self._file, str(wanted))
        ran = await self._bird.run("configure", *how)
        if ran.exit_code and "onfiguration" in ran.stdout:
            kept_file.replace(self._file, former)
            raise self._bird.fault(
                f"does not accept {wanted.mark}",
                because=ran.last_words,
                so="it runs on as before, and its file was put back",
            )
        if ran.exit_code:
            raise self._bird.silent(ran.last_words)
        await self._configured()
        runs = await self._running()
        if runs != wanted.mark:
            raise self._bird.fault(
                f"runs by {runs}, its file says {wanted.mark}",
                because=f"it does not include {self._file}",
            )

    async def _configured(self) -> None:
        for _ in range(BUSY_LOOKS):
            if "in progress" not in await self._bird.text("configure", "status"):
                return
            await self._clock.sleep(BUSY_MS)
        raise self._bird.silent("it is still configuring itself")

    async def _alive(self) -> bool:
        try:
            await self._running()
        except DriverRetry:
            return False
        return True

    def _state(self) -> State:
        found = dict(DEFINED.findall(kept_file.load(self._file)))
        mark = parse_mark(found.get("MARK", ""))
        if mark is None:
            raise self._no_mark(str(self._file))
        if found.get("ANNOUNCE") == "0":
            return State(mark, Say.WITHDRAWN)
        leaving = found.get("LEAVING") == "1"
        return State(mark, Say.LEAVING if leaving else Say.ANNOUNCED)

    async def _running(self) -> Mark:
        mark = parse_mark(await self._bird_says("DAYSHIFT_MARK"))
        if mark is None:
            raise self._no_mark("its running configuration")
        return mark

    async def _bird_says(self, name: str) -> str:
        ran = await self._bird.run("eval", name)
        text = ran.stdout.partition("ready.\n")[2].strip()
        if ran.exit_code and not text:
            raise self._bird.silent(ran.last_words)
        return text

    async def _expires_ms(self) -> int | None:
        found = UNDO.search(await self._bird.text("configure", "status"))
        return found and int(found[1]) * 1_000 + int(found[2].ljust(3, "0"))

    async def _sent(self, session: str) -> Layer:
        ran = await self._bird.run("show", "route", "exported", session)
        if ran.exit_code and "No valid tables" not in ran.stdout:
            raise self._bird.silent(ran.last_words)
        lines = (PREFIX.match(line) for line in ran.stdout.splitlines())
        sent = frozenset(one[1] for one in lines if one) & self._prefixes
        return Layer(f"adj-out of {session}", self.name, sent, self._sessions[session])

    def _no_mark(self, where: str) -> DriverFault:
        return self._bird.fault(f"has no mark in {where}")


def _seconds(lease_ms: int) -> str:
    """BIRD counts in whole seconds: never less than was asked for."""
    return str(-(-lease_ms // 1_000) + 1)


def _goes_back(file: State, mark: Mark) -> bool:
    claim, mine = file.mark.claim, mark.claim
    return bool(claim and mine and claim.reverted and claim.same_write(mine))


def _differs(mark: Mark, file: Mark, expires_ms: int | None) -> str:
    """Why a restart would not bring back what it runs by, or would go back to."""
    if expires_ms is None and mark != file:
        return f"it runs by {mark}, its file says {file}"
    back = file.claim
    if expires_ms is not None and not (
        back and back.reverted and mark.claim and back.same_write(mark.claim)
    ):
        return f"it goes back by itself, its file says {file}"
    return ""
