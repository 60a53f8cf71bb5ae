"""What a controller that serves stands on: directory, estate file, real time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from dayshift.core.state import JournalState
from dayshift.errors import DayshiftError, Reason, SettingsInvalid
from dayshift.journal.reader import JournalReader
from dayshift.model.estate import Estate
from dayshift.model.plan import Plan
from dayshift.model.units import Clock, Entropy
from dayshift.runtime.clock import RealClock, SystemEntropy
from dayshift.runtime.glance import claims_reason
from dayshift.runtime.locating import access_to
from dayshift.runtime.session import Session, Workspace, first_difference


class RealGround:
    """`load` reads the estate file again: it may be edited while no run is open."""

    def __init__(
        self, workspace: Workspace, name: str, load: Callable[[], Estate]
    ) -> None:
        self.clock: Clock = RealClock()
        self.entropy: Entropy = SystemEntropy()
        self._workspace = workspace
        self._name = name
        self._load = load
        estate = load()
        self._access = access_to(workspace.base, estate.name, estate.journal)

    def lead(self) -> Session:
        session = Session.open_at(self._workspace, self._access, controller=self._name)
        with contextlib.suppress(SettingsInvalid):
            # A file that somebody is just editing must not keep it from leading.
            session.seal(self._load())
        return session

    def read(self) -> JournalReader:
        return JournalReader.open(self._workspace.state_dir, self._access)

    def plan_reason(self, plan: Plan) -> Reason | None:
        """The leader's own file decides what the estate is.

        Raises:
            SettingsInvalid: that file is wrong.
        """
        mine = self._load()
        if plan.estate == mine:
            return None
        return Reason(
            "ESTATE-DIFFERS",
            f"the plan was made of another dayshift.yaml than {self._name} has"
            + first_difference(mine, plan.estate),
            because="invariant: what runs is what was approved",
            so="nothing moved",
            next="bring the same dayshift.yaml to every controller, then plan again",
        )

    async def claims_reason(self, state: JournalState) -> Reason | None:
        """One look at the dials; nothing of it keeps a controller from leading."""
        with contextlib.suppress(DayshiftError):
            estate = self._load()
            return await claims_reason(self._workspace, estate, state, self.clock)
        return None
