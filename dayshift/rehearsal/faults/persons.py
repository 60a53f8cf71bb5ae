"""People who ask for the wrong thing at the worst time. They may: nothing may break."""

from __future__ import annotations

from functools import partial

from dayshift.rehearsal.weather import End, Fault, Scene

VERBS = (
    "pause",
    "resume",
    "retry",
    "abort",
    "adopt",
    "close",
    "take",
    "hand-over",
    "return",
    "done-by-hand",
    "accept",
    "approve",
    "evacuate",
)
CODES = ("CAPACITY-EXCEEDED", "BLIND", "SURVIVOR-TROUBLE", "RESIDUE", "LAST-SERVER")


def _args(scene: Scene, verb: str) -> dict[str, str]:
    steps = [name for _, name in sorted(scene.stage.workers)] or ["upgrade"]
    return {
        "return": {"region": scene.target},
        "done-by-hand": {"step": scene.draw.choice(steps)},
        "hand-over": {"to": "bob"},
        "approve": {"digest": scene.plan.digest},
        "accept": {
            "code": scene.draw.choice(CODES),
            "reason": "because",
            "second": "bob",
        },
    }.get(verb, {})


async def _ask(scene: Scene, verb: str) -> None:
    await scene.controllers.ask(verb, "mallory", **_args(scene, verb))


def _once(verb: str, scene: Scene) -> End:
    scene.spawn(_ask(scene, verb))
    return lambda: None


def _confused(scene: Scene) -> End:
    """Words out of turn, one after the other."""

    async def talk() -> None:
        for _ in range(3 * scene.strength):
            await _ask(scene, scene.draw.choice(VERBS))
            await scene.sleep(scene.draw.randrange(100, 8_000))

    scene.spawn(talk())
    return lambda: None


def _two(scene: Scene) -> End:
    """Two people ask for different things in the same instant."""
    for verb in scene.draw.sample(("retry", "abort", "close", "return", "pause"), 2):
        scene.spawn(_ask(scene, verb))
    return lambda: None


FAULTS = (
    Fault("person-aborts", "somebody aborts", partial(_once, "abort")),
    Fault(
        "person-pauses", "somebody pauses, and another resumes", partial(_once, "pause")
    ),
    Fault(
        "person-hurries", "somebody asks for `return --now`", partial(_once, "return")
    ),
    Fault("person-accepts", "somebody overrides a guard", partial(_once, "accept")),
    Fault(
        "person-says-done",
        "somebody says that a step is done",
        partial(_once, "done-by-hand"),
    ),
    Fault("people-confused", "somebody asks for one thing after another", _confused),
    Fault("people-disagree", "two people ask for different things at once", _two),
)
