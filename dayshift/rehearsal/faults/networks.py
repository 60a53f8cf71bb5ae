"""The network between the controller and what it looks at and moves."""

from __future__ import annotations

from functools import partial

from dayshift.rehearsal.weather import End, Fault, Scene


def _cut(kind: str, scene: Scene) -> End:
    """Cut off: refused at once, or (harder) swallowed."""
    network = scene.controllers.network
    network.hangs = scene.strength > 2
    network.cut[kind] = network.cut.get(kind, 0) + 1

    def over() -> None:
        network.cut[kind] -= 1
        network.hangs = False

    return over


def _flapping(scene: Scene) -> End:
    """The network to everything comes and goes."""
    network = scene.controllers.network
    over = [False]

    async def flap() -> None:
        while not over[0]:
            network.cut[""] = 1
            await scene.sleep(scene.draw.randrange(200, 3_000 * scene.strength))
            network.cut[""] = 0
            await scene.sleep(scene.draw.randrange(500, 8_000))

    scene.spawn(flap())

    def end() -> None:
        over[0] = True
        network.cut[""] = 0

    return end


def _slow(scene: Scene) -> End:
    network = scene.controllers.network
    network.slow[""] = 300 * scene.strength

    def over() -> None:
        network.slow.pop("", None)

    return over


FAULTS = (
    Fault("cut-dials", "the controller cannot reach the dials", partial(_cut, "dial/")),
    Fault(
        "cut-meters", "the controller cannot reach the meters", partial(_cut, "meter/")
    ),
    Fault(
        "cut-probes", "probes do not get out of the controller", partial(_cut, "probe/")
    ),
    Fault("cut-work", "the controller cannot reach the work", partial(_cut, "worker/")),
    Fault(
        "cut-duties", "the controller cannot reach the duties", partial(_cut, "duty/")
    ),
    Fault(
        "cut-everything", "the controller is cut off from everything", partial(_cut, "")
    ),
    Fault("network-flaps", "the controller's network comes and goes", _flapping),
    Fault("network-slow", "everything answers late", _slow),
)
