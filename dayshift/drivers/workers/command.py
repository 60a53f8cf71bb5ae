"""Worker `command`: a step is a command, run under a supervisor that survives us.

Here: starting at most once, attaching again, asking `check`, stopping, undoing. Not
here: holding the command while it runs (`supervise`), and its files (`jobs`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import Field

from dayshift.drivers.base import Context, Millis, OptionsMap, WorkOrder
from dayshift.drivers.process import (
    Argv,
    CommandOptions,
    ask,
    inherited,
    nonsense,
    plain,
    resolved,
    run,
)
from dayshift.drivers.redaction import forms
from dayshift.drivers.workers import supervise
from dayshift.drivers.workers.jobs import TOLD, Content, Job
from dayshift.errors import DriverFault, DriverRetry, Reason, Refused
from dayshift.model.estate import Interrupt
from dayshift.model.sight import WorkSight, WorkStatus
from dayshift.model.units import elapsed_ms

START_LIMIT_MS = 20_000
RETRY_MS = 1_000
LOOK_MS = 50
OVERTIME_MS = 5_000
"""A supervisor has this long beyond the grace to write down that a stop succeeded."""


def reached(point: str) -> None:
    """Marks the moments between two durable steps; the tests kill at each of them."""


class CommandWorker:
    """Runs `argv` once; `check` and `undo` are commands as well."""

    class Options(CommandOptions):
        """`stop_grace` lies between SIGTERM and SIGKILL, when the step is stopped or
        ran into its limit. `check` answers 0 (it is done) or 1 (it is not)."""

        argv: Argv
        check: Argv | None = None
        undo: Argv | None = None
        stop_grace: Annotated[Millis, Field(ge=0)] = 10_000
        answer_limit: Annotated[Millis, Field(gt=0)] = 30_000
        output_bytes_max: int = Field(default=16_777_216, ge=4_096)

    supervisor: tuple[str, ...] = (sys.executable, "-I", "-S", supervise.__file__)

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        self._context = context

    def output_path(self, order: WorkOrder) -> Path:
        """Where the step's output lies, for the side log."""
        return self._job(order.key).output

    async def start(self, order: WorkOrder) -> None:
        """Begin, or attach to what was begun before, by whomever.

        Holds: the command is begun at most once for each key, wherever a crash strikes.

        Raises:
            DriverRetry: it certainly did not begin.
        """
        await self._begin(self._job(order.key), self._options.argv, order)

    async def poll(self, order: WorkOrder) -> WorkSight:
        return self._sight(self._job(order.key), order.key)

    async def check(self, order: WorkOrder) -> bool | None:
        """Is it done already? The command's exit code: 0 yes, 1 no.

        Raises:
            DriverFault: it ended in another way.
        """
        argv = self._options.check
        if argv is None:
            return None
        ran = await ask(self._options, self._context, argv, self._facts(order))
        if ran.exit_code not in (0, 1):
            raise nonsense(f"check of step {order.step}", ran, "0 done, 1 not done")
        return ran.exit_code == 0

    async def stop(self, order: WorkOrder) -> None:
        """End the running step by SIGTERM, after its grace by SIGKILL, and wait.

        Raises:
            Refused: the step says that it must not be interrupted.
            DriverRetry: it has not ended yet.
        """
        if order.interrupt is not Interrupt.SIGNAL:
            raise _uninterruptible(order)
        job = self._job(order.key)
        if job.status() is not WorkStatus.RUNNING:
            return
        job.ask_to_stop()
        _signal(job.orphan(), signal.SIGTERM)
        if await self._ended_within(job, self._options.stop_grace):
            return
        _signal(job.orphan(), signal.SIGKILL)
        if not await self._ended_within(job, OVERTIME_MS):
            raise _not_stopped(order)

    async def undo(self, order: WorkOrder) -> None:
        """Run `undo` under a supervisor and wait; once done, it is not done again.

        A failure is told once; the next call after that is a new attempt.

        Raises:
            Refused: there is no undo, or the step still runs.
            DriverFault: the undo failed or was lost.
        """
        if self._options.undo is None:
            raise _one_way(order)
        if self._job(order.key).status() is WorkStatus.RUNNING:
            raise _still_running(order)
        job = self._undo_job(order)
        await self._begin(job, self._options.undo, order)
        while job.status() is WorkStatus.RUNNING:
            await self._context.clock.sleep(LOOK_MS)
        sight = self._sight(job, order.key)
        if sight.status is WorkStatus.DONE:
            return
        job.write(TOLD, {})
        raise _undo_failed(order, sight)

    async def confirm(
        self, order: WorkOrder, person: str, args: Mapping[str, str]
    ) -> None:
        """A command waits for nobody's word.

        Raises:
            Refused: always.
        """
        raise Refused(
            Reason(
                "WORK-NOT-ASKED",
                f"step {order.step} waits for no confirmation",
                because=f"it runs a command, {self._options.argv[0]}",
                so="nothing changed",
                next="if it failed and you did it by hand: `dayshift done-by-hand`",
            )
        )

    def _job(self, key: str) -> Job:
        return Job(self._context.state_dir, key)

    def _undo_job(self, order: WorkOrder) -> Job:
        attempt, job = 1, self._job(f"{order.key}.undo")
        while job.read(TOLD) is not None:
            attempt += 1
            job = self._job(f"{order.key}.undo-{attempt}")
        return job

    def _facts(self, order: WorkOrder) -> dict[str, str]:
        return {
            **order.environment,
            "DAYSHIFT_REGION": order.region,
            "DAYSHIFT_CHANGE": order.change,
            "DAYSHIFT_RUN": order.run,
            "DAYSHIFT_STEP": order.step,
        }

    async def _begin(self, job: Job, argv: tuple[str, ...], order: WorkOrder) -> None:
        if job.begun() is not None:
            return
        options = self._options
        own = inherited(options)
        secrets = await resolved(options, self._context)
        job.write_order(
            {
                "key": order.key,
                "argv": list(argv),
                "cwd": str((self._context.base_dir / options.cwd).absolute()),
                "environment": {**own, **options.environment, **self._facts(order)},
                "limit_ms": order.limit_ms,
                "grace_ms": options.stop_grace,
                "output_bytes_max": options.output_bytes_max,
            }
        )
        reached("ordered")
        known = [shape for value in secrets.values() for shape in forms(value)]
        given = json.dumps({"secrets": secrets, "redact": known}).encode()
        ran = await run(
            (*self.supervisor, str(job.path)),
            clock=self._context.clock,
            limit_ms=START_LIMIT_MS,
            cwd=job.path,
            environment=own,
            stdin=given,
        )
        reached("launched")
        if ran.exit_code:
            raise _not_begun(order, ran.last_words)

    async def _ended_within(self, job: Job, limit_ms: int) -> bool:
        clock = self._context.clock
        began = clock.now()
        while job.status() is WorkStatus.RUNNING:
            if elapsed_ms(began, clock.now()) >= limit_ms:
                return False
            await clock.sleep(LOOK_MS)
        return True

    def _sight(self, job: Job, key: str) -> WorkSight:
        status, ended = job.status(), job.ended() or {}
        return WorkSight(
            key=key,
            status=status,
            exit_code=int(ended.get("exit_code", 0)),
            detail=self._context.redact(_detail(job, status, ended)),
            output=str(ended.get("sha256", "")),
            progress=plain(self._context.redact(job.last_line())),
        )


