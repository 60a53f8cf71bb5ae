"""`verdict`: what the evidence so far means; `combine`: what several services mean.

Here lives the order of the questions. The statistics are in `compare` and
`noninferior`, the sentences in `words`. Only counts from the users' side are given to
the gate, so a region whose own meter is silent while users see errors is judged, not
blind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from dayshift.errors import Bug
from dayshift.gates.compare import (
    SUBSTANTIAL_ODDS,
    Logs,
    merged_log,
    questions,
    signal_weights,
    staked_log,
)
from dayshift.gates.look import grown
from dayshift.gates.power import smallest_bp
from dayshift.gates.signals import NOTHING
from dayshift.gates.state import JudgeState
from dayshift.gates.words import Scene
from dayshift.limits import FULL_BP
from dayshift.model.estate import GatePolicy
from dayshift.model.evidence import Verdict, VerdictKind

EXCESS_ERRORS = 0.0002
EXCESS_SLOW = 0.0005
"""A smaller difference may be real, but nobody should roll back for it."""
WORST_FIRST = (
    VerdictKind.FAIL,
    VerdictKind.BLIND,
    VerdictKind.HOLD,
    VerdictKind.PASS,
)


class Evidence(msgspec.Struct, frozen=True):
    """Natural logs: against the region by signal, by the absolute guard, in all; for
    it, the weakest signal's."""

    signals: Logs
    absolute: float
    merged: float
    promote: float


def evidence(state: JudgeState, policy: GatePolicy) -> Evidence:
    """Everything that the looks so far say."""
    if not state.signals:
        return Evidence((), 0.0, 0.0, 0.0)
    worse = tuple(
        min(staked_log(one, state.waiting) for one in grown(signal, question))
        for signal, question in zip(state.signals, questions(policy), strict=True)
    )
    absolute = staked_log(state.absolute, state.waiting)
    return Evidence(
        worse,
        absolute,
        merged_log(worse, absolute),
        min(signal.promote for signal in state.signals),
    )


def verdict(
    state: JudgeState,
    policy: GatePolicy,
    share_bp: int,
    fresh: bool,
    dwell_ms: int,
    region: str = "the region",
) -> Verdict:
    """Say pass, hold, fail or blind, with the evidence and a sentence.

    Why: right after a step the old rung's good evidence would promote again at once.
    Holds: blind never passes and never fails; without a trusted calibration only the
    absolute guard fails; nothing passes on the evidence of another share.

    Args:
        share_bp: the region's share now.
        fresh: the last look is young enough to prove something.
        dwell_ms: how long the region has had this share.
    """
    found = evidence(state, policy)
    kind, why = _decided(Scene(state, policy, region, share_bp), found, fresh, dwell_ms)
    against = found.merged
    if not policy.trusted:
        against = max(against, found.absolute)
    here = bool(state.signals) and state.share_bp == share_bp
    rung = state.signals[0].rung if here else NOTHING
    slow = (one.rung.canary_bad for one in state.signals[1:] if here)
    return Verdict(
        kind,
        why,
        rollback_mlog10=mlog10(against),
        rollback_need=mlog10(math.log(policy.rollback_odds)),
        promote_mlog10=mlog10(found.promote) if here else 0,
        promote_need=mlog10(math.log(policy.promote_odds)),
        smallest_bp=smallest_bp(rung, policy),
        promised_bp=math.ceil(state.signals[0].delta * FULL_BP - 1e-6) if here else 0,
        requests=rung.canary,
        errors=rung.canary_bad,
        slow=max(slow, default=0),
    )


def _decided(
    scene: Scene, found: Evidence, fresh: bool, dwell_ms: int
) -> tuple[VerdictKind, str]:
    """The questions in their order; the first that answers decides."""
    state = scene.state
    if not fresh or state.blind:
        return VerdictKind.BLIND, scene.blind(fresh)
    if not state.signals:
        return VerdictKind.HOLD, scene.nothing_yet()
    if state.incident:
        return VerdictKind.HOLD, scene.incident()
    failed = _failed(scene, found)
    if failed:
        return VerdictKind.FAIL, failed
    return _promoted(scene, found, dwell_ms)


def _failed(scene: Scene, found: Evidence) -> str | None:
    """Why the region must leave at once, or None."""
    need = math.log(scene.policy.rollback_odds)
    if not scene.policy.trusted:
        enough = found.absolute >= need
        return scene.above_limit(found.absolute) if enough else None
    if found.merged < need:
        return None
    *weights, guard_weight = signal_weights(len(found.signals))
    logs = [log + math.log(w) for log, w in zip(found.signals, weights, strict=True)]
    if found.absolute + math.log(guard_weight) >= max(logs):
        return scene.above_limit(found.merged)
    culprit = logs.index(max(logs))
    return scene.worse(culprit, found.merged) if _matters(scene, culprit) else None


def _matters(scene: Scene, signal: int) -> bool:
    """Is the difference seen, in this return or at this rung, of practical size?"""
    least = EXCESS_SLOW if signal else EXCESS_ERRORS
    one = scene.state.signals[signal]
    return any(
        pair.canary_bad * pair.others - pair.others_bad * pair.canary
        >= least * pair.canary * pair.others
        for pair in (one.run, one.rung)
        if pair.canary and pair.others
    )


def _promoted(scene: Scene, found: Evidence, dwell_ms: int) -> tuple[VerdictKind, str]:
    """Pass, or the reason to stay."""
    state, policy = scene.state, scene.policy
    suspect = found.signals.index(max(found.signals))
    if not policy.trusted and found.merged >= math.log(policy.rollback_odds):
        return VerdictKind.HOLD, scene.untrusted(suspect, found.merged)
    if found.merged >= math.log(SUBSTANTIAL_ODDS):
        return VerdictKind.HOLD, scene.suspected(suspect, found.merged)
    if state.share_bp != scene.share_bp:
        return VerdictKind.HOLD, scene.nothing_yet()
    if not state.signals[0].rung.others:
        return VerdictKind.HOLD, scene.alone()
    promotes = [one.promote for one in state.signals]
    weakest = promotes.index(min(promotes))
    if found.promote < math.log(policy.promote_odds):
        return VerdictKind.HOLD, scene.thin(weakest)
    if dwell_ms < policy.dwell_ms_min:
        return VerdictKind.HOLD, scene.dwelling(found.promote, dwell_ms)
    return VerdictKind.PASS, scene.healthy(weakest, found.promote)


def mlog10(log: float) -> int:
    """Natural log to milli-log10."""
    return round(1000 * log / math.log(10))


def for_services(policy: GatePolicy, services: int) -> GatePolicy:
    """The policy for each of several services that are judged together.

    Why: with `services` chances of a false alarm each may use only its part. Promotion
    needs every service anyway, so it is not corrected.
    """
    return msgspec.structs.replace(
        policy, rollback_odds=policy.rollback_odds * max(1, services)
    )


def combine(verdicts: Mapping[str, Verdict]) -> Verdict:
    """The worst verdict of several services, with its service's name before its words.

    Of equally bad ones: the most evidence against, then the least for, then the name.
    """
    if not verdicts:
        raise Bug("no verdict to combine")
    name = min(
        verdicts,
        key=lambda one: (
            WORST_FIRST.index(verdicts[one].kind),
            -verdicts[one].rollback_mlog10,
            verdicts[one].promote_mlog10,
            one,
        ),
    )
    worst = verdicts[name]
    if len(verdicts) == 1:
        return worst
    return msgspec.structs.replace(worst, why=f"{name}: {worst.why}")
