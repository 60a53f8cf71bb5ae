"""`observe`: what one look adds to what the gate remembers.

Here lives the bookkeeping of looks, minutes, rungs and shared incidents. The statistics
are in `compare` and `noninferior`; what it all means is decided in `judge`.
"""

from __future__ import annotations

import math

import msgspec

from dayshift.gates.compare import (
    ABSOLUTE_STEPS,
    RESTAKED,
    STAKED,
    Logs,
    Question,
    absolute_ratios,
    log_ratios,
    questions,
    restaked,
)
from dayshift.gates.noninferior import delta, guess, log_evidence
from dayshift.gates.signals import NOTHING, Pair, error_pair, slow_pair
from dayshift.gates.state import Block, JudgeState, SignalState
from dayshift.limits import FULL_BP
from dayshift.model.estate import GatePolicy

BLOCK_MS = 60_000
INCIDENT_ERRORS = 10
INCIDENT_TIMES = 3
USUAL_REQUESTS = 1_000
RATE_REQUESTS = 30
"""Fewer requests than this say nothing about requests per second."""

replace = msgspec.structs.replace


def observe(
    state: JudgeState,
    block: Block,
    policy: GatePolicy,
    elapsed_ms: int,
    canary_share_bp: int,
    next_share_bp: int,
) -> JudgeState:
    """Take in what one look added.

    Holds: a blind look changes no evidence. A look at a shared incident may lower the
    evidence against the region but never raise it; dropping it only when the others
    look bad would select in favour of rollback, so `min(evidence, 1)` is what counts.

    Args:
        elapsed_ms: how long the block's counts took to gather.
        canary_share_bp: the region's share of all traffic in this block.
        next_share_bp: its share after a pass; the same on the last rung.
    """
    state = _turned(state, policy, canary_share_bp)
    if block.canary is None or block.others is None:
        return replace(state, blind=True, incident=False)
    pairs = [error_pair(block.canary, block.others)] + [
        slow_pair(block.canary, block.others, bound) for bound in policy.slow_us
    ]
    minute = state.minute.plus(pairs[0])
    state = replace(
        state,
        minute=minute,
        requests=state.requests + pairs[0].canary + pairs[0].others,
        run_ms=state.run_ms + elapsed_ms,
        block_ms=state.block_ms + elapsed_ms,
        blind=False,
        incident=any(_burning(state, policy, one) for one in (pairs[0], minute)),
    )
    deltas = _deltas(state, policy, max(next_share_bp, canary_share_bp))
    asked = questions(policy)
    signals = tuple(
        _learned(signal, pair, question, delta_now, policy, state.incident)
        for signal, pair, question, delta_now in zip(
            state.signals, pairs, asked, deltas, strict=True
        )
    )
    absolute = state.absolute
    if not state.incident and pairs[0].canary:
        absolute = _sum(absolute, absolute_ratios(pairs[0], policy))
    return replace(state, signals=signals, absolute=absolute)


def _turned(state: JudgeState, policy: GatePolicy, share_bp: int) -> JudgeState:
    """Begin the return, the rung or the minute, where one of them is due."""
    asked = questions(policy)
    if not state.signals:
        first = math.log(STAKED)
        return replace(
            state,
            share_bp=share_bp,
            signals=tuple(
                SignalState(((first,) * len(one.ratios),) * len(one.models))
                for one in asked
            ),
            absolute=(first,) * len(ABSOLUTE_STEPS),
        )
    moved = state.share_bp != share_bp
    if moved or state.block_ms >= BLOCK_MS:
        state = _closed(state, asked)
    if moved:
        state = replace(
            state,
            share_bp=share_bp,
            incident=False,
            signals=tuple(
                replace(one, rung=NOTHING, promote=0.0, delta=0.0)
                for one in state.signals
            ),
        )
    return state


def _closed(state: JudgeState, asked: tuple[Question, ...]) -> JudgeState:
    """End a block: its minute becomes final and a part of the stake begins anew."""
    return replace(
        state,
        signals=tuple(
            replace(
                signal,
                open=NOTHING,
                started=tuple(
                    restaked(one, state.waiting) for one in grown(signal, question)
                ),
            )
            for signal, question in zip(state.signals, asked, strict=True)
        ),
        absolute=restaked(state.absolute, state.waiting),
        waiting=state.waiting * (1 - RESTAKED),
        block_ms=0,
        minute=NOTHING,
    )


def grown(signal: SignalState, question: Question) -> tuple[Logs, ...]:
    """The stakes with the open minute counted in, where a model counts by minutes."""
    return tuple(
        _sum(started, log_ratios(signal.open, question, model))
        if model.cv2
        else started
        for started, model in zip(signal.started, question.models, strict=True)
    )


def _learned(
    signal: SignalState,
    pair: Pair,
    question: Question,
    excess: float,
    policy: GatePolicy,
    incident: bool,
) -> SignalState:
    """One signal after one look."""
    clump = max(1.0, policy.dispersion_ppm / 1e6)
    better = log_evidence(pair, guess(signal.run), excess) / clump
    if incident:
        return replace(
            signal,
            started=tuple(
                _sum(one, _at_most_even(log_ratios(pair, question, model)))
                for one, model in zip(signal.started, question.models, strict=True)
            ),
            promote=signal.promote + min(0.0, better),
        )
    started = signal.started
    if pair.canary_bad or pair.others_bad:
        started = tuple(
            one if model.cv2 else _sum(one, log_ratios(pair, question, model))
            for one, model in zip(started, question.models, strict=True)
        )
    return replace(
        signal,
        started=started,
        run=signal.run.plus(pair),
        rung=signal.rung.plus(pair),
        open=signal.open.plus(pair),
        promote=signal.promote + better,
        delta=max(signal.delta, excess),
    )


def _sum(left: Logs, right: Logs) -> Logs:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def _at_most_even(logs: Logs) -> Logs:
    return tuple(min(0.0, log) for log in logs)


def _deltas(
    state: JudgeState, policy: GatePolicy, next_share_bp: int
) -> tuple[float, ...]:
    """What each signal must exclude; zero while the traffic's rate is not known."""
    if state.requests < RATE_REQUESTS or not state.run_ms:
        return (0.0,) * len(state.signals)
    rps = state.requests * 1000 / state.run_ms
    return (
        delta(policy, False, rps, next_share_bp),
        *(delta(policy, True, rps, next_share_bp) for _ in policy.slow_us),
    )


def _burning(state: JudgeState, policy: GatePolicy, pair: Pair) -> bool:
    """Are the others in trouble themselves, by this look or this minute?"""
    if pair.others_bad < INCIDENT_ERRORS:
        return False
    rate = pair.others_bad / pair.others
    if rate > policy.absolute_error_bp / FULL_BP:
        return True
    bad, requests = usual_errors(state)
    return requests >= USUAL_REQUESTS and rate > INCIDENT_TIMES * (bad + 1) / requests


def usual_errors(state: JudgeState) -> tuple[int, int]:
    """The others' errors and requests before this minute, incidents left out."""
    errors = state.signals[0]
    return (
        errors.run.others_bad - errors.open.others_bad,
        errors.run.others - errors.open.others,
    )