def _signal(group: int | None, number: int) -> None:
    if group is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _detail(job: Job, status: WorkStatus, ended: Content) -> str:
    """How it ended, or why nobody can know."""
    begun = job.begun()
    if status is WorkStatus.LOST and begun is not None:
        rebooted = begun["supervisor"]["boot"] != supervise.boot_id()
        cause = "the machine was restarted" if rebooted else "its supervisor was killed"
        return f"{cause} and left no exit code; what the command did is unknown"
    if status is WorkStatus.RUNNING and (orphan := job.orphan()) is not None:
        return (
            f"its supervisor was killed; the command runs on as process {orphan}, "
            "without a time limit, and its exit code will not be known"
        )
    if status not in (WorkStatus.DONE, WorkStatus.FAILED):
        return ""
    by_signal = f", ended by signal {ended['signal']}" if ended["signal"] else ""
    code = f"exit code {ended['exit_code']}{by_signal}"
    limit_ms = (job.read(supervise.ORDER) or {}).get("limit_ms", 0)
    fault = ended["fault"]
    return {
        "exited": f"{code}; its output is cut: {fault}" if fault else code,
        "limit": f"it ran into its time limit of {limit_ms} ms; {code}",
        "stopped": f"it was stopped on request; {code}",
        "not-started": f"it cannot be started: {fault}",
    }[ended["why"]]


def _uninterruptible(order: WorkOrder) -> Refused:
    return Refused(
        Reason(
            "WORK-UNINTERRUPTIBLE",
            f"step {order.step} in {order.region} is not stopped",
            because=f"it declares `interrupt: {order.interrupt.value}`",
            so="it runs on to its end or to its limit",
            next="wait for it; only `interrupt: signal` allows a stop",
        )
    )


def _not_stopped(order: WorkOrder) -> DriverRetry:
    return DriverRetry(
        Reason(
            "WORK-NOT-STOPPED",
            f"step {order.step} in {order.region} still runs after its grace",
            because="its processes did not end, not even by SIGKILL",
            so="it counts as running",
            next="look at its processes: one may hang in the kernel (disk, network)",
        ),
        RETRY_MS,
    )


def _one_way(order: WorkOrder) -> Refused:
    return Refused(
        Reason(
            "WORK-ONE-WAY",
            f"step {order.step} in {order.region} cannot be undone",
            because="it declares no `undo`",
            so="what it did stays done",
            next="reverse it by hand, or go on with `dayshift retry`",
        )
    )


def _still_running(order: WorkOrder) -> Refused:
    return Refused(
        Reason(
            "WORK-RUNNING",
            f"step {order.step} in {order.region} is not undone while it runs",
            because="invariant: work and its undo never run at once",
            so="nothing was started",
            next="wait for its end, or stop it where that is allowed",
        )
    )


def _undo_failed(order: WorkOrder, sight: WorkSight) -> DriverFault:
    return DriverFault(
        Reason(
            "UNDO-FAILED",
            f"undo of step {order.step} in {order.region}: {sight.status.value}",
            because=f"{sight.detail}; last words: {sight.progress or 'none'}",
            so="the region stays as the undo left it, and drained",
            next="put it right by hand, or `dayshift retry` for another attempt",
        )
    )


def _not_begun(order: WorkOrder, because: str) -> DriverRetry:
    return DriverRetry(
        Reason(
            "WORK-NOT-STARTED",
            f"step {order.step} in {order.region} did not begin",
            because=because or "its supervisor ended without a word",
            so="nothing ran",
            next="it is tried again; see room and rights in the state directory",
        ),
        RETRY_MS,
    )
