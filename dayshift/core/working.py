"""The work in an empty region, and its undoing."""

from __future__ import annotations

from dayshift.core import times
from dayshift.core.desk import Desk
from dayshift.core.state import PassState, RunState
from dayshift.core.transitions import OUT
from dayshift.errors import Reason
from dayshift.model.estate import Interrupt, WorkStep
from dayshift.model.records import Action, ActionKind, OutcomeKind, Phase, Worked
from dayshift.model.sight import WorkSight, WorkStatus


def work_key(here: PassState, step: str) -> str:
    """Names one attempt at a step once and for all; a failed one gets a new name."""
    return f"{here.region}-{step}-{here.failed.get(step, 0)}"


def attempt_begun(here: PassState, run: RunState, step: str) -> bool:
    """True from the intent to start the present attempt at a step until its end is
    written down: it may be running, whatever the run itself waits for."""
    asked = run.asked.get(f"{work_key(here, step)}/start")
    return asked is not None and asked.result in (None, OutcomeKind.DONE)


def elsewhere(desk: Desk, key: str) -> str:
    """The controller that began the attempt `key`, when its records lie where this one
    cannot see them.

    Why: a step that runs on another controller's machine must not be taken as lost, or
    it would be started a second time.
    """
    asked = desk.run.asked.get(f"{key}/start")
    seen = desk.sight.works.get(key)
    if asked is None or asked.jobs in ("", desk.state.jobs):
        return ""
    if asked.result not in (None, OutcomeKind.DONE) or desk.waived(ELSEWHERE):
        return ""
    return asked.by if seen is None or seen.status is WorkStatus.ABSENT else ""


def _elsewhere_reason(desk: Desk, step: str, controller: str) -> Reason:
    return Reason(
        ELSEWHERE,
        f"step {step} in {desk.region} was started by {controller}; "
        f"{desk.state.controller or 'this controller'} cannot see it",
        because="invariant: the same step never runs twice at once",
        so=f"{desk.region} stays drained; the step is neither repeated nor taken as "
        "done",
        next=f"let {controller} lead again and `dayshift retry`; or, once it is "
        f"certain that the step has ended, `dayshift accept {ELSEWHERE}`",
    )


def working(desk: Desk) -> None:
    """Step after step; each starts once, is watched, and is written down.

    A region that users reached since its proof is proven empty again first, whatever
    ended the hold.
    """
    if not desk.here.certified:
        desk.phase(Phase.EMPTYING, "prove it again")
        return
    for step in times.steps(desk.plan, desk.region):
        if step.name not in desk.here.done:
            _step(desk, step)
            return
    desk.phase(Phase.CATCHING_UP)


def _step(desk: Desk, step: WorkStep) -> None:
    key = work_key(desk.here, step.name)
    asked = desk.run.asked.get(f"{key}/start")
    if asked is None and _absence_reason(desk, step):
        return
    action = Action(
        ActionKind.START_WORK, f"{key}/start", step.name, desk.region, text=key
    )
    if not desk.want(action):
        return
    seen = desk.sight.works.get(key)
    there = elsewhere(desk, key)
    if there and seen is not None:
        desk.hold(_elsewhere_reason(desk, step.name, there))
        return
    if seen is None or _under_way(desk, key, seen):
        _wait_for(desk, step, seen)
        return
    desk.records.append(_worked(desk.region, step.name, seen))
    if seen.status is not WorkStatus.DONE:
        desk.hold(_failed(desk.region, step.name, seen))


ELSEWHERE = "WORK-ELSEWHERE"
ABSENT_MS = 10_000
"""A step that was started, and that no supervisor knows for so long, is lost."""


def _under_way(desk: Desk, key: str, seen: WorkSight) -> bool:
    if seen.status is WorkStatus.RUNNING:
        return True
    started = desk.run.asked[f"{key}/start"].ended
    return seen.status is WorkStatus.ABSENT and desk.since(started) < ABSENT_MS


def _worked(region: str, step: str, seen: WorkSight) -> Worked:
    code = 0 if seen.status is WorkStatus.DONE else (seen.exit_code or -1)
    return Worked(region, step, code, seen.detail, seen.output)


def _wait_for(desk: Desk, step: WorkStep, seen: WorkSight | None) -> None:
    desk.wake_ms = min(desk.wake_ms, 200)
    if seen is not None and seen.reminders:
        _remind(desk, step, seen)
    if seen is not None and seen.waiting_for:
        desk.wait("PERSON", seen.waiting_for, f"`dayshift confirm {step.name}`")
        return
    detail = f": {seen.progress}" if seen and seen.progress else ""
    desk.wait("WORK", f"step {step.name} in {desk.region}{detail}", "it ends")


