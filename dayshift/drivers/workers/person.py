"""Worker `person`: hardware, and everything else that a human does.

Here: the instruction, its checklist, and who confirmed which item and when, durably.
Not here: reaching the person (`drivers.notify`, on what `poll` says).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pydantic import Field

from dayshift.drivers.base import Context, Millis, OptionsMap, StrictOptions, WorkOrder
from dayshift.drivers.workers.jobs import Content, Job
from dayshift.errors import Reason, Refused
from dayshift.model.estate import Interrupt
from dayshift.model.sight import WorkSight, WorkStatus
from dayshift.model.units import Instant, elapsed_ms

STATE = "person"
RESULTS = ("done", "partial", "failed")
ARGS = ("step", "item", "result", "note")


class PersonWorker:
    """Waits until every item of its checklist was confirmed by enough named persons."""

    class Options(StrictOptions):
        """An empty `checklist` is one item: the instruction itself. Each item needs
        `persons` different persons; one reminder is due after each `remind`."""

        instruction: str = Field(min_length=1)
        checklist: tuple[str, ...] = ()
        persons: int = Field(default=1, ge=1, le=5)
        remind: Millis = Field(default=0, ge=0)

    def __init__(
        self, name: str, options: Options | OptionsMap, context: Context
    ) -> None:
        self.name = name
        self._options = self.Options.model_validate(options)
        self._items = self._options.checklist or (self._options.instruction,)
        self._context = context

    async def start(self, order: WorkOrder) -> None:
        """Ask for the work; asked once, it stays asked."""
        job = self._job(order)
        if job.read(STATE) is None:
            now = self._context.clock.now()
            asked = {"wall": now.wall_ms, "mono": now.mono_ms, "boot": now.boot_id}
            state = {"asked": asked, "ticks": {}, "result": "", "note": "", "by": ""}
            job.write(STATE, state)

    async def poll(self, order: WorkOrder) -> WorkSight:
        """What is open, and for how long it has been."""
        state = self._job(order).read(STATE)
        if state is None:
            return WorkSight(order.key, WorkStatus.ABSENT)
        open_items = self._open(state)
        ticked = f"{len(self._items) - len(open_items)} of {len(self._items)} confirmed"
        if state["result"]:
            detail = f"{state['result']}, says {state['by']}: {state['note']}"
            return WorkSight(
                order.key, WorkStatus.FAILED, 1, detail=detail, progress=ticked
            )
        if not open_items:
            by = ", ".join(
                sorted({who for one in state["ticks"].values() for who in one})
            )
            return WorkSight(
                order.key, WorkStatus.DONE, detail=f"by {by}", progress=ticked
            )
        waited_ms = self._waited_ms(state)
        late = f" (over its {order.limit_ms // 60_000} min)"
        return WorkSight(
            order.key,
            WorkStatus.RUNNING,
            waiting_for=self._wish(state, open_items)
            + (late if waited_ms > order.limit_ms else ""),
            progress=ticked,
            reminders=waited_ms // self._options.remind if self._options.remind else 0,
        )

    async def check(self, order: WorkOrder) -> bool | None:
        """Only the person knows: None."""
        return None

    async def confirm(
        self, order: WorkOrder, person: str, args: Mapping[str, str]
    ) -> None:
        """Take a person's word: `item` is a number from 1 on or `all`; `result` is
        `done`, `partial` or `failed`, the last two with a `note`.

        Raises:
            Refused: nobody is named, nothing was asked, or the words make no sense.
        """
        result = args.get("result", "done")
        reason = self._words_reason(person, args, result)
        if reason:
            raise _not_taken(order, reason)
        job = self._job(order)
        with _alone(job, order):
            state = job.read(STATE)
            if state is None or state["result"] or not self._open(state):
                raise _not_taken(order, "it waits for nobody")
            if result == "done":
                self._tick(state, person.strip(), args.get("item", "all"))
            else:
                state.update(
                    result=result, note=args["note"].strip(), by=person.strip()
                )
            job.write(STATE, state)

    async def stop(self, order: WorkOrder) -> None:
        """Take the request back.

        Raises:
            Refused: the step says that it must not be interrupted.
        """
        if order.interrupt is not Interrupt.SIGNAL:
            raise _not_taken(order, f"it declares `interrupt: {order.interrupt.value}`")
        job = self._job(order)
        if job.read(STATE) is None:
            return
        with _alone(job, order):
            state = job.read(STATE)
            if state is not None and not state["result"] and self._open(state):
                state.update(result="stopped", note="on request", by="dayshift")
                job.write(STATE, state)

    async def undo(self, order: WorkOrder) -> None:
        """What a person did, a person reverses.

        Raises:
            Refused: always.
        """
        raise Refused(
            Reason(
                "WORK-ONE-WAY",
                f"step {order.step} in {order.region} cannot be undone by Dayshift",
                because=f"a person did it: {self._options.instruction}",
                so="what was done stays done",
                next="reverse it by hand, then `dayshift done-by-hand`",
            )
        )

    def _job(self, order: WorkOrder) -> Job:
        return Job(self._context.state_dir, order.key)

    def _open(self, state: Content) -> list[int]:
        """Items, counted from 1, that too few persons have confirmed."""
        ticks, needed = state["ticks"], self._options.persons
        numbers = range(1, len(self._items) + 1)
        return [one for one in numbers if len(ticks.get(str(one), {})) < needed]

    def _wish(self, state: Content, open_items: list[int]) -> str:
        """The instruction with what is open, and whose word is not enough."""
        said = [self._said(state, number) for number in open_items]
        if not self._options.checklist:
            return f"{self._options.instruction}{said[0]}"
        items = (
            f"{number}. {self._items[number - 1]}{words}"
            for number, words in zip(open_items, said, strict=True)
        )
        return f"{self._options.instruction}: open are {'; '.join(items)}"

    def _said(self, state: Content, number: int) -> str:
        names = sorted(state["ticks"].get(str(number), {}))
        if not names:
            return ""
        return f" ({', '.join(names)} confirmed; {self._options.persons} persons must)"

    def _waited_ms(self, state: Content) -> int:
        asked = state["asked"]
        since = Instant(asked["wall"], asked["mono"], asked["boot"])
        return elapsed_ms(since, self._context.clock.now())

    def _words_reason(
        self, person: str, args: Mapping[str, str], result: str
    ) -> str | None:
        """Why a confirmation cannot be taken, or None."""
        unknown = sorted(set(args) - set(ARGS))
        item = args.get("item", "all")
        number = int(item) if item.isdecimal() else 0
        if not person.strip():
            return "nobody is named"
        if unknown:
            return f"unknown word {unknown[0]} (known are {', '.join(ARGS)})"
        if result not in RESULTS:
            return f"result {result} is none of {', '.join(RESULTS)}"
        if result != "done" and not args.get("note", "").strip():
            return f"result {result} needs a note that says why"
        if item != "all" and not 1 <= number <= len(self._items):
            return f"item {item} is none of 1 to {len(self._items)}, and not `all`"
        return None

    def _tick(self, state: Content, person: str, item: str) -> None:
        numbers = range(1, len(self._items) + 1) if item == "all" else (int(item),)
        for number in numbers:
            ticked = state["ticks"].setdefault(str(number), {})
            ticked.setdefault(person, self._context.clock.now().wall_ms)


@contextmanager
def _alone(job: Job, order: WorkOrder) -> Iterator[None]:
    """Nobody else changes the state meanwhile, not even another process."""
    try:
        fd = os.open(job.path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        raise _not_taken(order, "it was not started") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _not_taken(order: WorkOrder, because: str) -> Refused:
    return Refused(
        Reason(
            "PERSON-NOT-TAKEN",
            f"step {order.step} in {order.region} stays as it was",
            because=because,
            so="nothing was written down",
            next="`dayshift status` shows what it waits for",
        )
    )
