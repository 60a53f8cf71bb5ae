"""What happens to the controller's own machine: death, sleep, clocks, disks, a twin."""

from __future__ import annotations

from dayshift.model.points import Point
from dayshift.rehearsal.clock import SeededEntropy
from dayshift.rehearsal.controllers import Controllers
from dayshift.rehearsal.weather import End, Fault, Scene

CRASH_POINTS = tuple(
    one
    for one in Point
    if one not in (Point.OPENING, Point.OPENED, Point.LOCKED, Point.MERGING)
)
TWIN = "twin"
"""Where the journal of a second laptop lies, beside the first."""
WRITING = (Point.CLEARED, Point.COMPARED)


def _crash(scene: Scene) -> End:
    """Somebody kills it where it stands."""
    scene.spawn(scene.controllers.stop("killed"))
    return lambda: None


def _crash_at(scene: Scene) -> End:
    """It dies at one named point, the next time that it comes there."""
    point = scene.draw.choice(CRASH_POINTS)
    scene.controllers.machine.die_at = (point, scene.draw.randint(1, 3))
    return lambda: None


def _crash_often(scene: Scene) -> End:
    async def again() -> None:
        for _ in range(2 + 2 * scene.strength):
            await scene.sleep(scene.draw.randrange(1_000, 40_000))
            if scene.controllers.leading:
                await scene.controllers.stop("killed")

    scene.spawn(again())
    return lambda: None


def _freeze(scene: Scene) -> End:
    """The machine sleeps (SIGSTOP, a paused virtual machine), then goes on."""
    scene.controllers.machine.freeze(15_000 * scene.strength)
    return lambda: None


def _freeze_at(scene: Scene) -> End:
    """It sleeps exactly between the check and the write."""
    point = scene.draw.choice(WRITING)
    scene.controllers.machine.freeze_at = (point, 30_000 * scene.strength)
    return lambda: None


def _jump(scene: Scene) -> End:
    ms = scene.draw.choice((-3_600_000, -5_000, 5_000, 3_600_000))
    scene.controllers.clock.jump_wall(ms)
    return lambda: None


def _reboot(scene: Scene) -> End:
    """Power goes: the controller dies, and its steady clock begins anew."""

    async def go() -> None:
        await scene.controllers.stop("power cut")
        scene.controllers.clock.reboot()

    scene.spawn(go())
    return lambda: None


def _disk(how: str, scene: Scene) -> End:
    disk = scene.controllers.disk
    disk.fail(how)
    return disk.mend


def _little_room(scene: Scene) -> End:
    disk = scene.controllers.disk
    before, disk.room_bytes = disk.room_bytes, 1 << 20

    def over() -> None:
        disk.room_bytes = before

    return over


def _twin(scene: Scene) -> End:
    """Somebody runs the same change from their own laptop, with their own journal."""
    mine = scene.controllers
    twin = Controllers(
        scene.stage,
        mine.clock,
        mine.folder.parent / TWIN,
        SeededEntropy(scene.draw.getrandbits(32)),
        mine.pace,
        "t",
    )
    twin.start()

    def over() -> None:
        scene.spawn(twin.stop("its lid was closed"))

    return over


FAULTS = (
    Fault("controller-killed", "the controller is killed and started again", _crash),
    Fault("controller-dies", "the controller dies at the worst point", _crash_at),
    Fault("controller-dies-often", "the controller dies again and again", _crash_often),
    Fault("controller-sleeps", "the controller's machine sleeps for a while", _freeze),
    Fault(
        "controller-sleeps-writing",
        "the controller sleeps between its check and its write",
        _freeze_at,
    ),
    Fault("clock-jumps", "the wall clock jumps", _jump),
    Fault(
        "power-cut",
        "the controller's machine loses power and boots",
        _reboot,
        needs=lambda plan: len(plan.estate.controllers) < 2,
    ),
    Fault("disk-full", "the journal's disk is full", lambda s: _disk("full", s)),
    Fault(
        "disk-fails",
        "the journal's disk does not sync",
        lambda s: _disk("failing to sync", s),
        (500, 5_000),
    ),
    Fault(
        "disk-read-only",
        "the journal's disk is read-only",
        lambda s: _disk("read-only", s),
    ),
    Fault("disk-little-room", "the journal's disk is nearly full", _little_room),
    Fault("second-laptop", "somebody runs the same change elsewhere", _twin),
)