def _remind(desk: Desk, step: WorkStep, seen: WorkSight) -> None:
    """A person has not given their word yet: tell the first channel, once a time."""
    for channel in desk.plan.estate.notify[:1]:
        key = f"remind/{seen.key}/{seen.reminders}"
        if key not in desk.run.asked:
            text = f"step {step.name} in {desk.region} waits: {seen.waiting_for}"
            desk.actions.append(
                Action(ActionKind.NOTIFY, key, channel.name, desk.region, text=text)
            )


def _absence_reason(desk: Desk, step: WorkStep) -> bool:
    """Hold when the step could outlast the absence limit."""
    absent = times.absent_ms(desk.here, desk.now)
    limit = desk.policy.absence_ms
    if absent + step.limit_ms <= limit or desk.waived("ABSENCE-LIMIT"):
        return False
    desk.hold(
        Reason(
            "ABSENCE-LIMIT",
            f"{desk.region} was away {absent // 1000} s; step {step.name} may take "
            f"{step.limit_ms // 1000} s more (limit {limit // 1000} s)",
            because="invariant: work that would exceed the absence limit is refused",
            so=f"{step.name} was not started; {desk.region} stays drained",
            next="`dayshift abort` returns the region; or raise the limit and re-plan",
        )
    )
    return True


def _failed(region: str, step: str, seen: WorkSight) -> Reason:
    gone = seen.status in (WorkStatus.LOST, WorkStatus.ABSENT)
    what = "was lost" if gone else "failed"
    detail = seen.detail or f"exit code {seen.exit_code}"
    return Reason(
        "WORK-LOST" if gone else "WORK-FAILED",
        f"step {step} in {region} {what}: {detail}",
        because=seen.progress or "its supervisor wrote this down",
        so=f"{region} stays drained; the others carry all traffic",
        next="`dayshift retry`, `dayshift done-by-hand`, or `dayshift abort`",
    )


def undoing(desk: Desk) -> bool:
    """Undo the started steps, last first; True once all are undone.

    A step that is running is stopped only if it may be, and waited for otherwise.
    """
    steps = {one.name: one for one in times.steps(desk.plan, desk.region)}
    for name in reversed(desk.here.started):
        if name in desk.here.undone:
            continue
        if not _ended(desk, steps[name]):
            return False
        key = f"{desk.region}/undo/{name}/{desk.run.round}"
        text = work_key(desk.here, name)
        action = Action(ActionKind.UNDO_WORK, key, name, desk.region, text=text)
        if not desk.want(action):
            return False
    return True


def _ended(desk: Desk, step: WorkStep) -> bool:
    key = work_key(desk.here, step.name)
    seen = desk.sight.works.get(key)
    there = elsewhere(desk, key)
    if there and seen is not None:
        desk.hold(_elsewhere_reason(desk, step.name, there))
        return False
    if seen is not None and seen.status is not WorkStatus.RUNNING:
        return True
    if seen is not None and step.interrupt is Interrupt.SIGNAL:
        stop_running(desk)
    desk.wait("WORK", f"step {step.name} in {desk.region} to end before it is undone")
    desk.wake_ms = min(desk.wake_ms, 200)
    return False


def stop_running(desk: Desk) -> None:
    """Stop the running step, if it is one that may be stopped by a signal."""
    for step in times.steps(desk.plan, desk.region):
        key = work_key(desk.here, step.name)
        seen = desk.sight.works.get(key)
        running = seen is not None and seen.status is WorkStatus.RUNNING
        if running and step.interrupt is Interrupt.SIGNAL:
            action = Action(
                ActionKind.STOP_WORK, f"{key}/stop", step.name, desk.region, text=key
            )
            desk.want(action)


def is_running(desk: Desk) -> bool:
    """True while a step of a drained region runs, or nobody knows whether it does."""
    if desk.here.phase not in OUT:
        return False
    for step in desk.here.started:
        key = work_key(desk.here, step)
        seen = desk.sight.works.get(key)
        if seen is None or seen.status is WorkStatus.RUNNING or elsewhere(desk, key):
            desk.wait("WORK", f"step {step} in {desk.region} to end")
            desk.wake_ms = min(desk.wake_ms, 200)
            return True
    return False
