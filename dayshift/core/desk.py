"""The desk of one decision: what it knows, and what it has decided so far.

A phase looks at the desk and puts records, actions and waitings on it. The desk knows
how to ask for an action exactly once, so that no phase can forget what is pending.
"""

from __future__ import annotations

from collections.abc import Mapping

from dayshift.core import fences, overrides
from dayshift.core.decision import Waiting
from dayshift.core.state import JournalState, PassState, RunState, Status
from dayshift.errors import Reason
from dayshift.limits import ACTION_ATTEMPTS_MAX
from dayshift.model.dial import Setting
from dayshift.model.plan import PassPlan, Stage
from dayshift.model.records import (
    Action,
    ActionKind,
    AnyBody,
    Held,
    OutcomeKind,
    Phase,
    Phased,
    Retreating,
)
from dayshift.model.sight import Sight
from dayshift.model.units import Instant, elapsed_ms

BACKOFF_MS = 500
Settings = Mapping[str, Setting]


class Desk:
    """Working space of one call of `decide`; thrown away afterwards."""

    def __init__(self, state: JournalState, run: RunState, sight: Sight) -> None:
        self.state = state
        self.run = run
        self.sight = sight
        self.now: Instant = sight.at
        self.plan = state.plan
        self.policy = self.plan.estate.policy
        self.here: PassState = run.now_at
        self.route: PassPlan = self.plan.pass_of(self.here.region)
        self.records: list[AnyBody] = []
        self.actions: list[Action] = []
        self.waiting: list[Waiting] = []
        self.wake_ms = 1_000
        self.under_way = {
            key: one for key, one in run.asked.items() if one.result is None
        }
        """Actions without an outcome yet, by key."""
        self.busy = {one.action.target for one in self.under_way.values()}
        """What they act on."""

    @property
    def region(self) -> str:
        return self.here.region

    @property
    def emergency(self) -> str:
        """The emergency verb in force, or nothing."""
        return overrides.emergency(self.plan.verb, self.run)

    @property
    def evacuating(self) -> bool:
        """True when the region in flight is to be out at once, and to stay so."""
        return self.emergency == "evacuate"

    @property
    def standing(self) -> Settings:
        """What each dial of the plan is confirmed to show."""
        return {**self.plan.baseline, **self.state.confirmed}

    @property
    def moved(self) -> bool:
        """True once this decision changes something."""
        return bool(self.records or self.actions)

    def waived(self, code: str) -> bool:
        return overrides.waived(code, self.emergency, self.run.accepted)

    def wait(
        self, code: str, what: str, until: str = "", left_ms: int | None = None
    ) -> None:
        """Say what the run waits for; wake in time for it."""
        self.waiting.append(Waiting(code, what, until, left_ms))
        if left_ms is not None:
            self.wake_ms = min(self.wake_ms, max(1, left_ms))

    def phase(self, new: Phase, why: str = "") -> None:
        self.records.append(Phased(self.region, self.here.phase, new, why))

    def hold(self, reason: Reason) -> None:
        """Stop by ourselves and call a person; once."""
        if self.run.status is not Status.HELD:
            self.records.append(Held(reason, self.region))

    def retreat(self, to: str, why: str, rung: int = -1) -> None:
        self.records.append(Retreating(self.region, to, rung, why))

    def _lost(self) -> dict[str, str]:
        """Fence points nobody waits for; in an emergency also this region's own, once
        they fell silent."""
        estate, dials = self.plan.estate, self.sight.dials
        lost = fences.lost(estate, self.state, dials)
        if self.emergency:
            silent = fences.silent(estate, dials).items()
            lost |= {dial: at for dial, at in silent if at == self.region}
        return lost

    def since(self, instant: Instant | None) -> int:
        """Milliseconds since `instant`, 0 if there is none."""
        return 0 if instant is None else elapsed_ms(instant, self.now)

    def since_asked(self, key: str) -> int:
        """Milliseconds since the newest action under `key` was read back; since this
        stop began where there was none to ask for."""
        begun = f"{self.region}/{key}/"
        ends = [one.ended for k, one in self.run.asked.items() if k.startswith(begun)]
        began = self.here.index_since or self.here.since
        return min(self.since(end) for end in (*ends, began) if end is not None)

    def want(self, action: Action) -> bool:
        """Ask for `action` unless it was asked already; True once it is done.

        An outcome `retry` is asked again after a pause, a bounded number of times; a
        failure or a refusal holds the run with its reason.
        """
        asked = self.run.asked.get(action.key)
        if asked is None and self._busy(action):
            self.wait("ACTING", f"another action at {action.target}", "it ends")
            return False
        if asked is None:
            self.actions.append(action)
            self.wait("ACTING", _doing(action))
            return False
        if asked.result is None:
            self.wait("ACTING", _doing(action), "its outcome is read back")
            return False
        if asked.result is OutcomeKind.DONE:
            return True
        if asked.result is OutcomeKind.RETRY and asked.attempts < ACTION_ATTEMPTS_MAX:
            left = BACKOFF_MS * asked.attempts - self.since(asked.ended)
            if left <= 0:
                self.actions.append(action)
            else:
                self.wait("RETRYING", _doing(action), "the pause is over", left)
            return False
        reason = asked.reason or Reason("ACTION-FAILED", f"{_doing(action)} failed")
        self._hold_for(reason)
        self.wait("FAILED", f"{_doing(action)} failed", "a person decides")
        return False

    def _hold_for(self, reason: Reason) -> None:
        """Hold for a failed action. A retreat that fails replaces the hold before it,
        which said that users were taken away."""
        held = self.run.hold
        if self.here.retreat is None or held is None:
            self.hold(reason)
        elif held.reason.code != "RETREAT-FAILED":
            failed = Reason(
                "RETREAT-FAILED",
                reason.what,
                because=f"{reason.code}, after: {held.reason.what}",
                so=f"the shares of {self.region} are not what they should be",
                next="mend it, then `dayshift retry`",
            )
            self.records.append(Held(failed, self.region))

    def settled(self) -> bool:
        """True when no action is under way, whose effect could still come."""
        for key in self.under_way:
            self.wait("ACTING", f"{key} to end", "its outcome is read back")
            return False
        return True

    def _busy(self, action: Action) -> bool:
        """One action at a time for each target, so that outcomes cannot overtake."""
        return action.target in self.busy or any(
            one.target == action.target for one in self.actions
        )

    def take(self, stage: Stage, key: str, revert: Settings | None = None) -> bool:
        """Move every dial of `stage` in its order; True once all are read back.

        A dial that stands in this region and is lost with it moves nobody any more.

        Args:
            revert: where each dial goes back to by itself unless it is renewed.
        """
        lost = self._lost()
        for move in stage.moves:
            if lost.get(move.dial) == self.region:
                continue
            to = (revert or {}).get(move.dial)
            if not self.set_dial(move.dial, move.setting, key, to):
                return False
        return True

    def was_asked(self, key: str) -> bool:
        """True when a stage under `key` was begun."""
        begun = f"{self.region}/{key}/"
        return any(name.startswith(begun) for name in self.run.asked)

    def set_dial(
        self, dial: str, setting: Setting, key: str, revert: Setting | None = None
    ) -> bool:
        """Bring one dial to `setting`; True once it is read back."""
        full = f"{self.region}/{key}/{dial}/{self.run.round}"
        revert = None if revert == setting else revert
        if full not in self.run.asked and self._stands(dial, setting, revert):
            return True
        return self.want(
            Action(
                ActionKind.SET_DIAL,
                full,
                dial,
                region=self.region,
                setting=setting,
                revert_to=revert,
                lease_ms=self.policy.lease_ms if revert else 0,
                override=self.emergency,
            )
        )

    def fence(self) -> bool:
        """Install this epoch's claim at every dial; True once all are read back."""
        return self.hold_dials(f"fence/{self.state.epoch}")

    def _stands(self, dial: str, setting: Setting, revert: Setting | None) -> bool:
        """True when the dial was read back so, and expires or stays as it should."""
        usual = self.plan.baseline[dial]
        leased = self.state.leases.get(dial)
        return (
            self.state.confirmed.get(dial, usual) == setting
            and not self.state.tried.get(dial)
            and (leased.revert_to if leased else None) == revert
        )

    def armed(self) -> tuple[str, ...]:
        """Dials that would go back by themselves, as they say."""
        return tuple(
            dial
            for dial in sorted(self.state.leases)
            if (seen := self.sight.dials.get(dial)) and seen.expires_ms is not None
        )

    def keep_armed(self) -> None:
        """Let nothing expire any more: a person decides what comes next.

        Holds: the key names the write that is held, so that each is held once.
        """
        for dial in self.armed():
            seq = self.state.leases[dial].claim.seq
            full = f"{self.region}/keep/{seq}/{dial}/{self.run.round}"
            kept = self.state.confirmed[dial]
            kind = ActionKind.HOLD_DIAL
            self.want(Action(kind, full, dial, region=self.region, setting=kept))

    def rearm(self, stage: Stage, revert: Settings) -> bool:
        """What was held in between expires again; True once all is as it should be."""
        claims = [self.state.claims.get(move.dial) for move in stage.moves]
        seq = max((claim.seq for claim in claims if claim), default=0)
        return self.take(stage, f"arm/{seq}", revert)

    def hold_dials(self, key: str) -> bool:
        """Make every dial of the plan permanent; True once all are read back.

        Dials that this journal never claimed come one after the other, in the same
        order for everybody: of two journals that begin together one gets them all, and
        the other is refused at the first. Lost fence points are left out until they
        answer again.
        """
        done, away = True, self._lost()
        for dial in sorted(self.plan.baseline):
            if dial in away:
                continue
            if not done and dial not in self.state.claims:
                return False
            full = f"{self.region}/{key}/{dial}/{self.run.round}"
            kept = self.state.confirmed.get(dial, self.plan.baseline[dial])
            # What a lost write left cannot be held; what was confirmed is put back.
            # A replaced controller may leave such a write until the fence stands.
            kind = ActionKind.HOLD_DIAL
            if self.state.tried.get(dial):
                kind = ActionKind.SET_DIAL
            asked = self.run.asked.get(full)
            if asked is not None and asked.result is not OutcomeKind.RETRY:
                kind = asked.action.kind
            action = Action(kind, full, dial, region=self.region, setting=kept)
            done = self.want(action) and done
        return done


def _doing(action: Action) -> str:
    where = f" in {action.region}" if action.region else ""
    return f"{action.kind.value} {action.target}{where}"
