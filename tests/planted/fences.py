"""Bugs about who may write, and what becomes of it alone: fencing, dead-man, fail
static, drift (invariants 3, 6, 10 and 16)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dayshift.core.decision import Decision
from dayshift.core.desk import Desk
from dayshift.core.state import Status
from dayshift.model import records as r
from dayshift.model.dial import ALL, Claim, Token
from dayshift.model.records import ActionKind, Phase
from tests.planted import plans
from tests.planted.frame import Mutant, Storm, without_checks, wraps

SET, HOLD = ActionKind.SET_DIAL, ActionKind.HOLD_DIAL


def _any_claim(*args: Any) -> None:
    return None


@wraps
def _half_a_fence(former: Any) -> Any:
    """The first dial stands for all of them."""

    def hold_dials(self: Desk, key: str) -> bool:
        if not key.startswith("fence/"):
            return bool(former(self, key))
        dial = min(self.plan.baseline)
        full = f"{self.region}/{key}/{dial}/{self.run.round}"
        kept = self.state.confirmed.get(dial, self.plan.baseline[dial])
        action = r.Action(HOLD, full, dial, region=self.region, setting=kept)
        return self.want(action)

    return hold_dials


def _one_fence(self: Desk) -> bool:
    """A fence that stood once stands for every epoch after it."""
    return self.hold_dials("fence/1")


@wraps
def _never_expires(former: Any) -> Any:
    """A drain stays, also where the controller dies in the middle of it."""
    return lambda self, stage, key, revert=None: former(self, stage, key)


@wraps
def _retreat_expires(former: Any) -> Any:
    """Users who were taken from harm come back to it when nobody watches."""

    def take(self: Desk, stage: Any, key: str, revert: Any = None) -> bool:
        back = self.plan.baseline if key.startswith("retreat/") else revert
        return bool(former(self, stage, key, back))

    return take


@wraps
def _not_held(former: Any) -> Any:
    """Dials count as held without being asked."""

    def hold_dials(self: Desk, key: str) -> bool:
        return key == "hold" or bool(former(self, key))

    return hold_dials


@wraps
def _one_more(former: Any) -> Any:
    """A last word to the dials, after the run was closed."""

    def decide(state: Any, sight: Any) -> Decision:
        decision: Decision = former(state, sight)
        if not any(isinstance(one, r.RunClosed) for one in decision.records):
            return decision
        dial, setting = next(iter(state.plan.baseline.items()))
        action = r.Action(HOLD, "last/word", dial, setting=setting)
        return replace(decision, actions=(*decision.actions, action))

    return decide


@wraps
def _closed_is_open(former: Any) -> Any:
    def reason(*args: Any) -> Any:
        found = former(*args)
        return None if found is not None and found.code == "NO-RUN" else found

    return reason


@wraps
def _tidies_up(former: Any) -> Any:
    """Whoever leaves puts the dials back, to be sure."""

    async def settle(self: Any) -> None:
        await former(self)
        state = self.state
        if self.run.status is not Status.CLOSED:
            return
        for name, setting in sorted(state.plan.baseline.items()):
            claim = Claim(state.estate, state.journal, state.epoch, state.seq + 9)
            token = Token(claim, tuple(setting.rows[ALL]), state.claims.get(name))
            await self.drivers.dials[name].set(setting, token)

    return settle


@wraps
def _adopts(former: Any) -> Any:
    """What a dial shows is what was wanted, whoever set it."""

    def drift(desk: Desk) -> None:
        if desk.here.phase in (Phase.SERVING, Phase.PREFLIGHT):
            return
        for dial in sorted(desk.plan.baseline):
            seen = desk.sight.dials.get(dial)
            if seen is None or dial in desk.busy or seen.setting is None:
                continue
            one = seen.instances[0]
            if not desk.state.allows(dial, one):
                desk.records.append(r.Adopted(dial, seen.setting, one.claim))

    return drift


@wraps
def _first_instance(former: Any) -> Any:
    """One instance is asked, and speaks for all."""

    def dial(self: Any, reading: Any, *more: Any) -> None:
        former(self, replace(reading, instances=reading.instances[:1]), *more)

    return dial


FENCES = (
    Mutant(
        "fence-forgotten",
        "fencing",
        "a new epoch writes before its claim stands at every dial",
        (
            ("dayshift.core.decide._fence", lambda desk: None),
            without_checks(SET, "_fence_first"),
        ),
    ),
    Mutant(
        "half-a-fence",
        "fencing",
        "a new epoch stands at the first dial only",
        (
            ("dayshift.core.desk.Desk.hold_dials", _half_a_fence),
            without_checks(SET, "_fence_first"),
        ),
        plan=plans.wide,
    ),
    Mutant(
        "fence-of-another-epoch",
        "fencing",
        "the fence of an earlier epoch is taken for one's own",
        (
            ("dayshift.core.desk.Desk.fence", _one_fence),
            without_checks(SET, "_fence_first"),
        ),
    ),
    Mutant(
        "claims-not-compared",
        "fencing",
        "neither guard, interlock nor device compares claims",
        (
            ("dayshift.core.guards.claims_reason", _any_claim),
            ("dayshift.drivers.base.fresh_claim_reason", _any_claim),
            without_checks(SET, "newest"),
            without_checks(HOLD, "newest"),
        ),
        (Storm("second-laptop", None, 600_000),),
    ),
    Mutant(
        "never-expires",
        "dead-man",
        "a drain does not go back by itself when the controller dies",
        (("dayshift.core.desk.Desk.take", _never_expires),),
    ),
    Mutant(
        "not-held",
        "dead-man",
        "work begins while a write is about to go back by itself",
        (
            ("dayshift.core.desk.Desk.hold_dials", _not_held),
            without_checks(ActionKind.START_WORK, "_held_and_empty"),
        ),
    ),
    Mutant(
        "evacuation-expires",
        "dead-man",
        "an evacuated region gets its users back by itself",
        (
            ("dayshift.core.leases.drain_revert", lambda desk: desk.plan.baseline),
            without_checks(SET, "misplaced_reason"),
        ),
        plan=plans.evacuation,
    ),
    Mutant(
        "retreat-expires",
        "dead-man",
        "users who were taken from harm go back to it by themselves",
        (
            ("dayshift.core.desk.Desk.take", _retreat_expires),
            without_checks(SET, "misplaced_reason"),
        ),
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
        "tidies-up",
        "fail-static",
        "a controller that leaves puts the dials back, to be sure",
        (("dayshift.runtime.orchestrator.Orchestrator._settle", _tidies_up),),
    ),
    Mutant(
        "drift-not-seen",
        "drift-refuses",
        "what somebody else set is written over",
        (
            ("dayshift.core.decide._drift", lambda desk: None),
            without_checks(SET, "_no_drift"),
            ("dayshift.core.guards.dials_reason", lambda *args: None),
        ),
        (Storm("dial-drifts", Phase.DRAINING, 900_000, 3_000),),
        plans.slow_drain,
    ),
    Mutant(
        "drift-adopted",
        "drift-refuses",
        "what somebody else set becomes what is expected, and nobody is asked",
        (("dayshift.core.decide._drift", _adopts),),
        (Storm("dial-drifts", Phase.DRAINING, 900_000, 3_000),),
        plans.slow_drain,
    ),
    Mutant(
        "first-instance",
        "drift-refuses",
        "one instance of a dial speaks for all of them",
        (("dayshift.core.watch.Watch.dial", _first_instance),),
        (Storm("dial-instance-drifts", Phase.DRAINING, 900_000, 3_000),),
        plans.slow_drain,
    ),
)
