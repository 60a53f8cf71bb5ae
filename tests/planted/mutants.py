"""The list: one bug for each invariant, with the weather that brings it out."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dayshift.core.decision import Decision
from dayshift.model import records as r
from dayshift.model.dial import ALL, Setting
from dayshift.model.records import ActionKind, OutcomeKind, Phase, RunResult
from dayshift.runtime.orchestrator import Orchestrator
from tests.planted import plans
from tests.planted.frame import Mutant, Storm, without_check, wraps

SET, TAKE = ActionKind.SET_DIAL, ActionKind.TAKE_DUTY


@wraps
def _robs_another(former: Any) -> Any:
    """What a region gives up is taken from another one as well."""

    def row_with(shares: dict[str, int], region: str, share: int) -> dict[str, int]:
        row: dict[str, int] = former(shares, region, share)
        others = sorted((name for name in row if name != region), key=row.__getitem__)
        moved = min(2_000, row[others[0]])
        return {
            **row,
            others[0]: row[others[0]] - moved,
            others[-1]: row[others[-1]] + moved,
        }

    return row_with


@wraps
def _leaks(former: Any) -> Any:
    """A row of shares that loses one percent on the way."""

    def row_with(shares: dict[str, int], region: str, share: int) -> dict[str, int]:
        row: dict[str, int] = former(shares, region, share)
        rich = max(sorted(row), key=lambda name: row[name])
        return {**row, rich: row[rich] - 100}

    return row_with


@wraps
def _a_bit_more(former: Any) -> Any:
    """What is set is a little off what was approved."""

    def set_dial(
        self: Any, dial: str, setting: Setting, key: str, revert: bool = False
    ) -> bool:
        if key == "drain/0":
            row = dict(setting.rows[ALL])
            poor, rich = sorted(row, key=lambda name: row[name])[:2]
            row[poor], row[rich] = row[poor] + 100, row[rich] - 100
            setting = Setting(setting.kind, {ALL: row})
        return bool(former(self, dial, setting, key, revert))

    return set_dial


@wraps
def _never_expires(former: Any) -> Any:
    """A drain stays, also where the controller dies in the middle of it."""
    return lambda self, stage, key, revert=None: former(self, stage, key)


@wraps
def _one_more(former: Any) -> Any:
    """A last word to the dials, after the run was closed."""

    def decide(state: Any, sight: Any) -> Decision:
        decision: Decision = former(state, sight)
        if not any(isinstance(one, r.RunClosed) for one in decision.records):
            return decision
        dial, setting = next(iter(state.plan.baseline.items()))
        action = r.Action(ActionKind.HOLD_DIAL, "last/word", dial, setting=setting)
        return replace(decision, actions=(*decision.actions, action))

    return decide


@wraps
def _closed_is_open(former: Any) -> Any:
    def reason(*args: Any) -> Any:
        found = former(*args)
        return None if found is not None and found.code == "NO-RUN" else found

    return reason


def _act_first(self: Orchestrator, decision: Decision, sight: Any) -> None:
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


def _just_close(desk: Any) -> None:
    desk.records.append(r.RunClosed(RunResult.ABORTED, "aborted on request"))


@wraps
def _takes_only(former: Any) -> Any:
    """A release is believed without asking for it."""

    def duty(desk: Any, kind: ActionKind, name: str, region: str) -> bool:
        return kind is ActionKind.RELEASE_DUTY or bool(former(desk, kind, name, region))

    return duty


@wraps
def _key_by_epoch(former: Any) -> Any:
    """A new controller has another name for the step that runs."""

    def order(self: Orchestrator, region: str, step: str) -> Any:
        given = former(self, region, step)
        return replace(given, key=f"{given.key}-{self.journal.epoch}")

    return order


def _not_seen(desk: Any, key: str, asked: Any) -> r.Outcome:
    return r.Outcome(key, OutcomeKind.RETRY, "never looked")


MUTANTS = (
    Mutant(
        "everybody-serves",
        "last-server",
        "a region counts as serving whatever was seen of it",
        (
            ("dayshift.core.proof.serving", lambda *args: True),
            ("dayshift.core.guards.survivors_reason", lambda *args: None),
            ("dayshift.core.proof.trouble", lambda *args: None),
        ),
        (Storm("survivor-dies", Phase.DRAINING, 90_000, 1_000),),
        plans.slow_drain,
    ),
    Mutant(
        "robs-another",
        "one-region",
        "a second region falls below its usual share with the first",
        (
            ("dayshift.core.steering.row_with", _robs_another),
            without_check(SET, "_one_region"),
        ),
        plan=plans.wide,
    ),
    Mutant(
        "fence-forgotten",
        "fencing",
        "a new epoch writes before its claim stands at every dial",
        (
            ("dayshift.core.decide._fence", lambda desk: None),
            without_check(SET, "_fence_first"),
        ),
        (Storm("controller-killed", Phase.DRAINING, within_ms=800),),
    ),
    Mutant(
        "row-leaks",
        "explicit-targets",
        "shares that do not sum to all users reach a dial",
        (
            ("dayshift.core.steering.row_with", _leaks),
            ("dayshift.model.dial.Setting.fault", lambda self: None),
        ),
    ),
    Mutant(
        "a-bit-more",
        "executed-approved",
        "a dial is set a little off what the plan lists",
        (
            ("dayshift.core.desk.Desk.set_dial", _a_bit_more),
            without_check(SET, "_approved"),
        ),
    ),
    Mutant(
        "never-expires",
        "dead-man",
        "a drain does not go back by itself when the controller dies",
        (("dayshift.core.desk.Desk.take", _never_expires),),
    ),
    Mutant(
        "empty-by-decree",
        "proven-empty",
        "a drained region counts as empty without a look",
        (("dayshift.core.proof.empty_gaps", lambda *args: ()),),
        (Storm("users-stray", Phase.PREFLIGHT, 40_000, 500),),
    ),
    Mutant(
        "gate-not-asked",
        "blind-is-not-green",
        "the next rung is taken without the gate's word",
        (("dayshift.core.coming_back._judge", lambda desk, rung: False),),
    ),
    Mutant(
        "capacity-not-asked",
        "receiver-ready",
        "a region gets more users than it can take",
        (("dayshift.core.capacity.worst", lambda *args: None),),
        (Storm("surge", None, 900_000),),
    ),
    Mutant(
        "last-word",
        "fail-static",
        "a closed run writes to a dial once more",
        (
            ("dayshift.runtime.orchestrator.decide", _one_more),
            ("dayshift.core.interlock.reason", _closed_is_open),
        ),
    ),
    Mutant(
        "fate-not-asked",
        "shared-fate",
        "a region is drained that the majority of the voters stands in",
        (
            ("dayshift.core.fate.reasons", lambda *args: ()),
            ("dayshift.core.fate.reason", lambda *args: None),
            without_check(SET, "_fate"),
        ),
        plan=plans.voters_in_fra,
    ),
    Mutant(
        "no-emergency-journal",
        "break-glass",
        "an evacuation stops at a full disk",
        (
            (
                "dayshift.runtime.orchestrator.Orchestrator._may_use_emergency",
                lambda *args: False,
            ),
        ),
        (Storm("disk-full", None, 900_000),),
        plans.evacuation,
    ),
    Mutant(
        "act-first",
        "journal-before-act",
        "the shell acts under a number that no intent has",
        (("dayshift.runtime.orchestrator.Orchestrator._carry_out", _act_first),),
    ),
    Mutant(
        "absence-not-asked",
        "reversible-first",
        "a step begins that may outlast the absence limit",
        (("dayshift.core.working._absence_reason", lambda desk, step: False),),
        (Storm("requests-stuck", Phase.DRAINING, 60_000, 500),),
        plans.close_to_limit,
    ),
    Mutant(
        "abort-lets-go",
        "abort-converges",
        "an abort closes the run and leaves the shares as they are",
        (("dayshift.core.decide._abort", _just_close),),
        (Storm("person-aborts", Phase.EMPTYING, within_ms=2_000),),
    ),
    Mutant(
        "drift-not-seen",
        "drift-refuses",
        "what somebody else set is written over",
        (
            ("dayshift.core.decide._drift", lambda desk: None),
            without_check(SET, "_no_drift"),
            ("dayshift.core.guards.dials_reason", lambda *args: None),
        ),
        (Storm("dial-drifts", Phase.DRAINING, 900_000, 3_000),),
        plans.slow_drain,
    ),
    Mutant(
        "take-before-release",
        "never-two-holders",
        "a duty is taken while another region still holds it",
        (
            ("dayshift.core.going_out._duty", _takes_only),
            without_check(TAKE, "_nobody_holds"),
        ),
    ),
    Mutant(
        "step-renamed",
        "once-at-a-time",
        "a new controller does not know the step that runs, and starts it again",
        (
            ("dayshift.runtime.orchestrator.Orchestrator.order", _key_by_epoch),
            ("dayshift.core.decide._observed", _not_seen),
        ),
        (Storm("controller-killed", Phase.WORKING, within_ms=3_000),),
    ),
)
