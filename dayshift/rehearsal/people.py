"""The people around a run: one who is patient and takes the exits that are offered,
and, as weather, some who ask for anything at the worst time (`faults.persons`)."""

from __future__ import annotations

import random

from dayshift.core.state import RunState, Status
from dayshift.rehearsal.controllers import Crew
from dayshift.rehearsal.stage import Stage

TRIES = 6
RESTART_MS = (1_000, 90_000)
LOOK_MS = 2_000
LIVES_MAX = 40
"""Nobody starts it more often than this."""


class Operator:
    """Starts what died, answers holds after some thought, gives their word on steps.

    An `absent` one leaves a hold alone. Nobody asks for more than `TRIES` exits: what
    is held then stays held, and the rehearsal says so.
    """

    def __init__(self, stage: Stage, controllers: Crew, draw: random.Random) -> None:
        self.stage = stage
        self.controllers = controllers
        self.draw = draw
        self.absent = draw.random() < 0.15
        self.tries = 0
        self.gave_up = False

    async def watch(self) -> None:
        """Until the run is closed or nothing more can be done."""
        look_ms = max(LOOK_MS, self.controllers.pace.held_ms)
        while not (self.controllers.closed or self.gave_up or self.controllers.bug):
            await self.controllers.clock.sleep(look_ms)
            if not self.controllers.leading:
                await self._start_again()
                continue
            await self._confirm()
            run = self.controllers.run
            if run is None:
                continue
            if run.status is Status.PAUSED:
                await self._think()
                await self.controllers.ask("resume", "eve")
            elif run.status is Status.HELD and not _on_the_way(run):
                await self._answer()

    async def _think(self) -> None:
        await self.controllers.clock.sleep(
            self.draw.choice((2_000, 20_000, 120_000, 600_000))
        )

    async def _answer(self) -> None:
        if self.absent or self.tries >= TRIES:
            await self.controllers.clock.sleep(30_000)
            self.gave_up = True
            return
        await self._think()
        run = self.controllers.run
        if run is None or run.status is not Status.HELD or run.hold is None:
            return
        code, tries = run.hold.reason.code, self.tries
        self.tries += 1
        if code == "DRIFT" and tries == 0 and await self._ask("adopt"):
            return
        if code == "GATE-FAILED" or tries >= TRIES // 2:
            if tries < TRIES - 2 and await self._ask("abort"):
                return
            if await self._ask("close"):
                return
        await self._ask("retry")

    async def _ask(self, verb: str) -> bool:
        return await self.controllers.ask(verb, "eve")

    async def _confirm(self) -> None:
        for worker in self.stage.workers.values():
            if worker.waiting:
                await self.controllers.clock.sleep(worker.ms)
                await self.controllers.ask("confirm", "eve", step=worker.step.name)

    async def _start_again(self) -> None:
        """The controller died: somebody, or systemd, starts another."""
        await self.controllers.stop("killed")
        await self.controllers.clock.sleep(self.draw.randint(*RESTART_MS))
        self.controllers.start()
        if self.controllers.failure is not None:
            self.tries += 1
        self.gave_up = self.tries >= TRIES or self.controllers.lives > LIVES_MAX


def _on_the_way(run: RunState) -> bool:
    """True while a retreat still moves users by itself."""
    failed = run.hold is not None and run.hold.reason.code == "RETREAT-FAILED"
    return run.now_at.retreat is not None and not failed
