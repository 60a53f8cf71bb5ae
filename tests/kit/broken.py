"""Somebody breaks the glass over a rig: the store is gone, the bundle is what is known.

Regular controllers of the rig and those who break the glass act on the same world. A
`Vault` is one machine with a bundle: the rig's own, or one that it was carried to.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from dayshift.core import planner
from dayshift.core.fold import fold
from dayshift.core.state import JournalState, Status
from dayshift.errors import Refused
from dayshift.journal.glass import GlassJournal, bring, entries
from dayshift.journal.journal import Journal
from dayshift.journal.sealed import (
    Sealed,
    install_bundle,
    pin,
    read_bundle,
    seal,
    unseal,
)
from dayshift.journal.signing import Signer
from dayshift.model import records as r
from dayshift.model.plan import Plan, Verb
from dayshift.runtime.clock import SystemEntropy
from dayshift.runtime.glass import GlassSession
from dayshift.runtime.orchestrator import Orchestrator
from dayshift.runtime.sealing import entries_file, unpack
from dayshift.runtime.session import Workspace
from tests.kit.rig import Rig

LIMIT_MS = 120_000


class Vault:
    """One machine with a bundle of the rig's journal."""

    def __init__(self, rig: Rig, folder: Path, name: str) -> None:
        self.rig = rig
        self.folder = folder
        self.name = name
        self.controller: Orchestrator | None = None

    @classmethod
    def carried(cls, rig: Rig, folder: Path, name: str) -> Vault:
        """A laptop: the rig's present bundle in a folder of its own."""
        folder.mkdir(parents=True)
        sealed = read_bundle(rig.folder)
        pin(folder, sealed.key)
        data = seal(Signer(rig.folder), sealed.note, sealed.payload)
        install_bundle(folder, data)
        return cls(rig, folder, name)

    @property
    def sealed(self) -> Sealed:
        return read_bundle(self.folder)

    def plan(self, verb: Verb, region: str) -> Plan:
        change = planner.simple_change(f"{verb.value}-{region}", (region,), "fire")
        return planner.make(unpack(self.sealed).estate, change, verb)

    def open(self, verb: Verb, region: str) -> Orchestrator:
        """Break the glass; the orchestrator that is about to act."""
        sealed, rig = self.sealed, self.rig
        journal = GlassJournal.break_open(
            self.folder,
            sealed,
            msgspec.json.encode(unpack(sealed).state),
            rig.clock,
            "test",
            machine=self.name,
        )
        session = GlassSession(Workspace(self.folder), journal)
        session.overtake(sealed, self.plan(verb, region), "eve", "fire")
        self.controller = Orchestrator(
            journal, session.state, rig.drivers(), rig.clock, SystemEntropy()
        )
        return self.controller

    async def act(self, verb: Verb, region: str, limit_ms: int = LIMIT_MS) -> str:
        """Do it to its end, or until it is held: how it ended, in a word."""
        controller = self.open(verb, region)
        hurry = ("return", "eve", {"region": region}) if verb is Verb.RETURN else None
        going = asyncio.create_task(controller.go(True, hurry))
        try:
            for _ in range(limit_ms // 50):
                if going.done():
                    break
                await self.rig.clock.sleep(50)
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)
            if going.done() and not going.cancelled() and going.exception():
                error = going.exception()
                if isinstance(error, Refused):
                    return error.reason.code
                raise error  # type: ignore[misc]
        finally:
            controller.journal.close()
        return ending(controller.state)

    def file(self) -> Sealed:
        """What was done here, as another machine gets it."""
        found = entries(self.folder)
        assert found is not None
        log, payload = found
        data = entries_file(self.folder, self.sealed, log, payload, self.rig.clock)
        return unseal(data)

    def bring_to(self, folder: Path) -> int:
        return bring(folder, self.file(), "test", self.rig.clock)


def ending(state: JournalState) -> str:
    """`evacuated`, `done`, … or the code of a refusal or a hold."""
    run = state.run
    assert run is not None
    if run.status is Status.HELD and run.hold is not None:
        return f"held {run.hold.reason.code}"
    if run.result is r.RunResult.REFUSED:
        return run.why.partition(":")[0]
    return run.result.value if run.result else run.status.value


def reopened(rig: Rig) -> tuple[Journal, JournalState]:
    """The store is back: the next regular controller, and what it folds."""
    journal = Journal.open(rig.folder, rig.estate.name, rig.clock, "ada@host pid 1")
    state = JournalState()
    for record in journal.records():
        state = fold(state, record)
    return journal, state
