"""Bugs about what is written down, and what follows from it: break-glass, journal
before act, abort, duties, work (invariants 12, 13, 15, 17 and 18)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dayshift.core.decision import Decision
from dayshift.core.desk import Desk
from dayshift.journal.base import Head
from dayshift.model import records as r
from dayshift.model.dial import ALL, Setting
from dayshift.model.plan import Verb
from dayshift.model.records import ActionKind, OutcomeKind, Phase
from dayshift.runtime.orchestrator import Orchestrator
from tests.planted import plans
from tests.planted.frame import CALM, Mutant, Storm, without_checks, wraps
from tests.planted.proofs import ABORTED_AT_WORK, in_phase, lost_at_once

SET, TAKE = ActionKind.SET_DIAL, ActionKind.TAKE_DUTY


def _comes_back(desk: Desk, former: Any) -> None:
    """Whoever was evacuated is brought back when all is quiet."""
    if desk.plan.verb is not Verb.EVACUATE or desk.take(desk.route.ramp[-1], "home"):
        former(desk)


def act_first(self: Orchestrator, decision: Decision, sight: Any) -> None:
    """The shell acts, and writes the intent down afterwards."""
    self.append(*decision.records)
    for action in decision.actions:
        number = self.state.seq + 100_000
        record = r.Record(
            number,
            "",
            self.clock.now(),
            self.journal.epoch,
            self.run.run,
            r.Intent(action),
        )
        self.append(r.Intent(action))
        self._begin(action, record, sight)


def _late(self: Any, rows: Any) -> None:
    """Rows are acknowledged at once, and durable with the next ones."""
    waiting, durable = getattr(self, "_late", ((), self._stored))
    if waiting:
        self._store.append(waiting, durable)
        durable = Head(waiting[-1].seq, waiting[-1].hash)
    self._late = rows, durable
    self._stored = Head(rows[-1].seq, rows[-1].hash)


def _asks_again(desk: Desk) -> None:
    """An intent that a dead controller left is simply done once more."""
    for asked in desk.under_way.values():
        if asked.epoch < desk.state.epoch:
            desk.actions.append(asked.action)


@wraps
def _rounds(former: Any) -> Any:
    """The actuator rounds what it was given."""

    async def dial(
        self: Any, state: Any, sight: Any, action: r.Action, record: Any
    ) -> Any:
        if action.setting is not None and action.kind is SET:
            row = dict(action.setting.rows[ALL])
            poor, rich = sorted(row, key=lambda name: row[name])[:2]
            rest = row[poor] % 1_000
            row[poor], row[rich] = row[poor] - rest, row[rich] + rest
            action = replace(action, setting=Setting(action.setting.kind, {ALL: row}))
        return await former(self, state, sight, action, record)

    return dial


@wraps
def _duty_by_the_way(former: Any) -> Any:
    """Duties are released along with the first drain, without a word about it."""

    async def dial(
        self: Any, state: Any, sight: Any, action: r.Action, record: Any
    ) -> Any:
        if "/drain/" in action.key:
            for duty in self.drivers.duties.values():
                await duty.release(action.region)
                await duty.take(action.region)
        return await former(self, state, sight, action, record)

    return dial


@wraps
def _takes_only(former: Any) -> Any:
    """A release is believed without asking for it."""

    def duty(desk: Any, kind: ActionKind, name: str, region: str) -> bool:
        return kind is ActionKind.RELEASE_DUTY or bool(former(desk, kind, name, region))

    return duty


def _releases_only(desk: Desk, former: Any) -> None:
    """Whoever comes next will take it."""
    if desk.plan.verb is Verb.EVACUATE or not desk.hold_dials("hold"):
        former(desk)
        return
    for duty in desk.plan.estate.duties:
        seen = desk.sight.duties.get(duty.name)
        if seen is None or seen.fault:
            return
        if desk.region in seen.holders:
            key = f"{desk.region}/release-duty/{duty.name}/{desk.run.round}"
            kind = ActionKind.RELEASE_DUTY
            desk.want(r.Action(kind, key, duty.name, region=desk.region))
            return
    desk.phase(Phase.EMPTYING)


def _takes_in_a_hurry(desk: Desk) -> None:
    """In an emergency a duty is taken at once, whoever has it."""
    for duty in desk.plan.estate.duties:
        to = desk.route.duties_to.get(duty.name)
        key = f"{desk.region}/take-duty/{duty.name}/{to}/{desk.run.round}"
        if to is not None and key not in desk.run.asked:
            desk.actions.append(r.Action(TAKE, key, duty.name, region=to))
            return
    if desk.hold_dials("hold"):
        desk.phase(Phase.LEFT_DRAINED, "evacuated")


@wraps
def _key_by_epoch(former: Any) -> Any:
    """A new controller has another name for the step that runs."""

    def order(self: Orchestrator, region: str, step: str) -> Any:
        given = former(self, region, step)
        return replace(given, key=f"{given.key}-{self.journal.epoch}")

    return order


def not_seen(desk: Any, key: str, asked: Any) -> r.Outcome:
    return r.Outcome(key, OutcomeKind.RETRY, "never looked")


def _key_by_trip(here: Any, step: str) -> str:
    """After a tripwire the step has another name."""
    return f"{here.region}-{step}-{here.failed.get(step, 0)}-{here.tripped}"


@wraps
def _forgets_the_last(former: Any) -> Any:
    """Of the emergency entries the last one is lost on the way home."""

    def merge(self: Any, log: Any) -> None:
        kept = log._replace(records=log.records[:-1], rows=log.rows[:-1])
        former(self, kept if kept.rows else log)

    return merge


@wraps
def _merges_twice(former: Any) -> Any:
    """Entries that were merged are merged once more."""

    def merge(self: Any, log: Any) -> None:
        former(self, log)
        former(self, log)

    return merge


FULL_THEN_KILLED = (
    Storm("disk-full", Phase.PREFLIGHT, 6_000, 1),
    Storm("dial-slow", None, 900_000),
    Storm("controller-killed", Phase.DRAINING, within_ms=4_000),
)
JOURNALS = (
    Mutant(
        "no-emergency-journal",
        "break-glass",
        "an evacuation stops at a full disk",
        (
            (
                "dayshift.runtime.orchestrator.overrides.goes_on_without_store",
                lambda *args: False,
            ),
        ),
        (Storm("disk-full", Phase.PREFLIGHT, 900_000, 1),),
        plans.evacuation,
    ),
    Mutant(
        "merge-forgets",
        "journal-before-act",
        "the last entry of the emergency journal is lost when it is merged",
        (("dayshift.journal.journal.Journal._merge", _forgets_the_last),),
        FULL_THEN_KILLED,
        plans.evacuation,
    ),
    Mutant(
        "merge-doubles",
        "journal-before-act",
        "entries of the emergency journal are merged twice",
        (("dayshift.journal.journal.Journal._merge", _merges_twice),),
        FULL_THEN_KILLED,
        plans.evacuation,
    ),
    Mutant(
        "emergency-asks-leave",
        "break-glass",
        "a guard that yields to an emergency stops an evacuation",
        (
            (
                "dayshift.core.overrides.waived",
                lambda code, verb, accepted: code in accepted,
            ),
        ),
        (Storm("surge", None, 900_000),),
        plan=plans.evacuation,
    ),
    Mutant(
        "comes-back",
        "break-glass",
        "an evacuated region gets its users back before anybody asks",
        (
            in_phase(Phase.LEFT_DRAINED, _comes_back),
            without_checks(SET, "_kept_out"),
        ),
        plan=plans.evacuation,
    ),
    Mutant(
        "act-first",
        "journal-before-act",
        "the shell acts under a number that no intent has",
        (("dayshift.runtime.orchestrator.Orchestrator._carry_out", act_first),),
    ),
    Mutant(
        "durable-later",
        "journal-before-act",
        "the journal says `written` one batch before it is durable",
        (("dayshift.journal.journal.Journal._keep", _late),),
    ),
    Mutant(
        "asks-again",
        "journal-before-act",
        "what a dead controller left under way is done again without a look",
        (("dayshift.core.decide._recover", _asks_again),),
        (
            Storm("dial-slow", None, 60_000),
            Storm("controller-killed", Phase.DRAINING, within_ms=3_000),
        ),
    ),
    Mutant(
        "retries-without-end",
        "journal-before-act",
        "an action that fails is tried again and again",
        (("dayshift.core.desk.ACTION_ATTEMPTS_MAX", 1_000),),
    ),
    Mutant(
        "rounds",
        "journal-before-act",
        "the actuator rounds the shares that it was given",
        (("dayshift.runtime.actuator.Actuator._dial", _rounds),),
    ),
    Mutant(
        "duty-by-the-way",
        "journal-before-act",
        "the actuator moves a duty that nobody asked it to move",
        (("dayshift.runtime.actuator.Actuator._dial", _duty_by_the_way),),
    ),
    Mutant(
        "take-before-release",
        "never-two-holders",
        "a duty is taken while another region still holds it",
        (
            ("dayshift.core.going_out._duty", _takes_only),
            without_checks(TAKE, "_nobody_holds"),
        ),
        CALM,
    ),
    Mutant(
        "release-without-take",
        "never-two-holders",
        "a duty is released and nobody takes it",
        (
            in_phase(Phase.HANDING_OVER, _releases_only),
            ("dayshift.core.guards.duties_reason", lambda *args: None),
        ),
    ),
    Mutant(
        "retreat-forgets-duty",
        "never-two-holders",
        "a retreat between release and take leaves a duty with nobody",
        (("dayshift.core.going_out.duties_kept", lambda desk: True),),
        (
            Storm("network-slow", None, 900_000),
            Storm("person-aborts", Phase.HANDING_OVER, within_ms=6_000),
        ),
    ),
    Mutant(
        "takes-in-a-hurry",
        "never-two-holders",
        "an evacuation takes duties from whoever holds them",
        (
            ("dayshift.core.going_out._evacuated", _takes_in_a_hurry),
            without_checks(TAKE, "_nobody_holds"),
        ),
        plan=plans.evacuation,
    ),
    Mutant(
        "step-renamed",
        "once-at-a-time",
        "a new controller does not know the step that runs, and starts it again",
        (
            ("dayshift.runtime.orchestrator.Orchestrator.order", _key_by_epoch),
            ("dayshift.core.decide._observed", not_seen),
        ),
    ),
    Mutant(
        "lost-at-once",
        "once-at-a-time",
        "a step that cannot be seen is taken for lost, and begun again",
        (("dayshift.runtime.observer.Observer.work", lost_at_once),),
        (Storm("cut-work", Phase.WORKING, 20_000, 1_000),),
    ),
    Mutant(
        "undone-while-it-runs",
        "once-at-a-time",
        "a step is undone before it has ended",
        (("dayshift.core.working._ended", lambda desk, step: True),),
        ABORTED_AT_WORK,
    ),
    Mutant(
        "again-after-the-tripwire",
        "once-at-a-time",
        "a step begins again once the region was proven empty again",
        (
            ("dayshift.core.working.work_key", _key_by_trip),
            ("dayshift.runtime.observer.work_key", _key_by_trip),
            ("dayshift.runtime.orders.work_key", _key_by_trip),
        ),
    ),
)
