"""The fold: a state survives its snapshot, and history may be folded in two halves."""

from __future__ import annotations

import random
from functools import lru_cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayshift.core import invariants
from dayshift.core.fold import fold, fold_all
from dayshift.core.state import JournalState, Status
from dayshift.model.evidence import Verdict, VerdictKind
from dayshift.model.records import Record
from tests.kit.play import Play, change, estate

VERBS = ("pause", "resume", "retry", "abort", "close", "adopt", "take", "accept")


@lru_cache(maxsize=64)
def history(seed: int) -> tuple[tuple[Record, ...], JournalState]:
    """A run in which things go wrong and people ask, the same for the same seed."""
    draw = random.Random(seed)
    regions = ("ber", "fra", "muc")[: 2 + seed % 2]
    play = Play(estate(regions), change(*regions, undo=bool(draw.randrange(2))))
    bad = Verdict(VerdictKind.FAIL, "12 of 40 requests failed")
    good = Verdict(VerdictKind.PASS, "fine")
    for _ in range(draw.randrange(20, 220)):
        if play.run.status is Status.CLOSED:
            break
        said = bad if draw.random() < 0.02 else good
        play.verdict = lambda region, said=said: said  # type: ignore[misc]
        luck = draw.random()
        if luck < 0.02:
            play.crash()
        elif luck < 0.08:
            play.ask(draw.choice(VERBS), code="BLIND", reason="r", second="bob")
        play.step(draw.choice([50, 200, 1_000]))
    return tuple(play.records), play.state


def stored(state: JournalState) -> JournalState:
    return msgspec.json.decode(msgspec.json.encode(state), type=JournalState)


@pytest.mark.parametrize("seed", range(12))
def test_every_state_survives_its_snapshot(seed: int) -> None:
    state = JournalState()
    for record in history(seed)[0]:
        state = fold(state, record)
        assert stored(state) == state
    assert state == history(seed)[1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.floats(0, 1))
def test_two_halves_through_a_snapshot_are_the_whole(seed: int, part: float) -> None:
    records, whole = history(seed)
    cut = int(len(records) * part)
    first = stored(fold_all(JournalState(), records[:cut]))
    assert fold_all(first, records[cut:]) == whole


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40))
def test_no_promise_is_broken_on_the_way(seed: int) -> None:
    state = JournalState()
    for record in history(seed)[0]:
        before = msgspec.json.encode(state)
        after = fold(state, record)
        assert msgspec.json.encode(state) == before, "fold changed its argument"
        state = after
        assert invariants.violations(state) == ()
