"""Work that fails, hangs or is lost; duties, brackets and messages that misbehave."""

from __future__ import annotations

from dayshift.model.plan import Plan
from dayshift.rehearsal.parts import SimulatedWorker
from dayshift.rehearsal.weather import End, Fault, Scene


def _workers(scene: Scene) -> list[SimulatedWorker]:
    """Of the region in flight; of the next one if that has none."""
    every = [scene.stage.workers[key] for key in sorted(scene.stage.workers)]
    here = [one for one in every if one.region == scene.target]
    return here or every


def _fails(scene: Scene) -> End:
    worker = scene.draw.choice(_workers(scene))
    worker.exit_code = 1

    def over() -> None:
        worker.exit_code = 0

    return over


def _hangs(scene: Scene) -> End:
    """A step that was to start now runs on, until somebody unties it."""
    worker = scene.draw.choice(_workers(scene))
    worker.hangs = True

    def over() -> None:
        worker.hangs = False
        now = worker.now_ms
        for job in worker.jobs.values():
            if not job.ended:
                job.ends_ms = min(job.ends_ms, now + worker.ms)

    return over


def _lost(scene: Scene) -> End:
    worker = scene.draw.choice(_workers(scene))
    worker.vanishes = True

    def over() -> None:
        worker.vanishes = False

    return over


def _slow(scene: Scene) -> End:
    """Work takes as long as it may, or longer."""
    for worker in _workers(scene):
        worker.ms = worker.step.limit_ms * (8 + 2 * scene.strength) // 10
    return lambda: None


def _two_holders(scene: Scene) -> End:
    duty = scene.stage.duties[scene.one_of(list(scene.stage.duties))]
    duty.held = sorted(duty.regions[:2])
    duty.note("duty", "", "weather", *duty.held)

    def over() -> None:
        if len(duty.held) > 1:
            duty.held = duty.held[:1]
            duty.note("duty", "", "weather", *duty.held)

    return over


def _no_holder(scene: Scene) -> End:
    duty = scene.stage.duties[scene.one_of(list(scene.stage.duties))]
    was = list(duty.held)
    duty.held = []
    duty.note("duty", "", "weather")

    def over() -> None:
        if not duty.held:
            duty.held = was
            duty.note("duty", "", "weather", *was)

    return over


def _mute_duty(scene: Scene) -> End:
    duty = scene.stage.duties[scene.one_of(list(scene.stage.duties))]
    duty.mute = True

    def over() -> None:
        duty.mute = False

    return over


def _bracket(scene: Scene) -> End:
    bracket = scene.stage.brackets[scene.one_of(list(scene.stage.brackets))]
    bracket.broken = True

    def over() -> None:
        bracket.broken = False

    return over


def _channel(scene: Scene) -> End:
    channels = [one for _, one in sorted(scene.stage.notify.items())]
    for one in channels:
        one.broken = True

    def over() -> None:
        for one in channels:
            one.broken = False

    return over


def _steps(plan: Plan) -> bool:
    return any(one.steps for one in plan.change.regions)


def _duties(plan: Plan) -> bool:
    return any(len(one.regions) > 1 for one in plan.estate.duties)


FAULTS = (
    Fault(
        "work-fails", "a step of the work fails", _fails, (60_000, 3_600_000), _steps
    ),
    Fault("work-hangs", "a step runs on and on", _hangs, (60_000, 3_600_000), _steps),
    Fault("work-lost", "a step's machine dies under it", _lost, needs=_steps),
    Fault(
        "work-slow", "the work takes as long as it may, or longer", _slow, needs=_steps
    ),
    Fault("duty-two-holders", "two regions hold a duty", _two_holders, needs=_duties),
    Fault("duty-no-holder", "no region holds a duty", _no_holder, needs=_duties),
    Fault("duty-mute", "nobody says who holds a duty", _mute_duty, needs=_duties),
    Fault(
        "bracket-broken",
        "a bracket cannot be opened, read or closed",
        _bracket,
        needs=lambda plan: bool(plan.estate.brackets),
    ),
    Fault(
        "channel-broken",
        "no message gets through to anybody",
        _channel,
        needs=lambda plan: bool(plan.estate.notify),
    ),
)
