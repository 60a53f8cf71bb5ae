"""Hooks for the named points: note what was passed, or die there.

    hook = DieAt(Point.COMPARED, ActionKind.SET_DIAL)
    controller = rig.controller(hook)
    hook.victim = controller
    … await controller.go()            # raises Died at the first such point

Dying is sudden: every task of the victim is cancelled, nothing more is written or sent.
"""

from __future__ import annotations

from dayshift.journal.journal import Journal
from dayshift.model.points import Point
from dayshift.model.records import Action, ActionKind
from dayshift.runtime.orchestrator import Orchestrator


class Died(BaseException):
    """The controller is gone; no `except Exception` may keep it alive."""


def abandon(journal: Journal) -> None:
    """What the system does with the files of a process that was killed."""
    journal.let_go(clean=False)


class Noted:
    """Only writes down what was passed."""

    def __init__(self) -> None:
        self.passed: list[tuple[Point, ActionKind | None]] = []

    def at(self, point: Point, action: Action | None = None) -> None:
        self.passed.append((point, action.kind if action else None))

    async def reach(self, point: Point, action: Action | None = None) -> None:
        self.at(point, action)


class DieAt(Noted):
    """Dies when `point` is passed for the `nth` time, by an action of `kind` if given.

    A device's own points carry no action: they count for the write that is under way.
    """

    def __init__(self, point: Point, kind: ActionKind | None = None, nth: int = 1):
        super().__init__()
        self.point = point
        self.kind = kind
        self.nth = nth
        self.died = False
        self.victim: Orchestrator | None = None
        self.action: Action | None = None

    def at(self, point: Point, action: Action | None = None) -> None:
        if self.died:
            raise Died(point)
        super().at(point, action)
        if action is not None or point is not Point.HALF_APPLIED:
            self.action = action
        kind = self.action.kind if self.action else None
        if point is not self.point or self.kind not in (None, kind):
            return
        self.nth -= 1
        if self.nth == 0:
            self.died = True
            if self.victim is not None:
                for task in self.victim._acting:
                    task.cancel()
            raise Died(point)
